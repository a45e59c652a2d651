"""Stores that earlier code has written open today, and nothing in them is lost.

``store-without-revisions.tar.xz``: 12 simulated detections with their papers, one of them
withdrawn, and a ledger, written by the last code before writes left revisions, for the fake
encoder.
"""

import errno
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fake_encoder import FakeEncoder
from qdrant_client import models
from qdrant_rest.process import REPOSITORY, SUPPORT
from two_models import BetterEncoder, differences, open_pipeline, simulate

from common.errors import InputError, UnavailableError
from search.collections import schema
from search.collections.schema import DETECTIONS, PAPERS, WITHDRAWN
from search.collections.store_format import ABOUT, check_format
from search.store.embedded import EmbeddedStore
from search.store.revisions import revisions_of
from search.store.scroll import scroll_all
from workers.ledger.items import Entry
from workers.ledger.ledger import Ledger
from workers.maintenance.reindex import Reindex
from workers.maintenance.verify import Verifier

N = 12


@pytest.fixture(scope="module")
def unpacked(module_folder, repository):
    folder = module_folder("former")
    with tarfile.open(repository / "tests/former_stores/store-without-revisions.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "store"


@pytest.fixture
def folder(unpacked, tmp_path):
    return shutil.copytree(unpacked, tmp_path / "store")


@pytest.fixture
def store(folder):
    with EmbeddedStore(folder) as store:
        yield store


@pytest.fixture
def dataset():
    return simulate(N, 5)


def everything(store):
    return {
        name: {r.id: (r.payload, r.vector) for r in scroll_all(store, name, None, True, True)}
        for name in store.collections()
    }


def assert_alike(said, before, where="store"):
    """Simulated values differ in their last digits between machines."""
    if isinstance(before, dict):
        assert said.keys() == before.keys(), where
        for name, own in before.items():
            assert_alike(said[name], own, f"{where} {name}")
    elif isinstance(before, list | tuple):
        assert len(said) == len(before), where
        for one, own in zip(said, before, strict=True):
            assert_alike(one, own, where)
    elif isinstance(before, float):
        assert said == pytest.approx(before, rel=1e-5, abs=1e-6), where
    else:
        assert said == before, where


def test_it_opens_and_is_in_order(store, dataset):
    pipeline = open_pipeline(store)
    assert store.count(DETECTIONS) == N
    assert Verifier(pipeline).run().findings == []
    withdrawn = store.retrieve(DETECTIONS, [dataset.detections[0].id])[0]
    assert WITHDRAWN in withdrawn.payload


def test_it_is_said_that_the_former_version_cannot_open_it_any_more(store, caplog, monkeypatch):
    open_pipeline(store)
    assert "was made by a former version" in caplog.text
    caplog.clear()
    open_pipeline(store)
    assert not caplog.text
    monkeypatch.setattr("search.collections.store_format.FORMAT", 1)
    with pytest.raises(InputError, match=r"in a form that .* does not know: upgrade"):
        check_format(store)


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


def test_the_same_dataset_again_changes_only_what_was_withdrawn(store, dataset):
    withdrawn = str(dataset.detections[0].id)
    before = everything(store)
    pipeline = open_pipeline(store)
    outcomes = [*pipeline.ingest_dataset(dataset)]
    assert {one.status for one in outcomes} <= {"ingested", "unchanged"}
    assert {one.status for one in pipeline.ingest_dataset(dataset)} == {"unchanged"}
    after = everything(store)
    assert WITHDRAWN in before["detections@fake0"].pop(withdrawn)[0]
    assert WITHDRAWN not in after["detections@fake0"].pop(withdrawn)[0]
    assert before.pop(ABOUT) != after.pop(ABOUT)
    assert_alike(after, before)


def test_its_ledger_goes_on(store):
    ledger = Ledger(store)
    assert ledger.notes.feed("csc").cursor == "abc"
    assert ledger.notes.job("discover:csc").attempts == 2
    assert ledger.found("csc", [Entry("csc2.1/1/0/1", {"key": "csc2.1/1/0/1"}, "1")], 1, 1) == 0
    items = ledger.items("csc", ["csc2.1/1/0/1", "csc2.1/1/0/2"])
    until = datetime.now(UTC) + timedelta(hours=1)
    assert len(ledger.lease(items, until)) == 2
    assert ledger.lease(items, until) == []


def test_its_model_can_be_changed(store):
    open_pipeline(store)
    Reindex(store, BetterEncoder(), sleep=lambda _s: None).run()
    assert differences(store) == []
    assert store.count(PAPERS) == 7


TOMORROW = {"a_word": models.PayloadSchemaType.KEYWORD, "b_number": models.PayloadSchemaType.FLOAT}
"""Fields that a version to come may index."""

KILLED = """
import os, sys
from pathlib import Path
from search.store import shards
from test_former_stores import of_tomorrow
from search.store.embedded import EmbeddedStore

where, folder = sys.argv[1], Path(sys.argv[2])
to_index = shards.to_index

def killed_at_the_second(kind, linked):
    if kind.value == "float":
        os._exit(137)
    return to_index(kind, linked)

if where == "between two indexes":
    shards.to_index = killed_at_the_second
else:
    shards.write_schema = lambda *_: os._exit(137)
with EmbeddedStore(folder) as store:
    store.create_collection("detections@fake0", of_tomorrow())
"""


def of_tomorrow():
    today = schema.detections_schema(FakeEncoder())
    return replace(today, payload_indexes={**today.payload_indexes, **TOMORROW})


@pytest.mark.parametrize("where", ["between two indexes", "before it is written down"])
def test_killed_while_it_is_upgraded_it_goes_on(folder, where, caplog):
    with EmbeddedStore(folder) as store:
        before = everything(store)
    places = os.pathsep.join(map(str, (REPOSITORY, SUPPORT, Path(__file__).parent)))
    command = [sys.executable, "-c", KILLED, where, folder]
    killed = subprocess.run(command, env=os.environ | {"PYTHONPATH": places}, check=False)
    assert killed.returncode == 137
    with EmbeddedStore(folder) as store:
        assert everything(store) == before
        store.create_collection("detections@fake0", of_tomorrow())
        assert everything(store) == before
        word = models.FieldCondition(key="a_word", match=models.MatchValue(value="x"))
        number = models.FieldCondition(key="b_number", range=models.Range(gte=0))
        assert store.count(DETECTIONS, models.Filter(must=[word, number])) == 0
    assert "indexing a_word, b_number of its 12 points" in caplog.text


def test_a_full_disk_while_it_is_upgraded_is_said_and_it_goes_on(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with EmbeddedStore(folder) as store, monkeypatch.context() as patch:
        before = everything(store)
        patch.setattr("search.store.manifest.os.fsync", full)
        with pytest.raises(UnavailableError, match=r"No space left on device.*make room"):
            store.create_collection("detections@fake0", of_tomorrow())
    with EmbeddedStore(folder) as store:
        store.create_collection("detections@fake0", of_tomorrow())
        assert everything(store) == before
