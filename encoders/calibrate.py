"""Choose how variables are estimated from neighbours, and calibrate how far off that is.

Neighbours are of the training split, calibrated is on the validation split: what a detection that
nothing was learnt from will meet. Intervals are conformal: residuals in units of the neighbours'
spread (`crepes.ConformalPredictiveSystem`), so they are wider where neighbours disagree.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
from crepes import ConformalPredictiveSystem
from sklearn.isotonic import IsotonicRegression

from common.calibration import (
    LEVELS,
    Average,
    Calibration,
    ClassRule,
    Level,
    Representation,
    RuleSet,
    VariableRule,
)
from common.errors import InputError
from common.estimation import SPREAD_NEIGHBOURS, spread, vote
from common.ports import Float32Array, Progress, no_progress
from common.representations import Representations
from encoders.evaluation.neighbours import Nearest, NeighbourSearch
from encoders.evaluation.rules import (
    NUMBERS_OF_NEIGHBOURS,
    apply,
    best_expert,
    best_rule,
    estimate_all,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

OF_SPECTRUM = ("spectrum", "shared_spectrum")

FEWEST = 100
"""Detections of the validation split with a value: below, a variable is not calibrated."""

K_EXPERT = 3
K_NEAR = 10
K_CLASS = 20
_N_NEAR = 201
_FLOOR = 0.1  # of the median spread: neighbours that agree by accident
_TINY = 1e-9  # where all neighbours agree on all detections
_N_BINS = 15  # of the expected calibration error


def calibrate(representations: Representations, progress: Progress = no_progress) -> Calibration:
    """Return rules, intervals and probabilities calibrated on the validation split.

    Parameters
    ----------
    representations : Representations
        Vectors of n detections of a dataset or store, split by source.
    progress : callable
        Told which variable it is.

    Returns
    -------
    Calibration
        For subjects with a text, where there are texts, and for those without. Variables with
        fewer than `FEWEST` values to calibrate on are missing.

    Raises
    ------
    InputError
        If there are too few detections.
    """
    train, held_out = (representations.split[part] for part in ("train", "validation"))
    if len(held_out) < FEWEST or len(train) < FEWEST:
        raise InputError(
            f"{representations.dataset}: {len(train):,} detections to find neighbours among and "
            f"{len(held_out):,} to calibrate on, at least {FEWEST} of each are needed: give "
            f"about {FEWEST * 20 // 3:,} detections with a spectrum or more"
        )
    unit = {name: _unit(x) for name, x in representations.vectors.items()}
    search = NeighbourSearch(unit, max(*NUMBERS_OF_NEIGHBOURS, SPREAD_NEIGHBOURS))
    sets: dict[str, RuleSet] = {}
    for title, names in (("spectrum", OF_SPECTRUM), ("spectrum and text", tuple(unit))):
        if set(names) <= set(unit) and (title == "spectrum" or set(names) > set(OF_SPECTRUM)):
            sets[title] = _rule_set(
                representations, search, names, f"calibrating {title}", progress
            )
    return Calibration(
        model_id=representations.model_id,
        made_from=f"validation split of {representations.dataset}",
        simulated=representations.simulated,
        n_detections=len(held_out),
        n_sources=len(np.unique(representations.source[held_out])),
        with_text=sets.get("spectrum and text"),
        spectrum_only=sets["spectrum"],
    )


def _rule_set(
    given: Representations,
    search: NeighbourSearch,
    names: Sequence[str],
    stage: str,
    progress: Progress,
) -> RuleSet:
    train, held_out = given.split["train"], given.split["validation"]
    rules: dict[str, VariableRule] = {}
    for done, (variable, values) in enumerate(given.variables.items(), start=1):
        known = np.isfinite(values)
        reference, rows = train[known[train]], held_out[known[held_out]]
        if len(rows) >= FEWEST and len(reference) >= FEWEST:
            found = search.among(reference, rows)
            near = {name: found[name] for name in names}
            rules[variable] = _variable_rule(near, values, rows, given.source[rows])
        progress(stage, done, len(given.variables))
    farthest = search.among(train, held_out)["spectrum"].distance[:, K_NEAR - 1]
    return RuleSet(
        variables=rules,
        classes=_class_rule(given, search, names),
        near=_floats(np.quantile(farthest, np.linspace(0, 1, _N_NEAR))),
        near_k=K_NEAR,
    )


def _variable_rule(
    near: Mapping[str, Nearest], values: FloatArray, rows: IntArray, source: IntArray
) -> VariableRule:
    """Return the rule of a variable that is known of all these rows and neighbours.

    Where many detections share a value (a column density of 0), a median hits it so often that
    even the narrowest interval, that value alone, covers more than its level.
    """
    names, truth = list(near), values[rows]
    estimates = estimate_all(near, values, NUMBERS_OF_NEIGHBOURS)
    rule = best_rule(estimates, names, NUMBERS_OF_NEIGHBOURS, truth)
    pool = np.hstack(
        [values[near[name].rows[:, :SPREAD_NEIGHBOURS]] for name in rule.representations]
    )
    smallest = _FLOOR * float(np.median(pool.std(axis=1))) or _TINY
    residual, scale = truth - apply(rule, estimates), spread(pool, smallest)
    coverage, width = _on_other_half(residual, scale, _halves(source))
    return VariableRule(
        representations=cast("tuple[Representation, ...]", rule.representations),
        k=rule.k,
        average=cast("Average", rule.average),
        expert=cast("Representation", best_expert(estimates, names, K_EXPERT, truth)),
        smallest_spread=smallest,
        interval=_bounds(residual, scale),
        coverage=coverage,
        width=width,
        n=len(truth),
    )


def _on_other_half(
    residual: FloatArray, scale: FloatArray, first: BoolArray
) -> tuple[dict[Level, float], dict[Level, float]]:
    """Return coverage and mean width of intervals for each half, calibrated on the other."""
    n_covered, width = dict.fromkeys(LEVELS, 0), dict.fromkeys(LEVELS, 0.0)
    for half in (first, ~first):
        ratio = residual[half] / scale[half]
        for level, (low, high) in _bounds(residual[~half], scale[~half]).items():
            n_covered[level] += int(((low <= ratio) & (ratio <= high)).sum())
            width[level] += (high - low) * float(scale[half].sum())
    n = len(residual)
    return {k: v / n for k, v in n_covered.items()}, {k: v / n for k, v in width.items()}


def _bounds(residual: FloatArray, scale: FloatArray) -> dict[Level, tuple[float, float]]:
    """Return the conformal bounds of each level for an estimate of 0 with spread 1."""
    system = ConformalPredictiveSystem().fit(residual, sigmas=scale)
    bounds = {}
    for level in LEVELS:
        low, high = system.predict_int(np.zeros(1), sigmas=np.ones(1), confidence=int(level) / 100)[
            0
        ]
        bounds[level] = (float(low), float(high))
    return bounds


def _class_rule(
    given: Representations, search: NeighbourSearch, names: Sequence[str]
) -> ClassRule | None:
    """Return the representation whose calibrated votes are best, or None without classes."""
    known = np.array([bool(path) for path in given.source_class])
    train, held_out = given.split["train"], given.split["validation"]
    reference, rows = train[known[train]], held_out[known[held_out]]
    if len(rows) < FEWEST or len(reference) < FEWEST:
        return None
    found = search.among(reference, rows)
    candidates = [_candidate(given, name, found[name], rows) for name in names]
    return min(candidates, key=lambda candidate: candidate[0])[1]


def _candidate(
    given: Representations, name: str, near: Nearest, rows: IntArray
) -> tuple[float, ClassRule]:
    """Return the squared error of held-out probabilities, and the rule fitted on all."""
    share, member, of_row, missed = _vote(given.source_class, near, rows)
    halves = _halves(given.source[of_row])
    probability = np.empty(len(share))
    for half in (halves, ~halves):
        probability[half] = _monotone(share[~half], member[~half]).predict(share[half])
    fitted = _monotone(share, member)
    # A class that is true and got no vote has probability 0: it counts as an error of 1.
    error = float(((probability - member) ** 2).sum()) + missed
    return error, ClassRule(
        representation=cast("Representation", name),
        k=K_CLASS,
        share=_floats(fitted.X_thresholds_),
        probability=_floats(fitted.y_thresholds_),
        error_before=calibration_error(share, member),
        error_after=calibration_error(probability, member),
        n=len(rows),
    )


def _vote(
    paths: Sequence[tuple[str, ...]], near: Nearest, rows: IntArray
) -> tuple[FloatArray, FloatArray, IntArray, int]:
    """Return share, truth and row of every class that got votes, and how many true ones got none.

    A class gets the votes of all classes below it.
    """
    found: list[tuple[float, bool, int]] = []
    missed = 0
    for row, voters, distance in zip(rows.tolist(), near.rows, near.distance, strict=True):
        own = paths[row]
        shares = vote([paths[voter] for voter in voters[:K_CLASS]], distance[:K_CLASS])
        found += [(share, own[: len(path)] == path, row) for path, share in shares.items()]
        missed += sum(own[:depth] not in shares for depth in range(1, len(own) + 1))
    share, member, of_row = zip(*found, strict=True)
    return np.array(share), np.array(member, dtype=np.float64), np.array(of_row), missed


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


def _monotone(share: FloatArray, member: FloatArray) -> IsotonicRegression:
    return IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(share, member)


def _halves(source: IntArray) -> BoolArray:
    """Return which rows are of the first half of the sources, in the order of a seeded shuffle."""
    sources, own = np.unique(source, return_inverse=True)
    half: BoolArray = np.random.default_rng(0).permutation(len(sources)) % 2 == 0
    return half[own]


def _unit(x: Float32Array) -> Float32Array:
    """Return rows of unit length, as the store compares them."""
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), dtype=np.float32)


def _floats(x: FloatArray) -> tuple[float, ...]:
    return tuple(np.round(x, 6).tolist())
