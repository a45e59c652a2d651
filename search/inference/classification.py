"""The class of a spectrum: a vote among its neighbours, as probabilities at every level."""

from collections.abc import Mapping

import numpy as np
from qdrant_client import models

from common.calibration import Calibration, ClassRule
from common.estimation import vote
from search.collections.schema import SHARED_SPECTRUM, SPECTRUM
from search.filters.filters import DetectionFilter
from search.inference.neighbourhood import (
    NO_CALIBRATION,
    OUTSIDE_NOTE,
    PART_NOTE,
    check_subject,
    is_outside,
    nearness,
    neighbourhoods,
    rules_for,
    unless_empty,
)
from search.results import Classification, ClassProbability, Neighbour, Subject
from search.store.base import Store

K = 20
"""Voters where nothing was calibrated."""

_FIELDS = ["key", "source_name", "class_path"]
_UNKNOWN = models.IsEmptyCondition(is_empty=models.PayloadField(key="class_path"))


class Classifier:
    """Let the nearest neighbours of known class vote.

    Parameters
    ----------
    store : Store
        Where neighbours are.
    calibration : Calibration or None
        Turns shares of the vote into probabilities; without one they are given as they are.
    """

    def __init__(self, store: Store, calibration: Calibration | None) -> None:
        self._store, self._calibration = store, calibration

    def classify(
        self,
        subject: Subject,
        *,
        k: int | None = None,
        query_filter: DetectionFilter | None = None,
    ) -> Classification:
        """Return the probability of every class that a neighbour voted for, by level.

        Parameters
        ----------
        subject : Subject
            A stored detection, whose own source takes no part, or a new spectrum.
        k : int, optional
            Voters; by default as many as were calibrated with.
        query_filter : DetectionFilter, optional
            Which detections may vote.

        Returns
        -------
        Classification
            A class is never less probable than those below it. No levels, and a note, where no
            neighbour has a class.
        """
        check_subject(subject, k)
        query_filter = unless_empty(query_filter)
        rules = rules_for(self._calibration, subject)
        rule = rules.classes if rules else None
        using = rule.representation if rule else SHARED_SPECTRUM
        voters = k or (rule.k if rule else K)
        near = neighbourhoods(
            self._store, subject, {using: voters}, {using: _FIELDS}, query_filter, [_UNKNOWN]
        )[using]
        like = (
            neighbourhoods(
                self._store, subject, {SPECTRUM: rules.near_k}, {SPECTRUM: ["counts"]}, query_filter
            )[SPECTRUM]
            if rules and not query_filter
            else None
        )
        neighbours = tuple(
            Neighbour(
                near.id(place),
                near.name(place),
                float(near.distance[place]),
                source_class=tuple(near.payload(place)["class_path"]),
            )
            for place in range(len(near.points))
        )
        shares = vote([one.source_class for one in neighbours], near.distance) if neighbours else {}
        nearby = nearness(rules, like)
        calibrated = rule if rule and voters == rule.k == len(neighbours) else None
        return Classification(
            name=subject.name,
            levels=_levels(shares, calibrated),
            neighbours=neighbours,
            stored=tuple(subject.payload.get("class_path", ())),
            outside=is_outside(nearby),
            calibrated_on=self._calibration.origin_of(calibrated)
            if self._calibration and calibrated
            else None,
            notes=(
                *_notes(len(neighbours), voters, rule, self._calibration, is_outside(nearby)),
                *([PART_NOTE] if query_filter and calibrated else []),
            ),
        )


def _levels(
    shares: Mapping[tuple[str, ...], float], rule: ClassRule | None
) -> list[list[ClassProbability]]:
    """Return classes by depth, most probable first."""
    levels: list[list[ClassProbability]] = [[] for _ in range(max(map(len, shares), default=0))]
    for path, share in shares.items():
        # The map is monotone, hence no class is less probable than one below it.
        probability = float(np.interp(share, rule.share, rule.probability)) if rule else share
        levels[len(path) - 1].append(ClassProbability(path, probability, share))
    for level in levels:
        level.sort(key=lambda one: (-one.probability, -one.vote, one.path))
    return levels


def _notes(
    n: int, k: int, rule: ClassRule | None, calibration: Calibration | None, outside: bool
) -> tuple[str, ...]:
    notes = [OUTSIDE_NOTE] if outside else []
    if not n:
        notes.append("no neighbour has a known class, so that nobody votes")
    elif n < k:
        notes.append(
            f"only {n} of the {k} neighbours asked for have a known class: these are shares of a "
            "small vote"
        )
    if calibration is None:
        notes.append(NO_CALIBRATION)
    elif rule is None:
        notes.append("too few classes were known to calibrate probabilities: shares of the vote")
    elif rule.k != k:
        notes.append(f"probabilities are calibrated for k={rule.k}: these are shares of the vote")
    return tuple(notes)
