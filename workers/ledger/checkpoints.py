"""What the ledger knows beside work items: feeds, jobs, and requests spent; one point each.

Who writes which field is settled, so that nobody's write undoes another's: of a feed, `discover`
writes all but ``watermark`` and ``settled``, which the dispatcher writes. Whoever takes a job, or a
part of a day's requests, says what was read: of two who do so at once one reads again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid5

from qdrant_client import models

from common.records import POINT_NAMESPACE
from search.collections.schema import INGEST_LOG, Payload
from search.store.base import Store
from search.store.revisions import REVISION, revisions_of
from search.store.scroll import scroll_all


@dataclass(frozen=True, slots=True)
class FeedState:
    """How far a feed is.

    Attributes
    ----------
    name : str
        The feed.
    cursor : str
        Where discovery goes on, in the feed's own words; empty is at the beginning.
    page : int
        Number of the last page of items that was discovered.
    pages : tuple of (int, str)
        Pages that may have items under way, each with the position of its end.
    sweep : int
        Number of the pass over the whole archive that is under way.
    settled : int
        Last page all of whose items, and all before them, are stored or failed for good.
    watermark : str
        Position of the end of that page.
    polled_at : datetime or None
        When discovery last came to its end.
    error : str or None
        What people should know about the last discovery.
    """

    name: str
    cursor: str = ""
    page: int = 0
    pages: tuple[tuple[int, str], ...] = ()
    sweep: int = 1
    settled: int = 0
    watermark: str = ""
    polled_at: datetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class JobState:
    """When a job of the schedule was done and is next; leased while it is sent or runs."""

    name: str
    done_at: datetime | None = None
    next_at: datetime | None = None
    leased_until: datetime | None = None
    running_until: datetime | None = None
    attempts: int = 0
    error: str | None = None
    revision: str | None = None


class Notes:
    """Read and write what is known of feeds, jobs and budgets."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def feed(self, name: str) -> FeedState:
        """Return how far a feed is."""
        found = _known(FeedState, self._read("feed", name))
        found["pages"] = tuple((int(n), str(end)) for n, end in found.get("pages", ()))
        return FeedState(**{"name": name, **found})

    def save_feed(self, name: str, **changes: Any) -> None:  # noqa: ANN401
        """Change fields of a feed and keep the others."""
        self._write("feed", name, changes)

    def job(self, name: str) -> JobState:
        """Return when a job ran."""
        return JobState(**{"name": name, **_known(JobState, self._read("job", name))})

    def save_job(self, name: str, **changes: Any) -> None:  # noqa: ANN401
        """Change fields of a job and keep the others."""
        self._write("job", name, changes)

    def take_job(self, known: JobState, **changes: Any) -> bool:  # noqa: ANN401
        """Change fields of a job unless another has done so since it was read."""
        point = log_id("job", known.name)
        plain = {field: as_json(value) for field, value in changes.items()}
        if known.revision is None and not self._read("job", known.name):
            new = self._point("job", known.name, {"name": known.name, **plain})
            return not self._store.write(INGEST_LOG, [new], {}).lost
        written = self._store.write_payload(INGEST_LOG, {point: plain}, {point: known.revision})
        return not written.lost

    def spent(self, name: str, day: date) -> int:
        """Return how many requests all processes together have taken in a day."""
        return sum(self._spent(name, day).values())

    def spend(self, name: str, day: date, number: int, limit: int) -> int:
        """Take so many requests of a day, or as many as are left of it, and return how many."""
        point = log_id("budget", f"{name} {day}")
        while True:
            held = self._store.read(INGEST_LOG, [point]).get(str(point))
            own = int(held.payload["spent"]) if held else 0
            others = {**self._spent(name, day), str(point): 0}  # before: a point for each process
            taken = max(0, min(number, limit - own - sum(others.values())))
            fields = {"kind": "budget", "name": name, "day": f"{day}", "spent": own + taken}
            new = models.PointStruct(id=str(point), vector={}, payload=fields)
            known = revisions_of([held] if held else [])
            if not taken or not self._store.write(INGEST_LOG, [new], known).lost:
                return taken

    def _spent(self, name: str, day: date) -> dict[str, int]:
        condition = models.Filter(
            must=[is_value("kind", "budget"), is_value("name", name), is_value("day", f"{day}")]
        )
        records = scroll_all(self._store, INGEST_LOG, condition, ["spent"])
        return {str(record.id): int((record.payload or {})["spent"]) for record in records}

    def _read(self, kind: str, name: str) -> Payload:
        point = log_id(kind, name)
        held = self._store.read(INGEST_LOG, [point]).get(str(point))
        return {**held.payload, REVISION: held.revision} if held else {}

    def _write(self, kind: str, name: str, changes: Mapping[str, Any]) -> None:
        plain = {field: as_json(value) for field, value in changes.items()}
        point, new = log_id(kind, name), self._point(kind, name, {"name": name, **plain})
        while True:
            known = revisions_of(self._store.read(INGEST_LOG, [point]).values())
            written = (
                self._store.write_payload(INGEST_LOG, {point: plain}, known)
                if known
                else self._store.write(INGEST_LOG, [new], {})
            )
            if not written.lost:
                return

    @staticmethod
    def _point(kind: str, name: str, payload: Payload) -> models.PointStruct:
        return models.PointStruct(
            id=str(log_id(kind, name)), vector={}, payload={"kind": kind, **payload}
        )


def log_id(kind: str, name: str) -> UUID:
    """Return the id of a point of the ledger."""
    return uuid5(POINT_NAMESPACE, f"{INGEST_LOG}:{kind}:{name}")


def is_value(field: str, value: str | int) -> models.FieldCondition:
    """Return the condition that a field has this value."""
    plain = str(value) if isinstance(value, str) else value  # not a member of an enumeration
    return models.FieldCondition(key=field, match=models.MatchValue(value=plain))


def as_json(value: Any) -> Any:  # noqa: ANN401
    """Return a value as it is stored: times as text."""
    return value.isoformat() if isinstance(value, datetime) else value


def as_time(text: str | None) -> datetime | None:
    """Return a stored time."""
    return datetime.fromisoformat(text) if text else None


def _known(kind: type[FeedState] | type[JobState], payload: Payload) -> dict[str, Any]:
    found = {f.name: payload[f.name] for f in fields(kind) if f.name in payload}
    return {
        name: as_time(value) if name.endswith(("_at", "_until")) else value
        for name, value in found.items()
    }
