"""How far continuous ingestion is, as it is told at a terminal and over HTTP."""

from dataclasses import asdict
from typing import Any

from workers.ledger.checkpoints import as_json, is_value
from workers.ledger.items import Item, State, all_of, in_states, is_item
from workers.ledger.ledger import Ledger
from workers.ledger.schedule import jobs
from workers.settings import WorkerSettings

_FIELDS = ("feed", "key", "state", "attempts", "deliveries", "error", "retry_at", "updated_at")


def status_of(ledger: Ledger, settings: WorkerSettings) -> dict[str, Any]:
    """Return counts, watermark and last poll of each feed, and each job of the schedule."""
    counts = ledger.counts()
    feeds = {}
    for name in sorted({*counts, *settings.feeds}):
        known = ledger.notes.feed(name)
        feeds[name] = {
            "counts": counts.get(name, {}),
            "watermark": known.watermark or None,
            "polled_at": as_json(known.polled_at),
            "error": known.error,
        }
    schedule = {}
    for job in jobs(settings):
        state = asdict(ledger.notes.job(job.name))
        schedule[job.name] = {name: as_json(value) for name, value in state.items()}
    return {"feeds": feeds, "jobs": schedule}


def failed_items(ledger: Ledger, feed: str | None, limit: int) -> tuple[int, list[Item]]:
    """Return how many items failed or are set aside, and some of them."""
    bad = in_states((State.FAILED, State.QUARANTINED))
    chosen = all_of(is_item(), bad, *([is_value("feed", feed)] if feed else []))
    return ledger.count(chosen), ledger.select(chosen, limit, light=True)


def said_of(item: Item) -> dict[str, Any]:
    """Return what people want to know of an item."""
    return {name: as_json(getattr(item, name)) for name in _FIELDS}
