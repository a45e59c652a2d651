import math
from datetime import UTC, datetime
from uuid import UUID, uuid4

import numpy as np
import pytest
from qdrant_client import models
from qdrant_rest.examples import INDEXES, SCHEMA, VECTORS, field, ids, point

from common.errors import InputError, InvalidQueryError
from search.store.base import CollectionSchema, NearestQuery


@pytest.fixture(scope="module")
def empty(store):
    """A collection that stays empty."""
    name = f"test-empty-{uuid4().hex}"
    store.create_collection(name, SCHEMA)
    yield name
    store.delete_collection(name)


@pytest.fixture(scope="module")
def sky(store):
    """Four known points on three axes, read by many tests."""
    name = f"test-sky-{uuid4().hex}"
    store.create_collection(name, CollectionSchema(VECTORS, INDEXES))
    agn, binary = ["Galaxy", "AGN", "SyG", "Sy1"], ["Star", "XB*", "LXB"]
    store.upsert(
        name,
        [
            point(
                1,
                {
                    "class_path": agn,
                    "obsid": 10,
                    "hard_hs": 0.5,
                    "simulated": True,
                    "observed_at": "2019-07-31T23:59:59+00:00",
                    "location": {"lon": -10.0, "lat": 20.0},
                },
                own=[1, 0, 0],
                wide=[1, 0, 0, 0, 0, 0],
            ),
            point(2, {"class_path": agn[:2], "obsid": 10, "hard_hs": -0.5}, own=[3, 4, 0]),
            point(3, {"class_path": binary, "obsid": 30, "simulated": False}, own=[0, 0, 1]),
            point(4, {"observed_at": "2020-01-01T00:00:00Z"}, wide=[0, 1, 0, 0, 0, 0]),
        ],
    )
    yield name
    store.delete_collection(name)


# Writing


def test_upsert_again_changes_nothing(store, collection):
    points = [point(uuid4(), {"obsid": i}, own=[i, 1, 0]) for i in range(20)]
    store.upsert(collection, points)
    before = store.scroll(collection, with_vectors=True)
    store.upsert(collection, points)
    assert store.count(collection) == 20
    assert store.scroll(collection, with_vectors=True) == before


def test_upsert_replaces_the_whole_point(store, collection):
    store.upsert(collection, [point(1, {"obsid": 1}, own=[1, 0, 0])])
    store.upsert(collection, [point(1, {"hard_hs": 0.5}, wide=[0, 0, 0, 0, 0, 1])])
    (found,) = store.retrieve(collection, [1], with_vectors=True)
    assert found.payload == {"hard_hs": 0.5}
    assert list(found.vector) == ["wide"]


def test_upsert_of_nothing_is_allowed(store, empty):
    store.upsert(empty, [])
    assert store.count(empty) == 0


def test_upsert_larger_than_one_request_body(store, collection):
    store.upsert(collection, [point(i, {"note": "x" * 1_500_000}) for i in range(4)])
    assert store.count(collection) == 4


def test_payload_comes_back_as_it_was(store, collection):
    payload = {
        "text": "2CXO J004242.9+411543 — Σ",
        "number": 0.1,
        "whole": 2**53,
        "nothing": None,
        "nested": {"list": [1, "two", {"three": 3.5}], "empty": {}},
    }
    store.upsert(collection, [point(1, payload)])
    assert store.retrieve(collection, [1])[0].payload == payload


@pytest.mark.parametrize(
    "bad",
    [
        point(2, own=[1, math.nan, 0]),
        point(2, own=[1, math.inf, 0]),
        point(2, own=[1, 1e39, 0]),  # infinite as float32
        point(2, own=[1, 0]),
        point(2, own=[[1, 0, 0]]),
        point(2, other=[1, 0, 0]),
        models.PointStruct(id=2, vector=[1, 0, 0]),
        point(2, {"hard_hs": math.nan}),
        point(2, {"nested": [{"x": math.inf}]}),
        point(2, {"observed_at": datetime.now(UTC)}),
        point(2, {"hard_hs": np.float32(1)}),
        point("not-a-uuid", own=[1, 0, 0]),
        point(-1, own=[1, 0, 0]),
    ],
)
def test_upsert_refuses_bad_points_before_writing_anything(store, empty, bad):
    with pytest.raises(InputError):
        store.upsert(empty, [point(1, own=[1, 0, 0]), bad])
    assert store.count(empty) == 0


def test_upsert_says_which_point_is_not_finite(store, empty):
    bad = uuid4()
    with pytest.raises(InputError, match=rf"'own' of point {bad} has numbers that are not finite"):
        store.upsert(empty, [point(1, own=[1, 0, 0]), point(bad, own=[math.nan, 0, 0])])


# Reading


def test_retrieve_keeps_the_order_asked_and_leaves_out_unknown_ids(store, sky):
    assert ids(store.retrieve(sky, [3, uuid4(), 1, 999])) == [3, 1]


def test_retrieve_takes_uuids_and_their_text(store, collection):
    identifier = uuid4()
    store.upsert(collection, [point(identifier, own=[1, 0, 0])])
    for spelled in (identifier, str(identifier)):
        (found,) = store.retrieve(collection, [spelled])
        assert found.id == str(UUID(str(identifier)))


def test_retrieve_returns_unit_vectors_asked_for(store, sky):
    (found,) = store.retrieve(sky, [2], with_payload=["obsid"], with_vectors=["own"])
    assert found.payload == {"obsid": 10}
    assert found.vector["own"] == pytest.approx([0.6, 0.8, 0], abs=1e-6)
    (bare,) = store.retrieve(sky, [2], with_payload=False)
    assert not bare.payload
    assert bare.vector is None


def test_retrieve_refuses_what_is_no_id(store, sky):
    with pytest.raises(InputError, match="no point id"):
        store.retrieve(sky, ["2CXO J004242.9+411543"])


def test_query_returns_cosine_similarity_best_first(store, sky):
    found = store.query(sky, np.array([1, 0, 0], dtype=np.float32), "own")
    assert ids(found[:2]) == [1, 2]
    assert [hit.score for hit in found] == pytest.approx([1, 0.6, 0], abs=1e-6)
    assert found[0].payload["obsid"] == 10


def test_query_leaves_out_points_that_lack_the_vector(store, sky):
    assert set(ids(store.query(sky, [1, 0, 0], "own"))) == {1, 2, 3}
    assert set(ids(store.query(sky, [1, 0, 0, 0, 0, 0], "wide"))) == {1, 4}


def test_query_limits_and_selects(store, sky):
    (best,) = store.query(
        sky, [0, 0, 1], "own", limit=1, with_payload=["obsid"], with_vectors=["own"]
    )
    assert (best.id, best.payload, best.vector) == (3, {"obsid": 30}, {"own": [0, 0, 1]})


def test_query_batch_answers_like_single_queries(store, sky):
    agn = field("class_path", match=models.MatchValue(value="AGN"))
    queries = [
        NearestQuery([0, 1, 0], "own", agn),
        NearestQuery([0, 1, 0, 0, 0, 0], "wide", limit=1, with_payload=False),
        NearestQuery([0, 0, 1], "own"),
    ]
    answers = store.query_batch(sky, queries)
    assert [ids(answer) for answer in answers] == [[2, 1], [4], [3, *ids(answers[2][1:])]]
    for query, answer in zip(queries, answers, strict=True):
        single = store.query(
            sky, query.vector, query.using, query.query_filter, query.limit, query.with_payload
        )
        assert {hit.id: hit.score for hit in single} == {hit.id: hit.score for hit in answer}
    assert store.query_batch(sky, []) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vector": [math.nan, 0, 0]}, "finite"),
        ({"vector": [math.inf, 0, 0]}, "finite"),
        ({"vector": [[1, 0, 0]]}, "one row"),
        ({"vector": [1, 0]}, "expected dim: 3"),
        ({"using": "other"}, "other"),
        ({"limit": 0}, "limit is 0"),
        ({"limit": 10_001}, "limit is 10001"),
        ({"query_filter": field("hard_hs", range=models.Range(gte=math.nan))}, "nan"),
        ({"query_filter": field("hard_hs", range=models.Range(lt=math.inf))}, "inf"),
        ({"query_filter": field("obsid", match=models.MatchValue(value=2**64))}, "64 bits"),
        ({"query_filter": field("obsid")}, "asks nothing"),
        ({"query_filter": field("not_indexed", match=models.MatchValue(value=1))}, "not_indexed"),
    ],
)
def test_query_that_cannot_be_asked_is_refused(store, sky, change, message):
    question = {"vector": [1, 0, 0], "using": "own"} | change
    with pytest.raises(InvalidQueryError, match=message):
        store.query(sky, **question)


def test_scroll_pages_through_every_point_once(store, collection):
    wanted = {str(uuid4()) for _ in range(25)}
    store.upsert(collection, [point(i, {"obsid": 1}, own=[1, 0, 0]) for i in sorted(wanted)])
    seen, offset = [], None
    while True:
        page, offset = store.scroll(collection, limit=10, offset=offset)
        seen += ids(page)
        if offset is None:
            break
    assert seen == sorted(wanted)


@pytest.mark.parametrize("question", [{"limit": 0}, {"limit": 10_001}, {"offset": "no id"}])
def test_scroll_refuses_bad_bounds(store, sky, question):
    with pytest.raises(InputError):
        store.scroll(sky, **question)


def test_facet_counts_values_most_frequent_first(store, sky):
    counts = store.facet(sky, "class_path")
    assert list(counts.items())[:2] == [("AGN", 2), ("Galaxy", 2)]
    assert counts["LXB"] == 1
    assert store.facet(sky, "obsid") == {"10": 2, "30": 1}
    assert store.facet(sky, "simulated") == {"false": 1, "true": 1}
    hard = field("hard_hs", range=models.Range(gt=0))
    assert store.facet(sky, "obsid", hard) == {"10": 1}
    assert len(store.facet(sky, "class_path", limit=2)) == 2


def test_facet_of_a_field_without_index_is_refused(store, sky):
    with pytest.raises(InvalidQueryError, match="not_indexed"):
        store.facet(sky, "not_indexed")


# Filters


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (field("class_path", match=models.MatchAny(any=["AGN"])), {1, 2}),
        (field("class_path", match=models.MatchAny(any=["Sy1", "Star"])), {1, 3}),
        (field("class_path", match=models.MatchValue(value="Sy1")), {1}),
        (field("obsid", match=models.MatchAny(any=[30, 31])), {3}),
        (field("simulated", match=models.MatchValue(value=False)), {3}),
        (field("hard_hs", range=models.Range(gt=-0.5)), {1}),
        (field("hard_hs", range=models.Range(gte=-0.5, lt=0.5)), {2}),
        (models.Filter(must_not=[models.HasIdCondition(has_id=[1, 2])]), {3, 4}),
        (models.Filter(must=[models.HasVectorCondition(has_vector="wide")]), {1, 4}),
        (
            models.Filter(
                must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="class_path"))]
            ),
            {4},
        ),
        (
            field("observed_at", range=models.DatetimeRange(lt=datetime(2020, 1, 1, tzinfo=UTC))),
            {1},
        ),
        (
            field("observed_at", range=models.DatetimeRange(gte=datetime(2019, 8, 1, tzinfo=UTC))),
            {4},
        ),
        (
            field(
                "location",
                geo_radius=models.GeoRadius(
                    center=models.GeoPoint(lon=-10.01, lat=20), radius=2000
                ),
            ),
            {1},
        ),
        (
            field(
                "location",
                geo_bounding_box=models.GeoBoundingBox(
                    top_left=models.GeoPoint(lon=-11, lat=21),
                    bottom_right=models.GeoPoint(lon=-9, lat=19),
                ),
            ),
            {1},
        ),
        (field("class_path", values_count=models.ValuesCount(gte=3)), {1, 3}),
        (models.Filter(), {1, 2, 3, 4}),
    ],
)
def test_filter_selects(store, sky, condition, expected):
    assert store.count(sky, condition) == len(expected)
    assert {record.id for record in store.scroll(sky, condition)[0]} == expected


def test_optimized_collection_answers_the_same(store, sky):
    before = store.query(sky, [1, 0, 0], "own")
    store.optimize(sky)
    assert ids(store.query(sky, [1, 0, 0], "own"))[:2] == ids(before)[:2]
    assert store.count(sky) == 4


def test_engine_is_named(store):
    assert store.engine in ("embedded", "server")


def test_close_twice_changes_nothing(engine, open_engine):
    another = open_engine(engine)
    another.close()
    another.close()
