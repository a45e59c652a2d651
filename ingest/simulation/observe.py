"""Observations of a population: exposures, Poisson counts, background and light curves."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from ingest.simulation.instrument import EPOCH_YEARS, responses
from ingest.simulation.measure import draw_light_curves
from ingest.simulation.population import Population

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SHARE_BY_NUMBER = (0.61, 0.295, 0.08, 0.012, 0.002, 0.001)  # sources with 1 to 6 detections
_MEDIAN_COUNTS, _MIN_COUNTS, _MAX_COUNTS = 300.0, 20.0, 20_000.0
_BACKGROUND_PER_KS = 0.15  # counts, median over apertures
_BACKGROUND_REGION = 20.0  # its area over that of the source region


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """What was recorded of n detections.

    Attributes
    ----------
    source : ndarray of int64, shape (n,)
        Index into the population.
    response : ndarray of int64, shape (n,)
        Index into ``instrument.responses()``.
    exposure_s : ndarray of float64, shape (n,)
        Exposure in seconds.
    day : ndarray of float64, shape (n,)
        Start, in days since the beginning of the response's first year.
    counts : ndarray of float64, shape (n, 400)
        Poisson counts of the source region, background included.
    background : ndarray of float64, shape (n,)
        Background counts in it, as estimated from a larger region.
    light_curve : ndarray of int64, shape (n, 60)
        Counts in equal intervals of the exposure.
    """

    source: IntArray
    response: IntArray
    exposure_s: FloatArray
    day: FloatArray
    counts: FloatArray
    background: FloatArray
    light_curve: IntArray

    def __len__(self) -> int:
        return len(self.source)

    @classmethod
    def join(cls, parts: Sequence["Observations"], limit: int) -> "Observations":
        """Return the first ``limit`` detections of all parts, whose sources follow each other."""
        return cls(
            **{
                field.name: np.concatenate([getattr(part, field.name) for part in parts])[:limit]
                for field in fields(cls)
            }
        )


def observe(
    rng: np.random.Generator, population: Population, spectra: FloatArray, first_source: int = 0
) -> Observations:
    """Observe every source of a population one to six times.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    population : Population
        n sources.
    spectra : ndarray of float64, shape (n, n_energy)
        What arrives from them, of arbitrary scale: brightness is drawn here.
    first_source : int
        Added to the source indices.

    Returns
    -------
    Observations
        In the order of the sources.
    """
    number = rng.choice(len(_SHARE_BY_NUMBER), p=_SHARE_BY_NUMBER, size=len(population)) + 1
    source = np.repeat(np.arange(len(population)), number)
    n = len(source)
    exposure_s = np.round(np.exp(rng.normal(np.log(3e4), 0.8, size=n)).clip(2e3, 1.5e5), 1)
    response = rng.integers(len(responses()), size=n)
    brightness = rng.normal(0.0, 0.95, size=len(population))[source] + rng.normal(0.0, 0.5, size=n)
    expected = (_MEDIAN_COUNTS * np.exp(brightness)).clip(_MIN_COUNTS, _MAX_COUNTS)
    background = exposure_s / 1e3 * _BACKGROUND_PER_KS * np.exp(rng.normal(size=n))
    background = np.minimum(background, 0.3 * expected)
    mean = np.empty((n, responses()[0].folding.shape[1]))
    for index, instrument in enumerate(responses()):
        rows = response == index
        folded = spectra[source[rows]] @ instrument.folding
        mean[rows] = expected[rows, None] * folded / folded.sum(axis=1, keepdims=True)
        mean[rows] += background[rows, None] * instrument.background
    counts = rng.poisson(mean)
    return Observations(
        source=source + first_source,
        response=response,
        exposure_s=exposure_s,
        day=rng.uniform(0.0, 365.0 * EPOCH_YEARS, size=n),
        counts=counts.astype(np.float64),
        background=rng.poisson(background * _BACKGROUND_REGION) / _BACKGROUND_REGION,
        light_curve=draw_light_curves(rng, counts.sum(axis=1), population.rms[source]),
    )
