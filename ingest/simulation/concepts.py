"""Which concepts hold of simulated sources: what they are, and what their spectra show.

Classes come from the kind. Attributes are decided on the photons that ACIS would detect, without
noise, by limits an astronomer would accept; between clear cases some limit has to be.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from common.concepts import N_CONCEPTS, NAMES, concepts_of_class
from common.source_class import normalise
from ingest.simulation.emission import IRON_KEV, Emission
from ingest.simulation.instrument import responses
from ingest.simulation.kind import HOT_RATIO
from ingest.simulation.models import ENERGY_KEV, STEP_KEV
from ingest.simulation.population import KINDS, Population

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def concepts_of(population: Population, emission: Emission) -> BoolArray:
    """Decide which concepts hold of each source.

    Parameters
    ----------
    population : Population
        n sources.
    emission : Emission
        What arrives from them.

    Returns
    -------
    ndarray of bool, shape (n, N_CONCEPTS)
        In the order of ``common.concepts.NAMES``.
    """
    holds = _of_kinds()[population.kind].copy()
    for name, column in attributes_of(population, emission).items():
        holds[:, NAMES.index(name)] = column
    return holds


@cache
def _of_kinds() -> BoolArray:
    """Return which concepts hold of all sources of a kind, shape (n_kind, N_CONCEPTS)."""
    holds = np.zeros((len(KINDS), N_CONCEPTS), dtype=np.bool_)
    for row, kind in zip(holds, KINDS, strict=True):
        for name in (*concepts_of_class(normalise(kind.source_class)), *kind.concepts):
            row[NAMES.index(name)] = True
    return holds


def attributes_of(population: Population, emission: Emission) -> dict[str, BoolArray]:
    """Return each attribute of n sources, shape (n,), by its name; parameters as `concepts_of`."""
    p = population
    area = responses()[0].area_cm2 * ((ENERGY_KEV > 0.5) & (ENERGY_KEV < 8.0))
    total = emission.total() * area
    all_photons = np.maximum(total.sum(axis=1), 1e-300)

    def share(
        part: FloatArray, low_kev: float | FloatArray = 0.0, high_kev: float | FloatArray = 10.0
    ) -> FloatArray:
        """Return which share of all detected photons a component makes up in a band."""
        inside = (np.reshape(low_kev, (-1, 1)) < ENERGY_KEV) & (
            np.reshape(high_kev, (-1, 1)) > ENERGY_KEV
        )
        return np.asarray((part * area * inside).sum(axis=1) / all_photons)

    power_law = share(emission.power_law)
    disc, body, plasma = share(emission.disc), share(emission.body), share(emission.plasma)
    plasma += np.where(p.plasma > 0.3, share(emission.iron), 0.0)
    mean_kt = p.kt * HOT_RATIO**p.hot
    nucleus_dominates = share(emission.power_law, 2.0) > 0.5 * share(emission.total(), 2.0)
    intrinsic = np.where(nucleus_dominates, 10**p.log_nhz, 0.0)
    column = 10**p.log_nh + intrinsic
    seen_column = 10**p.log_nh + intrinsic / (1 + p.redshift) ** 2.6
    # Soft light that is no part of the power law: a black body, a cool disc or cool gas.
    soft_parts = (
        np.where(p.body_kt < 0.3, share(emission.body, high_kev=1.2), 0.0)
        + np.where(p.disc_kt < 0.4, share(emission.disc, high_kev=1.2), 0.0)
        + np.where(mean_kt < 1.0, share(emission.plasma, high_kev=1.2), 0.0)
    )
    soft_photons = share(emission.total(), high_kev=1.2)
    slope = p.gamma + np.divide(2.0, p.cutoff_kev, out=np.zeros(len(p)), where=p.cutoff_kev > 0)
    width_kev, iron_photons = _iron(p, emission, area)
    low, high = (edge / (1 + p.redshift) for edge in IRON_KEV)
    other_lines = share(emission.lines) - share(emission.lines, low, high)
    return {
        "soft": share(emission.total(), high_kev=1.3) > 0.65,
        "hard": share(emission.total(), low_kev=2.5) > 0.5,
        "supersoft": (body > 0.7)
        & (p.body_kt / (1 + p.redshift) < 0.15)
        & (share(emission.total(), high_kev=1.1) > 0.85),
        "unabsorbed": seen_column < 2e21,
        "absorbed": (column > 1e22) & (seen_column > 3e21),
        "heavily_absorbed": (column > 1e23) & (seen_column > 3e22),
        "thermal": plasma > 0.5,
        "power_law": power_law > 0.6,
        "blackbody": body + disc > 0.4,
        "soft_excess": (power_law > 0.25)
        & (soft_parts > 0.25 * soft_photons)
        & (soft_parts > 0.04),
        "lines": other_lines > 0.07,
        "iron_line": (width_kev > 0.1) & (iron_photons > 1e-3 * all_photons),
        "hot_plasma": (plasma > 0.5) & (mean_kt > 3.0),
        "cool_plasma": (plasma > 0.5) & (mean_kt < 1.0),
        "flat": (power_law > 0.5) & (slope < 1.5),
        "steep": (power_law > 0.5) & (slope > 2.3),
    }


def _iron(p: Population, emission: Emission, area: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return equivalent width at rest, in keV, and detected photons of the lines of iron K."""
    rest = ENERGY_KEV * (1 + p.redshift[:, None])
    inside = (rest > IRON_KEV[0]) & (rest < IRON_KEV[1])
    lines = emission.lines * inside
    continuum = ((emission.total() - emission.lines) * inside).sum(axis=1)
    level = np.maximum(continuum / np.maximum(inside.sum(axis=1), 1), 1e-300)
    width = lines.sum(axis=1) * STEP_KEV * (1 + p.redshift) / level
    return width, (lines * area).sum(axis=1)
