"""Chandra Source Catalog: a sweep over the whole catalogue, in the order of its keys."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from common.records import Detection, Refusal
from workers.ledger.items import Entry
from workers.steps.feeds import Page, refused
from workers.steps.feeds.records import detection_record

Key = tuple[int, int, int]


class Catalogue(Protocol):
    """Where rows come from; `ingest.archives.csc.CSCArchive` is one."""

    def detections(
        self, after: Key | None, page: int = 5000, catalog: str | None = None
    ) -> Iterator[Sequence[Detection | Refusal]]:
        """Yield pages of rows with a greater (obsid, obi, region_id), in this order."""
        ...


class CSCFeed:
    """Every row of the catalogue, again and again: what has not changed is not touched."""

    name = "csc"
    fetches = True
    sweeps = True

    def __init__(self, archive: Catalogue, page: int = 5000) -> None:
        self._archive = archive
        self._page = page

    def pages(self, cursor: str) -> Iterator[Page]:
        """Yield the rows after a key."""
        end = cursor
        for rows in self._archive.detections(_key(cursor), self._page):
            entries = []
            for row in rows:
                if isinstance(row, Refusal):
                    entries.append(refused(row, end))
                else:
                    end = position_of(row)
                    entries.append(Entry(row.key, detection_record(row), end))
            yield Page(entries, end, end)


def position_of(detection: Detection) -> str:
    """Return where a detection stands in the catalogue, comparable as text."""
    return f"{detection.obsid:06d}/{detection.obi:03d}/{detection.region_id:06d}"


def _key(position: str) -> Key | None:
    if not position:
        return None
    obsid, obi, region_id = map(int, position.split("/"))
    return obsid, obi, region_id
