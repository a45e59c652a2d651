from uuid import uuid4

import pytest
from qdrant_client import models
from qdrant_rest.examples import KIND, SCHEMA, VECTORS, field, ids, point

from common.errors import InputError, NotFoundError
from search.store.base import CollectionSchema

POINTS = [point(i, {"year": 2000 + i}, own=[1.0, i, 0.5]) for i in range(1, 30)]


@pytest.fixture
def copy_name(store):
    name = f"test-{uuid4().hex}"
    yield name
    if name in store.collections():
        store.delete_collection(name)


def test_delete_points_removes_them_and_leaves_the_others(store, collection):
    store.upsert(collection, POINTS)
    store.delete_points(collection, [1, 2, 999])
    assert store.count(collection) == len(POINTS) - 2
    assert ids(store.retrieve(collection, [1, 2, 3])) == [3]


def test_snapshot_loaded_under_another_name_answers_alike(store, collection, copy_name, tmp_path):
    store.upsert(collection, POINTS)
    store.save_snapshot(collection, tmp_path / "one.snapshot")
    store.upsert(collection, [point(99, own=[0.0, 0.0, 1.0])])
    store.load_snapshot(copy_name, tmp_path / "one.snapshot")
    assert store.count(copy_name) == len(POINTS)
    question = [0.9, 7.0, 0.4]
    assert (
        ids(store.query(copy_name, question, "own", limit=5))
        == [hit for hit in ids(store.query(collection, question, "own", limit=6)) if hit != 99][:5]
    )
    store.upsert(copy_name, [point(100, own=[1.0, 0.0, 1.0])])
    assert store.count(copy_name) == len(POINTS) + 1


def test_snapshot_keeps_payload_indexes(store, collection, copy_name, tmp_path):
    store.create_collection(collection, CollectionSchema(VECTORS, {"year": KIND.INTEGER}))
    store.upsert(collection, POINTS)
    store.save_snapshot(collection, tmp_path / "one.snapshot")
    store.load_snapshot(copy_name, tmp_path / "one.snapshot")
    of_2005 = field("year", match=models.MatchValue(value=2005))
    assert store.count(copy_name, of_2005) == store.count(collection, of_2005) == 1


def test_snapshot_of_an_alias_is_that_of_its_collection(store, collection, copy_name, tmp_path):
    store.upsert(collection, POINTS)
    store.set_alias(f"{collection}-alias", collection)
    store.save_snapshot(f"{collection}-alias", tmp_path / "one.snapshot")
    store.load_snapshot(copy_name, tmp_path / "one.snapshot")
    assert store.count(copy_name) == len(POINTS)


def test_snapshot_of_payloads_only_is_one_too(store, fresh_name, copy_name, tmp_path):
    store.create_collection(fresh_name, CollectionSchema({}, sparse=("none",)))
    store.upsert(fresh_name, [point(1, {"kind": "ledger"})])
    store.save_snapshot(fresh_name, tmp_path / "one.snapshot")
    store.load_snapshot(copy_name, tmp_path / "one.snapshot")
    assert store.retrieve(copy_name, [1])[0].payload == {"kind": "ledger"}


def test_snapshot_does_not_replace_a_collection(store, collection, tmp_path):
    store.save_snapshot(collection, tmp_path / "one.snapshot")
    with pytest.raises(InputError, match="already"):
        store.load_snapshot(collection, tmp_path / "one.snapshot")


def test_snapshot_that_is_none_is_refused_and_leaves_nothing(store, copy_name, tmp_path):
    (tmp_path / "one.snapshot").write_bytes(b"no snapshot at all")
    with pytest.raises(InputError):
        store.load_snapshot(copy_name, tmp_path / "one.snapshot")
    assert copy_name not in store.collections()


def test_snapshot_of_an_unknown_collection_is_not_found(store, tmp_path):
    with pytest.raises(NotFoundError, match="nothing-there"):
        store.save_snapshot("nothing-there", tmp_path / "one.snapshot")


def test_set_aliases_moves_several_at_once(store, collection, copy_name):
    store.create_collection(copy_name, SCHEMA)
    first, second = f"{collection}-a", f"{collection}-b"
    store.set_aliases({first: collection, second: collection})
    store.set_aliases({first: copy_name, second: copy_name})
    found = store.aliases()
    assert (found[first], found[second]) == (copy_name, copy_name)


def test_set_aliases_changes_none_when_one_leads_nowhere(store, collection, copy_name):
    store.create_collection(copy_name, SCHEMA)
    first, second = f"{collection}-a", f"{collection}-b"
    store.set_aliases({first: collection, second: collection})
    with pytest.raises(NotFoundError):
        store.set_aliases({first: copy_name, second: "nothing-there"})
    assert store.resolve(first) == collection
