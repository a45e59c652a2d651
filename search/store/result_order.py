"""What both engines do to an answer, so that it does not tell them apart."""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from qdrant_client import models

from search.store.base import HybridQuery, NearestQuery, PointId, WithPayload
from search.store.revisions import GENERATION, REVISION

P = TypeVar("P", models.Record, models.ScoredPoint)


class FacetHit(Protocol):
    """A value of a payload field and how many points hold it."""

    @property
    def value(self) -> str | int | bool:
        """The value."""
        ...

    @property
    def count(self) -> int:
        """Number of points."""
        ...


def unmarked(points: Sequence[P], with_payload: WithPayload) -> Sequence[P]:
    """Return points without the revisions that nobody asked for."""
    if with_payload is True:
        for point in points:
            if point.payload:
                point.payload.pop(REVISION, None)
                point.payload.pop(GENERATION, None)
    return points


def in_order(records: Sequence[models.Record], ids: Sequence[PointId]) -> list[models.Record]:
    """Return records in the order in which their ids were asked for."""
    by_id = {str(record.id): record for record in records}
    return [by_id[str(identifier)] for identifier in ids if str(identifier) in by_id]


def ranked(
    points: Sequence[models.ScoredPoint], query: NearestQuery | HybridQuery
) -> list[models.ScoredPoint]:
    """Return an answer as promised: ties in the order of ids, no vectors that nobody asked for."""
    unmarked(points, query.with_payload)
    if query.with_vectors is False:  # the engine adds them to diverse answers
        for point in points:
            point.vector = None
    if isinstance(query, NearestQuery) and query.diversity:
        return [*points]
    best = sorted(points, key=lambda p: (-p.score, isinstance(p.id, str), p.id))
    return best[: query.limit]


def fusion_limit(query: HybridQuery) -> int:
    """Return how many fused points to ask for: the engine orders ties by chance, `ranked` by id."""
    return query.limit + 2 * len(query.parts)


def facet_counts(hits: Iterable[FacetHit]) -> dict[str, int]:
    """Return counts by value, most frequent first; flags are spelled ``true`` and ``false``."""
    counts = {
        str(hit.value).lower() if isinstance(hit.value, bool) else str(hit.value): hit.count
        for hit in hits
    }
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
