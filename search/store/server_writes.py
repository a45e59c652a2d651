"""Writes to a Qdrant server that erase nothing of others, on clusters too.

Each replica decides for itself whether a point matches the condition of a write. With the default
ordering writes reach replicas in different orders, and conditional ones tear them apart; so all
writes go through the leader of the shard. A write that fails may have reached some of the replicas
all the same: it is repeated as it was, with the same revision, and what has it already is left
alone. Who is killed before that leaves a torn point, which the next reader recognises.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, ParamSpec
from uuid import UUID

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from search.store.base import TORN, Held, Revisions, WithPayload, WithVectors
from search.store.checks import parse_id
from search.store.revisions import REVISION, by_text, guards, held

ORDERING: Final = models.WriteOrdering.MEDIUM
_ALL: Final = models.ReadConsistencyType.ALL
_MOST: Final = models.ReadConsistencyType.MAJORITY
"""While a node is away: it will get from the others what it has missed."""

_REPEATS_S: Final = (0.1, 0.5, 2.0)
"""Waits before a write that failed is repeated as it was."""
_SETTLING_S: Final = (0.02, 0.1, 0.4)
"""Waits until replicas that disagree are taken to do so for good: a write may be under way."""

Ids = Sequence[int | UUID]
P = ParamSpec("P")


class GuardedWrites:
    """Read points with their revisions, and write those that are still the same."""

    def __init__(self, client: QdrantClient, timeout_s: int) -> None:
        self._client = client
        self._timeout_s = timeout_s

    def read(self, collection: str, ids: Ids, with_vectors: WithVectors = False) -> dict[str, Held]:
        """Return points by their ids as text; those that replicas disagree on are `TORN`."""
        found = self._agreed(collection, ids, with_vectors)
        for wait_s in (*_SETTLING_S, None):
            apart = [one for one in ids if str(one) not in found]
            some = self._retrieve(collection, apart, with_vectors) if apart else {}
            if not some:
                return found
            if wait_s is None:
                torn = {
                    one: Held(point.id, point.payload, point.vectors, TORN)
                    for one, point in some.items()
                }
                return found | torn
            time.sleep(wait_s)
            found |= self._agreed(collection, apart, with_vectors)
        return found

    def points(
        self,
        collection: str,
        points: Sequence[models.PointStruct],
        revisions: Revisions,
        revision: str,
    ) -> set[str]:
        """Write points marked with a revision, and return the ids of those that had changed."""
        own = {str(point.id): point for point in points}
        for ids, mode, condition in guards([*own], by_text(revisions)):
            part = [own[one] for one in own if one in ids]
            until_acknowledged(
                self._client.upsert,
                collection,
                part,
                ordering=ORDERING,
                update_filter=condition,
                update_mode=mode,
            )
        return self._without(collection, [parse_id(point.id) for point in points], revision)

    def payloads(
        self,
        collection: str,
        payloads: Sequence[tuple[int | UUID, Mapping[str, Any]]],
        revisions: Revisions,
        revision: str,
    ) -> set[str]:
        """Change payloads, marked with a revision, and return the ids of what had changed."""
        own = {str(point): payload for point, payload in payloads}
        known = by_text(revisions)
        changes = [
            _change(some, own[some[0]], condition)
            for ids, mode, condition in guards([*own], known)
            if mode is not models.UpdateMode.INSERT_ONLY  # what is not there has no payload to set
            for some in _alike({one: own[one] for one in own if one in ids})
        ]
        self._change(collection, changes)
        return self._without(collection, [point for point, _ in payloads], revision)

    def any_payloads(
        self, collection: str, payloads: Sequence[tuple[int | UUID, Mapping[str, Any]]]
    ) -> None:
        """Change payloads of points whatever their revision; unknown ids match nothing."""
        own = {str(point): payload for point, payload in payloads}
        self._change(collection, [_change(some, own[some[0]], None) for some in _alike(own)])

    def _change(self, collection: str, changes: Sequence[models.UpdateOperation]) -> None:
        if changes:
            update = self._client.batch_update_points
            until_acknowledged(update, collection, changes, ordering=ORDERING)

    def _without(self, collection: str, ids: Ids, revision: str) -> set[str]:
        """Return which points do not bear a revision: no answer to a write says so."""
        found = self._agreed(collection, ids, False, [REVISION])
        return {str(one) for one in ids if str(one) not in found} | {
            one for one, point in found.items() if point.revision != revision
        }

    def _agreed(
        self,
        collection: str,
        ids: Ids,
        with_vectors: WithVectors,
        with_payload: WithPayload = True,
    ) -> dict[str, Held]:
        """Return the points that all replicas agree on: if most did, one might stay apart."""
        try:
            return self._retrieve(collection, ids, with_vectors, with_payload, _ALL)
        except UnexpectedResponse as exc:
            if not _may_pass(exc):
                raise
            return self._retrieve(collection, ids, with_vectors, with_payload, _MOST)

    def _retrieve(
        self,
        collection: str,
        ids: Ids,
        with_vectors: WithVectors,
        with_payload: WithPayload = True,
        consistency: models.ReadConsistencyType | None = None,
    ) -> dict[str, Held]:
        records = self._client.retrieve(
            collection, ids, with_payload, with_vectors, consistency, timeout=self._timeout_s
        )
        return {str(record.id): held(record) for record in records}


def _alike(payloads: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Return points by what is set, which is often the same of all of a batch."""
    groups: dict[str, list[str]] = {}
    for point, payload in payloads.items():
        groups.setdefault(json.dumps(payload, sort_keys=True), []).append(point)
    return [*groups.values()]


def _change(
    points: Sequence[str], payload: Mapping[str, Any], condition: models.Filter | None
) -> models.UpdateOperation:
    # With ids beside it the filter would be ignored: ids go into the filter.
    own = models.HasIdCondition(has_id=[int(one) if one.isdecimal() else one for one in points])
    unchanged = condition.must if condition and isinstance(condition.must, list) else []
    guarded = models.Filter(must=[own, *unchanged])
    return models.SetPayloadOperation(
        set_payload=models.SetPayload(payload=dict(payload), filter=guarded)
    )


def _may_pass(exc: UnexpectedResponse | ResponseHandlingException) -> bool:
    return not isinstance(exc, UnexpectedResponse) or (exc.status_code or 0) >= 500


def until_acknowledged(write: Callable[P, object], *arguments: P.args, **options: P.kwargs) -> None:
    """Repeat a write as it is until all replicas have it, for a few seconds."""
    for wait_s in (*_REPEATS_S, None):
        try:
            write(*arguments, **options)
        except (UnexpectedResponse, ResponseHandlingException) as exc:
            if wait_s is None or not _may_pass(exc):
                raise
            time.sleep(wait_s)
        else:
            return
