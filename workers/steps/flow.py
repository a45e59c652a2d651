"""The steps of continuous ingestion, the same in Celery tasks and in one process.

``discover`` writes what archives say into the ledger, ``dispatch`` leases items that are due and
sends their keys, ``fetch`` brings files and matches, ``store`` encodes and stores.

Why a kill at any line loses nothing and doubles nothing. Every step reads the ledger, does its
work, and only then says so in the ledger; its work is idempotent, because ids are hashes of natural
keys and files are renamed into place when they are whole. So a kill before the ledger was written
means that the step is done again, and a kill afterwards that it is not. Discovery records the items
of a page before its cursor, a sweep turns what it has not seen into tombstones before it counts as
ended, and the watermark is worked out from the items alone. What was sent is only leased: a task
that is lost with its queue or its worker comes again when the lease ends. A task that comes twice
finds its items moved on; two that overlap do the same work twice. An outcome belongs to the record
that it was worked out from (see `workers.ledger.ledger`), so one that comes late does not hide a
newer record. Deliveries are counted before the work, so an item that kills whoever takes it is set
aside; from the third on it travels alone, so that it does not take others with it.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event
from typing import Protocol

from common.errors import InputError, UnavailableError
from common.ports import Progress
from search.collections.schema import DETECTIONS, PAPERS
from workers.ledger.items import WORKABLE, Item, State, leased_filter
from workers.ledger.job_book import JobBook, retry_at
from workers.ledger.ledger import ALONE_AFTER, Ledger
from workers.ledger.schedule import INGEST, Job, jobs
from workers.settings import WorkerSettings
from workers.steps.archive_ports import Archives
from workers.steps.discover import Discoverer
from workers.steps.feeds import Feed
from workers.steps.fetch import TO_FETCH, Fetcher
from workers.steps.refresh import Upkeep
from workers.steps.store import Storer
from workers.steps.uploads import Uploads
from workers.writing.pipeline import Pipeline
from workers.writing.writer import in_batches

Send = Callable[[str, str, Sequence[str]], None]
"""Called as ``send(step, feed, keys)``."""

DISCOVER, FETCH, STORE, OPTIMIZE = "discover", "fetch", "store", "optimize"

_log = logging.getLogger(__name__)


class Observer(Protocol):
    """Who counts what was done; `workers.metrics.StageMetrics` does."""

    def done(self, stage: str, feed: str, items: int, seconds: float) -> None:
        """Count items that went through a stage."""
        ...

    def put_off(self, stage: str, feed: str) -> None:
        """Count a step that was broken off, to be tried again."""
        ...


class NullObserver:
    """Nobody counts."""

    def done(self, stage: str, feed: str, items: int, seconds: float) -> None:
        """Count nothing."""

    def put_off(self, stage: str, feed: str) -> None:
        """Count nothing."""


ScheduledJob = Callable[[Progress], object]
"""A job that needs no archive; it reports progress now and then, so that it is known to live."""


class Flow:
    """The steps, over one pipeline and its ledger; safe to use from threads and processes.

    ``chores`` are further jobs of the schedule by name: scores of outliers, snapshots, learning.
    ``stopping`` is set by `stop`, for chores that look at it. ``uploads`` are what came over HTTP.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        archives: Archives,
        settings: WorkerSettings,
        chores: Mapping[str, ScheduledJob] | None = None,
        observer: Observer | None = None,
        stopping: Event | None = None,
        uploads: Uploads | None = None,
    ) -> None:
        self._uploads = uploads
        self._stopping = stopping or Event()
        self._store = pipeline.store
        self.ledger = Ledger(self._store)
        self.settings = settings
        self.book = JobBook(self.ledger.notes, settings, jobs(settings))
        self._feeds = archives.feeds
        self._observer = observer or NullObserver()
        self._discoverer = Discoverer(self.ledger, pipeline, settings)
        self._fetcher = Fetcher(self.ledger, settings, archives)
        self._storer = Storer(self.ledger, pipeline, settings)
        upkeep = Upkeep(self.ledger, pipeline, self._storer, archives.matcher)
        age = timedelta(days=settings.rematch_days)
        self._chores: dict[str, ScheduledJob] = {
            "rematch": partial(upkeep.rematch, age),
            "refresh_citations": partial(upkeep.refresh_citations, archives.citations),
            OPTIMIZE: self._optimize,
            **(chores or {}),
        }

    def due(self) -> list[tuple[str, str]]:
        """Return step and feed of the jobs that are due, leased to the caller."""
        return [(job.step, job.feed) for job in self.book.due()]

    def run(self, step: str, feed: str = "", keys: Sequence[str] = (), now: bool = False) -> int:
        """Do a step, and return of how many items something new is known.

        ``now`` does a job of the schedule even if it is not due.
        """
        started = time.perf_counter()
        try:
            if step == INGEST and self._uploads:
                done = self._uploads.run(step, feed, keys)
            elif step == FETCH:
                done = self._work(self._fetcher.fetch, FETCH, feed, keys)
            elif step == STORE:
                done = self._work(self._store_items(feed), STORE, feed, keys)
            else:
                done = self._run_job(step, feed, now)
        except Exception:  # whatever it was, whoever watches from afar is to see it
            self._observer.put_off(step, feed)
            raise
        self._observer.done(step, feed, done, time.perf_counter() - started)
        return done

    def stop(self) -> None:
        """Ask what takes hours to end, so that its process can; it goes on at the next start."""
        self._stopping.set()
        if self._uploads:
            self._uploads.stop()

    def free(self) -> None:
        """Free what a process before this one had leased, if it can be no other's.

        An embedded store belongs to one process at a time; elsewhere leases end by themselves.
        """
        if self._store.engine == "embedded":
            self.ledger.free()
            self.book.free()

    def take_over(self) -> None:
        """Free that, and uploads: whoever schedules here works them off."""
        self.free()
        if self._uploads:
            self._uploads.take_over()

    def discover(self, feed: str, now: bool = True) -> int:
        """Poll a feed, and return how many items are new or have changed."""
        return self.run(DISCOVER, feed, now=now)

    def dispatch(self, send: Send) -> int:
        """Lease the items that are due, as many as may be under way, and send their keys."""
        sent = self._uploads.dispatch(send) if self._uploads else 0
        for name, feed in self._feeds.items():
            for step, states, most, size in self._stages(feed):
                now = datetime.now(UTC)
                under_way = self.ledger.count(leased_filter(name, states, now))
                items = self.ledger.due(name, states, most - under_way, now)
                items = self.ledger.lease(items, now + self.settings.lease)
                for batch in _batches(items, size):
                    send(step, name, [item.key for item in batch])
                sent += len(items)
            self.ledger.settle(name)
        return sent

    def _stages(self, feed: Feed) -> list[tuple[str, tuple[State, ...], int, int]]:
        """Return step, states, most items under way and size of a batch of a feed's stages."""
        room, size = self.settings.max_in_flight, self.settings.batch
        if not feed.fetches:
            return [(STORE, (*WORKABLE, State.FAILED), room, size)]
        return [
            (STORE, (State.FETCHED,), room, size),
            (FETCH, TO_FETCH, self.settings.max_fetching, self.settings.fetch_batch),
        ]

    def _store_items(self, feed: str) -> Callable[[Sequence[Item]], None]:
        own = self._feed(feed)
        return self._storer.store_detections if own.fetches else self._storer.store_papers

    def _work(
        self, work: Callable[[Sequence[Item]], None], step: str, feed: str, keys: Sequence[str]
    ) -> int:
        """Deliver items to a step; what could not even be tried is given back."""
        stages = {stage: states for stage, states, _, _ in self._stages(self._feed(feed))}
        if step not in stages:
            raise InputError(f"nothing is fetched for {feed}: its items are stored as they come")
        items, given_up = self.ledger.deliver(
            feed, keys, stages[step], self.settings.max_deliveries, self.settings.lease
        )
        for item in given_up:
            _log.error("%s %s is quarantined, see `chandra-search jobs failed`", feed, item.key)
        if not items:
            return 0
        try:
            work(items)
        except UnavailableError as exc:
            own = [item.key for item in items]
            held = [item for item in self.ledger.items(feed, own) if item.deliveries]
            self.ledger.release(held, retry_at(exc, 0, self.settings))
            raise
        return len(items)

    def _run_job(self, step: str, feed: str, now: bool) -> int:
        if step != DISCOVER and step not in self._chores:
            raise InputError(f"there is no job {step!r} here: {', '.join(self._chores)}, discover")
        with self.book.running(Job(step, feed, timedelta()).name, now) as beat:
            if beat is None:
                return 0
            if step == DISCOVER:
                return self._discoverer.discover(self._feed(feed), beat)
            done = self._chores[step](beat)
        return done if isinstance(done, int) else 0

    def _optimize(self, _beat: Progress) -> int:
        """Let the vector index take in what is new."""
        for kind in (DETECTIONS, PAPERS):
            self._store.optimize(kind)
        return 0

    def _feed(self, name: str) -> Feed:
        if name not in self._feeds:
            raise InputError(f"there is no feed {name!r}: {', '.join(self._feeds)}")
        return self._feeds[name]


def _batches(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """Yield what goes together: what has come back without an outcome goes with less and less."""
    for deliveries in range(ALONE_AFTER + 1):
        own = [item for item in items if min(item.deliveries, ALONE_AFTER) == deliveries]
        smaller = (size, max(1, size // 16), 1)[deliveries]
        yield from in_batches(own, smaller)
