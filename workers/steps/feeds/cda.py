"""Chandra Data Archive: observations that are newer than the catalogue.

An observation is an item of its own, which waits until there are products of its detections
(version ``cur``). These then become items of the same feed; the sweep over the catalogue, which
does not know them, does not miss them either.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any, ClassVar, Protocol

from common.records import Detection, Refusal
from workers.ledger.items import Entry, Item
from workers.steps.feeds import Page, refused
from workers.steps.feeds.csc import Catalogue
from workers.steps.feeds.records import detection_record

CATALOG = "cur"
OVERLAP = timedelta(days=1)
BEGINNING = datetime(2022, 1, 1, tzinfo=UTC)
"""The catalogue holds what was observed before."""
OBSERVATION = "obs/"
PAGE = 1000


class Observation(Protocol):
    """An observation; `ingest.archives.cda.Observation` is one."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def obsid(self) -> int:  # noqa: D102
        ...

    @property
    def public_at(self) -> datetime:  # noqa: D102
        ...


class Observations(Protocol):
    """Where observations come from; `ingest.archives.cda.CDAArchive` is one."""

    def observations(self, since: datetime, until: datetime) -> Sequence[Observation]:
        """Return observations that became public in a span, by ``public_at``."""
        ...


class CDAFeed:
    """Observations as they become public."""

    name = "cda"
    fetches = True
    sweeps = False

    def __init__(self, archive: Observations, catalogue: Catalogue) -> None:
        self._archive = archive
        self._catalogue = catalogue

    def pages(self, cursor: str) -> Iterator[Page]:
        """Yield the observations that became public since."""
        since = datetime.fromisoformat(cursor) if cursor else BEGINNING
        until = datetime.now(UTC)
        found = self._archive.observations(since - OVERLAP if cursor else since, until)
        entries = [
            Entry(f"{OBSERVATION}{one.obsid}", _observation_record(one), one.public_at.isoformat())
            for one in found
        ]
        for start in range(0, len(entries), PAGE):
            yield Page(entries[start : start + PAGE], since.isoformat(), since.isoformat())
        yield Page((), until.isoformat(), until.isoformat())

    def detections_of(self, obsid: int, position: str) -> list[Entry]:
        """Return what has been found in an observation by now."""
        entries: list[Entry] = []
        for rows in self._catalogue.detections((obsid, -1, -1), PAGE, CATALOG):
            own = [*takewhile(lambda row: _belongs(row, obsid), rows)]
            entries += [
                refused(row, position)
                if isinstance(row, Refusal)
                else Entry(row.key, detection_record(row), position)
                for row in own
            ]
            if len(own) < len(rows):
                break
        return entries


def is_detection(item: Item) -> bool:
    """Return whether an item is a detection, and no observation that may have some."""
    return not item.key.startswith(OBSERVATION)


def _belongs(row: Detection | Refusal, obsid: int) -> bool:
    return isinstance(row, Refusal) or row.obsid == obsid


def _observation_record(observation: Observation) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(observation).items()
    }
