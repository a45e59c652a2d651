"""The sources an X-ray catalogue holds: kinds, their parameters, and the spectra these make.

Ranges follow the reviews and samples from which an astronomer would quote them: AGN, Ricci et al.
2017 (2017ApJS..233...17R); binaries, Done et al. 2007 (2007A&ARv..15....1D); young stars, Preibisch
et al. 2005 (2005ApJS..160..401P); cataclysmic variables, Mukai 2017 (2017PASP..129f2001M).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from ingest.simulation import models

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Range = tuple[float, float]

_NORMAL = frozenset({"log_nh", "log_nhz", "gamma", "log_luminosity"})  # (mean, deviation)
_LOG_UNIFORM = frozenset(
    {"redshift", "scattered", "iron_ew_kev", "kt", "disc_kt", "body_kt", "distance"}
)  # all others are uniform
HOT_RATIO = 2.8  # ratio of the two temperatures of a plasma


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of source: ``(mean, deviation)`` or ``(low, high)`` of each parameter.

    ``log_nh`` absorbs everything at redshift 0; ``log_nhz`` only the power law, at the source.
    ``plasma``, ``disc`` and ``body`` are shares of the unabsorbed photons of 0.5-8 keV, the power
    law has the rest; ``hot`` is the share of the plasma that is `HOT_RATIO` times hotter.
    Distances are in pc, for sources without a redshift.
    """

    name: str
    source_class: str
    weight: float
    log_nh: Range
    log_luminosity: Range
    gamma: Range = (1.8, 0.2)
    log_nhz: Range = (0.0, 0.0)
    redshift: Range = (0.0, 0.0)
    distance: Range = (0.0, 0.0)
    scattered: Range = (0.0, 0.0)
    iron_ew_kev: Range = (0.0, 0.0)
    plasma: Range = (0.0, 0.0)
    kt: Range = (1.0, 1.0)
    hot: Range = (0.0, 0.0)
    abundance: Range = (0.4, 1.0)
    disc: Range = (0.0, 0.0)
    disc_kt: Range = (1.0, 1.0)
    body: Range = (0.0, 0.0)
    body_kt: Range = (1.0, 1.0)
    rms: Range = (0.0, 0.15)


_AGN = {"log_nh": (20.4, 0.25)}
_GALACTIC = {"distance": (1.5e3, 1.2e4)}
_NEARBY = {"distance": (2.5e6, 2e7)}

KINDS: tuple[Kind, ...] = (
    Kind("agn", "AGN", 11, **_AGN, log_luminosity=(43.3, 0.7), gamma=(1.8, 0.25),
         log_nhz=(20.8, 0.6), redshift=(0.05, 2.5), iron_ew_kev=(0.02, 0.15)),
    Kind("obscured_agn", "AGN", 8, **_AGN, log_luminosity=(43.2, 0.7), gamma=(1.75, 0.25),
         log_nhz=(22.8, 0.5), redshift=(0.05, 2.0), scattered=(0.003, 0.05),
         iron_ew_kev=(0.06, 0.4)),
    Kind("liner", "AGN", 2, **_AGN, log_luminosity=(40.3, 0.6), gamma=(1.75, 0.2),
         log_nhz=(21.3, 0.6), redshift=(0.002, 0.03), plasma=(0.1, 0.4), kt=(0.45, 0.9)),
    Kind("quasar", "QSO", 11, **_AGN, log_luminosity=(44.7, 0.5), gamma=(1.95, 0.2),
         log_nhz=(20.3, 0.5), redshift=(0.2, 3.5), body=(0.0, 0.25), body_kt=(0.12, 0.2)),
    Kind("radio_quasar", "QSO", 3, **_AGN, log_luminosity=(45.4, 0.5), gamma=(1.55, 0.2),
         log_nhz=(20.6, 0.6), redshift=(0.3, 3.5), rms=(0.0, 0.25)),
    Kind("obscured_quasar", "QSO", 2, **_AGN, log_luminosity=(44.6, 0.4), gamma=(1.8, 0.2),
         log_nhz=(23.1, 0.4), redshift=(0.3, 2.5), scattered=(0.002, 0.02),
         iron_ew_kev=(0.06, 0.3)),
    Kind("seyfert1", "Sy1", 7.5, **_AGN, log_luminosity=(43.4, 0.5), gamma=(1.85, 0.15),
         log_nhz=(20.7, 0.6), redshift=(0.004, 0.2), iron_ew_kev=(0.04, 0.2), body=(0.0, 0.35),
         body_kt=(0.1, 0.18), rms=(0.02, 0.3)),
    Kind("narrow_line_seyfert1", "Sy1", 2.9, **_AGN, log_luminosity=(43.3, 0.5), gamma=(2.35, 0.25),
         redshift=(0.01, 0.3), iron_ew_kev=(0.02, 0.1), body=(0.2, 0.55), body_kt=(0.1, 0.17),
         rms=(0.1, 0.5)),
    Kind("seyfert2", "Sy2", 3.8, **_AGN, log_luminosity=(42.7, 0.6), gamma=(1.8, 0.2),
         log_nhz=(23.0, 0.4), redshift=(0.003, 0.1), scattered=(0.005, 0.04),
         iron_ew_kev=(0.1, 0.5), plasma=(0.0, 0.06), kt=(0.3, 0.8)),
    Kind("thick_seyfert2", "Sy2", 1.9, **_AGN, log_luminosity=(42.3, 0.6), gamma=(1.8, 0.2),
         log_nhz=(24.2, 0.2), redshift=(0.003, 0.06), scattered=(0.008, 0.03),
         iron_ew_kev=(0.6, 2.0), plasma=(0.003, 0.03), kt=(0.3, 0.9), rms=(0.0, 0.05)),
    Kind("t_tauri", "YSO", 8, (21.4, 0.4), (30.2, 0.5), distance=(130.0, 1500.0), plasma=(1.0, 1.0),
         kt=(0.7, 1.3), hot=(0.2, 0.9), abundance=(0.15, 0.6), rms=(0.0, 0.9)),
    Kind("protostar", "YSO", 3.5, (22.5, 0.3), (30.6, 0.5), distance=(130.0, 1500.0),
         plasma=(1.0, 1.0), kt=(1.0, 2.5), hot=(0.4, 1.0), abundance=(0.2, 0.7),
         iron_ew_kev=(0.01, 0.12), rms=(0.0, 1.0)),
    Kind("neutron_star_binary", "LMXB", 4, (21.5, 0.35), (36.6, 0.8), **_GALACTIC,
         gamma=(1.8, 0.3), body=(0.25, 0.65), body_kt=(0.6, 1.9), rms=(0.05, 0.4)),
    Kind("soft_black_hole", "LMXB", 3, (21.5, 0.35), (37.8, 0.5), **_GALACTIC,
         gamma=(2.4, 0.2), disc=(0.65, 0.97), disc_kt=(0.4, 1.3), rms=(0.0, 0.1)),
    Kind("hard_black_hole", "LMXB", 1.8, (21.5, 0.35), (36.0, 0.8), **_GALACTIC,
         gamma=(1.65, 0.12), disc=(0.0, 0.15), disc_kt=(0.15, 0.35), iron_ew_kev=(0.02, 0.1),
         rms=(0.15, 0.5)),
    Kind("quiescent_neutron_star", "LMXB", 1, (21.2, 0.35), (32.8, 0.4), **_GALACTIC,
         gamma=(1.6, 0.3), body=(0.6, 0.97), body_kt=(0.12, 0.3), rms=(0.0, 0.1)),
    Kind("be_pulsar", "HMXB", 4.5, (21.7, 0.3), (35.8, 0.8), distance=(2e3, 6.2e4),
         gamma=(1.0, 0.25), iron_ew_kev=(0.02, 0.15), rms=(0.15, 0.7)),
    Kind("supergiant_binary", "HMXB", 2.3, (22.9, 0.35), (35.6, 0.6), **_GALACTIC,
         gamma=(1.2, 0.25), iron_ew_kev=(0.08, 0.8), body=(0.0, 0.003), body_kt=(0.1, 0.2),
         rms=(0.2, 0.9)),
    Kind("wind_black_hole", "HMXB", 1.5, (21.7, 0.25), (37.3, 0.5), distance=(5e4, 3e6),
         gamma=(2.0, 0.25), disc=(0.1, 0.6), disc_kt=(0.2, 0.6), rms=(0.1, 0.4)),
    Kind("coronal_star", "Star", 4, (19.8, 0.5), (28.8, 0.6), distance=(10.0, 400.0),
         plasma=(1.0, 1.0), kt=(0.25, 0.6), hot=(0.0, 0.4), abundance=(0.2, 1.0), rms=(0.0, 0.4)),
    Kind("active_binary", "Star", 2.2, (20.2, 0.4), (30.7, 0.4), distance=(30.0, 800.0),
         plasma=(1.0, 1.0), kt=(0.7, 1.1), hot=(0.35, 0.9), abundance=(0.1, 0.5), rms=(0.0, 0.6)),
    Kind("massive_star", "Star", 1.7, (21.6, 0.2), (31.8, 0.5), distance=(400.0, 5e3),
         plasma=(1.0, 1.0), kt=(0.25, 0.65), hot=(0.0, 0.2), abundance=(0.6, 1.2), rms=(0.0, 0.05)),
    Kind("broad_ulx", "ULX", 1.8, (21.4, 0.3), (39.7, 0.3), **_NEARBY, gamma=(2.0, 0.2),
         disc=(0.5, 0.95), disc_kt=(1.1, 2.2), rms=(0.0, 0.15)),
    Kind("soft_ulx", "ULX", 1, (21.4, 0.25), (39.6, 0.3), **_NEARBY, gamma=(2.2, 0.3),
         disc=(0.3, 0.8), disc_kt=(0.13, 0.35), rms=(0.0, 0.3)),
    Kind("supersoft_ulx", "ULX", 0.4, (21.1, 0.2), (39.3, 0.3), **_NEARBY, gamma=(2.8, 0.3),
         body=(0.85, 0.99), body_kt=(0.07, 0.14), rms=(0.1, 0.6)),
    Kind("intermediate_polar", "CV", 1.3, (21.6, 0.35), (33.1, 0.4), distance=(200.0, 4e3),
         plasma=(1.0, 1.0), kt=(8.0, 25.0), abundance=(0.4, 1.2), iron_ew_kev=(0.05, 0.25),
         rms=(0.15, 0.6)),
    Kind("polar", "CV", 0.9, (20.6, 0.4), (31.8, 0.5), distance=(80.0, 800.0),
         plasma=(0.65, 0.97), kt=(5.0, 15.0), gamma=(2.0, 0.2), body=(0.03, 0.35),
         body_kt=(0.05, 0.1), rms=(0.3, 1.0)),
    Kind("dwarf_nova", "CV", 0.7, (20.6, 0.4), (31.2, 0.5), distance=(80.0, 1000.0),
         plasma=(1.0, 1.0), kt=(2.5, 9.0), abundance=(0.4, 1.2), rms=(0.1, 0.6)),
    Kind("cluster", "ClG", 1.4, (20.5, 0.25), (44.5, 0.4), redshift=(0.03, 0.8), plasma=(1.0, 1.0),
         kt=(2.5, 9.0), abundance=(0.2, 0.5), rms=(0.0, 0.0)),
    Kind("group", "ClG", 0.6, (20.5, 0.25), (42.9, 0.4), redshift=(0.01, 0.2), plasma=(1.0, 1.0),
         kt=(0.6, 2.0), abundance=(0.2, 0.8), rms=(0.0, 0.0)),
    Kind("globular_cluster", "GlC", 0.8, (21.0, 0.4), (37.2, 0.8), distance=(1e6, 1.6e7),
         gamma=(1.7, 0.2), body=(0.0, 0.3), body_kt=(0.3, 1.2), rms=(0.0, 0.2)),
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """True parameters of n sources, each of shape (n,); named and meant as in `Kind`."""

    kind: IntArray  # index into KINDS
    ra_deg: FloatArray
    dec_deg: FloatArray
    log_nh: FloatArray
    log_luminosity: FloatArray
    gamma: FloatArray
    log_nhz: FloatArray
    redshift: FloatArray
    distance: FloatArray
    scattered: FloatArray
    iron_ew_kev: FloatArray
    plasma: FloatArray
    kt: FloatArray
    hot: FloatArray
    abundance: FloatArray
    disc: FloatArray
    disc_kt: FloatArray
    body: FloatArray
    body_kt: FloatArray
    rms: FloatArray

    def __len__(self) -> int:
        return len(self.kind)

    def parameters(self) -> dict[str, FloatArray]:
        """Return the parameters by name, each of shape (n,)."""
        return {name: getattr(self, name) for name in _PARAMETERS}

    @classmethod
    def join(cls, parts: Sequence["Population"]) -> "Population":
        """Return the sources of all parts, one after the other."""
        return cls(
            **{
                field.name: np.concatenate([getattr(part, field.name) for part in parts])
                for field in fields(cls)
            }
        )


_PARAMETERS = tuple(
    field.name for field in fields(Kind) if field.name not in {"name", "source_class", "weight"}
)


def draw_population(rng: np.random.Generator, n: int) -> Population:
    """Return n sources drawn from `KINDS` by weight."""
    weight = np.array([kind.weight for kind in KINDS])
    kind = rng.choice(len(KINDS), size=n, p=weight / weight.sum())
    drawn = {}
    for name in _PARAMETERS:
        first, second = np.array([getattr(entry, name) for entry in KINDS], dtype=float)[kind].T
        if name in _NORMAL:
            drawn[name] = first + second * rng.normal(size=n).clip(-2.5, 2.5)
        elif name in _LOG_UNIFORM:
            share = rng.uniform(size=n)
            drawn[name] = np.where(first > 0, first ** (1 - share) * second**share, 0.0)
        else:
            drawn[name] = first + (second - first) * rng.uniform(size=n)
    ra_deg = rng.uniform(0.0, 360.0, size=n)
    dec_deg = np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, size=n)))
    return Population(kind=kind.astype(np.int64), ra_deg=ra_deg, dec_deg=dec_deg, **drawn)


def photons(population: Population) -> FloatArray:
    """Return what arrives from each source.

    Parameters
    ----------
    population : Population
        n sources.

    Returns
    -------
    ndarray of float64, shape (n, n_energy)
        Photons per keV on ``models.ENERGY_KEV``; one photon between 0.5 and 8 keV would arrive
        if nothing were absorbed and no line added.
    """
    p = population
    through = models.transmission(10**p.log_nhz, p.redshift)
    leak = p.scattered[:, None]
    total = _component(1 - p.plasma - p.disc - p.body, models.power_law, p.gamma)
    total *= leak + (1 - leak) * through
    total += _component(p.disc, models.disc, p.disc_kt)
    total += _component(p.body, models.black_body, p.body_kt / (1 + p.redshift))
    for share, kt in ((1 - p.hot, p.kt), (p.hot, p.kt * HOT_RATIO)):
        total += _component(p.plasma * share, models.plasma, kt, p.abundance, p.redshift)
    line_kev = models.IRON_LINE_KEV / (1 + p.redshift)
    nearest = np.searchsorted(models.ENERGY_KEV, line_kev) - 1
    level = total[np.arange(len(p)), nearest]
    models.add_line(total, line_kev, p.iron_ew_kev / (1 + p.redshift) * level)
    return total * models.transmission(10**p.log_nh)


def _component(share: FloatArray, model: models.Model, *parameters: FloatArray) -> FloatArray:
    """Return ``share`` of a model's photons, computed only where the share is positive."""
    result = np.zeros((len(share), len(models.ENERGY_KEV)))
    there = share > 1e-9
    if there.any():
        spectrum = models.normalise(model(*(parameter[there] for parameter in parameters)))
        result[there] = share[there, None] * spectrum
    return result
