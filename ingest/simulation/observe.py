"""Observations of a population: exposures, Poisson counts, background and light curves."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from common.binning import N_BINS
from ingest.simulation.backgrounds import SHAPES
from ingest.simulation.distortions import area_errors, shift_energies
from ingest.simulation.instrument import EPOCH_YEARS, N_ACIS, Response, responses
from ingest.simulation.measure import draw_light_curves
from ingest.simulation.population import KINDS, WEIGHTS, Population

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SHARE_BY_NUMBER = (0.61, 0.295, 0.08, 0.012, 0.002, 0.001)  # sources with 1 to 6 detections
# Net counts of detections of the Chandra Source Catalog of at least 40, and their quantiles.
_COUNTS = (40.0, 41.0, 43.0, 50.0, 100.0, 700.0, 4800.0, 50_000.0, 370_000.0)
_QUANTILES = (0.0, 0.01, 0.05, 0.16, 0.5, 0.84, 0.95, 0.99, 1.0)
_SAME_SOURCE = 0.8  # correlation of the brightness of two detections of a source
_EXPOSURES_S = (8.5e2, 3.2e3, 4e3, 7.6e3, 3.5e4, 8.3e4, 1.5e5, 1.74e5, 1.84e5)  # likewise
_BACKGROUND_PER_KS = 0.6  # counts, median over apertures, which grow off axis
_BACKGROUND_SPREAD = 1.4
_WIDE_COUNTS = np.array([(20.0, 2e3), (2e3, 1e6), (1e6, 1e7)])
_WIDE_SHARES = (0.5, 0.48, 0.02)
_MAX_BACKGROUND = 0.6
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
    background_mix : ndarray of float64, shape (n, 6)
        Shares of the response's usual background and of its other ones.
    light_curve : ndarray of int64, shape (n, 60)
        Counts in equal intervals of the exposure.
    """

    source: IntArray
    response: IntArray
    exposure_s: FloatArray
    day: FloatArray
    counts: FloatArray
    background: FloatArray
    background_mix: FloatArray
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


@dataclass(frozen=True, slots=True)
class Conditions:
    """How sources are observed.

    Attributes
    ----------
    n_responses : int
        How many of ``instrument.responses()`` are used: `N_ACIS`, or all.
    calibration_error : float
        Rms of the logarithm of what effective areas are wrong by; energies are then wrong too.
    wide : bool
        Counts from 20 to 10 million and backgrounds up to 60%, in place of those of a catalogue.
    """

    n_responses: int = N_ACIS
    calibration_error: float = 0.0
    wide: bool = False


CATALOGUE = Conditions()


def observe(
    rng: np.random.Generator,
    population: Population,
    spectra: FloatArray,
    first_source: int = 0,
    conditions: Conditions = CATALOGUE,
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
    conditions : Conditions
        Instruments, brightness, backgrounds and errors.

    Returns
    -------
    Observations
        In the order of the sources.
    """
    number = rng.choice(len(_SHARE_BY_NUMBER), p=_SHARE_BY_NUMBER, size=len(population)) + 1
    source = np.repeat(np.arange(len(population)), number)
    n = len(source)
    drawn_exposures = np.exp(np.interp(rng.uniform(size=n), _QUANTILES, np.log(_EXPOSURES_S)))
    exposure_s: FloatArray = np.round(drawn_exposures, 1).astype(np.float64)
    # Half of the wide observations are ACIS's; a catalogue has no others.
    response = rng.integers(N_ACIS, size=n)
    if conditions.n_responses > N_ACIS:
        other = rng.integers(N_ACIS, conditions.n_responses, size=n)
        response = np.where(rng.uniform(size=n) < 0.5, response, other)
    draw = _wide_counts if conditions.wide else _catalogue_counts
    expected, background, mix = draw(rng, population.kind[source], source, exposure_s)
    mean = np.empty((n, N_BINS))
    sky = np.empty((n, N_BINS))
    for index, instrument in enumerate(responses()):
        rows = np.flatnonzero(response == index)
        arriving = spectra[source[rows]]
        if conditions.calibration_error > 0:
            arriving *= area_errors(rng, len(rows), conditions.calibration_error)
        folded = arriving @ instrument.folding
        mean[rows] = expected[rows, None] * folded / folded.sum(axis=1, keepdims=True)
        sky[rows] = background[rows, None] * (mix[rows] @ background_shapes(instrument))
    if conditions.calibration_error > 0:
        mean = shift_energies(rng, mean)
    counts = rng.poisson(mean + sky)
    return Observations(
        source=source + first_source,
        response=response,
        exposure_s=exposure_s,
        day=rng.uniform(0.0, 365.0 * EPOCH_YEARS, size=n),
        counts=counts.astype(np.float64),
        background=rng.poisson(background * _BACKGROUND_REGION) / _BACKGROUND_REGION,
        background_mix=mix,
        light_curve=draw_light_curves(rng, counts.sum(axis=1), population.rms[source]),
    )


def background_shapes(response: Response) -> FloatArray:
    """Return the usual background of a response and its other ones, shape (6, 400)."""
    return np.concatenate([response.background[None], response.other_backgrounds])


def _catalogue_counts(
    rng: np.random.Generator, kind: IntArray, source: IntArray, exposure_s: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return net counts, background counts and its mix as a catalogue of faint sources has them."""
    n = len(source)
    brightness = np.sqrt(_SAME_SOURCE) * rng.normal(size=source[-1] + 1)[source]
    brightness += np.sqrt(1 - _SAME_SOURCE) * rng.normal(size=n)
    usual, spread = _brightness_of_kinds()
    brightness = (brightness + usual[kind]) / spread
    expected = np.exp(np.interp(ndtr(brightness), _QUANTILES, np.log(_COUNTS)))
    background = exposure_s / 1e3 * _BACKGROUND_PER_KS
    background *= np.exp(rng.normal(0.0, _BACKGROUND_SPREAD, size=n))
    mix = np.zeros((n, 1 + len(SHAPES)))
    mix[:, 0] = 1.0
    return expected, np.minimum(background, 0.8 * expected), mix


@cache
def _brightness_of_kinds() -> tuple[FloatArray, float]:
    """Return how bright each kind is, their mean subtracted, and the standard deviation of all."""
    weight = WEIGHTS["catalogue"] / WEIGHTS["catalogue"].sum()
    usual = np.array([kind.brightness for kind in KINDS])
    usual -= weight @ usual
    return usual, float(np.sqrt(1.0 + weight @ usual**2))


def _wide_counts(
    rng: np.random.Generator, kind: IntArray, source: IntArray, exposure_s: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return net counts, background counts and its mix as data of all kinds may have them."""
    n = len(exposure_s)
    decade = rng.choice(len(_WIDE_COUNTS), p=_WIDE_SHARES, size=n)
    low, high = np.log(_WIDE_COUNTS)[decade].T
    total = np.exp(low + (high - low) * rng.uniform(size=n))
    # A fifth has no background to speak of, as after subtraction or of bright points.
    share = _MAX_BACKGROUND * rng.uniform(size=n) ** 2.5 * (rng.uniform(size=n) > 0.2)
    mix = rng.dirichlet(np.full(1 + len(SHAPES), 0.4), size=n)
    return total * (1 - share), total * share, mix
