"""What arrives from a source: its components, absorbed, and the lines among them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.simulation import models
from ingest.simulation.kind import HOT_RATIO
from ingest.simulation.population import Population

FloatArray = npt.NDArray[np.float64]

IRON_KEV = (6.2, 7.1)  # at rest: where lines of neutral to hydrogen-like iron lie


@dataclass(frozen=True, slots=True, eq=False)
class Emission:
    """Photons per keV that arrive from n sources, each of shape (n, n_energy).

    Attributes
    ----------
    power_law : ndarray of float64
        The power law, past its absorber, scattered around it and reflected.
    disc, body, plasma : ndarray of float64
        Disc, black body and plasma; the plasma with its lines and the families of lines.
    lines : ndarray of float64
        All lines, of the plasma and others; also contained in ``plasma`` and ``iron``.
    iron : ndarray of float64
        The iron line that is no plasma's.
    """

    power_law: FloatArray
    disc: FloatArray
    body: FloatArray
    plasma: FloatArray
    lines: FloatArray
    iron: FloatArray

    def total(self) -> FloatArray:
        """Return all that arrives."""
        return self.power_law + self.disc + self.body + self.plasma + self.iron


def photons(population: Population) -> FloatArray:
    """Return what arrives from n sources, shape (n, n_energy); see `emission`."""
    return emission(population).total()


def emission(population: Population) -> Emission:
    """Return what arrives from each source, by component.

    Parameters
    ----------
    population : Population
        n sources.

    Returns
    -------
    Emission
        Photons per keV on ``models.ENERGY_KEV``; one photon between 0.5 and 8 keV would arrive
        if nothing were absorbed, reflected or cut off, and no line added.
    """
    p = population
    power_law = _component(1 - p.plasma - p.disc - p.body, models.power_law, p.gamma)
    power_law *= _passed(p)
    disc = _component(p.disc, models.disc, p.disc_kt)
    body = _component(p.body, models.black_body, p.body_kt / (1 + p.redshift))
    plasma, lines = np.zeros_like(power_law), np.zeros_like(power_law)
    for share, kt in ((p.plasma * (1 - p.hot), p.kt), (p.plasma * p.hot, p.kt * HOT_RATIO)):
        there = np.flatnonzero(share > 1e-9)
        drawn = models.plasma_lines(kt[there], p.abundance[there], p.redshift[there])
        both = drawn + models.bremsstrahlung(kt[there], p.redshift[there])
        scale = share[there, None] / models.photons_in_band(both)[:, None]
        plasma[there] += both * scale
        lines[there] += drawn * scale
    continuum = power_law + disc + body + plasma - lines
    for family, table in models.FAMILIES.items():
        width = getattr(p, f"{family}_ew_kev")
        there = np.flatnonzero(width > 0)
        added = np.zeros((len(there), continuum.shape[1]))
        for energy, strength in table:
            _add_width(added, continuum[there], energy, strength * width[there], p.redshift[there])
        plasma[there] += added
        lines[there] += added
    iron = np.zeros_like(power_law)
    total = continuum + lines
    _add_width(iron, total, p.iron_kev, p.iron_ew_kev, p.redshift)
    through = models.transmission(10**p.log_nh)
    lines += iron
    return Emission(*(part * through for part in (power_law, disc, body, plasma, lines, iron)))


def _passed(p: Population) -> FloatArray:
    """Return the fraction of the power law that gets past what surrounds its origin."""
    leak = p.scattered[:, None]
    passed = leak + (1 - leak) * models.transmission(10**p.log_nhz, p.redshift)
    for share, factor in (
        (p.warm_tau, lambda rows: models.warm_transmission(p.warm_tau[rows], p.redshift[rows])),
        (p.cutoff_kev, lambda rows: np.exp(-models.ENERGY_KEV / p.cutoff_kev[rows, None])),
    ):
        rows = np.flatnonzero(share > 0)
        passed[rows] *= factor(rows)
    rows = np.flatnonzero(p.reflected > 0)
    passed[rows] += p.reflected[rows, None] * models.albedo(p.redshift[rows])
    return passed


def _add_width(
    spectrum: FloatArray,
    continuum: FloatArray,
    energy_kev: npt.ArrayLike,
    width_kev: FloatArray,
    redshift: FloatArray,
) -> None:
    """Add a line of an equivalent width at rest to each spectrum, in place."""
    observed = np.broadcast_to(energy_kev, redshift.shape) / (1 + redshift)
    nearest = np.searchsorted(models.ENERGY_KEV, observed) - 1
    level = continuum[np.arange(len(redshift)), nearest]
    models.add_line(spectrum, observed, width_kev / (1 + redshift) * level)


def _component(share: FloatArray, model: models.Model, *parameters: FloatArray) -> FloatArray:
    """Return ``share`` of a model's photons, computed only where the share is positive."""
    result = np.zeros((len(share), len(models.ENERGY_KEV)))
    there = share > 1e-9
    if there.any():
        spectrum = models.normalise(model(*(parameter[there] for parameter in parameters)))
        result[there] = share[there, None] * spectrum
    return result
