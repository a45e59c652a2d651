"""Random filters: every engine selects what plain Python selects, and all engines answer alike."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import models
from qdrant_rest.filter_oracle import matches

from search.store.base import CollectionSchema, NearestQuery, VectorField

KIND = models.PayloadSchemaType
SCHEMA = CollectionSchema(
    {"own": VectorField(8), "text": VectorField(16, on_disk=True)},
    {
        "class_path": KIND.KEYWORD,
        "obsid": KIND.INTEGER,
        "hard_hs": KIND.FLOAT,
        "gamma": KIND.FLOAT,
        "observed_at": KIND.DATETIME,
        "simulated": KIND.BOOL,
    },
)
NAME = "test-random-filters"
PATHS = [["Galaxy"], ["Galaxy", "AGN"], ["Galaxy", "AGN", "Sy1"], ["Star"], ["Star", "XB*", "LXB"]]
LABELS = sorted({label for path in PATHS for label in path} | {"QSO"})
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
NUMBERS = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0]) | st.floats(-1, 1)
MOMENTS = st.integers(0, 40).map(lambda quarter: EPOCH + timedelta(days=90 * quarter))


def random_points(n=150):
    """Points whose every field and vector is missing in some."""
    rng = np.random.default_rng(20260304)
    drawn = {
        "class_path": lambda: PATHS[rng.integers(len(PATHS))],
        "obsid": lambda: int(rng.integers(8)),
        "hard_hs": lambda: float(rng.choice([-1.0, -0.5, 0.0, 0.25, 0.5, rng.uniform(-1, 1)])),
        "gamma": lambda: float(rng.normal()),
        "observed_at": lambda: (EPOCH + timedelta(days=int(rng.integers(3600)))).isoformat(),
        "simulated": lambda: bool(rng.integers(2)),
    }
    sizes = {"own": 8, "text": 16}
    return [
        models.PointStruct(
            id=str(uuid5(UUID(int=0), str(i))),
            payload={key: draw() for key, draw in drawn.items() if rng.random() < 0.7},
            vector={k: rng.normal(size=n).tolist() for k, n in sizes.items() if rng.random() < 0.8},
        )
        for i in range(n)
    ]


POINTS = random_points()


@pytest.fixture(scope="module", autouse=True)
def filled(engines):
    for store in engines:
        store.create_collection(NAME, SCHEMA)
        store.upsert(NAME, POINTS)
    yield
    for store in engines:
        store.delete_collection(NAME)


def field(key, **condition):
    return models.FieldCondition(key=key, **condition)


def bounds(values, build):
    """Draw a range with one or two bounds, possibly an empty one."""
    return st.dictionaries(
        st.sampled_from(["gt", "gte", "lt", "lte"]), values, min_size=1, max_size=2
    ).map(lambda given: build(**given))


conditions = st.one_of(
    st.sampled_from(LABELS).map(lambda v: field("class_path", match=models.MatchValue(value=v))),
    st.lists(st.sampled_from(LABELS), min_size=1, max_size=3).map(
        lambda values: field("class_path", match=models.MatchAny(any=values))
    ),
    st.lists(st.integers(0, 9), min_size=1, max_size=3).map(
        lambda values: field("obsid", match=models.MatchExcept(**{"except": values}))
    ),
    st.integers(0, 9).map(lambda v: field("obsid", match=models.MatchValue(value=v))),
    st.booleans().map(lambda v: field("simulated", match=models.MatchValue(value=v))),
    st.builds(field, st.sampled_from(["hard_hs", "gamma"]), range=bounds(NUMBERS, models.Range)),
    bounds(st.integers(-1, 9) | NUMBERS, models.Range).map(lambda r: field("obsid", range=r)),
    bounds(MOMENTS, models.DatetimeRange).map(lambda r: field("observed_at", range=r)),
    st.sampled_from([*SCHEMA.payload_indexes]).map(
        lambda key: models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
    ),
    st.lists(st.sampled_from([point.id for point in POINTS]), max_size=20).map(
        lambda ids: models.HasIdCondition(has_id=ids)
    ),
    st.sampled_from(["own", "text"]).map(lambda name: models.HasVectorCondition(has_vector=name)),
)


def combined(parts):
    several = st.lists(parts, min_size=1, max_size=3)
    return st.one_of(
        st.builds(models.Filter, must=several, must_not=st.none() | several),
        st.builds(models.Filter, should=several, must_not=st.none() | several),
        st.builds(models.Filter, must_not=several),
        several.flatmap(
            lambda given: st.integers(1, len(given)).map(
                lambda n: models.Filter(min_should=models.MinShould(conditions=given, min_count=n))
            )
        ),
    )


filters = combined(st.recursive(conditions, combined, max_leaves=6))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(node=filters)
def test_filter_selects_what_brute_force_selects(engines, node):
    expected = {point.id for point in POINTS if matches(node, point)}
    for store in engines:
        records, following = store.scroll(NAME, node, limit=len(POINTS))
        assert following is None
        assert {record.id for record in records} == expected
        assert store.count(NAME, node) == len(expected)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(node=st.none() | filters, seed=st.integers(0, 2**32 - 1), limit=st.integers(1, 40))
def test_engines_answer_alike_and_as_brute_force(engines, node, seed, limit):
    vector = np.random.default_rng(seed).normal(size=8)
    answers = [
        [(hit.id, round(hit.score, 5)) for hit in store.query(NAME, vector, "own", node, limit)]
        for store in engines
    ]
    assert all(answer == answers[0] for answer in answers)
    rows = {p.id: p.vector["own"] for p in POINTS if "own" in p.vector}
    passing = [p.id for p in POINTS if p.id in rows and (node is None or matches(node, p))]
    cosine = {i: np.dot(rows[i], vector) / np.linalg.norm(rows[i]) for i in passing}
    assert [i for i, _ in answers[0]] == sorted(passing, key=lambda i: -cosine[i])[:limit]


def test_engines_answer_batches_alike(engines):
    rng = np.random.default_rng(1)
    queries = [
        NearestQuery(rng.normal(size=8), "own", limit=7, with_payload=False),
        NearestQuery(rng.normal(size=16), "text", limit=3, with_vectors=["own"]),
    ]
    answers = [store.query_batch(NAME, queries) for store in engines]
    ids = [[[hit.id for hit in found] for found in answer] for answer in answers]
    assert [len(found) for found in ids[0]] == [7, 3]
    assert all(other == ids[0] for other in ids)


def test_engines_count_facets_alike(engines):
    counts = [store.facet(NAME, "class_path") for store in engines]
    assert (
        sum("Galaxy" in point.payload.get("class_path", []) for point in POINTS)
        == counts[0]["Galaxy"]
    )
    assert all([*other.items()] == [*counts[0].items()] for other in counts)
