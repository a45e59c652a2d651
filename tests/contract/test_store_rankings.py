"""Questions beyond one dense vector: words, several rankings as one, answers unlike one another."""

import math
from uuid import uuid4

import numpy as np
import pytest
from qdrant_client import models
from qdrant_rest.examples import VECTORS, field, ids, point

from common.errors import InputError, InvalidQueryError
from search.store.base import (
    RRF_K,
    CollectionSchema,
    HybridQuery,
    NearestQuery,
    VectorField,
)
from search.store.keywords import keywords_of_document, keywords_of_question

KIND = models.PayloadSchemaType
SCHEMA = CollectionSchema(VECTORS, {"obsid": KIND.INTEGER}, sparse=("words",))


def words(*indices, values=None):
    return models.SparseVector(indices=indices, values=values or [1.0] * len(indices))


@pytest.fixture(scope="module")
def library(store):
    """Five points that share word 1; three have a dense vector too, and one has nothing else."""
    name = f"test-library-{uuid4().hex}"
    store.create_collection(name, SCHEMA)
    store.upsert(
        name,
        [
            point(1, {"obsid": 1}, own=[1, 0, 0], words=words(1, 11, values=[1.0, 2.0])),
            point(2, {"obsid": 1}, own=[3, 4, 0], words=words(1, 12, values=[1.0, 2.0])),
            point(3, {"obsid": 2}, own=[0, 0, 1], words=words(1, 12, values=[1.0, 1.0])),
            point(4, {"obsid": 2}, words=words(1, values=[3.0])),
            point(5, {"obsid": 2}, words=words(1, 13)),
            point(6, {"obsid": 3}, own=[0, 1, 0]),
        ],
    )
    yield name
    store.delete_collection(name)


@pytest.fixture(scope="module")
def crowd(store):
    """A few hundred points in a dozen clumps."""
    name = f"test-crowd-{uuid4().hex}"
    store.create_collection(name, CollectionSchema({"own": VectorField(8)}))
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(12, 8))[rng.integers(12, size=400)] + 0.2 * rng.normal(size=(400, 8))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    store.upsert(name, [point(i, {"obsid": i}, own=row.tolist()) for i, row in enumerate(rows)])
    yield name, rows
    store.delete_collection(name)


# Words


def test_words_score_by_weight_and_rarity(store, library):
    found = store.query(library, words(1, 12, 99), "words")

    def idf(n_having, n=5):  # points with words
        return math.log(1 + (n - n_having + 0.5) / (n_having + 0.5))

    every, rare = idf(5), idf(2)
    expected = {
        2: every + 2 * rare,
        3: every + rare,
        4: 3 * every,
        1: every,
        5: every,
    }
    assert ids(found) == [*expected]
    assert [hit.score for hit in found] == pytest.approx([*expected.values()], rel=1e-5)


def test_words_that_nobody_has_find_nothing(store, library):
    assert store.query(library, words(99), "words") == []
    assert store.query(library, words(), "words") == []


def test_words_obey_the_filter(store, library):
    second = field("obsid", match=models.MatchValue(value=2))
    assert ids(store.query(library, words(12), "words", second)) == [3]


def test_words_come_back_as_they_were_stored(store, library):
    (found,) = store.retrieve(library, [1], with_vectors=True)
    stored = found.vector["words"]
    assert dict(zip(stored.indices, stored.values, strict=True)) == {1: 1.0, 11: 2.0}
    assert found.vector["own"] == [1, 0, 0]


def test_words_of_real_text_find_the_document_about_it(store, fresh_name):
    store.create_collection(fresh_name, CollectionSchema({}, sparse=("words",)))
    texts = {
        1: "Obscured active galactic nuclei with narrow iron lines in NGC 4258",
        2: "Bursts of a low-mass X-ray binary in the globular cluster NGC 6440",
        3: "A survey of cooling flows in clusters of galaxies",
    }
    store.upsert(fresh_name, [point(i, words=keywords_of_document(t)) for i, t in texts.items()])
    for question, best in {"NGC 4258": 1, "bursting binaries": 2, "galaxy cluster": 3}.items():
        assert store.query(fresh_name, keywords_of_question(question), "words")[0].id == best


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (words(1, values=[math.nan]), "not finite"),
        (words(1, values=[1e39]), "not finite"),
        (words(1, 1), "more than once"),
        (words(1, 2, values=[1.0]), "2 indices and 1 values"),
        (words(-1), "32 bits"),
        (words(2**32), "32 bits"),
    ],
)
def test_words_that_make_no_sense_are_refused(store, library, bad, message):
    with pytest.raises(InputError, match=f"vector 'words' of point 9 .*{message}"):
        store.upsert(library, [point(8, words=words(1)), point(9, words=bad)])
    assert store.count(library) == 6
    with pytest.raises(InvalidQueryError, match=message):
        store.query(library, bad, "words")


@pytest.mark.parametrize(
    ("using", "bad"), [("words", [1.0, 2.0]), ("own", words(1)), ("others", words(1))]
)
def test_dense_and_sparse_vectors_are_not_exchanged(store, library, using, bad):
    with pytest.raises(InputError, match="vector"):
        store.upsert(library, [point(9, **{using: bad})])
    with pytest.raises(InvalidQueryError):
        store.query(library, bad, using)


# Several rankings as one


def test_hybrid_ranks_by_the_sum_of_reciprocal_ranks(store, library):
    parts = [NearestQuery([5, 0, 1], "own", limit=3), NearestQuery(words(12), "words", limit=3)]
    answers = store.query_batch(library, parts)
    assert [ids(answer) for answer in answers] == [[1, 2, 3], [2, 3]]
    expected = {
        2: 1 / (RRF_K + 1) + 1 / RRF_K,
        3: 1 / (RRF_K + 2) + 1 / (RRF_K + 1),
        1: 1 / RRF_K,
    }
    (fused,) = store.query_batch(library, [HybridQuery(parts)])
    assert ids(fused) == [*expected]
    assert [hit.score for hit in fused] == pytest.approx([*expected.values()], rel=1e-5)
    assert fused[0].payload == {"obsid": 1}
    assert fused[0].vector is None


def test_hybrid_limits_and_selects(store, library):
    parts = [NearestQuery([1, 0, 0], "own"), NearestQuery(words(12), "words")]
    query = HybridQuery(parts, limit=1, with_payload=False, with_vectors=["own"])
    ((best,),) = store.query_batch(library, [query])
    assert (best.id, bool(best.payload), [*best.vector]) == (2, False, ["own"])


def test_hybrid_parts_keep_their_own_filters(store, library):
    second = field("obsid", match=models.MatchValue(value=2))
    parts = [NearestQuery([1, 0, 0], "own", second), NearestQuery(words(11), "words")]
    (fused,) = store.query_batch(library, [HybridQuery(parts)])
    assert ids(fused) == [1, 3]


def test_hybrid_ties_are_in_the_order_of_ids_every_time(store, library):
    parts = [NearestQuery([0, 0, 1], "own", limit=1), NearestQuery(words(11), "words", limit=1)]
    for limit, expected in ((1, [1]), (2, [1, 3])):
        query = HybridQuery(parts, limit=limit)
        answers = store.query_batch(library, [query] * 20)
        assert all(ids(answer) == expected for answer in answers)


def test_hybrid_of_a_part_that_finds_nothing_is_the_other_part(store, library):
    parts = [NearestQuery([1, 0, 0], "own", limit=2), NearestQuery(words(), "words")]
    (fused,) = store.query_batch(library, [HybridQuery(parts)])
    assert ids(fused) == [1, 2]


@pytest.mark.parametrize(
    "query",
    [
        HybridQuery([]),
        HybridQuery([NearestQuery([1, 0, 0], "own")], limit=0),
        HybridQuery([NearestQuery([1, 0, 0], "own")], limit=10_001),
        HybridQuery([NearestQuery([1, 0, math.nan], "own")]),
        HybridQuery([NearestQuery([1, 0], "own")]),
        HybridQuery([NearestQuery([1, 0, 0], "other")]),
        HybridQuery([NearestQuery([1, 0, 0], "own", limit=0)]),
        HybridQuery(
            [NearestQuery([1, 0, 0], "own", field("other", match=models.MatchValue(value=1)))]
        ),
    ],
)
def test_hybrid_that_cannot_be_asked_is_refused(store, library, query):
    with pytest.raises(InvalidQueryError):
        store.query_batch(library, [query])


# Answers unlike one another


def by_marginal_relevance(rows, question, diversity, limit, n_candidates=100):
    """Return rows picked one by one: like the question, unlike the rows picked before."""
    question = question / np.linalg.norm(question)
    left = np.argsort(-(rows @ question))[:n_candidates].tolist()
    picked = [left.pop(0)]
    while len(picked) < limit:
        gain = [
            (1 - diversity) * (rows[i] @ question) - diversity * (rows[picked] @ rows[i]).max()
            for i in left
        ]
        picked.append(left.pop(int(np.argmax(gain))))
    return picked


@pytest.mark.parametrize("diversity", [0.2, 0.5, 0.8])
def test_diverse_answer_is_that_of_maximal_marginal_relevance(store, crowd, diversity):
    name, rows = crowd
    question = np.random.default_rng(1).normal(size=8)
    found = store.query(name, question, "own", limit=8, diversity=diversity)
    assert ids(found) == by_marginal_relevance(rows, question, diversity, 8)
    cosine = rows @ question / np.linalg.norm(question)
    assert [hit.score for hit in found] == pytest.approx(cosine[ids(found)].tolist(), abs=1e-5)
    assert found[0].payload == {"obsid": found[0].id}
    assert found[0].vector is None


def test_diverse_answer_obeys_the_filter_and_the_batch(store, library):
    first = field("obsid", match=models.MatchValue(value=1))
    queries = [
        NearestQuery([1, 0, 0], "own", first, diversity=0.5),
        NearestQuery([1, 0, 0], "own", limit=1),
    ]
    assert [ids(answer) for answer in store.query_batch(library, queries)] == [[1, 2], [1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"diversity": -0.1}, "diversity is -0.1"),
        ({"diversity": 1.1}, "diversity is 1.1"),
        ({"diversity": math.nan}, "diversity is nan"),
        ({"diversity": 0.5, "limit": 1001}, "at most 1,000"),
        ({"diversity": 0.5, "vector": words(1), "using": "words"}, "dense"),
    ],
)
def test_diversity_that_cannot_be_had_is_refused(store, library, change, message):
    with pytest.raises(InvalidQueryError, match=message):
        store.query(library, **{"vector": [1, 0, 0], "using": "own"} | change)


def test_exact_answer_is_that_of_brute_force(store, crowd):
    name, rows = crowd
    question = np.random.default_rng(2).normal(size=8)
    found = store.query(name, question, "own", limit=50, exact=True)
    assert ids(found) == np.argsort(-(rows @ question))[:50].tolist()


def test_answers_of_equal_score_are_in_the_order_of_ids(store, fresh_name):
    store.create_collection(fresh_name, CollectionSchema({"own": VectorField(2)}))
    store.upsert(fresh_name, [point(i, own=[1, 0]) for i in (30, 4, 200, 1)])
    assert ids(store.query(fresh_name, [1, 0], "own")) == [1, 4, 30, 200]
