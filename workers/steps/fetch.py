"""The step that waits for archives: what an item needs before it can be encoded and stored."""

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from common.errors import (
    BudgetError,
    ChandraSearchError,
    InputError,
    NotFoundError,
    UnavailableError,
)
from common.records import Detection
from workers.ledger.items import Item, State, packed
from workers.ledger.job_book import retry_at
from workers.ledger.ledger import Ledger
from workers.settings import WorkerSettings
from workers.steps.archive_ports import Archives, Match
from workers.steps.feeds.cda import OBSERVATION, is_detection
from workers.steps.feeds.records import read_detection

STOP_AFTER = 3
"""Failures one after the other that are the archive's and no longer the items'."""

TO_FETCH = (State.FOUND, State.FAILED, State.WAITING)
"""States in which there may be something to fetch."""

RECORD_S = 2.0

LOOK_AGAIN = timedelta(days=1)

_log = logging.getLogger(__name__)


class Fetcher:
    """Fetch files and matches for items, each with an outcome of its own."""

    def __init__(
        self,
        ledger: Ledger,
        settings: WorkerSettings,
        archives: Archives,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._archives = archives

    def fetch(self, items: Sequence[Item]) -> None:
        """Fetch what these items need, each with an outcome of its own.

        Outcomes are recorded every `RECORD_S`; what a kill forgets is in the download cache.

        Raises
        ------
        UnavailableError
            If the archive answers nothing any more; what is left is given back untried.
        """
        matches = self._matches([item for item in items if is_detection(item)])
        fetched: dict[Item, Mapping[str, Any]] = {}
        failed = 0
        recorded = time.monotonic()
        try:
            for place, item in enumerate(items):
                try:
                    if not is_detection(item):
                        self._look_into(item)
                    else:
                        fetched[item] = self._fetch_file(item, matches)
                except (InputError, NotFoundError) as exc:
                    failed = 0
                    if is_detection(item):
                        fetched[item] = _given_up(item, exc, matches)
                    else:
                        self._ledger.fail({item: str(exc)}, None)
                except BudgetError as exc:
                    self._ledger.release(items[place:], exc.retry_at)
                    raise
                except UnavailableError as exc:
                    failed += 1
                    if item.attempts + 1 >= self._settings.max_attempts and is_detection(item):
                        fetched[item] = _given_up(item, exc, matches)
                    else:
                        fail(self._ledger, self._settings, item, exc)
                    if failed == STOP_AFTER:
                        self._ledger.release(items[place + 1 :], retry_at(exc, 0, self._settings))
                        raise
                else:
                    failed = 0
                if time.monotonic() - recorded > RECORD_S:
                    self._ledger.conclude(fetched)
                    fetched.clear()
                    recorded = time.monotonic()
        finally:
            self._ledger.conclude(fetched)

    def _fetch_file(self, item: Item, matches: Mapping[str, Match] | None) -> Mapping[str, Any]:
        """Return what is to be recorded of an item: its file, and what is known of its object."""
        products = self._archives.products[item.feed]
        try:
            file = products.fetch_spectrum(*_place_of(read_detection(item.record)))
        except NotFoundError as exc:  # its row is worth storing all the same
            return _fetched(item, matches, error=str(exc))
        return _fetched(item, matches, file=str(file))

    def _look_into(self, item: Item) -> None:
        """Let the detections of an observation become items, or wait until it has some."""
        obsid = int(item.key.removeprefix(OBSERVATION))
        entries = self._archives.observations.detections_of(obsid, item.position)
        if entries:
            self._ledger.found(item.feed, entries, item.page, item.sweep)
            self._ledger.advance([item], State.STORED)
        else:
            reason = "no products of its detections yet"
            again = datetime.now(UTC) + LOOK_AGAIN
            self._ledger.conclude(
                {item: {"state": State.WAITING, "retry_at": again, "error": reason}}
            )

    def _matches(self, items: Sequence[Item]) -> Mapping[str, Match] | None:
        """Return what is known of objects; None when nobody answers: `rematch` asks again."""
        if not items:
            return None
        try:
            return self._archives.matcher.match([read_detection(item.record) for item in items])
        except UnavailableError as exc:
            _log.warning(
                "%d detections are stored without their class for now: %s", len(items), exc
            )
            return None


def _fetched(
    item: Item,
    matches: Mapping[str, Match] | None,
    **found: Any,  # noqa: ANN401
) -> Mapping[str, Any]:
    known = {} if matches is None else match_fields(matches.get(item.key))
    own = {"state": State.FETCHED, "file": "", "complete": False, "attempts": item.attempts}
    return {**own, **found, **known}


def _given_up(
    item: Item, error: ChandraSearchError, matches: Mapping[str, Match] | None
) -> Mapping[str, Any]:
    """Return what is recorded of a detection whose file cannot be had: its row is stored next."""
    return _fetched(item, matches, error=str(error), attempts=item.attempts + 1, given_up=True)


def match_fields(match: Match | None) -> dict[str, object]:
    """Return the fields of an item that hold a match, or that there is none."""
    match = match or Match()
    written = packed({"class_path": match.class_path, "bibcodes": match.bibcodes})
    return {"match_json": written, "matched_at": datetime.now(UTC)}


def fail(ledger: Ledger, settings: WorkerSettings, item: Item, error: UnavailableError) -> None:
    """Record a failure that may pass: to be tried again later, unless it was tried enough."""
    enough = item.attempts + 1 >= settings.max_attempts
    ledger.fail({item: str(error)}, None if enough else retry_at(error, item.attempts, settings))


def _place_of(detection: Detection) -> tuple[int, int, int]:
    if detection.obsid is None or detection.obi is None or detection.region_id is None:
        raise InputError(f"{detection.key} has no obsid, obi and region_id: nothing can be fetched")
    return detection.obsid, detection.obi, detection.region_id
