"""Conformal bounds of estimates: of one kind of neighbours, of several, and from kind to kind."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from crepes import ConformalPredictiveSystem

from common.calibration import LEVELS, Level, VariableRule

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

Bounds = dict[Level, tuple[float, float]]
"""Lowest and highest (value - estimate) / spread of the interval of each level."""


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """How far off the estimates of n detections are, with neighbours of one kind.

    Attributes
    ----------
    residual : ndarray of float64, shape (n,)
        Value - estimate.
    scale : ndarray of float64, shape (n,)
        Spread of the neighbours' values.
    source : ndarray of int64, shape (n,)
        Whose values they are.
    """

    residual: FloatArray
    scale: FloatArray
    source: IntArray

    def of(self, rows: BoolArray) -> "Residuals":
        """Return those of some of the detections."""
        return Residuals(self.residual[rows], self.scale[rows], self.source[rows])

    def and_of(self, other: "Residuals") -> "Residuals":
        """Return these and others, of other sources."""
        return Residuals(
            np.concatenate([self.residual, other.residual]),
            np.concatenate([self.scale, other.scale]),
            np.concatenate([self.source, self.source.max() + 1 + other.source]),
        )

    def ratio(self) -> FloatArray:
        """Return the residuals in units of the spread, shape (n,)."""
        ratio: FloatArray = self.residual / self.scale
        return ratio


def bounds_of(residuals: Residuals) -> Bounds:
    """Return the conformal bounds of each level for an estimate of 0 with spread 1."""
    system = ConformalPredictiveSystem().fit(residuals.residual, sigmas=residuals.scale)
    bounds = {}
    for level in LEVELS:
        low, high = system.predict_int(np.zeros(1), sigmas=np.ones(1), confidence=int(level) / 100)[
            0
        ]
        bounds[level] = (float(low), float(high))
    return bounds


def envelope(kinds: Sequence[Bounds]) -> Bounds:
    """Return the narrowest bounds that hold those of every kind of neighbours."""
    return {
        level: (min(one[level][0] for one in kinds), max(one[level][1] for one in kinds))
        for level in LEVELS
    }


def on_other_half(
    kinds: Sequence[Residuals],
) -> tuple[dict[Level, float], dict[Level, float]]:
    """Return what intervals for each half, calibrated on the other, cover, and how wide they are.

    Parameters
    ----------
    kinds : sequence of Residuals
        With each kind of neighbours; each is halved by source.

    Returns
    -------
    coverage, width : dict of str to float
        The least coverage and the largest mean width of all kinds, by level.
    """
    n_covered = {level: np.zeros(len(kinds)) for level in LEVELS}
    width = {level: np.zeros(len(kinds)) for level in LEVELS}
    first = [first_half(one.source) for one in kinds]
    for halves in (first, [~rows for rows in first]):
        bounds = envelope(
            [bounds_of(one.of(~half)) for one, half in zip(kinds, halves, strict=True)]
        )
        for place, (one, half) in enumerate(zip(kinds, halves, strict=True)):
            ratio, scale = one.of(half).ratio(), float(one.scale[half].sum())
            for level, (low, high) in bounds.items():
                n_covered[level][place] += ((low <= ratio) & (ratio <= high)).sum()
                width[level][place] += (high - low) * scale
    n = np.array([len(one.source) for one in kinds])
    return (
        {level: float((found / n).min()) for level, found in n_covered.items()},
        {level: float((found / n).max()) for level, found in width.items()},
    )


def stretch(bounds: Bounds, residuals: Residuals) -> dict[Level, float]:
    """Return by what factor intervals must be stretched about their middle to cover their level.

    Parameters
    ----------
    bounds : dict of str to pair of float
        Bounds that were calibrated on other detections.
    residuals : Residuals
        Of the detections that they shall cover.

    Returns
    -------
    dict of str to float
        By level, below 1 where they are too wide; levels whose interval is a point are missing.
    """
    found = {}
    for level, (low, high) in bounds.items():
        if high > low:
            away = np.abs(residuals.ratio() - (low + high) / 2) / ((high - low) / 2)
            n = len(away)
            share = min(np.ceil((n + 1) * int(level) / 100) / n, 1.0)  # of a finite sample
            found[level] = float(np.quantile(away, share, method="inverted_cdf"))
    return found


def widened(rule: VariableRule, factor: dict[Level, float]) -> VariableRule:
    """Return a rule whose intervals are stretched about their middle."""
    interval: Bounds = {}
    for level, (low, high) in rule.interval.items():
        middle, half = (low + high) / 2, factor[level] * (high - low) / 2
        interval[level] = (middle - half, middle + half)
    (low_68, high_68), (low_90, high_90) = interval["68"], interval["90"]
    interval["90"] = (min(low_68, low_90), max(high_68, high_90))
    return rule.model_copy(
        update={
            "interval": interval,
            "width": {level: factor[level] * width for level, width in rule.width.items()},
        }
    )


def first_half(source: IntArray) -> BoolArray:
    """Return which rows are of the first half of the sources, in the order of a seeded shuffle."""
    sources, own = np.unique(source, return_inverse=True)
    half: BoolArray = np.random.default_rng(0).permutation(len(sources)) % 2 == 0
    return half[own]
