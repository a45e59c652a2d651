"""ADS: papers that were entered, and papers whose record has changed, in windows of time."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from common.records import Paper, Refusal
from workers.ledger.items import Entry
from workers.steps.feeds import Page, refused
from workers.steps.feeds.records import paper_record

BEGINNING = datetime(1999, 7, 23, tzinfo=UTC)
"""The launch of Chandra."""
OVERLAP = timedelta(days=1)
WINDOW = timedelta(days=365)

ADDED, CHANGED = "added", "changed"

Rows = Iterator[Sequence[Paper | Refusal]]


class Papers(Protocol):
    """Where papers come from; `ingest.archives.ads.ADSArchive` is one."""

    def added(self, since: datetime, until: datetime) -> Rows:
        """Yield papers entered in a span of time."""
        ...

    def changed(self, since: datetime, until: datetime) -> Rows:
        """Yield papers whose record was indexed in a span of time."""
        ...


class ADSFeed:
    """New and changed papers; the cursor holds up to when each of the two is complete."""

    name = "ads"
    fetches = False
    sweeps = False

    def __init__(self, archive: Papers) -> None:
        self._archive = archive

    def pages(self, cursor: str) -> Iterator[Page]:
        """Yield the papers since; a window that was broken off is read again."""
        now = datetime.now(UTC)
        marks = {ADDED: BEGINNING, CHANGED: now}
        if cursor:
            marks = {name: datetime.fromisoformat(at) for name, at in json.loads(cursor).items()}
        else:  # what changes while the past is read must not be missed
            yield _closing(marks)
        asked: dict[str, Callable[[datetime, datetime], Rows]] = {
            ADDED: self._archive.added,
            CHANGED: self._archive.changed,
        }
        for name, ask in asked.items():
            while marks[name] < now:
                until = min(marks[name] + WINDOW, now)
                for papers in ask(marks[name] - OVERLAP, until):
                    entries = [_entry(paper, until.isoformat()) for paper in papers]
                    yield Page(entries, min(marks.values()).isoformat(), _written(marks))
                marks[name] = until
                yield _closing(marks)


def _entry(paper: Paper | Refusal, position: str) -> Entry:
    if isinstance(paper, Refusal):
        return refused(paper, position)
    return Entry(paper.bibcode, paper_record(paper), position)


def _closing(marks: dict[str, datetime]) -> Page:
    return Page((), min(marks.values()).isoformat(), _written(marks))


def _written(marks: dict[str, datetime]) -> str:
    return json.dumps({name: at.isoformat() for name, at in marks.items()})
