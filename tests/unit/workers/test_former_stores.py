"""Stores that earlier code has written open today, and nothing in them is lost.

``store-without-revisions.tar.xz``: 12 simulated detections with their papers, one of them
withdrawn, and a ledger, written by the last code before writes left revisions, for the fake
encoder.
"""

import tarfile

import pytest
from two_models import BetterEncoder, differences, open_pipeline, simulate

from search.schema import DETECTIONS, PAPERS, WITHDRAWN
from search.store.embedded import EmbeddedStore
from search.store.revisions import revisions_of
from search.store.scrolling import scroll_all
from workers.items import Entry
from workers.ledger import Ledger
from workers.reindex import Reindex
from workers.verify import Verifier

N = 12


@pytest.fixture
def store(tmp_path, repository):
    with tarfile.open(repository / "tests/data/store-without-revisions.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    with EmbeddedStore(tmp_path / "store") as store:
        yield store


@pytest.fixture
def dataset():
    return simulate(N, 5)


def everything(store):
    return {
        name: {r.id: (r.payload, r.vector) for r in scroll_all(store, name, None, True, True)}
        for name in store.collections()
    }


def test_it_opens_and_is_in_order(store, dataset):
    pipeline = open_pipeline(store)
    assert store.count(DETECTIONS) == N
    assert Verifier(pipeline).run().findings == []
    withdrawn = store.retrieve(DETECTIONS, [dataset.detections[0].id])[0]
    assert WITHDRAWN in withdrawn.payload


def test_its_points_have_no_revision_and_get_one_when_they_are_written(store, dataset):
    pipeline = open_pipeline(store)
    point = dataset.detections[3].id
    held = store.read(DETECTIONS, [point])
    assert [one.revision for one in held.values()] == [None]
    pipeline.correct(DETECTIONS, {point: {"class_path": ["Star"]}})
    outdated = store.write_payload(DETECTIONS, {point: {"obi": 7}}, revisions_of(held.values()))
    assert outdated.lost == {str(point)}
    held = store.read(DETECTIONS, [point])
    assert not store.write_payload(
        DETECTIONS, {point: {"obi": 7}}, revisions_of(held.values())
    ).lost


def test_the_same_dataset_again_is_unchanged_but_for_what_was_withdrawn(store, dataset):
    before = everything(store)
    outcomes = [*open_pipeline(store).ingest_dataset(dataset)]
    changed = [one.detail for one in outcomes if one.status != "unchanged"]
    assert changed == [dataset.detections[0].key]
    after = everything(store)
    point = str(dataset.detections[0].id)
    for name, points in before.items():
        kept = {one: said for one, said in points.items() if one != point}
        assert {one: said for one, said in after[name].items() if one != point} == kept


def test_its_ledger_goes_on(store):
    ledger = Ledger(store)
    assert ledger.notes.feed("csc").cursor == "abc"
    assert ledger.notes.job("discover:csc").attempts == 2
    assert ledger.found("csc", [Entry("csc2.1/1/0/1", {"key": "csc2.1/1/0/1"}, "1")], 1, 1) == 0
    items = ledger.items("csc", ["csc2.1/1/0/1", "csc2.1/1/0/2"])
    assert len(ledger.lease(items, items[0].found_at)) == 2
    assert ledger.lease(items, items[0].found_at) == []


def test_its_model_can_be_changed(store):
    open_pipeline(store)
    Reindex(store, BetterEncoder(), sleep=lambda _s: None).run()
    assert differences(store) == []
    assert store.count(PAPERS) == 7
