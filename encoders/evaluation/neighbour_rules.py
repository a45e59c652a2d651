"""How a variable or a class is told from neighbours best, and how far off that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from sklearn.isotonic import IsotonicRegression

from common.calibration import Average, ClassRule, Origin, Representation, VariableRule
from common.estimation import SPREAD_NEIGHBOURS, spread, vote
from encoders.evaluation.intervals import Residuals, bounds_of, envelope, first_half, on_other_half
from encoders.evaluation.neighbours import Nearest
from encoders.evaluation.result import Rule
from encoders.evaluation.rules import (
    NUMBERS_OF_NEIGHBOURS,
    apply,
    best_expert,
    best_rule,
    estimate_all,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOST_NEIGHBOURS = max(*NUMBERS_OF_NEIGHBOURS, SPREAD_NEIGHBOURS)
K_EXPERT = 3
K_CLASS = 20
_FLOOR = 0.1  # of the median spread: neighbours that agree by accident
_TINY = 1e-9  # where all neighbours agree on all detections
_N_BINS = 15  # of the expected calibration error

Near = Mapping[str, Nearest]
"""Neighbours of n detections by representation, all of one kind: observed, or simulated."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Detections that rules are calibrated on.

    Attributes
    ----------
    origin : Origin
        What they are.
    rows : ndarray of int64, shape (n,)
        Which they are.
    source : ndarray of int64, shape (n,)
        Their sources.
    """

    origin: Origin
    rows: IntArray
    source: IntArray


def variable_rule(
    kinds: Sequence[Near],
    values: FloatArray,
    asked: Asked,
    unlike: tuple[Near, Asked] | None = None,
) -> VariableRule:
    """Return the rule of a variable that is known of all these detections and neighbours.

    Where many detections share a value (a column density of 0), a median hits it so often that
    even the narrowest interval, that value alone, covers more than its level.

    Parameters
    ----------
    kinds : sequence of mapping of str to Nearest
        Neighbours of n detections, of each kind. The rule is chosen with the first; its intervals
        hold with each.
    values : ndarray of float64, shape (n_all,)
        The variable, by row.
    asked : Asked
        The n detections.
    unlike : tuple of mapping and Asked, or None
        Other detections, which have few like them among the neighbours of the first kind: with
        these neighbours intervals hold for both together.
    """
    names, truth = list(kinds[0]), values[asked.rows]
    n_near = min(near.rows.shape[1] for near in kinds[0].values())
    numbers = [k for k in NUMBERS_OF_NEIGHBOURS if k <= n_near]
    estimates = estimate_all(kinds[0], values, numbers)
    rule = best_rule(estimates, names, numbers, truth)
    smallest = _FLOOR * float(np.median(_pool(kinds[0], values, rule.representations).std(axis=1)))
    draft = VariableRule(
        made_from=asked.origin.made_from,
        simulated=asked.origin.simulated,
        representations=cast("tuple[Representation, ...]", rule.representations),
        k=rule.k,
        average=cast("Average", rule.average),
        expert=cast("Representation", best_expert(estimates, names, K_EXPERT, truth)),
        smallest_spread=smallest or _TINY,
        interval={"68": (0.0, 0.0), "90": (0.0, 0.0)},
        coverage={"68": 0.0, "90": 0.0},
        width={"68": 0.0, "90": 0.0},
        n=len(truth),
    )
    found = [residuals_of(draft, near, values, asked) for near in kinds]
    if unlike is not None:
        found[0] = found[0].and_of(residuals_of(draft, unlike[0], values, unlike[1]))
    coverage, width = on_other_half(found)
    interval = envelope([bounds_of(one) for one in found])
    return draft.model_copy(update={"interval": interval, "coverage": coverage, "width": width})


def residuals_of(rule: VariableRule, near: Near, values: FloatArray, asked: Asked) -> Residuals:
    """Return how far off a rule is with these neighbours.

    Parameters
    ----------
    rule : VariableRule
        How to estimate.
    near : mapping of str to Nearest
        Neighbours of n detections, at least as many as the rule wants.
    values : ndarray of float64, shape (n_all,)
        The variable, by row.
    asked : Asked
        The detections.
    """
    given: dict[str, Nearest] = {name: near[name] for name in rule.representations}
    estimate = apply(_rule_of(rule), estimate_all(given, values, [rule.k]))
    pool = _pool(near, values, rule.representations)
    scale = spread(pool, rule.smallest_spread)
    return Residuals(values[asked.rows] - estimate, scale, asked.source)


def class_rule(kinds: Sequence[Near], paths: Sequence[tuple[str, ...]], asked: Asked) -> ClassRule:
    """Return the representation whose calibrated votes are best.

    Parameters
    ----------
    kinds : sequence of mapping of str to Nearest
        Neighbours of n detections, of each kind, all of known class; their votes are calibrated
        together.
    paths : sequence of tuple of str, length n_all
        Class paths by row.
    asked : Asked
        The n detections, all of known class.
    """
    candidates = [
        _candidate([near[name] for near in kinds], cast("Representation", name), paths, asked)
        for name in kinds[0]
    ]
    return min(candidates, key=lambda candidate: candidate[0])[1]


def calibration_error(probability: FloatArray, member: FloatArray) -> float:
    """Return the expected calibration error of 15 equally wide bins.

    Parameters
    ----------
    probability, member : ndarray of float64, shape (n,)
        What was promised, and what came true (0 or 1).

    Returns
    -------
    float
        Mean of |share that came true - mean probability| over bins, weighted by their size.
    """
    of_bin = np.minimum((probability * _N_BINS).astype(np.int64), _N_BINS - 1)
    surplus = np.bincount(of_bin, weights=probability - member, minlength=_N_BINS)
    return float(np.abs(surplus).sum() / len(probability))


def rounded(x: FloatArray) -> tuple[float, ...]:
    """Return numbers as they are written into a document."""
    return tuple(np.round(x, 6).tolist())


def _rule_of(rule: VariableRule) -> Rule:
    return Rule(rule.representations, rule.k, rule.average)


def _pool(near: Near, values: FloatArray, names: Sequence[str]) -> FloatArray:
    """Return the neighbours' values that tell the spread, (n, m)."""
    return np.hstack([values[near[name].rows[:, :SPREAD_NEIGHBOURS]] for name in names])


def _candidate(
    kinds: Sequence[Nearest],
    name: Representation,
    paths: Sequence[tuple[str, ...]],
    asked: Asked,
) -> tuple[float, ClassRule]:
    """Return the squared error of held-out probabilities, and the rule fitted on all."""
    votes = [_vote(paths, near, asked) for near in kinds]
    share, member, source = (
        np.concatenate([found[column] for found, _ in votes]) for column in range(3)
    )
    first = first_half(source.astype(np.int64))
    probability = np.empty(len(share))
    for half in (first, ~first):
        probability[half] = _monotone(share[~half], member[~half]).predict(share[half])
    fitted = _monotone(share, member)
    # A class that is true and got no vote has probability 0: it counts as an error of 1.
    error = float(((probability - member) ** 2).sum()) + sum(missed for _, missed in votes)
    return error, ClassRule(
        made_from=asked.origin.made_from,
        simulated=asked.origin.simulated,
        representation=name,
        k=K_CLASS,
        share=rounded(fitted.X_thresholds_),
        probability=rounded(fitted.y_thresholds_),
        error_before=calibration_error(share, member),
        error_after=calibration_error(probability, member),
        n=len(asked.rows),
    )


def _vote(
    paths: Sequence[tuple[str, ...]], near: Nearest, asked: Asked
) -> tuple[tuple[FloatArray, FloatArray, FloatArray], int]:
    """Return share, truth and source of every class that got votes, and how many true got none.

    A class gets the votes of all classes below it.
    """
    found: list[tuple[float, bool, int]] = []
    missed = 0
    of_rows = zip(asked.rows.tolist(), asked.source.tolist(), near.rows, near.distance, strict=True)
    for row, source, voters, distance in of_rows:
        own = paths[row]
        shares = vote([paths[voter] for voter in voters[:K_CLASS]], distance[:K_CLASS])
        found += [(share, own[: len(path)] == path, source) for path, share in shares.items()]
        missed += sum(own[:depth] not in shares for depth in range(1, len(own) + 1))
    share, member, of_source = np.array(found, dtype=np.float64).T
    return (share, member, of_source), missed


def _monotone(share: FloatArray, member: FloatArray) -> IsotonicRegression:
    return IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(share, member)
