"""Points in the order of a field: the engine sorts by its index."""

from uuid import UUID, uuid4

import pytest
from qdrant_client import models
from qdrant_rest.examples import INDEXES, VECTORS, field, ids, point

from common.errors import InvalidQueryError
from search.store.base import CollectionSchema
from search.store.scroll import first_by

N = 30
NAMES = [str(UUID(int=7919 * (row + 1) ** 5)) for row in range(N)]  # in the order of their ids


@pytest.fixture(scope="module")
def nights(store):
    """Points of ten hardnesses, three of each, a night apart; the last two know neither."""
    name = f"test-order-{uuid4().hex}"
    store.create_collection(name, CollectionSchema(VECTORS, INDEXES))
    points = [
        point(
            NAMES[row],
            {
                "hard_hs": (row * 7 % 10) / 10,
                "obsid": row,
                "observed_at": f"2019-07-{row + 1:02d}T01:02:03.000456+00:00",
                "note": "dim",
            }
            if row < N - 2
            else {"note": "unknown"},
            own=[1, 0, 0],
        )
        for row in range(N)
    ]
    for start in range(0, N, 7):  # in several uploads, against the order of ids
        store.upsert(name, points[::-1][start : start + 7])
    yield name
    store.delete_collection(name)


def hardness(row):
    return row * 7 % 10


@pytest.mark.parametrize("limit", [1, 2, 3, 7, N - 2, N, 100])
@pytest.mark.parametrize("descending", [False, True])
def test_first_by_a_number_ties_in_the_order_of_ids(store, nights, limit, descending):
    sign = -1 if descending else 1
    expected = sorted(range(N - 2), key=lambda row: (sign * hardness(row), NAMES[row]))[:limit]
    found = first_by(store, nights, "hard_hs", limit=limit, descending=descending)
    assert ids(found) == [NAMES[row] for row in expected]


def test_first_by_a_date_and_by_a_whole_number(store, nights):
    latest = [NAMES[row] for row in (N - 3, N - 4, N - 5)]
    assert ids(first_by(store, nights, "observed_at", limit=3, descending=True)) == latest
    assert ids(first_by(store, nights, "obsid", limit=3, descending=True)) == latest
    assert ids(first_by(store, nights, "observed_at")) == [NAMES[0]]


def test_first_by_a_date_keeps_to_a_filter(store, nights):
    soft = field("hard_hs", range=models.Range(lt=0.15))
    expected = [NAMES[row] for row in range(N - 2) if hardness(row) < 2]
    assert ids(first_by(store, nights, "observed_at", soft, limit=4)) == expected[:4]
    nothing = field("hard_hs", range=models.Range(gt=5))
    assert first_by(store, nights, "observed_at", nothing) == []


def test_first_by_returns_the_fields_asked_for_and_the_one_that_sorts(store, nights):
    (found,) = first_by(store, nights, "obsid", with_payload=["note"])
    assert found.payload == {"note": "dim", "obsid": 0}


@pytest.mark.parametrize("key", ["class_path", "simulated", "nowhere"])
def test_a_field_without_an_order_is_refused(store, nights, key):
    with pytest.raises(InvalidQueryError, match=key):
        first_by(store, nights, key)


def test_an_order_has_one_page_only(store, nights):
    order = models.OrderBy(key="obsid")
    records, following = store.scroll(nights, limit=5, order_by=order, with_payload=["obsid"])
    assert [record.payload["obsid"] for record in records] == [*range(5)]
    assert following is None
