"""The neighbours of a subject in several representations, asked for in one batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
from qdrant_client import models

from common.calibration import OUTSIDE, Calibration, RuleSet
from common.errors import InvalidQueryError
from common.estimation import distances
from search.collections.schema import BOTH, DETECTIONS, SHARED_SPECTRUM, SHARED_TEXT, SPECTRUM, TEXT
from search.filters.filters import DetectionFilter, restriction
from search.results import Subject
from search.store.base import NearestQuery, Store

FloatArray = npt.NDArray[np.float64]

REPRESENTATIONS = (SPECTRUM, TEXT, SHARED_SPECTRUM, SHARED_TEXT, BOTH)
MAX_NEIGHBOURS = 1000
FEW = 200
"""So many points are asked for in addition and left out here: where only some points have a vector,
any filter makes the engine look at all points, which took three to four times as long."""
_COUNTS = "counts"

NO_CALIBRATION = (
    "no calibration: there are no intervals and no calibrated probabilities; run "
    "`chandra-search calibrate` on this store"
)


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """Neighbours in one representation, nearest first.

    Attributes
    ----------
    points : sequence of ScoredPoint, length k
        With the payload fields asked for.
    distance : ndarray of float64, shape (k,)
        Euclidean distances of unit vectors.
    """

    points: Sequence[models.ScoredPoint]
    distance: FloatArray

    def payload(self, place: int) -> Mapping[str, Any]:
        """Return what is stored of one of them."""
        return self.points[place].payload or {}

    def name(self, place: int) -> str:
        """Return the source name, or the key where there is none."""
        payload = self.payload(place)
        return str(payload.get("source_name") or payload.get("key") or self.points[place].id)

    def id(self, place: int) -> UUID:
        """Return the point id."""
        return UUID(str(self.points[place].id))


def neighbourhoods(
    store: Store,
    subject: Subject,
    limits: Mapping[str, int],
    fields: Mapping[str, list[str]],
    query_filter: DetectionFilter | None,
    must_not: Sequence[models.Condition] = (),
) -> dict[str, Neighbourhood]:
    """Return the neighbours of a subject in each representation, itself and its source left out.

    Parameters
    ----------
    store : Store
        Where to look.
    subject : Subject
        Who is asked about.
    limits : mapping of str to int
        How many neighbours in each representation; one engine query each.
    fields : mapping of str to list of str
        Payload fields to return in each representation; reading them takes most of the time.
    query_filter : DetectionFilter or None
        Which detections may be neighbours.
    must_not : sequence of Condition
        What no neighbour may be, beside ``subject.excluded``.

    Returns
    -------
    dict of str to Neighbourhood
        By representation.
    """
    condition = restriction(query_filter, store) if query_filter else None
    left_out = set() if condition or must_not else _few(store, subject.excluded)
    if not left_out and (excluded := [*subject.excluded, *must_not]):
        condition = models.Filter(must=[condition] if condition else None, must_not=excluded)
    queries = [
        NearestQuery(
            subject.vectors[name],
            name,
            condition,
            limit + len(left_out),
            with_payload=fields[name],
        )
        for name, limit in limits.items()
    ]
    answers = [
        [point for point in points if point.id not in left_out][:limit]
        for points, limit in zip(
            store.query_batch(DETECTIONS, queries), limits.values(), strict=True
        )
    ]
    return {
        name: Neighbourhood(points, distances(np.array([point.score for point in points])))
        for name, points in zip(limits, answers, strict=True)
    }


def _few(store: Store, excluded: Sequence[models.Condition]) -> set[int | str | UUID]:
    """Return the ids of the points that are excluded, none if they are more than a few."""
    if not excluded:
        return set()
    some, more = store.scroll(
        DETECTIONS, models.Filter(should=[*excluded]), limit=FEW, with_payload=False
    )
    return {point.id for point in some} if more is None else set()


def unless_empty(query_filter: DetectionFilter | None) -> DetectionFilter | None:
    """Return a filter that restricts something, None for one that does not."""
    return None if query_filter == DetectionFilter() else query_filter


def rules_for(calibration: Calibration | None, subject: Subject) -> RuleSet | None:
    """Return the rules that fit what is known of a subject: with its text, or its spectrum only."""
    if calibration is None:
        return None
    told = calibration.with_text is not None and all(
        name in subject.vectors for name in REPRESENTATIONS
    )
    return calibration.with_text if told else calibration.spectrum_only


def check_subject(subject: Subject, k: int | None, representation: str | None = None) -> None:
    """Refuse what cannot be answered.

    Raises
    ------
    InvalidQueryError
        If ``k`` is out of bounds, there is no such representation, or the subject lacks it.
    """
    if k is not None and not 1 <= k <= MAX_NEIGHBOURS:
        raise InvalidQueryError(f"k is {k}: give a number of neighbours from 1 to {MAX_NEIGHBOURS}")
    if representation is not None and representation not in REPRESENTATIONS:
        raise InvalidQueryError(
            f"unknown representation {representation[:60]!r}: give one of "
            f"{', '.join(REPRESENTATIONS)}"
        )
    wanted = (representation,) if representation else (SPECTRUM, SHARED_SPECTRUM)
    missing = [name for name in wanted if name not in subject.vectors]
    if missing:
        has = ", ".join(subject.vectors) or "no vector at all"
        raise InvalidQueryError(
            f"{subject.name} has no vector {', '.join(missing)} to find neighbours by (it has "
            f"{has}): ingest its {'spectrum' if SPECTRUM in missing else 'text'} first, or use "
            "another representation"
        )


def nearness(rules: RuleSet | None, near: Neighbourhood | None) -> float | None:
    """Return the share of calibration detections that lie farther from their neighbours.

    Parameters
    ----------
    rules : RuleSet or None
        With the distances met in the calibration.
    near : Neighbourhood or None
        Neighbours in representation ``spectrum``, with their ``counts``.

    Returns
    -------
    float or None
        Among those whose neighbours are as bright. 0 for a subject farther than all of them, or
        with too few neighbours to say otherwise; None without a calibration.
    """
    if rules is None or near is None:
        return None
    if len(near.distance) < rules.near_k:
        return 0.0
    known = np.linspace(0, 1, len(rules.near))
    counts = [near.payload(place).get(_COUNTS) for place in range(rules.near_k)]
    given = [float(one) for one in counts if one is not None]
    scale = rules.scale_at(float(np.median(given)) if given else None)
    return float(1 - np.interp(near.distance[rules.near_k - 1] / scale, rules.near, known))


def is_outside(near: float | None) -> bool:
    """Return whether a nearness is that of a subject outside what the store knows."""
    return near is not None and near < OUTSIDE


PART_NOTE = (
    "calibrated with neighbours from the whole store, not a part of it; whether the spectrum lies "
    "outside what the store knows is not judged by a part"
)
OUTSIDE_NOTE = (
    "outside what the store knows: fewer than 1% of the calibration detections lie so far from "
    "their neighbours; do not trust intervals and probabilities"
)
