"""The application as `serve` builds it, over an embedded store; only the bundles are fakes."""

import pytest
from fake_encoder import FakeEncoder
from fastapi.testclient import TestClient
from two_models import ENCODERS, BetterEncoder

from common.errors import BundleError
from search import app as composition
from search import schema
from search.app import create_app, open_store
from search.schema import DETECTIONS, PAPERS
from search.settings import SearchSettings

NEVER_S = 3600.0


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
