import pytest
from qdrant_client import models
from qdrant_rest.examples import KIND, SCHEMA, VECTORS, field, ids, point

from common.errors import InputError, InvalidQueryError, NotFoundError
from search.store.base import CollectionSchema, NearestQuery, VectorField


def test_create_collection_again_keeps_its_points(store, collection):
    store.upsert(collection, [point(1, own=[1, 2, 3])])
    store.create_collection(collection, SCHEMA)
    assert store.count(collection) == 1
    assert collection in store.collections()


def test_create_collection_with_other_sizes_is_refused(store, collection):
    with pytest.raises(InputError, match="exists with vectors"):
        store.create_collection(collection, CollectionSchema({"own": VectorField(4)}))


def test_create_collection_again_adds_missing_indexes(store, collection):
    more = CollectionSchema(VECTORS, {"year": KIND.INTEGER})
    with pytest.raises(InvalidQueryError, match="year"):
        store.count(collection, field("year", range=models.Range(gte=2000)))
    store.create_collection(collection, more)
    store.upsert(collection, [point(1, {"year": 2001})])
    assert store.count(collection, field("year", range=models.Range(gte=2000))) == 1


def test_create_collection_again_adds_missing_sparse_vectors(store, collection):
    store.upsert(collection, [point(1, own=[1, 2, 3])])
    words = models.SparseVector(indices=[5], values=[1.0])
    with pytest.raises(InvalidQueryError, match="words"):
        store.query(collection, words, "words")
    more = CollectionSchema(VECTORS, sparse=("words",))
    store.create_collection(collection, more)
    store.create_collection(collection, more)
    assert store.query(collection, words, "words") == []
    store.upsert(collection, [point(2, own=[1, 0, 0], words=words)])
    assert ids(store.query(collection, words, "words")) == [2]
    assert set(ids(store.query(collection, [1, 0, 0], "own"))) == {1, 2}


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "ä", "x" * 200])
def test_create_collection_refuses_unusable_name(store, name):
    with pytest.raises(InputError, match="cannot name a collection"):
        store.create_collection(name, SCHEMA)


def test_delete_collection_removes_it_and_its_aliases(store, fresh_name):
    store.create_collection(fresh_name, SCHEMA)
    store.set_alias(f"{fresh_name}-alias", fresh_name)
    store.delete_collection(fresh_name)
    assert fresh_name not in store.collections()
    assert store.resolve(f"{fresh_name}-alias") is None
    with pytest.raises(NotFoundError, match=fresh_name):
        store.delete_collection(fresh_name)


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.upsert("nowhere", [point(1, own=[1, 0, 0])]),
        lambda store: store.retrieve("nowhere", [1]),
        lambda store: store.query("nowhere", [1, 0, 0], "own"),
        lambda store: store.query_batch("nowhere", [NearestQuery([1, 0, 0], "own")]),
        lambda store: store.count("nowhere"),
        lambda store: store.facet("nowhere", "obsid"),
        lambda store: store.scroll("nowhere"),
        lambda store: store.optimize("nowhere"),
        lambda store: store.set_alias("alias-of-nowhere", "nowhere"),
        lambda store: store.delete_collection("nowhere"),
    ],
)
def test_unknown_collection_is_not_found(store, ask):
    with pytest.raises(NotFoundError, match="nowhere"):
        ask(store)


def test_alias_stands_for_its_collection_until_switched(store, fresh_name, collection):
    alias = f"{fresh_name}-alias"
    assert store.resolve(alias) is None
    other = f"{fresh_name}-other"
    store.create_collection(other, SCHEMA)
    store.set_alias(alias, collection)
    store.upsert(alias, [point(1, own=[1, 0, 0])])
    assert store.resolve(alias) == collection
    assert (store.count(alias), store.count(collection), store.count(other)) == (1, 1, 0)
    assert ids(store.query(alias, [1, 0, 0], "own")) == [1]
    store.set_alias(alias, other)
    assert store.resolve(alias) == other
    assert store.count(alias) == 0
    assert alias not in store.collections()
    store.delete_collection(other)


def test_alias_and_collection_names_never_collide(store, fresh_name, collection):
    alias = f"{fresh_name}-alias"
    store.set_alias(alias, collection)
    with pytest.raises(InputError, match="is an alias"):
        store.create_collection(alias, SCHEMA)
    with pytest.raises(NotFoundError, match="is an alias"):
        store.delete_collection(alias)
    with pytest.raises(InputError):
        store.set_alias(collection, collection)
