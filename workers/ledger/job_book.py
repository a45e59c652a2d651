"""Jobs of the schedule: which are due, and that each is done by one worker at a time.

A job is leased when it is sent and while it runs, of two who try one gets it, and leases end by
themselves; so a job that was lost with its message or its worker is due again a lease later, and
goes on where its own notes say. Two that run all the same do the work twice, and harm nothing.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from common.errors import BudgetError, ChandraSearchError, UnavailableError
from common.ports import Progress
from workers.ledger.checkpoints import Notes
from workers.ledger.schedule import Job
from workers.settings import WorkerSettings

Beat = Progress
"""Called now and then while a job runs, so that it is known to be alive."""


class JobBook:
    """When the jobs of the schedule are done, in the ledger."""

    def __init__(self, notes: Notes, settings: WorkerSettings, jobs: Sequence[Job]) -> None:
        self._notes = notes
        self._settings = settings
        self._jobs = jobs

    def due(self) -> list[Job]:
        """Return the jobs that are due and that nobody has, and lease them to the caller."""
        now = datetime.now(UTC)
        found = []
        for job in self._jobs:
            known = self._notes.job(job.name)
            free = not _is_later(known.next_at, now) and not _is_later(known.leased_until, now)
            if free and self._notes.take_job(known, leased_until=now + self._settings.lease):
                found.append(job)
        return found

    def free(self) -> None:
        """Take back every lease."""
        for job in self._jobs:
            if self._notes.job(job.name).leased_until:
                self._notes.save_job(job.name, leased_until=None, running_until=None)

    @contextmanager
    def running(self, name: str, now_or_never: bool = False) -> Iterator[Beat | None]:
        """Run a job while it is nobody else's, and note how it ended.

        Gives None when it runs elsewhere, or has been done since it was sent. ``now_or_never``
        runs it even if it is not due.
        """
        started = datetime.now(UTC)
        known = self._notes.job(name)
        until = started + self._settings.lease
        if (
            _is_later(known.running_until, started)
            or (not now_or_never and _is_later(known.next_at, started))
            or not self._notes.take_job(known, leased_until=until, running_until=until)
        ):
            yield None
            return
        ended = False
        beat = self._beat(name)
        try:
            yield beat
        except ChandraSearchError as exc:
            ended = True
            again = self._again(exc, known.attempts)
            self._end(name, str(exc), attempts=known.attempts + 1, next_at=again)
            raise
        else:
            ended = True
            every = next((job.every for job in self._jobs if job.name == name), timedelta())
            self._end(name, None, attempts=0, next_at=started + every, done_at=datetime.now(UTC))
        finally:
            if not ended:
                reason = "broken off by an error that nobody expected, which is in the logs"
                again = self._again(None, known.attempts)
                self._end(name, reason, attempts=known.attempts + 1, next_at=again)

    def _end(self, name: str, error: str | None, **changes: object) -> None:
        idle = {"leased_until": None, "running_until": None}
        self._notes.save_job(name, error=error, **idle, **changes)

    def _again(self, error: ChandraSearchError | None, attempts: int) -> datetime:
        return retry_at(error, attempts, self._settings)

    def _beat(self, name: str) -> Beat:
        """Return what renews the lease of a job, not oftener than it is worth."""
        renewed = time.monotonic()

        def beat(_stage: str, _done: int, _total: int | None) -> None:
            nonlocal renewed
            if time.monotonic() - renewed >= self._settings.lease_s / 4:
                renewed = time.monotonic()
                until = datetime.now(UTC) + self._settings.lease
                self._notes.save_job(name, leased_until=until, running_until=until)

        return beat


def retry_at(error: ChandraSearchError | None, attempts: int, settings: WorkerSettings) -> datetime:
    """Return when to try again after so many failures before this one."""
    now = datetime.now(UTC)
    if isinstance(error, BudgetError):
        return max(now, error.retry_at)
    wait_s = min(settings.retry_s * 4**attempts, LONGEST_WAIT_S)
    asked_s = getattr(error, "retry_after_s", None) if isinstance(error, UnavailableError) else 0
    return now + timedelta(seconds=max(wait_s, asked_s or 0))


LONGEST_WAIT_S = 86_400.0


def _is_later(time: datetime | None, than: datetime) -> bool:
    return time is not None and time > than
