"""Estimate variables from the nearest neighbours with known values (Table 1)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from common.ports import Progress
from common.representations import Representations
from encoders.evaluation.bootstrap import Bootstrap, interval, ratio
from encoders.evaluation.folds import Fold
from encoders.evaluation.neighbours import NeighbourSearch
from encoders.evaluation.result import Interval, Rule, VariableResult
from encoders.evaluation.rules import (
    NUMBERS_OF_NEIGHBOURS,
    Estimates,
    apply,
    best_expert,
    best_rule,
    estimate_all,
    largest_error,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BASELINE, MOE, REFINED = "mean_baseline", "moe", "refined"
SINGLE = ("spectrum", "text")
"""The modalities before alignment, which the paper compares with."""

_LOW_PERCENTILE = 15.87


@dataclass(frozen=True, slots=True, eq=False)
class _Errors:
    """Absolute errors of one variable on all tested rows that have a value, by estimator."""

    rows: IntArray
    by: Mapping[str, FloatArray]
    experts: Sequence[str]
    rules: Sequence[Rule]
    limited: bool
    """Whether few values make most of the deviation, see `largest_error`."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimation:
    """Errors of every variable, and means over the variables."""

    variables: Mapping[str, VariableResult]
    ratio: Mapping[str, Interval]
    gain: Mapping[str, Interval]
    notes: Sequence[str] = field(default_factory=list)


def estimate_variables(
    representations: Representations,
    folds: Sequence[Fold],
    k: int,
    seed: int,
    progress: Progress,
) -> Estimation:
    """Return the errors on tested rows of the mean, of each representation and of both rules.

    Parameters
    ----------
    representations : Representations
        Vectors of n detections, and their variables.
    folds : sequence of Fold
        Rows to learn from, to choose on and to test.
    k : int
        Neighbours of an estimate by one representation and by the mixture of experts.
    seed : int
        Of the bootstrap.
    progress : callable
        Told which variable it is.

    Returns
    -------
    Estimation
        Variables that have too few values, or one value only, are left out and noted.
    """
    tested = np.concatenate([fold.test for fold in folds])
    place = np.zeros(len(representations.source), dtype=np.int64)
    place[tested] = np.arange(len(tested))
    bootstrap = Bootstrap(representations.source[tested], seed)
    search = NeighbourSearch(representations.vectors, max(k, *NUMBERS_OF_NEIGHBOURS))
    results: dict[str, VariableResult] = {}
    resampled: dict[str, dict[str, FloatArray]] = {}
    notes = []
    for done, (name, values) in enumerate(representations.variables.items(), start=1):
        problem = _problem(values, folds, k)
        if problem:
            notes.append(f"{name} left out: {problem}")
        else:
            errors = _errors(search, list(representations.vectors), folds, values, k)
            stacked = np.column_stack([*errors.by.values()])
            means = bootstrap.means(stacked, place[errors.rows])  # (n_resample, n_estimator)
            resampled[name] = dict(zip(errors.by, means.T, strict=True))
            if errors.limited:
                notes.append(
                    f"{name}: a few extreme values (failed fits?) make most of its deviation and "
                    "so of all errors; the refined rule is chosen with errors on them limited"
                )
            results[name] = _result(errors, resampled[name], list(representations.vectors))
        progress("estimating variables", done, len(representations.variables))
    return Estimation(results, _ratios(results, resampled), _gains(results, resampled), notes)


def errors_of(result: VariableResult) -> dict[str, Interval]:
    """Return all errors of a variable: of each representation, and of the two rules."""
    return {**result.by_representation, MOE: result.moe, REFINED: result.refined}


def _problem(values: FloatArray, folds: Sequence[Fold], k: int) -> str | None:
    known = np.isfinite(values)
    if not known.any():
        return "no detection has a value"
    learnt = min(int(known[train].sum()) for fold in folds for train, _ in fold.choice)
    chosen = min(sum(int(known[part].sum()) for _, part in fold.choice) for fold in folds)
    tested = sum(int(known[fold.test].sum()) for fold in folds)
    if learnt < k or chosen < 2 or not tested:
        return (
            f"only {learnt} detections to learn from, {chosen} to choose on and {tested} to test "
            f"have a value; {k}, 2 and 1 are needed"
        )
    if np.ptp(values[known]) == 0:
        return f"its value is always {values[known][0]:g}"
    return None


def _errors(
    search: NeighbourSearch, names: Sequence[str], folds: Sequence[Fold], values: FloatArray, k: int
) -> _Errors:
    known = np.isfinite(values)
    parts: list[dict[str, FloatArray]] = []
    rows, experts, rules = [], [], []
    limited = False
    for fold in folds:
        reference, test = (part[known[part]] for part in (fold.reference, fold.test))
        if not len(test):
            continue
        choice = [
            (train[known[train]], chosen[known[chosen]])
            for train, chosen in fold.choice
            if known[chosen].any()
        ]
        least = min(len(train) for train, _ in choice)
        numbers = sorted({k, *(n for n in NUMBERS_OF_NEIGHBOURS if n <= least)})
        tried = _joined([estimate_all(search.among(*rows), values, numbers) for rows in choice])
        truth = np.concatenate([values[chosen] for _, chosen in choice])
        experts.append(best_expert(tried, names, k, truth))
        limited |= largest_error(truth) < np.inf
        rules.append(best_rule(tried, names, numbers, truth))
        found = estimate_all(search.among(reference, test), values, numbers)
        estimates = {
            BASELINE: np.full(len(test), values[reference].mean()),
            **{name: found[name, k, "mean"] for name in names},
            MOE: found[experts[-1], k, "mean"],
            REFINED: apply(rules[-1], found),
        }
        parts.append({name: np.abs(x - values[test]) for name, x in estimates.items()})
        rows.append(test)
    by = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _Errors(np.concatenate(rows), by, experts, rules, limited)


def _joined(parts: Sequence[Estimates]) -> Estimates:
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _result(
    errors: _Errors, resampled: Mapping[str, FloatArray], names: Sequence[str]
) -> VariableResult:
    mae = {name: interval(x.mean(), resampled[name]) for name, x in errors.by.items()}
    best = min(names, key=lambda name: mae[name].value)
    # Both are of the same detections, so their difference is known better than either of them.
    loss = resampled[REFINED] - resampled[best]
    return VariableResult(
        n_test=len(errors.rows),
        mean_baseline=mae[BASELINE],
        by_representation={name: mae[name] for name in names},
        moe=mae[MOE],
        moe_choice=Counter(errors.experts).most_common(1)[0][0],
        refined=mae[REFINED],
        refined_rule=Counter(errors.rules).most_common(1)[0][0],
        worse_than_best_single=bool(np.nanpercentile(loss, _LOW_PERCENTILE) > 0),
    )


def _ratios(
    results: Mapping[str, VariableResult], resampled: Mapping[str, Mapping[str, FloatArray]]
) -> dict[str, Interval]:
    """Return the mean over variables of MAE / MAE of the mean baseline, by estimator."""
    used = [name for name, result in results.items() if result.mean_baseline.value > 0]
    estimators = list(errors_of(results[used[0]])) if used else []
    means = {}
    for estimator in estimators:
        values = [
            errors_of(results[name])[estimator].value / results[name].mean_baseline.value
            for name in used
        ]
        draws = [ratio(resampled[name][estimator], resampled[name][BASELINE]) for name in used]
        means[estimator] = interval(float(np.mean(values)), np.mean(draws, axis=0))
    return means


def _gains(
    results: Mapping[str, VariableResult], resampled: Mapping[str, Mapping[str, FloatArray]]
) -> dict[str, Interval]:
    """Return the paper's mean gain over the better modality before alignment, where both are."""
    best = {
        name: min(SINGLE, key=lambda one: result.by_representation[one].value)
        for name, result in results.items()
        if {*SINGLE, "both"} <= result.by_representation.keys()
    }
    used = [name for name in best if results[name].by_representation[best[name]].value > 0]
    means = {}
    for estimator in ("both", MOE, REFINED) if used else ():
        values = [
            1
            - errors_of(results[name])[estimator].value
            / results[name].by_representation[best[name]].value
            for name in used
        ]
        draws = [
            1 - ratio(resampled[name][estimator], resampled[name][best[name]]) for name in used
        ]
        means[estimator] = interval(float(np.mean(values)), np.mean(draws, axis=0))
    return means
