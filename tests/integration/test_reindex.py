"""A change of model under load: several processes on one engine, over real HTTP."""

import os
import signal
import subprocess
import sys
import time

import pytest
from fake_encoder import FakeEncoder
from fastapi.testclient import TestClient
from qdrant_rest.process import REPOSITORY, SUPPORT, running
from two_models import ENCODERS, Background, BetterEncoder, differences, filled, open_pipeline
from two_models import simulate as simulated

from search import app as composition
from search.app import build_services, create_app
from search.collections.schema import DETECTIONS, model_of
from search.settings import SearchSettings
from search.store.server import ServerStore
from workers.maintenance.backup import back_up, restore
from workers.maintenance.reindex import Reindex, drop_old, roll_back

QUESTION = "obscured active nucleus with an iron line"

# A reindex that is slow enough to be killed in the middle.
SLOW = """
import sys, time
from two_models import BetterEncoder
from search.store.server import ServerStore
from workers.maintenance import reindex

class Slow(BetterEncoder):
    def encode_spectra(self, counts, exposure_s, **kwargs):
        time.sleep(0.05)
        return super().encode_spectra(counts, exposure_s, **kwargs)

reindex.BATCH = 4
with ServerStore(sys.argv[1], timeout_s=30) as store:
    print("begun", flush=True)
    done = reindex.Reindex(store, Slow()).run()
    print(done.detections, flush=True)
"""


@pytest.fixture
def url(tmp_path):
    with running(tmp_path / "engine") as url:
        yield url


@pytest.fixture
def store(url):
    with ServerStore(url, timeout_s=30) as store:
        yield store


@pytest.fixture
def dataset(store):
    return filled(store)


@pytest.fixture
def api(url, tmp_path, monkeypatch, dataset):
    """The application as `serve` builds it, with the two models for bundles."""
    monkeypatch.setattr(composition, "load_encoder_of", lambda *_: FakeEncoder())
    monkeypatch.setattr(composition, "load_model", lambda _settings, name: ENCODERS[name]())
    monkeypatch.setattr(composition, "load_calibration", lambda *_: None)
    settings = SearchSettings(data_dir=tmp_path / "data", qdrant_url=url, timeout_s=30)
    with TestClient(create_app(settings, every_s=0.05)) as client:
        yield client


def asked(client):
    answer = client.get("/v1/search/text", params={"q": QUESTION, "limit": 10})
    assert answer.status_code == 200, answer.text
    return tuple((hit["id"], round(hit["score"], 5)) for hit in answer.json()["answers"])


def wait_for_model(client, model_id):
    for _ in range(200):
        if client.get("/healthz").json()["model_id"] == model_id:
            return
        time.sleep(0.05)
    raise AssertionError(f"the API has not changed to {model_id} in ten seconds")


def test_questions_during_a_switch_are_answered_by_one_model_each(api, store, dataset):
    of_model = {}
    of_model["fake0"] = asked(api)
    answers = []
    change = Reindex(store, BetterEncoder())
    with Background(lambda _turn: answers.append(asked(api))) as questions:
        change.run()
        wait_for_model(api, "fake1")
        of_model["fake1"] = asked(api)
        roll_back(store)
        wait_for_model(api, "fake0")
        change.run()
        wait_for_model(api, "fake1")
        before_drop = questions.done
        drop_old(store, grace_s=0.5)
        while questions.done < before_drop + 5:
            time.sleep(0.01)
    assert of_model["fake0"] != of_model["fake1"]
    assert set(answers) == set(of_model.values())
    assert api.get("/readyz").json()["model_id"] == "fake1"


def test_the_api_answers_as_services_of_the_new_model_do(api, store, dataset):
    Reindex(store, BetterEncoder()).run()
    wait_for_model(api, "fake1")
    services = build_services(store, BetterEncoder(), SearchSettings())
    page = services.search.by_text(QUESTION, "detections")
    assert [key for key, _ in asked(api)] == [str(hit.id) for hit in page.hits]


def begin(url):
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{SUPPORT}"}
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, url], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.slow
def test_killed_again_and_again_while_ingestion_goes_on_it_ends_complete(url, store, dataset):
    pipeline = open_pipeline(store)
    more = simulated(60, 6)
    with Background(lambda _turn: list(pipeline.ingest_dataset(more))):
        for wait_s in (0.1, 0.3, 0.6):
            process = begin(url)
            time.sleep(wait_s)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        process = begin(url)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert out == "100\n"
    assert model_of(store) == "fake1"
    assert store.count(DETECTIONS) == 100
    assert differences(store) == []


@pytest.mark.slow
def test_a_backup_of_the_server_is_restored_on_another(store, dataset, tmp_path):
    Reindex(store, BetterEncoder()).run()
    question = build_services(store, BetterEncoder(), SearchSettings()).search
    before = [(hit.id, hit.score) for hit in question.by_text(QUESTION, "detections").hits]
    path, _ = back_up(store, tmp_path / "data", tmp_path / "one.tar")
    with running(tmp_path / "other") as url, ServerStore(url, timeout_s=30) as other:
        restore(path, other, tmp_path / "restored")
        assert other.aliases() == store.aliases()
        again = build_services(other, BetterEncoder(), SearchSettings()).search
        assert [(h.id, h.score) for h in again.by_text(QUESTION, "detections").hits] == before
        list(open_pipeline(other).ingest_dataset(simulated(60, 6)))
        assert differences(other) == []
