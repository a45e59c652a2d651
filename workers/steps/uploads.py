"""The step that works off uploads: what the API has put into their folder enters the pipeline.

An outcome is written down once its point is stored, and the job leaves the folder once all of its
outcomes are. So a kill at any line means that the job is taken up again, by the same pipeline as
by `chandra-search ingest`: what is stored already is found unchanged, and outcomes that were
written down stay as they were. A message is a hint here too: what nobody was told of, or whose
message was lost, is sent when its lease ends.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import TypeVar

from celery import Celery

from common.errors import BundleError, InputError, NotFoundError, UnavailableError
from common.records import Outcome
from ingest.catalogue.catalogue import Catalogue, read_catalogue, read_detections
from ingest.papers.papers import read_papers
from search.uploads import Job, Report, UploadFolder
from search.uploads.folder import FILES, OUTCOMES, Notify, disk_errors
from search.uploads.job import resume_outcomes, write_outcomes
from workers.ledger.job_book import retry_at
from workers.ledger.schedule import INGEST
from workers.queue.app import ENCODE, PREFIX, send_task
from workers.settings import WorkerSettings
from workers.writing.pipeline import Pipeline

FEED = "uploads"
"""What stands for the feed of a step, in messages, logs and metrics."""
SAVED_EVERY_S = 1.0

T = TypeVar("T")
Send = Callable[[str, str, Sequence[str]], None]

_log = logging.getLogger(__name__)


class Uploads:
    """Work off the jobs of a folder; by itself it is all that a plain ``serve`` schedules."""

    def __init__(
        self,
        folder: UploadFolder,
        open_pipeline: Callable[[], Pipeline],
        settings: WorkerSettings,
    ) -> None:
        self.settings = settings
        self._folder = folder
        self._open_pipeline = open_pipeline
        self._stopping = Event()

    def due(self) -> list[tuple[str, str]]:
        """Return no jobs of a schedule."""
        return []

    def dispatch(self, send: Send) -> int:
        """Lease the jobs that nobody has, and send their ids."""
        now = datetime.now(UTC)
        sent = 0
        for job in self._folder.waiting():
            again = self._folder.report(job.id).retry_at
            if self._folder.is_leased(job.id, self.settings.lease_s) or (again and again > now):
                continue
            self._folder.lease(job.id)
            send(INGEST, FEED, [job.id])
            sent += 1
        return sent

    def run(self, _step: str, _feed: str = "", keys: Sequence[str] = ()) -> int:
        """Work off jobs by their ids, and return how many inputs that were."""
        return sum(self._run(job_id) for job_id in keys)

    def take_over(self) -> None:
        """Free what a process before this one had in hand."""
        for job in self._folder.waiting():
            self._folder.release(job.id)

    def stop(self) -> None:
        """Break off what is under way; it goes on at the next start."""
        self._stopping.set()

    @cached_property
    def _pipeline(self) -> Pipeline:
        return self._open_pipeline()

    def _run(self, job_id: str) -> int:
        with self._folder.taken(job_id) as ours:
            if not ours:
                return 0
            job, report = self._folder.job(job_id), self._folder.report(job_id)
            if not report.ended:
                self._deliver(job, report)
            if report.ended:
                self._folder.retire(job_id)
            else:
                self._folder.release(job_id)
            return report.ingested + report.unchanged + report.refused

    def _deliver(self, job: Job, report: Report) -> None:
        """Work off a job, and note how that ended; a delivery is counted before it is tried."""
        if report.deliveries >= self.settings.max_deliveries:
            self._end(
                job,
                report,
                f"given to a worker {report.deliveries} times, which never came back with it: "
                "whoever runs the server finds its id in the logs",
            )
            return
        report.deliveries += 1
        report.state, report.retry_at = "running", None
        report.started_at = report.started_at or datetime.now(UTC)
        self._folder.save(job.id, report)
        try:
            if self._ingest(job, report):
                self._end(job, report)
                return
            report.state, report.deliveries = "waiting", 0
        except (UnavailableError, BundleError) as exc:  # of the bundle it is not the upload's fault
            report.state, report.deliveries, report.reason = "waiting", 0, str(exc)
            report.retry_at = retry_at(exc, report.attempts, self.settings)
            report.attempts += 1
            self._folder.save(job.id, report)
            self._folder.release(job.id)
            raise
        except (InputError, NotFoundError) as exc:
            self._end(job, report, str(exc))
            return
        self._folder.save(job.id, report)

    def _end(self, job: Job, report: Report, reason: str | None = None) -> None:
        report.state = "failed" if reason else "done"
        report.reason, report.ended_at = reason, datetime.now(UTC)
        self._folder.save(job.id, report)
        if reason:
            _log.error("upload %s failed: %s", job.id, reason)

    def _ingest(self, job: Job, report: Report) -> bool:
        """Ingest what a job holds, and return whether that came to its end."""
        place = self._folder.path(job.id)
        written = place / OUTCOMES
        report.ingested = report.unchanged = report.refused = 0
        before = set()
        with disk_errors():
            for outcome in resume_outcomes(written):
                report.count(outcome.status)
                before.add(outcome.input)
        inputs = Inputs(job, place / FILES, self._pipeline)
        fresh: list[Outcome] = []
        saved = time.monotonic()
        try:
            for outcome in inputs.outcomes():
                if outcome.input not in before:
                    fresh.append(outcome)
                    report.count(outcome.status)
                if self._stopping.is_set():
                    return False
                if time.monotonic() - saved > SAVED_EVERY_S:
                    saved, report.total = time.monotonic(), inputs.total
                    _write(written, fresh)
                    fresh = []
                    self._folder.lease(job.id)
                    self._folder.save(job.id, report)
        finally:
            _write(written, fresh)
        report.total = inputs.total
        return True


class Inputs:
    """What the files of a job hold; who sent them is told their names, and no folder of ours."""

    def __init__(self, job: Job, folder: Path, pipeline: Pipeline) -> None:
        self.total = 0
        self._job = job
        self._folder = folder
        self._pipeline = pipeline
        self._ours = re.compile(rf"{re.escape(str(folder))}/\d+/")

    def outcomes(self) -> Iterator[Outcome]:
        """Ingest them, and yield what became of each; ``total`` grows as files are read."""
        kinds = {"spectra": self._spectra, "catalog": self._rows, "papers": self._papers}
        for one in kinds[self._job.kind]():
            notes = tuple(map(self._plain, one.notes))
            yield Outcome(self._plain(one.input), one.status, self._plain(one.detail), notes)

    def _spectra(self) -> Iterator[Outcome]:
        job = self._job
        table = self._read(self._catalogue, job.catalog) if job.catalog else None
        if isinstance(table, Outcome):  # without their rows they would be stored under other keys
            yield table
            return
        self.total += len(job.files)
        yield from self._pipeline.ingest_spectra(
            [self._folder / file for file in job.files],
            table,
            job.radius_arcsec,
            self._folder / job.rmf if job.rmf else None,
            self._folder / job.background if job.background else None,
        )

    def _rows(self) -> Iterator[Outcome]:
        for file in self._job.files:
            table = self._read(lambda path: read_detections(path, self._job.release), file)
            if isinstance(table, Outcome):
                yield table
            else:
                self.total += len(table.detections) + len(table.refused)
                yield from self._pipeline.ingest_catalogue(table)

    def _papers(self) -> Iterator[Outcome]:
        for file in self._job.files:
            papers = self._read(read_papers, file)
            if isinstance(papers, Outcome):
                yield papers
            else:
                records = [record for part in papers for record in part]
                self.total += len(records)
                yield from self._pipeline.ingest_papers(records)

    def _catalogue(self, path: Path) -> Catalogue:
        return read_catalogue(path, self._job.release)

    def _read(self, read: Callable[[Path], T], file: str) -> T | Outcome:
        """Read one file; one that cannot be read is refused, with the reason."""
        try:
            return read(self._folder / file)
        except (InputError, NotFoundError) as exc:
            self.total += 1
            return Outcome(Path(file).name, "refused", str(exc))

    def _plain(self, text: str) -> str:
        return self._ours.sub("", text)


def _write(path: Path, outcomes: Sequence[Outcome]) -> None:
    with disk_errors():
        write_outcomes(path, outcomes)


def sender(app: Celery) -> Notify:
    """Return what puts the ids of jobs into the queue, for a process that does not work."""

    def send(job_id: str) -> None:
        try:
            send_task(app, f"{PREFIX}{INGEST}", FEED, [job_id], queue=ENCODE)
        except UnavailableError as exc:
            _log.warning("upload %s waits for the next look at the folder: %s", job_id, exc)

    return send
