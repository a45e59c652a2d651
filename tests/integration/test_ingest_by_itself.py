"""``serve --ingest`` and ``jobs``, as users run them, on archives that are servers of this test."""

import os
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from archives.cda_server import CDAServer
from command import COMMAND, answer, run
from world import World, key_of

from workers.maintenance.backup import verify_backup

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DETECTIONS, PAPERS = 24, 6
PORT = 8766
BASE = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="module")
def world():
    with World() as world:
        yield world.make(DETECTIONS, PAPERS)


@pytest.fixture(scope="module")
def environment(world, module_folder):
    """Let the commands of this module ask those archives."""
    folder = module_folder("downloads")
    more = {
        "CHANDRA_DOWNLOADS_DIR": str(folder),
        "CHANDRA_DISPATCH_S": "0.3",
        "CHANDRA_FEEDS": '["csc", "ads"]',
        "CHANDRA_WORKER_METRICS_PORT": str(PORT + 1),
        "CHANDRA_LEARN_DAYS": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (world.environment | more).items():
            patch.setenv(name, value)
        yield patch


@pytest.fixture(scope="module")
def data_dir(module_folder):
    return module_folder("data")


@pytest.fixture(scope="module")
def served(environment, data_dir):
    """What one process ingested while it answered; it is told to stop afterwards."""
    command = [*COMMAND, "serve", "--ingest", "--port", str(PORT), "--data-dir", str(data_dir)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ})
    seen = {}
    try:
        end = time.monotonic() + 480
        while time.monotonic() < end and "hits" not in seen:
            time.sleep(0.5)
            try:
                question = {"q": "an obscured source that varies", "to": "papers"}
                found = httpx.get(f"{BASE}/v1/search/text", params=question, timeout=60).json()
                like = httpx.get(f"{BASE}/v1/search/like/{key_of(0)}", timeout=60)
            except httpx.ConnectError:
                continue
            seen["metrics"] = httpx.get(f"http://127.0.0.1:{PORT + 1}/metrics", timeout=60).text
            stored = f'chandra_ingest_state{{feed="csc",state="stored"}} {DETECTIONS:.1f}'
            if len(found["answers"]) == PAPERS and stored in seen["metrics"]:
                seen["hits"] = like.json()["answers"]
                seen["jobs"] = httpx.get(f"{BASE}/v1/admin/jobs", timeout=60).json()
                seen["failed"] = httpx.get(f"{BASE}/v1/admin/jobs/failed", timeout=60).json()
                seen["locked"] = run("jobs", "status", data_dir=data_dir, code=4).stderr
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert "hits" in seen, said
    assert "Traceback" not in said
    assert process.returncode == 0, "asked to end, it closes its store first"
    return seen


def test_one_process_ingests_and_answers(served):
    assert {hit["payload"]["instrument"] for hit in served["hits"]} == {"ACIS"}
    assert "chandra_archive_requests_left" in served["metrics"]


def test_jobs_are_told_over_http_while_the_store_is_in_use(served):
    assert served["jobs"]["feeds"]["csc"]["counts"] == {"stored": DETECTIONS}
    assert served["failed"] == {"total": 0, "items": []}
    assert "/v1/admin/jobs" in served["locked"]


def test_detections_have_class_papers_and_text_of_their_source(served, data_dir):
    held = answer("status", data_dir=data_dir)
    assert held["detections"] == DETECTIONS
    assert held["detections_with_spectrum"] == DETECTIONS - 1  # the thirteenth is of HRC
    assert held["classes"]["QSO"] == 6
    said = run("search", "text", "obscured", "--class", "HXB", data_dir=data_dir).stdout
    assert "HXB" in said


def test_status_says_how_far_each_archive_is(served, data_dir):
    said = answer("jobs", "status", data_dir=data_dir)
    assert said["feeds"]["csc"]["counts"] == {"stored": DETECTIONS}
    assert said["feeds"]["ads"]["counts"] == {"stored": PAPERS}
    assert said["feeds"]["csc"]["polled_at"]
    assert said["jobs"]["snapshot"]["done_at"]
    assert said["jobs"]["learn"]["done_at"]  # there is too little to learn from, which is no error
    assert said["jobs"]["learn"]["error"] is None


def test_daily_snapshot_holds_collections_and_model(served, data_dir):
    (snapshot,) = (data_dir / "snapshots").iterdir()
    manifest = verify_backup(snapshot)
    model_id = answer("status", data_dir=data_dir)["model_id"]
    assert f"bundles/{model_id}/model.json" in manifest.parts
    assert {"ingest_log", f"detections@{model_id}"} <= manifest.collections.keys()


def test_poll_ingests_just_what_is_new(served, data_dir, world):
    assert answer("jobs", "poll", "csc", data_dir=data_dir)["found"] == 0
    world.grow(detections=3)
    polled = answer("jobs", "poll", "csc", data_dir=data_dir)
    assert polled == {"found": 3, "counts": {"stored": DETECTIONS + 3}}


def test_poll_of_the_observations_brings_their_detections(served, data_dir, world, environment):
    today = datetime.now(UTC).replace(microsecond=0)
    world.universe.public_since = today - timedelta(days=10)
    with CDAServer(world.universe) as server, environment.context() as patch:
        patch.setenv("CHANDRA_CDA_TAP_URL", f"{server.url}/cxctap")
        patch.setenv("CHANDRA_FEEDS", '["cda"]')
        polled = answer("jobs", "poll", "cda", data_dir=data_dir)
    assert polled["found"] == 2
    assert polled["counts"] == {"stored": 2 + DETECTIONS + 3}


def test_verify_finds_nothing_wrong(served, data_dir):
    assert "nothing wrong" in run("verify", data_dir=data_dir).stderr


def test_papers_of_a_question_or_about_an_object_are_ingested_from_ads(
    environment, world, tmp_path, monkeypatch
):
    own = [paper | {"objects": [n]} for n, paper in enumerate(world.universe.papers())]
    monkeypatch.setattr(world.ads, "papers", lambda: own)
    monkeypatch.setattr(world.ads, "numbers", {"NGC 4258": 3})
    run("ingest", "ads", "--object", "NGC 4258", data_dir=tmp_path)
    assert answer("status", data_dir=tmp_path)["papers"] == 1
    run("ingest", "ads", "On source", data_dir=tmp_path)
    assert answer("status", data_dir=tmp_path)["papers"] == PAPERS
    unknown = run("ingest", "ads", "--object", "Nothing 1", data_dir=tmp_path, code=2)
    assert "'Nothing 1'" in unknown.stderr
    assert "--object" in run("ingest", "ads", data_dir=tmp_path, code=2).stderr


def test_refused_token_is_named_and_nothing_is_lost(served, data_dir, environment):
    before = answer("jobs", "status", data_dir=data_dir)["feeds"]["ads"]
    with environment.context() as patch:
        patch.setenv("CHANDRA_ADS_TOKEN", "one-that-expired")
        done = run("jobs", "poll", "ads", data_dir=data_dir, code=2)
    assert "CHANDRA_ADS_TOKEN" in done.stderr
    assert "one-that-expired" not in done.stderr
    after = answer("jobs", "status", data_dir=data_dir)
    assert after["feeds"]["ads"] == before
    assert "CHANDRA_ADS_TOKEN" in after["jobs"]["discover ads"]["error"]


def test_archive_that_is_not_there_is_unavailable_and_tried_again_later(
    served, data_dir, environment
):
    with environment.context() as patch:
        patch.setenv("CHANDRA_CSC_TAP_URL", "http://127.0.0.1:9/csc21tap")
        patch.setenv("CHANDRA_ARCHIVE_ATTEMPTS", "2")
        done = run("jobs", "poll", "csc", data_dir=data_dir, code=4)
    assert "csc does not answer" in done.stderr
    job = answer("jobs", "status", data_dir=data_dir)["jobs"]["discover csc"]
    assert job["next_at"] > job["done_at"]
    assert job["attempts"] == 1


def test_feed_that_does_not_exist_is_named(served, data_dir):
    assert "csc, ads" in run("jobs", "poll", "xmm", data_dir=data_dir, code=2).stderr
