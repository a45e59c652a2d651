"""Random filters over 20,000 points: exactly what plain Python selects, and its ten nearest."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from qdrant_rest.filter_examples import SCHEMA, filters, random_points
from qdrant_rest.filter_oracle import matches

NAME = "test-many-points"
POINTS = random_points(20_000)
UNIT = np.array([point.vector.get("own", np.full(16, np.nan)) for point in POINTS])
UNIT /= np.linalg.norm(UNIT, axis=1, keepdims=True)  # (n_point, 16)


@pytest.fixture(scope="module", autouse=True)
def filled(engines):
    for store in engines:
        store.create_collection(NAME, SCHEMA)
        store.upsert(NAME, POINTS)
    yield
    for store in engines:
        store.delete_collection(NAME)


def selected(store, node):
    """All ids that match, however many pages they fill."""
    ids, offset = [], None
    while True:
        records, offset = store.scroll(NAME, node, 10_000, offset, with_payload=False)
        ids += [record.id for record in records]
        if offset is None:
            return ids


@settings(
    max_examples=12,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # shrinking takes minutes at this size
    suppress_health_check=[HealthCheck.too_slow],
)
@given(node=filters(POINTS), seed=st.integers(0, 2**32 - 1))
def test_filter_and_order_among_many_points_are_those_of_brute_force(engines, node, seed):
    passing = np.array([matches(node, point) for point in POINTS])
    expected = sorted(point.id for point, passes in zip(POINTS, passing, strict=True) if passes)
    question = np.random.default_rng(seed).normal(size=16)
    cosine = np.where(passing & ~np.isnan(UNIT[:, 0]), UNIT @ question, -np.inf)
    nearest = [POINTS[i].id for i in np.argsort(-cosine)[:10].tolist() if np.isfinite(cosine[i])]
    for store in engines:
        assert selected(store, node) == expected
        found = store.query(NAME, question, "own", node, with_payload=False)
        assert [hit.id for hit in found] == nearest
