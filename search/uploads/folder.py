"""The folder of uploads, which the API fills and whoever encodes empties; on disk is the truth.

Each upload is a folder of its own and is in one of three: ``incoming`` while it is received,
``waiting`` from its answer on, ``done`` with its outcomes when it is stored or given up. It moves
by renaming, once everything in it has reached the disk: a kill leaves it in one of the three,
whole. What was left in ``incoming`` was never answered, and is thrown away.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path
from threading import Lock
from uuid import uuid4

from pydantic import ValidationError

from common.errors import BusyError, NoRoomError, NotFoundError, UnavailableError
from search.uploads.job import Job, OutcomePage, Report, Status, page_of_outcomes

JOB, REPORT, OUTCOMES, FILES, SENT = "job.json", "report.json", "outcomes.jsonl", "files", "sent"
ABANDONED_S = 86_400.0
"""How old an upload is that nobody receives any more; a body has seconds to arrive."""
LONGEST_NAME = 100

_ID = re.compile(r"[0-9a-f]{32}")
_ODD = re.compile(r"[^\w.+-]", re.ASCII)
_FULL = (ENOSPC, EDQUOT, EFBIG)

Notify = Callable[[str], None]
"""Called with the id of a job that has come."""


class UploadFolder:
    """Jobs in a folder that several processes may share.

    Parameters
    ----------
    path : Path
        Created when the first upload comes.
    most : int
        Jobs that may wait; more are refused.
    kept : timedelta
        How long outcomes are kept.
    notify : callable
        Told of each job that has come, so that it need not be looked for.
    """

    def __init__(
        self, path: Path, most: int, kept: timedelta, notify: Notify = lambda _: None
    ) -> None:
        self._incoming, self._waiting, self._done = (
            path / name for name in ("incoming", "waiting", "done")
        )
        self._most = most
        self._kept = kept
        self._notify = notify
        self._lock = Lock()
        self._receiving = 0

    @contextmanager
    def draft(self) -> Iterator["Draft"]:
        """Give a place for files to be received in; what is not committed is removed at the end.

        Raises
        ------
        BusyError
            If as many as allowed wait already.
        NoRoomError, UnavailableError
            If the disk takes nothing.
        """
        with disk_errors():
            for folder in (self._incoming, self._waiting, self._done):
                if not folder.exists():
                    folder.mkdir(parents=True, exist_ok=True)
                    for parent in (folder.parent, folder.parent.parent):
                        _sync(parent)
            self._sweep()
        self._enter()
        draft = Draft(self._incoming / uuid4().hex, self._waiting, self._leave)
        try:
            with disk_errors():
                draft.files.mkdir(parents=True)
            yield draft
        finally:
            draft.discard()

    def announce(self, job_id: str) -> None:
        """Tell whoever works off that a job has come."""
        self._notify(job_id)

    def waiting(self) -> list[Job]:
        """Return the jobs without an end, oldest first."""
        return self._jobs_in(self._waiting)

    def every(self) -> list[Job]:
        """Return all jobs that are known, oldest first."""
        return self._jobs_in(self._done) + self.waiting()

    def job(self, job_id: str) -> Job:
        """Return a job.

        Raises
        ------
        NotFoundError
            If there is none of that id.
        UnavailableError
            If it cannot be understood.
        """
        read = self._read(job_id, JOB)
        if read is None:
            raise unknown_job(job_id)
        try:
            return Job.model_validate_json(read)
        except ValidationError as exc:
            raise UnavailableError(
                f"job {job_id} cannot be read, it is damaged or of newer code: whoever runs the "
                "server installs that"
            ) from exc

    def report(self, job_id: str) -> Report:
        """Return what has become of a job."""
        try:
            return Report.model_validate_json(self._read(job_id, REPORT) or "{}")
        except ValidationError:  # damaged: it is done again
            return Report()

    def outcomes(
        self, job_id: str, cursor: str | None = None, limit: int = 100, only: Status | None = None
    ) -> OutcomePage:
        """Return some outcomes of a job, in the order in which they came."""
        for folder in self._places(job_id):
            with suppress(FileNotFoundError):
                return page_of_outcomes(folder / OUTCOMES, cursor, limit, only)
        return OutcomePage([], None)

    def path(self, job_id: str) -> Path:
        """Return the folder of a job that waits."""
        return self._waiting / job_id

    def save(self, job_id: str, report: Report) -> None:
        """Write what has become of a job that waits."""
        with disk_errors():
            _write(self.path(job_id) / REPORT, report.model_dump_json())

    def lease(self, job_id: str) -> None:
        """Note that a job was sent to be worked off, or is."""
        with disk_errors(), suppress(FileNotFoundError):  # ended meanwhile
            (self.path(job_id) / SENT).touch()

    def release(self, job_id: str) -> None:
        """Let a job be sent again."""
        (self.path(job_id) / SENT).unlink(missing_ok=True)

    def is_leased(self, job_id: str, lease_s: float) -> bool:
        """Return whether a job was sent no longer ago than a lease lasts."""
        try:
            return time.time() - (self.path(job_id) / SENT).stat().st_mtime < lease_s
        except FileNotFoundError:
            return False

    @contextmanager
    def taken(self, job_id: str) -> Iterator[bool]:
        """Say whether a job is the caller's to work off; the kernel lets go of it at any death."""
        try:
            file = (self.path(job_id) / JOB).open("r+b")
        except FileNotFoundError:
            yield False
            return
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield self.path(job_id).exists()  # it may have ended before it was locked

    def retire(self, job_id: str) -> None:
        """Remove the files of a job that has ended, and outcomes that were kept long enough."""
        place = self.path(job_id)
        with disk_errors():
            shutil.rmtree(place / FILES, ignore_errors=True)
            (place / SENT).unlink(missing_ok=True)
            place.rename(self._done / job_id)
            until = (datetime.now(UTC) - self._kept).timestamp()
            for old in self._done.iterdir():
                with suppress(FileNotFoundError):  # others clear up, too
                    if old.stat().st_mtime < until:
                        shutil.rmtree(old, ignore_errors=True)

    def _places(self, job_id: str) -> list[Path]:
        """Return where a job may be, in the order in which it moves."""
        known = (self._waiting / job_id, self._done / job_id)
        return [*known] if _ID.fullmatch(job_id) else []

    def _read(self, job_id: str, name: str) -> bytes | None:
        for folder in self._places(job_id):
            with suppress(FileNotFoundError):
                return (folder / name).read_bytes()
        return None

    def _jobs_in(self, folder: Path) -> list[Job]:
        found = []
        with disk_errors():
            names = os.listdir(folder) if folder.exists() else []  # noqa: PTH208
        for name in names:
            with suppress(NotFoundError, UnavailableError):  # it waits for newer code
                found.append(self.job(name))
        return sorted(found, key=lambda job: job.created_at)

    def _enter(self) -> None:
        with self._lock:
            if len(os.listdir(self._waiting)) + self._receiving >= self._most:  # noqa: PTH208
                raise BusyError(
                    f"{self._most} uploads wait to be ingested already: send it again in a while"
                )
            self._receiving += 1

    def _leave(self) -> None:
        with self._lock:
            self._receiving -= 1

    def _sweep(self) -> None:
        """Remove what processes that were killed had begun to receive."""
        for one in self._incoming.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - one.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(one, ignore_errors=True)


class Draft:
    """An upload that is being received."""

    def __init__(self, path: Path, waiting: Path, leave: Callable[[], None]) -> None:
        self.id = path.name
        self.files = path / FILES
        self._path = path
        self._waiting = waiting
        self._leave = leave
        self._open = True

    def commit(self, job: Job) -> None:
        """Put the job where it is worked off, once all of it has reached the disk.

        Raises
        ------
        NoRoomError, UnavailableError
            If it cannot be written; then nothing is left of it.
        """
        place = self._waiting / self.id
        with disk_errors():
            _write(self._path / JOB, job.model_dump_json())
            for folder, _, names in os.walk(self._path):
                for name in names:
                    _sync(Path(folder, name))
                _sync(Path(folder))
            try:
                self._path.rename(place)
                _sync(self._waiting)
            except OSError:
                shutil.rmtree(place, ignore_errors=True)
                raise
        self._close()

    def discard(self) -> None:
        """Remove what was received, unless it was committed."""
        if self._open:
            shutil.rmtree(self._path, ignore_errors=True)
            self._close()

    def _close(self) -> None:
        self._open = False
        self._leave()


@contextmanager
def disk_errors() -> Iterator[None]:
    """Translate what the operating system says of a disk."""
    try:
        yield
    except OSError as exc:
        if exc.errno in _FULL:
            raise NoRoomError(
                "the disk of the server is full, uploads cannot be kept: make room there, then "
                "send it again"
            ) from exc
        raise UnavailableError(
            f"uploads cannot be kept ({exc.strerror}): whoever runs the server checks the folder "
            "CHANDRA_UPLOADS_DIR and its permissions"
        ) from exc


def unknown_job(job_id: str) -> NotFoundError:
    """Return the error that there is no such job, or none that the caller may see."""
    return NotFoundError(
        f"there is no job {job_id[:40]} of yours: ask with the API key that sent it, at the "
        "address in the answer to the upload; outcomes are kept for some weeks"
    )


def harmless_name(name: str | None, otherwise: str = "upload") -> str:
    """Return a harmless form of a file's name, which may tell what kind of file it is."""
    return _ODD.sub("_", name or "").lstrip(".")[-LONGEST_NAME:].lstrip(".") or otherwise


def _write(path: Path, text: str) -> None:
    """Replace a file as a whole."""
    draft = path.with_name(f"{path.name}.part")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
