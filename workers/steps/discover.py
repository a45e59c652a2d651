"""The step that asks archives what there is, and records it, page by page."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from qdrant_client import models

from common.ports import Progress
from common.records import point_id
from search.collections.schema import DETECTIONS
from workers.ledger.checkpoints import FeedState, is_value
from workers.ledger.items import WORKABLE, Item, State, after, is_item
from workers.ledger.ledger import CHUNK, Ledger
from workers.settings import WorkerSettings
from workers.steps.feeds import Feed
from workers.writing.pipeline import Pipeline

_log = logging.getLogger(__name__)


class Discoverer:
    """Poll feeds from where they left off."""

    def __init__(self, ledger: Ledger, pipeline: Pipeline, settings: WorkerSettings) -> None:
        self._ledger = ledger
        self._pipeline = pipeline
        self._settings = settings

    def discover(self, feed: Feed, beat: Progress) -> int:
        """Record what is new or has changed, and return how many items that is.

        Items of a page are recorded before the cursor moves past it.
        """
        notes = self._ledger.notes
        found = 0
        for page in feed.pages(notes.feed(feed.name).cursor):
            state = notes.feed(feed.name)
            number = state.page + 1
            sweep = state.sweep if feed.sweeps else 0
            found += self._ledger.found(feed.name, page.entries, number, sweep)
            end = f"{sweep:06d} {page.end}" if feed.sweeps else page.end
            pages = [(n, e) for n, e in state.pages if n > state.settled]
            if pages and pages[-1][1] == end:
                pages.pop()  # the later page says the same and more
            pages.append((number, end))
            notes.save_feed(feed.name, cursor=page.cursor, page=number, pages=pages)
            beat(feed.name, found, None)
        ended = self._end_sweep(notes.feed(feed.name)) if feed.sweeps else {"error": None}
        notes.save_feed(feed.name, polled_at=datetime.now(UTC), **ended)
        return found

    def _end_sweep(self, state: FeedState) -> dict[str, Any]:
        """Withdraw what the sweep has not seen, unless that cannot be right; return what to note.

        Which sweep is the next one is noted last, so that a kill lets this one end again.
        """
        unseen = _unseen(state)
        missed = self._ledger.count(unseen)
        total = self._ledger.count(_present(state.name))
        error = None
        if missed > self._settings.withdraw_at_most * total:
            error = (
                f"the archive no longer names {missed:,} of {total:,} detections: that is more "
                "than a correction, so none was withdrawn. If it is right, raise "
                "CHANDRA_WITHDRAW_AT_MOST until the next sweep"
            )
            _log.error("%s: %s", state.name, error)
        else:
            while items := self._ledger.select(unseen, CHUNK, light=True):
                self._withdraw(state.name, items)
        return {"cursor": "", "sweep": state.sweep + 1, "error": error}

    def _withdraw(self, feed: str, items: Sequence[Item]) -> None:
        ids = [point_id("detection", item.key) for item in items]
        self._pipeline.withdraw(DETECTIONS, ids)
        reason = "the archive no longer names it"
        self._ledger.withdraw(feed, dict.fromkeys((item.key for item in items), reason))


def _present(feed: str) -> models.Filter:
    withdrawn = is_value("state", State.WITHDRAWN)
    return models.Filter(must=[is_item(), is_value("feed", feed)], must_not=[withdrawn])


def _unseen(state: FeedState) -> models.Filter:
    """Return the condition that a sweep has not seen an item, which nobody works on now."""
    before = models.FieldCondition(key="sweep", range=models.Range(lt=state.sweep))
    gone = (State.WITHDRAWN, *WORKABLE)
    return models.Filter(
        must=[is_item(), is_value("feed", state.name), before],
        must_not=[
            *(is_value("state", one) for one in gone),
            after("leased_until", datetime.now(UTC)),
        ],
    )
