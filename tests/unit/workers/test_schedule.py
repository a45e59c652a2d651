from datetime import UTC, datetime, timedelta

import pytest
from memory_store import MemoryStore

from common.errors import ArchiveError, BudgetError
from workers.ledger.job_book import LONGEST_WAIT_S, JobBook, retry_at
from workers.ledger.ledger import Ledger
from workers.ledger.schedule import ENCODING, jobs
from workers.queue.tasks import QUEUES
from workers.settings import WorkerSettings

SETTINGS = WorkerSettings(feeds=("csc", "ads"), poll_csc_days=30)
NAME = "discover csc"


@pytest.fixture
def notes():
    return Ledger(MemoryStore()).notes


@pytest.fixture
def book(notes):
    return JobBook(notes, SETTINGS, jobs(SETTINGS))


def test_schedule_polls_only_the_feeds_of_the_settings():
    assert [job.feed for job in jobs(SETTINGS) if job.feed] == ["csc", "ads"]


def test_schedule_has_a_queue_for_every_step():
    assert {job.step for job in jobs(WorkerSettings())} < QUEUES.keys()


def test_jobs_are_due_once_until_their_lease_ends(book, notes):
    assert NAME in [job.name for job in book.due()]
    assert book.due() == []
    notes.save_job(NAME, leased_until=datetime.now(UTC) - timedelta(seconds=1))
    assert [job.name for job in book.due()] == [NAME]


def test_jobs_that_are_done_are_due_after_their_interval(book, notes):
    before = datetime.now(UTC)
    with book.running(NAME) as beat:
        assert beat is not None
    known = notes.job(NAME)
    assert known.next_at - before >= timedelta(days=30)
    assert (known.leased_until, known.attempts, known.error) == (None, 0, None)
    assert NAME not in [job.name for job in book.due()]


def test_jobs_run_once_at_a_time(book):
    with book.running(NAME), book.running(NAME) as second:
        assert second is None


def test_jobs_sent_twice_run_once(book):
    with book.running(NAME):
        pass
    with book.running(NAME) as again:
        assert again is None
    with book.running(NAME, now_or_never=True) as at_once:
        assert at_once is not None


def test_jobs_that_fail_are_due_again_later_and_later(book, notes):
    waits = []
    for attempts in range(3):
        with pytest.raises(ArchiveError), book.running(NAME, now_or_never=True):
            raise ArchiveError("HTTP 500")
        known = notes.job(NAME)
        assert (known.attempts, known.error) == (attempts + 1, "HTTP 500")
        waits.append((known.next_at - datetime.now(UTC)).total_seconds())
    assert waits == pytest.approx([300, 1200, 4800], abs=5)


def test_jobs_broken_off_by_a_surprise_say_so(book, notes):
    with pytest.raises(MemoryError), book.running(NAME):
        raise MemoryError
    assert "nobody expected" in notes.job(NAME).error
    assert notes.job(NAME).running_until is None


def test_jobs_of_a_process_that_is_gone_are_freed(book):
    assert book.due()
    book.free()
    assert book.due()


def test_retry_waits_as_long_as_an_archive_asks():
    def seconds(error, attempts):
        return (retry_at(error, attempts, SETTINGS) - datetime.now(UTC)).total_seconds()

    assert seconds(ArchiveError("429", retry_after_s=5000), 0) == pytest.approx(5000, abs=5)
    assert seconds(ArchiveError("429", retry_after_s=1), 1) == pytest.approx(1200, abs=5)
    assert seconds(ArchiveError("500"), 50) == pytest.approx(LONGEST_WAIT_S, abs=5)
    midnight = datetime.now(UTC) + timedelta(hours=7)
    assert retry_at(BudgetError("used up", midnight), 0, SETTINGS) == midnight


def test_learning_is_off_until_it_is_asked_for():
    assert "learn" not in [job.name for job in jobs(WorkerSettings())]
    (job,) = [job for job in jobs(WorkerSettings(learn_days=30)) if job.step == "learn"]
    assert job.every == timedelta(days=30)
    assert job.step in QUEUES
    assert job.step not in ENCODING
