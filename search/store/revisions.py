"""The mark that every write leaves on its points, by which another writer is noticed.

It is drawn at random: of two writers who count, both would count to the same number. In front of
it stands a generation, milliseconds since 1970 or one more than what was read, whichever is later:
of versions on which replicas disagree it says which is the latest (`search.store.server_writes`).
"""

import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from qdrant_client import models

from search.store.base import Held, PointId, Revisions, Written

REVISION: Final = "revision"
GENERATION: Final = "generation"
"""The payload fields. They have no index: a guarded write looks at its own points only."""

Guard = tuple[frozenset[str], models.UpdateMode, models.Filter | None]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What one write leaves on its points."""

    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    at_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    def revision(self, before: str | None = None) -> str:
        """Return the revision of a point after this write."""
        return f"{max(generation_of(before) + 1, self.at_ms)}.{self.mark}"

    def fields(self, before: str | None = None) -> dict[str, Any]:
        """Return what is added to its payload."""
        revision = self.revision(before)
        return {REVISION: revision, GENERATION: generation_of(revision)}

    def points(
        self, points: Sequence[models.PointStruct], before: Mapping[str, str | None]
    ) -> list[models.PointStruct]:
        """Return points with it, by the revisions that they had."""
        return [
            point.model_copy(
                update={
                    "payload": {**(point.payload or {}), **self.fields(before.get(str(point.id)))}
                }
            )
            for point in points
        ]

    def payloads(
        self, payloads: Mapping[PointId, Mapping[str, Any]], before: Mapping[str, str | None]
    ) -> dict[PointId, dict[str, Any]]:
        """Return changes of payloads with it, by the revisions that the points had."""
        return {
            point: {**payload, **self.fields(before.get(str(point)))}
            for point, payload in payloads.items()
        }

    def written(
        self, ids: Iterable[PointId], before: Mapping[str, str | None], lost: Collection[str]
    ) -> Written:
        """Return what became of a write with it."""
        own = (str(point) for point in ids)
        now = {point: self.revision(before.get(point)) for point in own if point not in lost}
        return Written(now, frozenset(lost))


def generation_of(revision: str | None) -> int:
    """Return the generation of a revision, 0 where there is none."""
    digits = (revision or "").partition(".")[0]
    return int(digits) if digits.isdecimal() else 0


def held(record: models.Record) -> Held:
    """Return a stored point with its revision."""
    payload = dict(record.payload or {})
    payload.pop(GENERATION, None)
    revision = payload.pop(REVISION, None)
    vectors = record.vector if isinstance(record.vector, dict) else {}
    return Held(_as_stored(record.id), payload, dict(vectors), revision)


def as_it_was(point: Held) -> models.PointStruct:
    """Return a stored point to be written once more, with the revision that it has."""
    marks = {REVISION: point.revision, GENERATION: generation_of(point.revision)}
    payload = point.payload | (marks if point.revision else {})
    return models.PointStruct(id=point.id, vector=point.vectors, payload=payload)


def revisions_of(points: Iterable[Held]) -> dict[PointId, str | None]:
    """Return what `Store.write` asks for."""
    return {point.id: point.revision for point in points}


def by_text(revisions: Revisions) -> dict[str, str | None]:
    """Return revisions by ids as text, however they were spelled."""
    return {str(point): revision for point, revision in revisions.items()}


def guards(ids: Sequence[PointId], revisions: Mapping[str, str | None]) -> Iterator[Guard]:
    """Yield which of these ids go together, in which mode, and on what condition.

    Parameters
    ----------
    ids : sequence of int, str or UUID
        Points to write.
    revisions : mapping of str to str or None
        Revisions by ids as text; what is missing must not exist.
    """
    groups: dict[str | None, list[str]] = {}
    new = frozenset(str(point) for point in ids if str(point) not in revisions)
    for point in map(str, ids):
        if point not in new:
            groups.setdefault(revisions[point], []).append(point)
    if new:
        yield new, models.UpdateMode.INSERT_ONLY, None
    for revision, own in groups.items():
        condition = models.Filter(must=[_is(revision)])
        yield frozenset(own), models.UpdateMode.UPDATE_ONLY, condition


def together(found: Iterable[Guard]) -> Iterator[Guard]:
    """Yield the same with one guard for all points that exist, whatever their revisions."""
    updates: list[Guard] = []
    for guard in found:
        if guard[1] is models.UpdateMode.UPDATE_ONLY:
            updates.append(guard)
        else:
            yield guard
    if len(updates) == 1:
        yield updates[0]
    elif updates:
        either = [
            models.Filter(must=[models.HasIdCondition(has_id=as_ids(own)), condition])
            for own, _, condition in updates
            if condition
        ]
        own = frozenset[str]().union(*(own for own, _, _ in updates))
        yield own, models.UpdateMode.UPDATE_ONLY, models.Filter(should=[*either])


def as_ids(points: Iterable[str]) -> list[int | str]:
    """Return ids as the engines spell them."""
    return [int(one) if one.isdecimal() else one for one in points]


def no_later_than(generation: int) -> models.Filter:
    """Return the condition that a point is not of a later generation."""
    return models.Filter(
        should=[
            models.FieldCondition(key=GENERATION, range=models.Range(lte=generation)),
            models.IsEmptyCondition(is_empty=models.PayloadField(key=GENERATION)),
        ]
    )


def _is(revision: str | None) -> models.Condition:
    if revision is None:
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=REVISION))
    return models.FieldCondition(key=REVISION, match=models.MatchValue(value=revision))


def _as_stored(identifier: PointId) -> int | str:
    return identifier if isinstance(identifier, int) else str(identifier)
