"""Random filters: every engine selects what plain Python selects, and all engines answer alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_rest.filter_examples import SCHEMA, filters, random_points
from qdrant_rest.filter_oracle import matches

from search.store.base import NearestQuery

NAME = "test-random-filters"
POINTS = random_points(150)


@pytest.fixture(scope="module", autouse=True)
def filled(engines):
    for store in engines:
        store.create_collection(NAME, SCHEMA)
        store.upsert(NAME, POINTS)
    yield
    for store in engines:
        store.delete_collection(NAME)


@settings(max_examples=150)
@given(node=filters(POINTS))
def test_filter_selects_what_brute_force_selects(engines, node):
    expected = {point.id for point in POINTS if matches(node, point)}
    for store in engines:
        records, following = store.scroll(NAME, node, limit=len(POINTS))
        assert following is None
        assert {record.id for record in records} == expected
        assert store.count(NAME, node) == len(expected)


@settings(max_examples=60)
@given(node=st.none() | filters(POINTS), seed=st.integers(0, 2**32 - 1), limit=st.integers(1, 40))
def test_engines_answer_alike_and_as_brute_force(engines, node, seed, limit):
    vector = np.random.default_rng(seed).normal(size=16)
    found = [store.query(NAME, vector, "own", node, limit) for store in engines]
    answers, scores = ([[getattr(h, of) for h in hits] for hits in found] for of in ("id", "score"))
    assert all(answer == answers[0] for answer in answers)
    assert all(one == pytest.approx(scores[0], abs=1e-5) for one in scores)  # not to the last bit
    rows = {p.id: p.vector["own"] for p in POINTS if "own" in p.vector}
    passing = [p.id for p in POINTS if p.id in rows and (node is None or matches(node, p))]
    cosine = {i: np.dot(rows[i], vector) / np.linalg.norm(rows[i]) for i in passing}
    assert answers[0] == sorted(passing, key=lambda i: -cosine[i])[:limit]


def test_engines_answer_batches_alike(engines):
    rng = np.random.default_rng(1)
    queries = [
        NearestQuery(rng.normal(size=16), "own", limit=7, with_payload=False),
        NearestQuery(rng.normal(size=8), "text", limit=3, with_vectors=["own"]),
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
