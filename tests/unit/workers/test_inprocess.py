import threading
import time

import pytest
from fake_archives import FakeArchives, FirstSentences
from fake_encoder import FakeEncoder

from common.errors import ArchiveError
from search.store.embedded import EmbeddedStore
from workers.inprocess import Scheduler
from workers.settings import WorkerSettings
from workers.steps.flow import Flow
from workers.writing.pipeline import Pipeline

SETTINGS = WorkerSettings(dispatch_s=0.05, fetch_batch=5, batch=5, retry_s=0)
PATIENCE_S = 30


@pytest.fixture
def archives(tmp_path):
    archives = FakeArchives(tmp_path / "files", page=10)
    archives.add_detections(12)
    archives.add_papers(3)
    return archives


@pytest.fixture
def flow(tmp_path, archives):
    with EmbeddedStore(tmp_path / "store") as store:
        yield Flow(Pipeline(store, FakeEncoder(), FirstSentences()), archives.archives(), SETTINGS)


def until(condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_scheduler_ingests_what_the_schedule_says(flow):
    with Scheduler(flow):
        until(lambda: flow.ledger.counts() == {"csc": {"stored": 12}, "ads": {"stored": 3}})
    assert flow.ledger.notes.job("discover csc").done_at


def test_scheduler_takes_over_what_a_killed_process_had_leased(flow):
    flow.due()
    flow.discover("csc")
    flow.dispatch(lambda *_: None)
    with Scheduler(flow):
        until(lambda: flow.ledger.counts().get("csc") == {"stored": 12})
        until(lambda: flow.ledger.counts().get("ads") == {"stored": 3})


def test_scheduler_goes_on_after_an_archive_failed_and_after_a_surprise(
    flow, archives, monkeypatch
):
    errors = [ArchiveError("HTTP 500"), MemoryError(), None]
    pages = flow._feeds["csc"].pages

    def flaky(cursor):
        error = errors.pop(0) if errors else None
        if error:
            raise error
        return pages(cursor)

    monkeypatch.setattr(flow._feeds["csc"], "pages", flaky)
    with Scheduler(flow):
        until(lambda: flow.ledger.counts().get("csc") == {"stored": 12})


def test_scheduler_goes_on_when_looking_for_what_is_due_meets_a_surprise(flow, monkeypatch):
    due, surprises = flow.due, [MemoryError(), KeyError("a bug")]

    def surprised():
        if surprises:
            raise surprises.pop()
        return due()

    monkeypatch.setattr(flow, "due", surprised)
    with Scheduler(flow) as scheduler:
        until(lambda: flow.ledger.counts() == {"csc": {"stored": 12}, "ads": {"stored": 3}})
    assert scheduler.loop.errors == 2


def test_scheduler_encodes_while_an_archive_does_not_answer(flow, archives, monkeypatch):
    answers = threading.Event()
    pages = flow._feeds["csc"].pages

    def silent(cursor):
        answers.wait(PATIENCE_S)
        return pages(cursor)

    monkeypatch.setattr(flow._feeds["csc"], "pages", silent)
    with Scheduler(flow):
        until(lambda: flow.ledger.counts().get("ads") == {"stored": 3})
        answers.set()


def test_scheduler_finishes_what_is_under_way_when_it_is_stopped(flow):
    with Scheduler(flow):
        until(lambda: flow.ledger.counts().get("csc"))
    leased = flow.ledger.counts()
    time.sleep(0.1)
    assert flow.ledger.counts() == leased
