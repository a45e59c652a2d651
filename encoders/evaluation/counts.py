"""What changes when a spectrum has fewer counts: the same source, observed for a shorter time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from common.ports import Encoder, Float32Array

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FAINT: Final = 1_000
"""Counts that brighter spectra are compared with."""
LEVELS: Final = (3_000, 10_000, 30_000, 100_000, 1_000_000)
DRAWS: Final = 5


@dataclass(frozen=True, slots=True, eq=False)
class Thinned:
    """Spectra of so many counts, drawn from brighter ones.

    Attributes
    ----------
    rows : ndarray of int64, shape (m,)
        Which of the spectra have so many counts.
    counts : ndarray of float64, shape (m, 400)
        Thinned counts; where that leaves no shape, as they were.
    exposure_s : ndarray of float64, shape (m,)
        Shorter in the same measure.
    """

    rows: IntArray
    counts: FloatArray
    exposure_s: FloatArray


def thin_to(
    counts: FloatArray, exposure_s: FloatArray, rows: IntArray, n: int, rng: np.random.Generator
) -> Thinned:
    """Keep so many counts of each of these spectra, on average.

    Parameters
    ----------
    counts : ndarray of float64, shape (n_all, 400)
        Counts; fractions are rounded.
    exposure_s : ndarray of float64, shape (n_all,)
        Exposures in seconds.
    rows : ndarray of int64, shape (m,)
        Spectra to thin.
    n : int
        Counts to keep.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Thinned
        The thinned spectra.
    """
    whole = np.rint(counts[rows]).astype(np.int64)
    kept = np.minimum(1.0, n / np.maximum(whole.sum(axis=1), 1))
    thinned = rng.binomial(whole, kept[:, None]).astype(np.float64)
    shapeless = np.ptp(thinned, axis=1) == 0
    thinned[shapeless] = counts[rows][shapeless]
    return Thinned(rows, thinned, exposure_s[rows] * kept)


def bright_rows(counts: FloatArray, n: int) -> IntArray:
    """Return the spectra, shape (n_all, 400), that have at least so many counts."""
    return np.flatnonzero(counts.sum(axis=1) >= n)


def count_drift(
    encoder: Encoder, counts: FloatArray, exposure_s: FloatArray, seed: int
) -> Mapping[int, tuple[IntArray, FloatArray]]:
    """Compare shared vectors of many counts of a spectrum with those of 1,000 of its counts.

    Parameters
    ----------
    encoder : Encoder
        The model.
    counts : ndarray of float64, shape (n, 400)
        Spectra.
    exposure_s : ndarray of float64, shape (n,)
        Exposures in seconds.
    seed : int
        Of the draws.

    Returns
    -------
    mapping of int to tuple of ndarray
        By counts: the spectra that have so many, and for each the mean cosine of its draws.
    """
    found = {}
    for n in LEVELS:
        rows = bright_rows(counts, n)
        cosine = np.zeros(len(rows))
        for draw in range(DRAWS if len(rows) else 0):
            rng = np.random.default_rng([seed, n, draw])
            bright, faint = (thin_to(counts, exposure_s, rows, size, rng) for size in (n, FAINT))
            pair = [_unit(encoder.encode_spectra(x.counts, x.exposure_s).shared)
                    for x in (bright, faint)]  # fmt: skip
            cosine += (pair[0] * pair[1]).sum(axis=1) / DRAWS
        found[n] = rows, cosine
    return found


def _unit(x: Float32Array) -> Float32Array:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), dtype=np.float32)
