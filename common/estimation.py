"""How the values of neighbours become one estimate: the same for stores and for evaluations."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

AVERAGES = ("mean", "median", "distance-weighted mean")

NEAREST_COUNTED = 1e-3
"""Distances below count as this: one identical spectrum does not decide alone."""

SPREAD_NEIGHBOURS = 20
"""Neighbours of each representation whose values tell how uncertain an estimate is."""


def weights_of(distance: FloatArray) -> FloatArray:
    """Return the weights of neighbours at these distances, same shape."""
    weights: FloatArray = 1 / np.maximum(distance, NEAREST_COUNTED)
    return weights


def average(values: FloatArray, distance: FloatArray, how: str) -> FloatArray:
    """Return the average of neighbours' values.

    Parameters
    ----------
    values, distance : ndarray of float64, shape (n, k)
        Values of k neighbours, and their distances.
    how : str
        One of `AVERAGES`.

    Returns
    -------
    ndarray of float64, shape (n,)
        Estimates.
    """
    if how == "mean":
        mean: FloatArray = values.mean(axis=1)
        return mean
    if how == "median":
        return np.asarray(np.median(values, axis=1), dtype=np.float64)
    if how == "distance-weighted mean":
        weights = weights_of(distance)
        weighted: FloatArray = (values * weights).sum(axis=1) / weights.sum(axis=1)
        return weighted
    raise ValueError(f"unknown average {how!r}: give one of {', '.join(AVERAGES)}")


def spread(values: FloatArray, smallest: float) -> FloatArray:
    """Return how far neighbours' values scatter.

    Parameters
    ----------
    values : ndarray of float64, shape (n, m)
        Values of neighbours.
    smallest : float
        Added in quadrature: neighbours that agree by accident do not make an estimate certain.

    Returns
    -------
    ndarray of float64, shape (n,)
        Standard deviations about the mean, never below ``smallest``.
    """
    return np.asarray(np.hypot(values.std(axis=1), smallest), dtype=np.float64)


def distances(cosine: FloatArray) -> FloatArray:
    """Return the Euclidean distances of unit vectors of these cosines, same shape."""
    return np.asarray(np.sqrt(np.maximum(0.0, 2 - 2 * cosine)), dtype=np.float64)


def vote(paths: Sequence[tuple[str, ...]], distance: FloatArray) -> dict[tuple[str, ...], float]:
    """Return the share of the vote of each class, those below it included.

    Parameters
    ----------
    paths : sequence of tuple of str, length k
        Class path of each neighbour.
    distance : ndarray of float64, shape (k,)
        Distances; a near neighbour's vote weighs more.

    Returns
    -------
    dict of tuple to float
        Shares by path, in the order in which they were met; none is above 1.
    """
    weights = weights_of(distance)
    shares: dict[tuple[str, ...], float] = {}
    for path, share in zip(paths, (weights / weights.sum()).tolist(), strict=True):
        for depth in range(1, len(path) + 1):
            shares[path[:depth]] = shares.get(path[:depth], 0.0) + share
    return {path: min(share, 1.0) for path, share in shares.items()}
