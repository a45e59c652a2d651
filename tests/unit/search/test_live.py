import logging

import pytest
from fake_encoder import FakeEncoder
from qdrant_client import models
from two_models import BetterEncoder

from common.errors import BundleError, UnavailableError
from search.collections import schema
from search.collections.model_view import ModelView
from search.collections.model_watch import ModelWatch
from search.collections.schema import DETECTIONS, PAPERS, WITHDRAWN
from search.store.embedded import EmbeddedStore


@pytest.fixture
def store(tmp_path):
    with EmbeddedStore(tmp_path / "store") as store:
        schema.open_collections(store, FakeEncoder())
        schema.create_collections(store, BetterEncoder())
        yield store


def switch(store, model_id):
    store.set_aliases({kind: f"{kind}@{model_id}" for kind in (DETECTIONS, PAPERS)})


def test_watch_changes_once_for_each_switch(store):
    changes = []
    watch = ModelWatch(store, "fake0", changes.append)
    assert not watch.look()
    switch(store, "fake1")
    assert watch.look()
    assert not watch.look()
    switch(store, "fake0")
    assert watch.look()
    assert changes == ["fake1", "fake0"]


def test_watch_stays_and_tries_again_while_the_bundle_is_missing(store, caplog):
    missing = [True]
    changes = []

    def change(model_id):
        if missing:
            raise BundleError("give that model's bundle")
        changes.append(model_id)

    watch = ModelWatch(store, "fake0", change)
    switch(store, "fake1")
    with caplog.at_level(logging.WARNING):
        assert not watch.look()
    assert "still answering by model fake0: give that model's bundle" in caplog.text
    missing.clear()
    assert watch.look()
    assert changes == ["fake1"]


def test_watch_outlives_a_store_that_does_not_answer(store, monkeypatch):
    def down(_alias):
        raise UnavailableError("the engine does not answer")

    changes = []
    watch = ModelWatch(store, "fake0", changes.append)
    switch(store, "fake1")
    with monkeypatch.context() as patch:
        patch.setattr(store, "resolve", down)
        assert not watch.look()
    assert watch.look()


def test_a_view_keeps_to_its_model_when_the_alias_moves(store):
    view = ModelView(store, "fake0")
    switch(store, "fake1")
    assert view.resolve(DETECTIONS) == "detections@fake0"
    store.delete_collection("detections@fake1")
    assert view.count(DETECTIONS) == 0
    assert view.scroll(DETECTIONS) == ([], None)


def withdraw_one(store):
    store.upsert(
        "detections@fake0",
        [
            models.PointStruct(id=1, vector={}, payload={}),
            models.PointStruct(id=2, vector={}, payload={WITHDRAWN: "2026-01-01T00:00:00+00:00"}),
        ],
    )


def test_a_view_asks_as_it_is_asked_while_there_is_no_tombstone(store, monkeypatch):
    asked = []
    monkeypatch.setattr(store, "facet", lambda *arguments: asked.append(arguments[2]) or {})
    view = ModelView(store, "fake0", look_every_s=0)
    view.facet(DETECTIONS, "class_path")
    withdraw_one(store)
    view.facet(DETECTIONS, "class_path")
    assert asked[0] is None
    assert asked[1] is not None


def test_a_view_hides_what_is_withdrawn_while_it_is_open(store):
    view = ModelView(store, "fake0", look_every_s=0)
    assert view.count(DETECTIONS) == 0
    withdraw_one(store)
    assert view.count(DETECTIONS) == 1
    assert [record.id for record in view.scroll(DETECTIONS)[0]] == [1]
