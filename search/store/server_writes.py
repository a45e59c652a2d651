"""Writes to a Qdrant server that erase nothing of others, on clusters too.

Each replica decides for itself whether a point matches the condition of a write. With the default
ordering writes reach replicas in different orders, and conditional ones tear them apart; so all
writes go through the leader of the shard. A write that fails may have reached some of the replicas
all the same: it is repeated as it was, with the same revision, and what has it already is left
alone.

Who is killed before that, or gives up, leaves replicas apart. Whoever reads such a point to decide
what to write mends it first: all get the latest version that he can find, as it is, unless they
have a later one. So a write that was only slow is completed, and never undone. A later version on a
replica that never answers him is met by what he writes, which is later still, and goes then.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, ParamSpec
from uuid import UUID

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from search.store.base import Held, WithPayload, WithVectors
from search.store.revisions import (
    REVISION,
    as_ids,
    as_it_was,
    generation_of,
    guards,
    held,
    no_later_than,
    together,
)

ORDERING: Final = models.WriteOrdering.MEDIUM
_ALL: Final = models.ReadConsistencyType.ALL
_MOST: Final = models.ReadConsistencyType.MAJORITY
"""While a node is away: it will get from the others what it has missed."""

_REPEATS_S: Final = (0.1, 0.5, 2.0)
"""Waits before a write that failed is repeated as it was."""
_SETTLING_S: Final = (0.02, 0.1, 0.4)
"""Waits until replicas that disagree are taken to do so for good: a write may be under way."""
_LOOKS: Final = 3
"""How often a point is looked for that not all replicas have: the server chooses which answers."""

Ids = Sequence[int | str | UUID]
P = ParamSpec("P")


class GuardedWrites:
    """Read points with their revisions, and write those that are still the same."""

    def __init__(self, client: QdrantClient, timeout_s: int) -> None:
        self._client = client
        self._timeout_s = timeout_s

    def read(self, collection: str, ids: Ids, with_vectors: WithVectors = False) -> dict[str, Held]:
        """Return points by their ids as text, mended where replicas stay apart."""
        found, apart = self._settled(collection, ids, with_vectors)
        if apart:
            self._mend(collection, apart)
            found |= self._latest(collection, apart, with_vectors)
            found |= self._agreed(collection, apart, with_vectors)
        return found

    def apart(self, collection: str, ids: Ids) -> set[str]:
        """Return the ids of points on which replicas go on disagreeing."""
        return {str(one) for one in self._settled(collection, ids, False)[1]}

    def _settled(
        self, collection: str, ids: Ids, with_vectors: WithVectors
    ) -> tuple[dict[str, Held], Ids]:
        """Return the points that replicas agree on, and the ids of those that some of them have."""
        found = self._agreed(collection, ids, with_vectors)
        apart = [one for one in ids if str(one) not in found]
        for wait_s in (*_SETTLING_S, None):
            some = self._latest(collection, apart, False) if apart else {}
            apart = [one for one in apart if str(one) in some]
            if wait_s is None or not apart:
                break
            time.sleep(wait_s)
            found |= self._agreed(collection, apart, with_vectors)
            apart = [one for one in apart if str(one) not in found]
        return found, apart

    def _mend(self, collection: str, ids: Ids) -> None:
        """Give all replicas the latest version of points that is to be found."""
        by_age: dict[int, list[models.PointStruct]] = {}
        for point in self._latest(collection, ids, True).values():
            by_age.setdefault(generation_of(point.revision), []).append(as_it_was(point))
        for generation, points in by_age.items():
            until_acknowledged(
                self._client.upsert,
                collection,
                points,
                ordering=ORDERING,
                update_filter=no_later_than(generation),
            )

    def points(
        self,
        collection: str,
        points: Sequence[models.PointStruct],
        known: Mapping[str, str | None],
    ) -> set[str]:
        """Write stamped points, and return the ids of those that had changed."""
        own = {str(point.id): point for point in points}
        for ids, mode, condition in together(guards([*own], known)):
            part = [own[one] for one in own if one in ids]
            until_acknowledged(
                self._client.upsert,
                collection,
                part,
                ordering=ORDERING,
                update_filter=condition,
                update_mode=mode,
            )
        return self._without(collection, {one: point.payload or {} for one, point in own.items()})

    def payloads(
        self,
        collection: str,
        payloads: Sequence[tuple[int | UUID, Mapping[str, Any]]],
        known: Mapping[str, str | None],
    ) -> set[str]:
        """Change payloads, stamped, and return the ids of what had changed."""
        own = {str(point): payload for point, payload in payloads}
        changes = [
            _change(some, own[some[0]], condition)
            for ids, mode, condition in guards([*own], known)
            if mode is models.UpdateMode.UPDATE_ONLY  # what is not there has no payload to set
            for some in _alike({one: own[one] for one in own if one in ids})
        ]
        self._change(collection, changes)
        return self._without(collection, own)

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

    def _without(self, collection: str, stamped: Mapping[str, Mapping[str, Any]]) -> set[str]:
        """Return which points have another revision than these: no answer to a write says so."""
        found = self._agreed(collection, as_ids(stamped), False, [REVISION])
        return {
            one
            for one, payload in stamped.items()
            if one not in found or found[one].revision != payload[REVISION]
        }

    def _latest(self, collection: str, ids: Ids, with_vectors: WithVectors) -> dict[str, Held]:
        """Return the latest version of points that any replica shows, of several that answer."""
        looks = [self._retrieve(collection, ids, with_vectors) for _ in range(_LOOKS)]
        if any(looks):
            looks.append(self._retrieve(collection, ids, with_vectors, consistency=_MOST))
        latest: dict[str, Held] = {}
        for one, point in (pair for look in looks for pair in look.items()):
            if one not in latest or _age(latest[one]) <= _age(point):
                latest[one] = point
        return latest

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


def _age(point: Held) -> tuple[int, str]:
    return generation_of(point.revision), point.revision or ""


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
    own = models.HasIdCondition(has_id=as_ids(points))
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
