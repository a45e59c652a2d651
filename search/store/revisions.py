"""The mark that every write leaves on its points, by which another writer is noticed.

It is drawn at random: of two writers who count, both would count to the same number. One condition
guards a whole batch, because no point can have come to another's revision by chance.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from qdrant_client import models

from search.store.base import TORN, Held, PointId, Revisions

REVISION: Final = "revision"
"""The payload field. It has no index: a guarded write looks at its own points only."""


def new_revision() -> str:
    """Return the mark of one write."""
    return secrets.token_hex(8)


def stamped(points: Sequence[models.PointStruct], revision: str) -> list[models.PointStruct]:
    """Return points marked with a revision."""
    return [
        point.model_copy(update={"payload": {**(point.payload or {}), REVISION: revision}})
        for point in points
    ]


def stamped_payloads(
    payloads: Mapping[PointId, Mapping[str, Any]], revision: str
) -> dict[PointId, dict[str, Any]]:
    """Return changes of payloads that leave a revision too."""
    return {point: {**payload, REVISION: revision} for point, payload in payloads.items()}


def held(record: models.Record) -> Held:
    """Return a stored point with its revision."""
    payload = dict(record.payload or {})
    revision = payload.pop(REVISION, None)
    vectors = record.vector if isinstance(record.vector, dict) else {}
    return Held(_as_stored(record.id), payload, dict(vectors), revision)


def revisions_of(points: Iterable[Held]) -> dict[PointId, str | None]:
    """Return what `Store.write` asks for."""
    return {point.id: point.revision for point in points}


def by_text(revisions: Revisions) -> dict[str, str | None]:
    """Return revisions by ids as text, however they were spelled."""
    return {str(point): revision for point, revision in revisions.items()}


def guards(
    ids: Sequence[PointId], revisions: Mapping[str, str | None]
) -> Iterator[tuple[frozenset[str], models.UpdateMode, models.Filter | None]]:
    """Yield which of these ids go together, in which mode, and on what condition.

    Parameters
    ----------
    ids : sequence of int, str or UUID
        Points to write.
    revisions : mapping of str to str or None
        Revisions by ids as text; what is missing must not exist.
    """
    own = [str(point) for point in ids]
    new = frozenset(point for point in own if point not in revisions)
    torn = frozenset(point for point in own if revisions.get(point) == TORN)
    bare = frozenset(point for point in own if point in revisions and revisions[point] is None)
    marked = frozenset(own) - new - torn - bare
    if new:
        yield new, models.UpdateMode.INSERT_ONLY, None
    if torn:
        yield torn, models.UpdateMode.UPSERT, None
    if bare:
        yield bare, models.UpdateMode.UPDATE_ONLY, models.Filter(must=[_UNMARKED])
    if marked:
        known = sorted({str(revisions[point]) for point in marked})
        match = models.FieldCondition(key=REVISION, match=models.MatchAny(any=known))
        yield marked, models.UpdateMode.UPDATE_ONLY, models.Filter(must=[match])


_UNMARKED = models.IsEmptyCondition(is_empty=models.PayloadField(key=REVISION))


def _as_stored(identifier: PointId) -> int | str:
    return identifier if isinstance(identifier, int) else str(identifier)
