"""The application as `serve` builds it, over an embedded store; only the bundles are fakes."""

import time

import pytest
from fake_encoder import FakeEncoder
from fastapi.testclient import TestClient
from two_models import ENCODERS, BetterEncoder

from common.errors import BundleError
from common.supervised_loop import SupervisedLoop
from search import app as composition
from search.app import create_app, open_store
from search.collections import schema
from search.collections.schema import DETECTIONS, PAPERS
from search.settings import SearchSettings

NEVER_S = 3600.0
PATIENCE_S = 30


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(composition, "load_encoder_of", lambda *_: FakeEncoder())
    monkeypatch.setattr(composition, "load_model", lambda _settings, name: ENCODERS[name]())
    monkeypatch.setattr(composition, "load_calibration", lambda *_: None)
    return SearchSettings(data_dir=tmp_path / "data")


@pytest.fixture
def store(settings):
    with open_store(settings) as store:
        schema.open_collections(store, FakeEncoder())
        schema.create_collections(store, BetterEncoder())
        yield store


def switch(store, model_id):
    store.set_aliases({kind: f"{kind}@{model_id}" for kind in (DETECTIONS, PAPERS)})


def test_readiness_sees_that_the_store_has_changed_to_another_model(settings, store):
    with TestClient(create_app(settings, store, every_s=NEVER_S)) as client:
        assert client.get("/readyz").json()["model_id"] == "fake0"
        switch(store, "fake1")
        said = client.get("/readyz")
        assert said.status_code == 503
        assert "detections are those of detections@fake1" in said.json()["detail"]
        switch(store, "fake0")
        assert client.get("/readyz").status_code == 200


def test_readiness_sees_that_the_collections_of_its_model_are_gone(settings, store):
    with TestClient(create_app(settings, store, every_s=NEVER_S)) as client:
        switch(store, "fake1")
        for kind in (DETECTIONS, PAPERS):
            store.delete_collection(f"{kind}@fake0")
        assert client.get("/readyz").status_code == 503


def test_a_store_that_the_application_has_opened_ends_with_it(settings):
    with TestClient(create_app(settings)) as client:
        assert client.get("/readyz").status_code == 200
    open_store(settings).close()  # nobody holds it any more


def test_a_store_that_was_given_to_the_application_stays_open(settings, store):
    with TestClient(create_app(settings, store)) as client:
        assert client.get("/readyz").status_code == 200
    assert store.count(DETECTIONS) == 0


def test_an_application_that_cannot_be_built_leaves_no_store_open(settings, monkeypatch):
    def missing(*_):
        raise BundleError("give a bundle")

    monkeypatch.setattr(composition, "load_encoder_of", missing)
    with pytest.raises(BundleError):
        create_app(settings)
    open_store(settings).close()


def test_the_watch_on_the_model_outlives_what_nobody_expected_and_tells_of_it(
    settings, store, monkeypatch
):
    surprises = [MemoryError(), RuntimeError("a bug")]

    def load(_settings, name):
        if surprises:
            raise surprises.pop()
        return ENCODERS[name]()

    monkeypatch.setattr(composition, "load_model", load)
    with TestClient(create_app(settings, store, every_s=0.01)) as client:
        assert 'chandra_loop_errors_total{loop="model watch"} 0.0' in client.get("/metrics").text
        switch(store, "fake1")
        end = time.monotonic() + PATIENCE_S
        while client.get("/healthz").json()["model_id"] != "fake1":
            assert time.monotonic() < end, "it has not changed"
        assert client.get("/readyz").status_code == 200
        assert 'chandra_loop_errors_total{loop="model watch"} 2.0' in client.get("/metrics").text


def test_metrics_tell_of_the_loops_of_the_same_process(settings, store):
    loop = SupervisedLoop("schedule", list, NEVER_S)
    loop.errors = 3
    with TestClient(create_app(settings, store, NEVER_S, loops=[loop])) as client:
        assert 'chandra_loop_errors_total{loop="schedule"} 3.0' in client.get("/metrics").text
