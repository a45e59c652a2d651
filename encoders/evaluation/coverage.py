"""Do intervals hold the catalogue values of new spectra, and do more counts mean less error?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from common.dataset import Dataset
from common.ports import Encoder, Vectors
from encoders.evaluation.bootstrap import Bootstrap, interval
from encoders.evaluation.counts import DRAWS, FAINT, bright_rows, thin_to
from encoders.evaluation.reference import Estimated, Reference
from encoders.evaluation.result import BrightSpectra, Interval

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BRIGHT: Final = 10_000
OF_EXPOSURE: Final = ("flux_significance_b", "powlaw_stat", "bb_stat", "brems_stat", "apec_stat")
"""They hang on the number of photons: not the detection's where the exposure is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Valued:
    """Spectra with catalogue values.

    Attributes
    ----------
    counts : ndarray of float64, shape (n, 400)
        Counts.
    exposure_s : ndarray of float64, shape (n,)
        Exposures in seconds.
    names : list of str, length n
        Their sources.
    truth : mapping of str to ndarray of float64, shape (n,)
        Catalogue values, NaN where there are none.
    """

    counts: FloatArray
    exposure_s: FloatArray
    names: list[str]
    truth: Mapping[str, FloatArray]


def catalogue_values(dataset: Dataset, rows: IntArray) -> dict[str, FloatArray]:
    """Return the catalogue values of these rows, NaN for those that do not belong to the photons.

    Parameters
    ----------
    dataset : Dataset
        Where they are.
    rows : ndarray of int64, shape (n,)
        Detections.

    Returns
    -------
    dict of str to ndarray of float64, shape (n,)
        By variable.
    """
    known = np.array(
        [dataset.detections[row].catalogue.get("exposure_known", True) for row in rows.tolist()],
        dtype=np.bool_,
    )
    return {
        name: np.where(known, values[rows], np.nan) if name in OF_EXPOSURE else values[rows]
        for name, values in dataset.variables.items()
    }


def coverage(
    found: Mapping[str, Estimated], truth: Mapping[str, FloatArray], bootstrap: Bootstrap
) -> dict[str, Interval]:
    """Return how often the intervals of each level hold the catalogue value.

    Parameters
    ----------
    found : mapping of str to Estimated
        Estimates of n spectra, by variable.
    truth : mapping of str to ndarray of float64, shape (n,)
        Catalogue values, NaN where there are none.
    bootstrap : Bootstrap
        Of the objects of the n spectra.

    Returns
    -------
    dict of str to Interval
        By level; empty where no value has an interval.
    """
    shares = {}
    for level in ("68", "90"):
        rows, inside = _inside(found, truth, level)
        if len(rows):
            draws = bootstrap.means(inside[:, None], rows)[:, 0]
            shares[level] = interval(float(inside.mean()), draws)
    return shares


def bright_spectra(
    reference: Reference, valued: Valued, vectors: Vectors, model: Encoder, seed: int
) -> BrightSpectra | None:
    """Return the error of bright spectra, and of 1,000 of their counts; None where there are none.

    Parameters
    ----------
    reference : Reference
        Whose detections are the neighbours.
    valued : Valued
        Spectra with catalogue values.
    vectors : Vectors
        Of these spectra.
    model : Encoder
        For the thinned ones.
    seed : int
        Of the draws.
    """
    has_value = np.any([np.isfinite(values) for values in valued.truth.values()], axis=0)
    rows = np.intersect1d(bright_rows(valued.counts, BRIGHT), np.flatnonzero(has_value))
    if not len(rows):
        return None
    names = [valued.names[row] for row in rows.tolist()]
    truth = {name: values[rows] for name, values in valued.truth.items()}
    whole = reference.estimate(Vectors(vectors.own[rows], vectors.shared[rows]), names)
    errors = []
    for draw in range(DRAWS):
        rng = np.random.default_rng([seed, draw])
        faint = thin_to(valued.counts, valued.exposure_s, rows, FAINT, rng)
        thinned = model.encode_spectra(faint.counts, faint.exposure_s)
        errors.append(_error(reference, reference.estimate(thinned, names), truth))
    return BrightSpectra(len(rows), _error(reference, whole, truth), float(np.mean(errors)))


def _inside(
    found: Mapping[str, Estimated], truth: Mapping[str, FloatArray], level: str
) -> tuple[IntArray, FloatArray]:
    """Return the rows of all values that have an interval, and whether it holds the value."""
    rows, inside = [np.empty(0, dtype=np.int64)], [np.empty(0)]
    for name, one in found.items():
        values, bounds = truth[name], one.bounds[level]
        known = np.flatnonzero(np.isfinite(values) & np.isfinite(one.value))
        rows.append(known)
        low, high = bounds[known].T
        inside.append(((low <= values[known]) & (values[known] <= high)).astype(np.float64))
    return np.concatenate(rows), np.concatenate(inside)


def _error(
    reference: Reference, found: Mapping[str, Estimated], truth: Mapping[str, FloatArray]
) -> float:
    """Return the mean absolute error in spreads of the reference, over variables and rows."""
    errors = [
        np.abs(one.value - truth[name]) / reference.spread_of(name)
        for name, one in found.items()
        if reference.spread_of(name) > 0
    ]
    return float(np.nanmean(np.concatenate(errors)))
