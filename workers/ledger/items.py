"""What the ledger holds of one item, and the questions that select items."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any
from uuid import UUID

from qdrant_client import models

from common.records import content_hash
from search.store.base import Held
from search.store.revisions import REVISION
from workers.ledger.checkpoints import as_time, is_value, log_id


class State(StrEnum):
    """What has become of an item."""

    FOUND = "found"
    FETCHED = "fetched"
    STORED = "stored"
    FAILED = "failed"
    """Tried again at ``retry_at``; without one it is left to people."""
    QUARANTINED = "quarantined"
    """Given to a worker too often without ever coming back."""
    WITHDRAWN = "withdrawn"
    WAITING = "waiting"
    """There is nothing to fetch yet; looked at again at ``retry_at``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What discovery says of an item; with an error it can never be ingested as it is."""

    key: str
    record: Mapping[str, Any]
    position: str
    error: str | None = None

    @property
    def content(self) -> str:
        """Hash of the record."""
        return content_hash(packed(self.record), self.error or "")


@dataclass(frozen=True, eq=False)
class Item:
    """A work item.

    Attributes
    ----------
    feed, key : str
        What it is; the key of a detection or paper is its natural key.
    state : State
        What has become of it.
    content, done : str
        Hash of the record, and of the record whose outcome the state is.
    position : str
        Where it stands in its feed, comparable within the feed.
    page, sweep : int
        Page of discovery that brought this record, and the last pass that has seen it.
    record_json, match_json : str
        What the archive's row says, and what is known of its object elsewhere; empty is unread.
    file : str
        The spectrum that was fetched for it, in the download cache; empty if there is none.
    complete : bool
        Its files are stored too, so that a changed row needs none of them.
    given_up : bool
        Its file cannot be had: its row is stored all the same, and then it has failed.
    attempts, deliveries : int
        How often it failed, and how often it was given to a worker, since it last moved on.
    revision : str or None
        The mark of the last write to it, when it was read.
    """

    feed: str
    key: str
    state: State
    content: str
    done: str = ""
    position: str = ""
    page: int = 0
    sweep: int = 0
    record_json: str = ""
    match_json: str = ""
    file: str = ""
    complete: bool = False
    given_up: bool = False
    attempts: int = 0
    deliveries: int = 0
    error: str | None = None
    leased_until: datetime | None = None
    retry_at: datetime | None = None
    found_at: datetime | None = None
    updated_at: datetime | None = None
    matched_at: datetime | None = None
    revision: str | None = None

    @property
    def id(self) -> UUID:
        """The point id."""
        return item_id(self.feed, self.key)

    def is_free(self, now: datetime) -> bool:
        """Whether nobody has it, and it need not rest."""
        return not any(until and until > now for until in (self.leased_until, self.retry_at))

    @cached_property
    def record(self) -> dict[str, Any]:
        """What the archive's row says."""
        read: dict[str, Any] = json.loads(self.record_json)
        return read

    @cached_property
    def match(self) -> dict[str, Any]:
        """What is known of its object elsewhere, empty when nothing is."""
        read: dict[str, Any] = json.loads(self.match_json) if self.match_json else {}
        return read


WORKABLE = (State.FOUND, State.FETCHED)
"""States in which the next step can be done."""


def read_item(record: models.Record) -> Item:
    """Return the item of a point."""
    payload = record.payload or {}
    fields = {name: payload[name] for name in Item.__dataclass_fields__ if name in payload}
    for name in ("leased_until", "retry_at", "found_at", "updated_at", "matched_at"):
        fields[name] = as_time(fields.get(name))
    return Item(**{**fields, "state": State(fields["state"])})


def item_of(held: Held) -> Item:
    """Return the item of a point that was read to be changed."""
    return read_item(models.Record(id=held.id, payload={**held.payload, REVISION: held.revision}))


def item_id(feed: str, key: str) -> UUID:
    """Return the id of an item's point."""
    return log_id("item", f"{feed}:{key}")


def all_of(*conditions: models.Condition) -> models.Filter:
    """Return the filter that all conditions hold."""
    return models.Filter(must=[*conditions])


def is_item() -> models.FieldCondition:
    """Return the condition that a point of the ledger is an item."""
    return is_value("kind", "item")


def in_states(states: Iterable[State]) -> models.FieldCondition:
    """Return the condition that an item is in one of these states."""
    values = [str(state) for state in states]
    return models.FieldCondition(key="state", match=models.MatchAny(any=values))


def after(field: str, time: datetime) -> models.FieldCondition:
    """Return the condition that a time is later than another; one that is not set is not."""
    return models.FieldCondition(key=field, range=models.DatetimeRange(gt=time))


def due_filter(feed: str, states: Sequence[State], now: datetime) -> models.Filter:
    """Return the condition that an item of a feed may be sent."""
    again = [state for state in states if state in (State.FAILED, State.WAITING)]
    ready = [state for state in states if state not in again]
    scheduled = all_of(in_states(again), after("retry_at", _NEVER))
    either: list[models.Condition] = []
    if ready:
        either.append(in_states(ready))
    if again:
        either.append(scheduled)
    return models.Filter(
        must=[is_item(), is_value("feed", feed), models.Filter(should=either)],
        must_not=[after("leased_until", now), after("retry_at", now)],
    )


_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def leased_filter(feed: str, states: Sequence[State], now: datetime) -> models.Filter:
    """Return the condition that an item of a feed has been sent, and has no outcome yet."""
    return all_of(is_item(), is_value("feed", feed), in_states(states), after("leased_until", now))


def under_way(feed: str, page: int) -> models.Filter:
    """Return the condition that an item up to a page has no outcome that lasts."""
    return models.Filter(
        must=[
            is_item(),
            is_value("feed", feed),
            models.FieldCondition(key="page", range=models.Range(lte=page)),
            models.Filter(
                should=[
                    in_states(WORKABLE),
                    all_of(in_states([State.FAILED]), after("retry_at", _NEVER)),
                ]
            ),
        ]
    )


def packed(record: Mapping[str, Any]) -> str:
    """Return a record as it is stored: always the same text for the same record."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
