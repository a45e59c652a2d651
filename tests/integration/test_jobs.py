import pytest
from command import answer, run
from fake_archives import FakeArchives, FirstSentences
from fake_encoder import FakeEncoder
from typer.testing import CliRunner

from cli import jobs
from common.errors import InputError
from search.store.embedded import EmbeddedStore
from workers.inprocess import drain
from workers.settings import WorkerSettings
from workers.steps.flow import Flow
from workers.writing.pipeline import Pipeline

WRONG = "csc2.1/1000/0/1"


@pytest.fixture
def data_dir(tmp_path):
    archives = FakeArchives(tmp_path / "files", page=10)
    archives.add_detections(12)
    archives.failing[1] = InputError("obsid 1000 is no observation: correct it")
    with EmbeddedStore(tmp_path / "data" / "store") as store:
        flow = Flow(
            Pipeline(store, FakeEncoder(), FirstSentences()),
            archives.archives(),
            WorkerSettings(fetch_batch=4),
        )
        flow.discover("csc")
        drain(flow)
    return tmp_path / "data"


def test_jobs_status_tells_feeds_and_schedule(data_dir):
    said = answer("jobs", "status", data_dir=data_dir)
    assert said["feeds"]["csc"]["counts"] == {"stored": 11, "failed": 1}
    assert said["feeds"]["csc"]["watermark"] == "000001 001004/000/000012"
    assert said["feeds"]["ads"] == {
        "counts": {},
        "watermark": None,
        "polled_at": None,
        "error": None,
    }
    assert said["jobs"]["discover csc"]["done_at"]
    assert said["jobs"]["discover ads"]["done_at"] is None
    table = run("jobs", "status", data_dir=data_dir).stdout
    assert "discover ads" in table
    assert "complete up to" in table


def test_jobs_watch_shows_the_same_again_and_again_until_it_is_interrupted(data_dir, monkeypatch):
    looked = []

    def interrupted(seconds):
        looked.append(seconds)
        if len(looked) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(jobs.time, "sleep", interrupted)
    done = CliRunner().invoke(jobs.app, ["watch", "--every", "5", "--data-dir", str(data_dir)])
    assert done.exit_code == 0, done.output
    assert looked == [5.0] * 3


def test_jobs_failed_names_each_with_its_reason_and_retry_lets_it_be_tried_again(data_dir):
    said = answer("jobs", "failed", data_dir=data_dir)
    assert said["total"] == 1
    assert (said["items"][0]["key"], said["items"][0]["attempts"]) == (WRONG, 1)
    assert "obsid 1000 is no observation" in said["items"][0]["error"]
    assert WRONG in run("jobs", "failed", "--feed", "csc", data_dir=data_dir).stdout
    assert answer("jobs", "retry", "--feed", "csc", data_dir=data_dir) == {"retried": 1}
    counts = answer("jobs", "status", data_dir=data_dir)["feeds"]["csc"]["counts"]
    assert counts == {"stored": 11, "found": 1}
