"""The ledger: every work item of every feed is one point of `ingest_log`, and this is the truth.

What is in a queue is only a hint: an item is worked on when its state here says so. What is
written after something was read says so (`search.store.revisions`): of two dispatchers one leases
an item, and the outcome of an old record is never taken for that of a new one. A step may still be
done twice, when a lease ends too early, which changes nothing. Every outcome names the content
that it belongs to (``done``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from qdrant_client import models

from common.errors import UnavailableError
from search.collections.schema import INGEST_LOG, INGEST_LOG_SCHEMA, Payload
from search.store.base import Store, Written
from search.store.scroll import first_by, scroll_all
from workers.ledger.checkpoints import Notes, as_json, is_value
from workers.ledger.items import (
    WORKABLE,
    Entry,
    Item,
    State,
    after,
    all_of,
    due_filter,
    in_states,
    is_item,
    item_id,
    item_of,
    packed,
    read_item,
    under_way,
)

CHUNK = 1000

ALONE_AFTER = 2
"""Deliveries without an outcome after which an item is sent alone."""

_WHOLE = [*Item.__dataclass_fields__]
_LIGHT = [f for f in _WHOLE if f not in ("record_json", "match_json")]
_ROUNDS = 20
_FRESH: Payload = {
    "given_up": False,
    "attempts": 0,
    "deliveries": 0,
    "error": None,
    "leased_until": None,
    "retry_at": None,
}


class Ledger:
    """Work items, and what is known of their feeds (`notes`), over any store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.notes = Notes(store)
        store.create_collection(INGEST_LOG, INGEST_LOG_SCHEMA)

    def found(self, feed: str, entries: Sequence[Entry], page: int = 0, sweep: int = 0) -> int:
        """Record what discovery brought, and return how many are new, changed or back again.

        Of those whose files are stored already only the row is stored again.
        """
        own = {item_id(feed, entry.key): entry for entry in entries}
        known = {item.id: item for item in self._retrieve([*own])}
        now = _now()
        fresh: list[models.PointStruct] = []
        changes: dict[Item, Payload] = {}
        for point, entry in own.items():
            item = known.get(point)
            if item and not _is_changed(item, entry):
                if item.sweep != sweep:
                    changes[item] = {"sweep": sweep}
                continue
            fields = {
                **_FRESH,
                "state": State.FETCHED if item and item.complete else State.FOUND,
                "content": entry.content,
                "position": entry.position,
                "record_json": packed(entry.record),
                "page": page,
                "sweep": sweep,
                "updated_at": now,
            }
            if entry.error:
                fields |= {"state": State.FAILED, "error": entry.error, "done": entry.content}
            if item:
                changes[item] = fields
            else:
                fields |= {"kind": "item", "feed": feed, "key": entry.key, "found_at": now}
                fresh.append(models.PointStruct(id=str(point), vector={}, payload=fields))
        self._set(changes)
        for start in range(0, len(fresh), CHUNK):  # who was found by another meanwhile is known
            self._store.write(INGEST_LOG, fresh[start : start + CHUNK], {})
        return len(fresh) + sum("state" in fields for fields in changes.values())

    def items(self, feed: str, keys: Sequence[str]) -> list[Item]:
        """Return these items, unknown ones left out."""
        return self._retrieve([item_id(feed, key) for key in keys])

    def select(self, condition: models.Filter, limit: int, light: bool = False) -> list[Item]:
        """Return some of the items that match, without their records if ``light``."""
        wanted = _LIGHT if light else _WHOLE
        records: list[models.Record] = []
        offset: int | str | None = None
        while len(records) < limit:
            page, offset = self._store.scroll(
                INGEST_LOG, condition, min(CHUNK, limit - len(records)), offset, wanted
            )
            records += page
            if offset is None:
                break
        return [read_item(record) for record in records]

    def count(self, condition: models.Filter) -> int:
        """Return how many items match."""
        return self._store.count(INGEST_LOG, condition)

    def oldest(self, condition: models.Filter) -> datetime | None:
        """Return when that of the items that match was last changed which has waited longest."""
        fields = ["updated_at"]
        for record in first_by(self._store, INGEST_LOG, "updated_at", condition, 1, False, fields):
            return datetime.fromisoformat((record.payload or {})["updated_at"])
        return None

    def due(self, feed: str, states: Sequence[State], limit: int, now: datetime) -> list[Item]:
        """Return items in one of these states, without records, that nobody has and may be tried.

        One that was given up (failed, without a time to try it again) is never due.
        """
        return self.select(due_filter(feed, states, now), limit, light=True) if limit > 0 else []

    def lease(self, items: Sequence[Item], until: datetime) -> list[Item]:
        """Leave items alone until a time, or until they move on; return those nobody else took."""
        fields = {"leased_until": as_json(until)}
        lost = self._change({item: fields for item in items}).lost
        mine = [item for item in items if str(item.id) not in lost]
        if lost:  # taken by another, or listed by a replica that is not up to date
            states = {item.id: item.state for item in items}
            again = [
                item
                for item in self._retrieve([item.id for item in items if str(item.id) in lost])
                if item.state == states[item.id] and item.is_free(datetime.now(UTC))
            ]
            lost = self._change({item: fields for item in again}).lost
            mine += [item for item in again if str(item.id) not in lost]
        return mine

    def free(self) -> None:
        """Take back every lease."""
        leased = all_of(is_item(), after("leased_until", datetime.now(UTC)))
        while items := self.select(leased, CHUNK, light=True):
            self._set({item: {"leased_until": None} for item in items})

    def release(self, items: Sequence[Item], retry_at: datetime | None = None) -> None:
        """Give items back untried, and let them rest until a time."""
        fields = {"leased_until": None, "deliveries": 0, "retry_at": as_json(retry_at)}
        self._set({item: fields for item in items})

    def deliver(
        self,
        feed: str,
        keys: Sequence[str],
        states: Sequence[State],
        most: int,
        lease: timedelta,
    ) -> tuple[list[Item], list[Item]]:
        """Count a delivery before the work is tried, and return what to do and what is given up.

        Left out is what has moved on already, and, from a batch, what has come back without an
        outcome more than once: it may be what killed the batch, and is sent alone.
        """
        given_up: list[Item] = []
        to_do: list[Item] = []
        pending, alone = [*keys], len(keys) == 1
        for _ in range(_ROUNDS):
            items = [item for item in self.items(feed, pending) if item.state in states]
            if not alone:
                items = [item for item in items if item.deliveries < ALONE_AFTER]
            given_up += [item for item in items if item.deliveries >= most]
            tried = [item for item in items if item.deliveries < most]
            until = as_json(datetime.now(UTC) + lease)
            written = self._change(
                {i: {"deliveries": i.deliveries + 1, "leased_until": until} for i in tried}
            )
            to_do += [
                replace(item, revision=written.revisions[str(item.id)])
                for item in tried
                if str(item.id) not in written.lost
            ]
            pending = [item.key for item in tried if str(item.id) in written.lost]
            if not pending:
                break
        self._conclude(
            {
                item: {
                    **_FRESH,
                    "state": State.QUARANTINED,
                    "deliveries": item.deliveries,
                    "error": f"given to a worker {item.deliveries} times, which never came back "
                    "with it: look into the logs of the workers for its key, then `chandra-search "
                    f"jobs retry {feed} --key '{item.key}'`",
                    "done": item.content,
                }
                for item in given_up
            }
        )
        return to_do, given_up

    def advance(self, items: Sequence[Item], state: State, **fields: Any) -> None:  # noqa: ANN401
        """Move items on, errors and counts forgotten."""
        self.conclude({item: {"state": state, **fields} for item in items})

    def conclude(self, outcomes: Mapping[Item, Mapping[str, Any]]) -> None:
        """Move items on, each with fields of its own."""
        self._conclude(
            {item: {**_FRESH, "done": item.content, **f} for item, f in outcomes.items()}
        )

    def fail(self, errors: Mapping[Item, str], retry_at: datetime | None) -> None:
        """Record failures, to be tried again at a time or, with None, to be left to people."""
        self._conclude(
            {
                item: {
                    **_FRESH,
                    "state": State.FAILED,
                    "attempts": item.attempts + 1,
                    "error": error,
                    "retry_at": as_json(retry_at),
                    "done": item.content,
                }
                for item, error in errors.items()
            }
        )

    def note(self, changes: Mapping[Item, Mapping[str, Any]]) -> None:
        """Change fields of items that do not move on by it."""
        self._set({item: {n: as_json(v) for n, v in f.items()} for item, f in changes.items()})

    def withdraw(self, feed: str, reasons: Mapping[str, str]) -> None:
        """Record why items of these keys are no more; unknown ones are left out."""
        fields = {**_FRESH, "state": State.WITHDRAWN, "updated_at": _now()}
        self._set({i: {**fields, "error": reasons[i.key]} for i in self.items(feed, [*reasons])})

    def retry(self, feed: str | None = None, keys: Sequence[str] | None = None) -> int:
        """Let what failed or is quarantined be tried afresh now, and return how many.

        A row that the archive has to correct is left out: there is nothing to try.
        """
        states = (State.FAILED, State.QUARANTINED)
        chosen = all_of(is_item(), in_states(states), *([is_value("feed", feed)] if feed else []))
        fields = {**_FRESH, "state": State.FOUND, "complete": False, "updated_at": _now()}
        names = ["key", "record_json"]
        ids = [
            UUID(str(record.id))
            for record in scroll_all(self._store, INGEST_LOG, chosen, names)
            if (record.payload or {})["record_json"] != packed({})
            and (keys is None or (record.payload or {})["key"] in keys)
        ]
        for start in range(0, len(ids), CHUNK):
            self._set(dict.fromkeys(self._retrieve(ids[start : start + CHUNK]), fields))
        return len(ids)

    def settle(self, feed: str) -> str:
        """Move the watermark of a feed, and return it.

        It is the end of the last page before which nothing is under way or to be tried again.
        """
        known = self.notes.feed(feed)
        ends = [page for page in known.pages if page[0] > known.settled]
        low, high = 0, len(ends)  # pages that are settled: at least, at most
        while low < high:
            middle = (low + high + 1) // 2
            if self.count(under_way(feed, ends[middle - 1][0])):
                high = middle - 1
            else:
                low = middle
        if not low:
            return known.watermark
        settled, watermark = ends[low - 1]
        self.notes.save_feed(feed, settled=settled, watermark=watermark)
        return watermark

    def feeds(self) -> list[str]:
        """Return the names of the feeds that have items."""
        return sorted(self._store.facet(INGEST_LOG, "feed", all_of(is_item())))

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many items of each feed are in each state."""
        return {
            feed: self._store.facet(INGEST_LOG, "state", all_of(is_item(), is_value("feed", feed)))
            for feed in self.feeds()
        }

    def _conclude(self, outcomes: Mapping[Item, Payload]) -> None:
        """Write outcomes; those of a record that was replaced meanwhile count for nothing."""
        now = _now()
        own = {
            item.id: {**{n: as_json(v) for n, v in fields.items()}, "updated_at": now}
            for item, fields in outcomes.items()
        }
        contents = {item.id: item.content for item in outcomes}
        pending = [*outcomes]
        for _ in range(_ROUNDS):
            lost = self._change({item: own[item.id] for item in pending}).lost
            ids = [item.id for item in pending if str(item.id) in lost]
            pending = [item for item in self._retrieve(ids) if item.content == contents[item.id]]
            if not pending:
                return
        raise _busy(len(pending))

    def _change(self, changes: Mapping[Item, Mapping[str, Any]]) -> Written:
        """Change items that are still as they were read."""
        if not changes:
            return Written({}, frozenset())
        return self._store.write_payload(
            INGEST_LOG,
            {item.id: fields for item, fields in changes.items()},
            {item.id: item.revision for item in changes},
        )

    def _set(self, changes: Mapping[Item, Mapping[str, Any]]) -> None:
        """Change items whatever others have changed meanwhile."""
        pending = {**changes}
        for _ in range(_ROUNDS):
            lost = self._change(pending).lost
            if not lost:
                return
            fields = {item.id: own for item, own in pending.items()}
            ids = [item.id for item in pending if str(item.id) in lost]
            pending = {item: fields[item.id] for item in self._retrieve(ids)}
        raise _busy(len(pending))

    def _retrieve(self, ids: Sequence[UUID]) -> list[Item]:
        """Return items as all replicas of a cluster have them; what is unknown is left out."""
        found: list[Item] = []
        for start in range(0, len(ids), CHUNK):
            held = self._store.read(INGEST_LOG, ids[start : start + CHUNK])
            found += [item_of(one) for one in held.values()]
        return found


def _busy(n: int) -> UnavailableError:
    return UnavailableError(
        f"{n} items of the ledger change all the time: repeat, with fewer workers"
    )


def _is_changed(item: Item, entry: Entry) -> bool:
    if item.state == State.WITHDRAWN or item.content != entry.content:
        return True
    return item.state not in WORKABLE and item.done != item.content


def _now() -> str:
    return datetime.now(UTC).isoformat()
