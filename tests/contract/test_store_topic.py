"""Papers by their topic: both engines leave out the same, and what has no topic yet stays."""

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from qdrant_client import models

from common.ports import MIN_TOPIC
from search.collections import schema
from search.filters.filters import PaperFilter
from search.queries.topic import left_out

TOPICS = {1: 0.02, 2: MIN_TOPIC, 3: 0.98, 4: None, 5: MIN_TOPIC - 0.0001}


@pytest.fixture
def papers(store, fresh_name):
    encoder = FakeEncoder()
    store.create_collection(fresh_name, schema.papers_schema(encoder))
    rng = np.random.default_rng(0)
    store.upsert(
        fresh_name,
        [
            models.PointStruct(
                id=number,
                vector={schema.SHARED: rng.normal(size=encoder.shared_width).tolist()},
                payload={"year": 2000} | ({} if topic is None else schema.topic_payload(topic)),
            )
            for number, topic in TOPICS.items()
        ],
    )
    return fresh_name


def found(store, papers, condition):
    hits = store.query(papers, np.ones(FakeEncoder.shared_width), schema.SHARED, condition)
    records, _ = store.scroll(papers, condition)
    assert {hit.id for hit in hits} == {record.id for record in records}
    assert store.count(papers, condition) == len(hits)
    return {hit.id for hit in hits}


def test_papers_below_the_probability_are_left_out_and_those_of_unknown_topic_are_not(
    store, papers
):
    assert found(store, papers, PaperFilter(min_topic=MIN_TOPIC).to_qdrant()) == {2, 3, 4}
    assert found(store, papers, PaperFilter(min_topic=0.95, year_to=2001).to_qdrant()) == {3, 4}


def test_condition_on_the_probability_never_holds_where_there_is_none(store, papers):
    assert found(
        store, papers, PaperFilter(where=f"topic_probability >= {MIN_TOPIC}").to_qdrant()
    ) == {2, 3}
    assert found(
        store, papers, PaperFilter(where=f"topic_probability < {MIN_TOPIC}").to_qdrant()
    ) == {1, 5}
    assert found(store, papers, PaperFilter(lacks=("topic_probability",)).to_qdrant()) == {4}


def test_what_the_default_leaves_out_is_the_rest(store, papers):
    assert found(store, papers, left_out(None)) == {1, 5}
    assert found(store, papers, left_out(PaperFilter(year_from=2001).to_qdrant())) == set()


def test_index_of_the_topic_is_added_to_a_collection_made_before_there_was_one(store, fresh_name):
    encoder = FakeEncoder()
    now = schema.papers_schema(encoder)
    indexes = {k: v for k, v in now.payload_indexes.items() if k != schema.TOPIC_PROBABILITY}
    before = schema.CollectionSchema(now.vectors, indexes, now.linked, now.sparse)
    store.create_collection(fresh_name, before)
    point = models.PointStruct(id=1, vector={schema.SHARED: [1.0] * 6}, payload={"year": 2000})
    store.upsert(fresh_name, [point])
    store.create_collection(fresh_name, now)
    assert found(store, fresh_name, PaperFilter(min_topic=0.5).to_qdrant()) == {1}
    store.set_payload(fresh_name, {1: schema.topic_payload(0.1)})
    assert found(store, fresh_name, PaperFilter(min_topic=0.5).to_qdrant()) == set()
