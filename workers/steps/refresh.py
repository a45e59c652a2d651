"""What keeps stored things right: classes and papers of sources, citations of papers."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from qdrant_client import models

from common.ports import Progress
from common.records import point_id
from search.collections.model_view import current_view
from search.collections.schema import DETECTIONS, PAPERS
from workers.ledger.checkpoints import is_value
from workers.ledger.items import Item, State, after, is_item
from workers.ledger.ledger import Ledger
from workers.steps.archive_ports import Citations, Match, Matcher
from workers.steps.feeds.cda import is_detection
from workers.steps.feeds.records import read_detection
from workers.steps.fetch import match_fields
from workers.steps.store import Storer
from workers.writing.pipeline import Pipeline

CHUNK = 1000
CITATIONS = "citations"
AT_A_TIME = 2000
"""Bibcodes of one question to ADS."""


class Upkeep:
    """Ask archives again about what is stored; payloads change, nothing is encoded again."""

    def __init__(
        self, ledger: Ledger, pipeline: Pipeline, storer: Storer, matcher: Matcher
    ) -> None:
        self._ledger = ledger
        self._pipeline = pipeline
        self._storer = storer
        self._matcher = matcher

    def rematch(self, older_than: timedelta, beat: Progress) -> int:
        """Match detections again that were matched long ago or never; return how many changed.

        What was asked is noted, so that a run that is broken off is gone on with.
        """
        condition = _unmatched(datetime.now(UTC) - older_than)
        asked = changed = 0
        while items := self._ledger.select(condition, CHUNK):
            detections = [item for item in items if is_detection(item)]
            found = self._matcher.match([read_detection(item.record) for item in detections])
            changed += self._apply(detections, found)
            self._ledger.note({item: match_fields(found.get(item.key)) for item in items})
            asked += len(items)
            beat("rematch", asked, None)
        return changed

    def _apply(self, items: Sequence[Item], matches: Mapping[str, Match]) -> int:
        """Correct the stored classes and papers; what is unknown elsewhere stays as it is."""
        ids = {item.key: point_id("detection", item.key) for item in items}
        here = self._pipeline.store.read(DETECTIONS, [*ids.values()]) if ids else {}
        stored = {held.payload["key"]: held.payload for held in here.values()}
        changes: dict[UUID, Mapping[str, Any]] = {}
        for key, payload in stored.items():
            match = matches.get(key, Match())
            known = {"class_path": [*match.class_path], "bibcodes": [*match.bibcodes]}
            fields = {n: v for n, v in known.items() if v and v != payload.get(n)}
            if fields:
                changes[ids[key]] = fields
                stored[key] = payload | fields
        if changes:
            self._pipeline.correct(DETECTIONS, changes)
        self._storer.give_texts(stored)
        return len(changes)

    def refresh_citations(self, archive: Citations, beat: Progress) -> int:
        """Ask how often papers are cited, going on where it was broken off; return how many."""
        notes = self._ledger.notes
        store = current_view(self._pipeline.store)
        offset: int | str | None = notes.feed(CITATIONS).cursor or None
        asked = changed = 0
        while True:
            records, offset = store.scroll(PAPERS, None, AT_A_TIME, offset, with_payload=False)
            known = store.read(PAPERS, [record.id for record in records]) if records else {}
            payloads = [held.payload for held in known.values()]
            counts = archive.citations([p["bibcode"] for p in payloads]) if payloads else {}
            new = {
                point_id("paper", p["bibcode"]): {"citation_count": counts[p["bibcode"]]}
                for p in payloads
                if p["bibcode"] in counts and counts[p["bibcode"]] != p.get("citation_count")
            }
            if new:
                self._pipeline.correct(PAPERS, new)
            notes.save_feed(CITATIONS, cursor="" if offset is None else str(offset))
            changed += len(new)
            asked += len(payloads)
            beat("citations", asked, None)
            if offset is None:
                return changed


def _unmatched(since: datetime) -> models.Filter:
    either = [is_value("feed", "csc"), is_value("feed", "cda")]
    return models.Filter(
        must=[is_item(), is_value("state", State.STORED), models.Filter(should=[*either])],
        must_not=[after("matched_at", since)],
    )
