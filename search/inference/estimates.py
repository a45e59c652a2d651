"""The 20 variables of a spectrum, estimated from its neighbours with calibrated intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np
import numpy.typing as npt

from common.calibration import LEVELS, Calibration, RuleSet, VariableRule
from common.errors import InvalidQueryError
from common.estimation import AVERAGES, SPREAD_NEIGHBOURS, average, spread
from common.variables import BY_NAME, VARIABLE_NAMES
from search.collections.schema import SHARED_SPECTRUM, SPECTRUM
from search.filters.filters import DetectionFilter
from search.inference.neighbourhood import (
    NO_CALIBRATION,
    OUTSIDE_NOTE,
    PART_NOTE,
    Neighbourhood,
    check_subject,
    is_outside,
    nearness,
    neighbourhoods,
    rules_for,
    unless_empty,
)
from search.results import Estimate, Estimates, Neighbour, Subject
from search.store.base import Store

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

K = 10
"""Neighbours where nothing was calibrated."""
FEWEST = 3
"""With fewer neighbours that have a value there is no estimate, unless fewer were asked for."""
_FETCHED = 2  # times as many neighbours as needed, for some lack a value
_NAMES = ["key", "source_name"]


@dataclass(frozen=True, slots=True)
class _Rule:
    """How one variable is estimated; ``calibrated`` where its intervals are known."""

    representations: tuple[str, ...]
    k: int
    average: str
    calibrated: VariableRule | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """Neighbours in one representation, with the values that its rules ask for.

    Shape (n, 20), NaN where unknown or not asked for.
    """

    ids: list[UUID]
    names: list[str]
    distance: FloatArray
    values: FloatArray
    known: BoolArray


class Estimator:
    """Estimate variables from the nearest neighbours that have a value.

    Parameters
    ----------
    store : Store
        Where neighbours are.
    calibration : Calibration or None
        Rules and intervals; without one, the mean of the nearest by spectrum, and no intervals.
    """

    def __init__(self, store: Store, calibration: Calibration | None) -> None:
        self._store, self._calibration = store, calibration

    def estimate(
        self,
        subject: Subject,
        *,
        k: int | None = None,
        weighting: str | None = None,
        representation: str | None = None,
        query_filter: DetectionFilter | None = None,
    ) -> Estimates:
        """Return estimates of all 20 variables, from at most five engine queries.

        Parameters
        ----------
        subject : Subject
            A stored detection, whose own source takes no part, or a new spectrum.
        k : int, optional
            Neighbours in each representation; by default what was best for each variable on the
            validation split, as for the two that follow.
        weighting : str, optional
            ``mean``, ``median`` or ``distance-weighted mean``.
        representation : str, optional
            Named vector to find neighbours by.
        query_filter : DetectionFilter, optional
            Which detections may be neighbours.

        Returns
        -------
        Estimates
            Intervals are given where the rule is the one that was calibrated.
        """
        check_subject(subject, k, representation)
        query_filter = unless_empty(query_filter)
        if weighting is not None and weighting not in AVERAGES:
            raise InvalidQueryError(
                f"unknown weighting {weighting[:60]!r}: give one of {', '.join(AVERAGES)}"
            )
        calibrated = rules_for(self._calibration, subject)
        rules = {
            name: self._with_origin(_rule(calibrated, name, k, weighting, representation))
            for name in VARIABLE_NAMES
        }
        limits = _limits(rules, calibrated)
        fields = {name: _fields(rules, name) for name in limits}
        found = neighbourhoods(self._store, subject, limits, fields, query_filter)
        known = {name: _known(near, fields[name]) for name, near in found.items()}
        estimates = {
            name: _estimate(name, column, rule, known, subject)
            for column, (name, rule) in enumerate(rules.items())
        }
        near = None if query_filter else nearness(calibrated, found.get(SPECTRUM))
        notes = _notes(estimates, rules, self._calibration, query_filter)
        if is_outside(near):
            notes.insert(0, OUTSIDE_NOTE)
        has_intervals = any(rule.calibrated for rule in rules.values())
        return Estimates(
            name=subject.name,
            estimates=estimates,
            outside=is_outside(near),
            nearness=near,
            calibrated_on=self._calibration.in_words()
            if self._calibration and has_intervals
            else None,
            notes=tuple(notes),
        )

    def _with_origin(self, rule: _Rule) -> _Rule:
        if self._calibration is None or rule.calibrated is None:
            return rule
        return replace(rule, origin=self._calibration.origin_of(rule.calibrated))


def _rule(
    calibrated: RuleSet | None,
    variable: str,
    k: int | None,
    weighting: str | None,
    representation: str | None,
) -> _Rule:
    """Return the rule of a variable: the calibrated one, changed as asked."""
    best = calibrated.variables.get(variable) if calibrated else None
    names = (representation,) if representation else best.representations if best else None
    rule = _Rule(
        names or (SHARED_SPECTRUM,),
        k or (best.k if best else K),
        weighting or (best.average if best else "mean"),
    )
    if best and (best.representations, best.k, best.average) == (
        rule.representations,
        rule.k,
        rule.average,
    ):
        return _Rule(rule.representations, rule.k, rule.average, best)
    return rule


def _limits(rules: Mapping[str, _Rule], calibrated: RuleSet | None) -> dict[str, int]:
    """Return how many neighbours to fetch in each representation."""
    limits = {SPECTRUM: calibrated.near_k} if calibrated else {}
    for rule in rules.values():
        wanted = _FETCHED * max(rule.k, SPREAD_NEIGHBOURS)
        for name in rule.representations:
            limits[name] = max(wanted, limits.get(name, 0))
    return limits


def _fields(rules: Mapping[str, _Rule], representation: str) -> list[str]:
    """Return the payload fields to read of neighbours in a representation."""
    wanted = [name for name, rule in rules.items() if representation in rule.representations]
    return [*_NAMES, *(["counts"] if representation == SPECTRUM else []), *wanted]


def _known(near: Neighbourhood, fields: Sequence[str]) -> _Known:
    n = len(near.points)
    values = np.full((n, len(VARIABLE_NAMES)), np.nan)
    for column, name in enumerate(VARIABLE_NAMES):
        if name in fields:
            values[:, column] = [(point.payload or {}).get(name, np.nan) for point in near.points]
    return _Known(
        ids=[near.id(place) for place in range(n)],
        names=[near.name(place) for place in range(n)],
        distance=near.distance,
        values=values,
        known=np.isfinite(values),
    )


def _estimate(
    variable: str, column: int, rule: _Rule, known: Mapping[str, _Known], subject: Subject
) -> Estimate:
    """Return the estimate of one variable, without a value where too few neighbours have one."""
    averages: list[float] = []
    pool: list[FloatArray] = []
    behind: list[Neighbour] = []
    for name in rule.representations:
        of = known[name]
        rows = np.flatnonzero(of.known[:, column])
        values, distance = of.values[rows, column], of.distance[rows]
        taken = rows[: rule.k]
        if len(taken) >= min(rule.k, FEWEST):
            mean = average(values[None, : rule.k], distance[None, : rule.k], rule.average)
            averages.append(float(mean[0]))
            pool.append(values[:SPREAD_NEIGHBOURS])
        behind += [
            Neighbour(of.ids[place], of.names[place], away, value)
            for place, away, value in zip(
                taken.tolist(), distance[: rule.k].tolist(), values[: rule.k].tolist(), strict=True
            )
        ]
    behind.sort(key=lambda neighbour: neighbour.distance)
    value = float(np.mean(averages)) if len(averages) == len(rule.representations) else None
    bounds = _bounds(variable, value, rule.calibrated, pool)
    stored = subject.payload.get(variable)
    has_interval = rule.calibrated is not None and value is not None
    return Estimate(
        variable,
        value,
        *bounds,
        representations=rule.representations,
        k=rule.k,
        weighting=rule.average,
        neighbours=tuple(behind),
        stored=None if stored is None else float(stored),
        calibrated_on=rule.origin if has_interval else None,
        interval_simulated=rule.calibrated.simulated if rule.calibrated and has_interval else None,
    )


def _bounds(
    variable: str, value: float | None, rule: VariableRule | None, pool: list[FloatArray]
) -> tuple[float | None, float | None, float | None, float | None]:
    """Return both intervals, cut off where the variable has no values."""
    if value is None or rule is None:
        return None, None, None, None
    scale = float(spread(np.concatenate(pool)[None, :], rule.smallest_spread)[0])
    least, most = min(BY_NAME[variable].interval_min, value), BY_NAME[variable].valid_max
    low_68, high_68, low_90, high_90 = (
        min(max(value + factor * scale, least), most)
        for level in LEVELS
        for factor in rule.interval[level]
    )
    return low_68, high_68, low_90, high_90


def _notes(
    estimates: Mapping[str, Estimate],
    rules: Mapping[str, _Rule],
    calibration: Calibration | None,
    query_filter: DetectionFilter | None,
) -> list[str]:
    """Return what a reader should know of the numbers."""
    notes = []
    without = [name for name, one in estimates.items() if one.value is None]
    fewer = [
        name
        for name, one in estimates.items()
        if one.value is not None and len(one.neighbours) < one.k * len(one.representations)
    ]
    bare = [name for name, one in estimates.items() if one.value is not None and one.low_68 is None]
    if without:
        notes.append(f"too few neighbours have a value of {', '.join(without)}")
    if fewer:
        notes.append(f"fewer neighbours than asked for have a value of {', '.join(fewer)}")
    if calibration is None:
        notes.append(NO_CALIBRATION)
    elif bare:
        notes.append(
            f"no intervals for {', '.join(bare)}: they are calibrated for the default k, weighting "
            "and representation only, and for variables with enough values"
        )
    notes += _on_simulations(estimates, calibration)
    if query_filter is not None and any(rule.calibrated for rule in rules.values()):
        notes.append(PART_NOTE)
    return notes


def _on_simulations(
    estimates: Mapping[str, Estimate], calibration: Calibration | None
) -> list[str]:
    """Return which intervals nobody has compared with the sky."""
    kinds = {name: one.interval_simulated for name, one in estimates.items()}
    names = [name for name, simulated in kinds.items() if simulated]
    if calibration is None or not names:
        return []
    if all(simulated is not False for simulated in kinds.values()):
        return [
            "all intervals rest on simulated values: they may hold fewer real ones than they say"
        ]
    wider = (
        ", widened "
        + " and ".join(f"{factor:.2g} times ({k}%)" for k, factor in calibration.widened.items())
        + " as those with real values had to be"
        if calibration.widened
        else ""
    )
    return [f"intervals of {', '.join(names)} rest on simulated values{wider}"]
