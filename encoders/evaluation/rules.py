"""Ways to estimate a variable from neighbours, and how one of them is chosen on validation."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from common.estimation import AVERAGES, average
from encoders.evaluation.neighbours import Nearest
from encoders.evaluation.result import Rule

FloatArray = npt.NDArray[np.float64]

NUMBERS_OF_NEIGHBOURS = (3, 5, 10, 20, 40)

_ORDINARY = 0.995  # of the values; the others decide when they make most of the deviation
_MOST = 0.5

Estimates = dict[tuple[str, int, str], FloatArray]
"""Shape (n,), by representation, number of neighbours and average."""


def estimate_all(
    neighbours: Mapping[str, Nearest], values: FloatArray, numbers: Sequence[int]
) -> Estimates:
    """Return the estimates of every representation, number of neighbours and average.

    Parameters
    ----------
    neighbours : mapping of str to Nearest
        Neighbours of n rows in each representation, at least as many as the largest number.
    values : ndarray of float64, shape (n_all,)
        The variable; known of every neighbour.
    numbers : sequence of int
        Numbers of neighbours to try.

    Returns
    -------
    dict of tuple to ndarray of float64, shape (n,)
        Estimates by representation, number and average.
    """
    estimates: Estimates = {}
    for name, found in neighbours.items():
        near = values[found.rows]  # (n, k)
        for k in numbers:
            for how in AVERAGES:
                estimates[name, k, how] = average(near[:, :k], found.distance[:, :k], how)
    return estimates


def best_expert(estimates: Estimates, names: Sequence[str], k: int, truth: FloatArray) -> str:
    """Return the representation of the best Pearson correlation: the paper's mixture of experts."""
    return max(names, key=lambda name: _pearson(estimates[name, k, "mean"], truth))


def best_rule(
    estimates: Estimates, names: Sequence[str], numbers: Sequence[int], truth: FloatArray
) -> Rule:
    """Return the rule with the least mean absolute error; the estimates are of equal rows.

    A rule takes one representation or averages the estimates of several; the simplest wins when
    nothing is better. Errors count as no larger than `largest_error`.
    """
    groups = [group for size in range(1, len(names) + 1) for group in combinations(names, size)]
    member = np.array([[name in group for name in names] for group in groups], dtype=np.float64)
    member /= member.sum(axis=1, keepdims=True)  # (n_group, n_name)
    largest = largest_error(truth)
    errors: dict[Rule, float] = {}
    for k in numbers:
        for how in AVERAGES:
            single = np.array([estimates[name, k, how] for name in names])  # (n_name, n)
            mae = np.minimum(np.abs(member @ single - truth), largest).mean(axis=1)  # (n_group,)
            errors |= {Rule(g, k, how): e for g, e in zip(groups, mae.tolist(), strict=True)}
    return min(errors, key=lambda rule: (errors[rule], len(rule.representations), rule.k))


def largest_error(truth: FloatArray) -> float:
    """Return what errors are limited to when a rule is chosen, infinite for most variables.

    Where 0.5% of the values make most of the deviation, as a few failed fits do in a catalogue,
    their errors would choose the rule by accident: they count as the largest of the others.
    """
    deviation = np.abs(truth - np.median(truth))
    ordinary = float(np.quantile(deviation, _ORDINARY))
    extreme = deviation[deviation > ordinary].sum()
    return ordinary if extreme > _MOST * deviation.sum() else float("inf")


def apply(rule: Rule, estimates: Estimates) -> FloatArray:
    """Return the estimates of a rule, shape (n,)."""
    parts = [estimates[name, rule.k, rule.average] for name in rule.representations]
    estimate: FloatArray = np.mean(parts, axis=0)
    return estimate


def _pearson(estimate: FloatArray, truth: FloatArray) -> float:
    """Return Pearson's correlation, -1 where it is not defined: such an estimate tells nothing."""
    if np.ptp(estimate) == 0 or np.ptp(truth) == 0:
        return -1.0
    return float(np.corrcoef(estimate, truth)[0, 1])
