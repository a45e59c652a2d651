"""Fields that are computed later: set, replaced, removed, and left to those they belong to."""

import math
from uuid import uuid4

import pytest
from qdrant_client import models
from qdrant_rest.examples import INDEXES, VECTORS, field, point

from common.errors import InputError, InvalidQueryError, NotFoundError
from search.store.base import CollectionSchema


@pytest.fixture
def scored(store, fresh_name):
    store.create_collection(fresh_name, CollectionSchema(VECTORS, INDEXES))
    store.upsert(fresh_name, [point(i, {"obsid": i}, own=[1, i, 0]) for i in range(1, 6)])
    return fresh_name


def payloads(store, name):
    return {record.id: record.payload for record in store.scroll(name)[0]}


def test_set_payload_adds_fields_and_keeps_the_rest(store, scored):
    before = store.retrieve(scored, [1, 2], with_vectors=True)
    store.set_payload(scored, {1: {"hard_hs": 0.5}, 2: {"hard_hs": -0.5, "obsid": 20}})
    after = store.retrieve(scored, [1, 2, 3], with_vectors=True)
    assert [record.payload for record in after] == [
        {"obsid": 1, "hard_hs": 0.5},
        {"obsid": 20, "hard_hs": -0.5},
        {"obsid": 3},
    ]
    assert [record.vector for record in after[:2]] == [record.vector for record in before]


def test_set_payload_is_found_by_filters_at_once(store, scored):
    store.set_payload(scored, {i: {"hard_hs": i / 10} for i in range(1, 6)})
    assert store.count(scored, field("hard_hs", range=models.Range(gt=0.3))) == 2
    store.set_payload(scored, {5: {"hard_hs": 0.0}})
    assert store.count(scored, field("hard_hs", range=models.Range(gt=0.3))) == 1


def test_set_payload_leaves_out_unknown_ids(store, scored):
    known = str(uuid4())
    store.upsert(scored, [point(known)])
    store.set_payload(scored, {99: {"obsid": 9}, uuid4(): {"obsid": 9}, known: {"obsid": 7}})
    assert payloads(store, scored) == {
        **{i: {"obsid": i} for i in range(1, 6)},
        known: {"obsid": 7},
    }
    store.set_payload(scored, {99: {"obsid": 9}})
    store.set_payload(scored, {})
    assert store.count(scored) == 6


def test_set_payload_larger_than_one_request_body(store, scored):
    store.set_payload(scored, {i: {"note": "x" * 1_500_000} for i in range(1, 6)})
    assert all(len(payload["note"]) == 1_500_000 for payload in payloads(store, scored).values())


def test_set_payload_of_more_points_than_one_request_takes(store, scored):
    store.upsert(scored, [point(i) for i in range(100, 2600)])
    store.set_payload(scored, {i: {"hard_hs": i / 5000} for i in range(100, 2600)})
    assert store.count(scored, field("hard_hs", range=models.Range(gte=0.4))) == 600


@pytest.mark.parametrize("bad", [{2: {"hard_hs": math.nan}}, {"no id": {}}, {2: {"x": {1, 2}}}])
def test_set_payload_refuses_what_is_no_json_before_writing_anything(store, scored, bad):
    with pytest.raises(InputError):
        store.set_payload(scored, {1: {"hard_hs": 0.5}, **bad})
    assert payloads(store, scored)[1] == {"obsid": 1}


def test_delete_payload_removes_fields_from_all_points(store, scored):
    store.set_payload(scored, {i: {"hard_hs": 0.5, "note": "a"} for i in (1, 2)})
    store.delete_payload(scored, ["hard_hs", "note"])
    assert payloads(store, scored) == {i: {"obsid": i} for i in range(1, 6)}
    assert store.count(scored, field("hard_hs", range=models.Range(gt=0))) == 0


def test_delete_payload_removes_fields_from_points_that_match(store, scored):
    store.set_payload(scored, {i: {"hard_hs": 0.5} for i in range(1, 6)})
    store.delete_payload(scored, ["hard_hs"], field("obsid", range=models.Range(lte=2)))
    having = {i for i, payload in payloads(store, scored).items() if "hard_hs" in payload}
    assert having == {3, 4, 5}


NOT_INDEXED = models.FieldCondition(key="not_indexed", range=models.Range(gt=0))
INDEXED = models.FieldCondition(key="obsid", range=models.Range(gt=0))


@pytest.mark.parametrize(
    "condition",
    [
        models.Filter(must=[INDEXED, NOT_INDEXED]),
        models.Filter(must_not=NOT_INDEXED),
        models.Filter(should=[models.Filter(must=[NOT_INDEXED])]),
        models.Filter(min_should=models.MinShould(conditions=[INDEXED, NOT_INDEXED], min_count=1)),
    ],
)
def test_delete_payload_by_a_field_without_index_is_refused(store, scored, condition):
    with pytest.raises(InputError, match="not_indexed"):
        store.delete_payload(scored, ["obsid"], condition)
    assert payloads(store, scored)[1] == {"obsid": 1}


def test_delete_payload_by_a_bound_that_is_no_number_is_refused(store, scored):
    with pytest.raises(InvalidQueryError, match="nan"):
        store.delete_payload(scored, ["obsid"], field("obsid", range=models.Range(gt=math.nan)))


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.set_payload("nowhere", {1: {"obsid": 1}}),
        lambda store: store.delete_payload("nowhere", ["obsid"]),
        lambda store: store.index_state("nowhere"),
    ],
)
def test_unknown_collection_is_not_found_here_either(store, ask):
    with pytest.raises(NotFoundError, match="nowhere"):
        ask(store)


def test_index_state_counts_points(store, scored):
    state = store.index_state(scored)
    assert (state.points, state.indexed_vectors) == (5, 0)
    assert state.segments >= 1
