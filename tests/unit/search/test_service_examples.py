import numpy as np
import pytest
from qdrant_client import models
from small_store import (
    AGN,
    AGN_AGAIN,
    AGN_PAPER,
    BINARY,
    BINARY_PAPER,
    CATALOGUE_ONLY,
    EXPOSURE_S,
    QUESTION,
    SIMULATED,
    hard_counts,
    soft_counts,
)

from common.errors import InvalidQueryError, NotFoundError
from search.collections.schema import SHARED, SHARED_SPECTRUM, SPECTRUM, named_vectors
from search.filters.filters import DetectionFilter, PaperFilter
from search.queries.questions import MAX_EXAMPLES, MAX_QUESTIONS, Question
from search.results import PageOptions


@pytest.fixture
def service(small):
    return small.service


@pytest.fixture
def vector_of(small):
    def read(one):
        for collection, name in (("detections", SHARED_SPECTRUM), ("papers", SHARED)):
            for record in small.store.retrieve(collection, [one.id], with_vectors=True):
                return np.array(named_vectors(record)[name])
        raise AssertionError(one)

    return read


def ids(page):
    return [hit.id for hit in page.hits]


def test_examples_are_compared_by_their_mean_moved_away_from_the_negative_ones(service, vector_of):
    positive, negative = (AGN, SIMULATED), (BINARY, BINARY_PAPER)
    like = np.mean([vector_of(one) for one in positive], axis=0)
    target = 2 * like - np.mean([vector_of(one) for one in negative], axis=0)
    target /= np.linalg.norm(target)

    page = service.by_examples(
        [AGN.key, str(SIMULATED.id)], [BINARY.source_name, BINARY_PAPER.bibcode], "papers"
    )

    assert ids(page) == [AGN_PAPER.id]  # the example is left out
    assert page.hits[0].score == pytest.approx(target @ vector_of(AGN_PAPER), abs=1e-5)
    assert (page.hits[0].compared, page.hits[0].cosine) == (SHARED, page.hits[0].score)


def test_examples_and_their_sources_are_left_out(service):
    assert ids(service.by_examples([AGN.key], [BINARY.key], "detections")) == [SIMULATED.id]


def test_examples_may_be_detections_and_papers_mixed(service):
    page = service.by_examples([AGN_PAPER.bibcode, SIMULATED.key], [], "detections")

    assert set(ids(page)) == {AGN.id, AGN_AGAIN.id, BINARY.id}


def test_one_example_is_the_same_as_like(service):
    assert service.by_examples([AGN.key], [], "papers") == service.like(AGN.key, "papers")


def test_papers_like_a_paper_are_compared_by_their_own_text(service):
    (hit,) = service.like(AGN_PAPER.bibcode, "papers").hits

    assert (hit.id, hit.compared) == (BINARY_PAPER.id, "text")


def test_examples_without_a_positive_one_are_refused(service):
    with pytest.raises(InvalidQueryError, match="no positive example"):
        service.by_examples([], [AGN.key], "detections")


def test_example_that_is_positive_and_negative_is_refused(service):
    with pytest.raises(InvalidQueryError, match="is a positive and a negative example"):
        service.by_examples([AGN.key, BINARY.key], [str(AGN.id)], "detections")


def test_example_with_catalogue_values_only_is_named(service):
    with pytest.raises(InvalidQueryError, match=f"{CATALOGUE_ONLY.key} has neither"):
        service.by_examples([AGN.key, CATALOGUE_ONLY.key], [], "detections")


def test_unknown_example_is_named(service):
    with pytest.raises(NotFoundError, match="'nowhere'"):
        service.by_examples([AGN.key], ["nowhere"], "detections")


def test_too_many_examples_are_refused_with_both_numbers(service):
    with pytest.raises(InvalidQueryError, match=f"101 examples: give at most {MAX_EXAMPLES}"):
        service.by_examples([AGN.key] * 101, [], "detections")


def test_vector_of_the_shared_space_finds_its_own_point(service, vector_of):
    hits = service.by_vector(vector_of(BINARY), "fake0", "detections").hits

    assert hits[0].id == BINARY.id
    assert hits[0].score == pytest.approx(1, abs=1e-5)


def test_vector_of_another_model_is_refused(service, vector_of):
    with pytest.raises(InvalidQueryError, match="of model 'other', the store of 'fake0'"):
        service.by_vector(vector_of(BINARY), "other", "detections")


@pytest.mark.parametrize("shape", [(0,), (5,), (7,), (6, 1), ()])
def test_vector_of_another_size_is_refused(service, shape):
    with pytest.raises(InvalidQueryError, match="have 6 numbers"):
        service.by_vector(np.ones(shape), "fake0", "detections")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300, 0.0])
def test_vector_that_is_not_finite_or_zero_is_refused(service, value):
    with pytest.raises(InvalidQueryError, match="not finite, or is zero"):
        service.by_vector(np.full(6, value), "fake0", "papers")


QUESTIONS = [
    Question("text", "detections", text=QUESTION),
    Question("text", "papers", text=QUESTION),
    Question("text", "papers", text="bursts", ranking="dense", arrange=PageOptions(1)),
    Question("text", "papers", text="bursts", ranking="keywords"),
    Question(
        "spectrum",
        "detections",
        binned_counts=hard_counts(7),
        exposure_s=EXPOSURE_S,
        query_filter=DetectionFilter(classes=("AGN",)),
    ),
    Question("spectrum", "papers", binned_counts=soft_counts(8), exposure_s=10.0),
    Question("examples", "papers", positive=[AGN.key], negative=[BINARY.key]),
    Question("text", "detections", text="any", query_filter=DetectionFilter(where="obsid > 0")),
    Question("text", "detections", text="any", arrange=PageOptions(2, by_source=True)),
    Question("text", "papers", text=QUESTION, query_filter=PaperFilter(year_from=2005)),
]


def test_batch_answers_as_its_questions_do_one_by_one(service):
    together = service.batch(QUESTIONS)
    one_by_one = [service.batch([question])[0] for question in QUESTIONS]

    assert together == one_by_one
    assert together[0] == service.by_text(QUESTION, "detections")
    assert together[6] == service.by_examples([AGN.key], [BINARY.key], "papers")


def test_batch_encodes_together_and_asks_each_collection_once(small, monkeypatch):
    called = []
    for owner, name in (
        (small.encoder, "encode_summaries"),
        (small.encoder, "encode_spectra"),
        (small.store, "query_batch"),
    ):
        true = getattr(owner, name)

        def counted(*args, true=true, name=name):
            called.append(name)
            return true(*args)

        monkeypatch.setattr(owner, name, counted)
    small.service.batch([q for q in QUESTIONS if not (q.by_words or q.arrange.by_source)])

    assert sorted(called) == ["encode_spectra", "encode_summaries", "query_batch", "query_batch"]


def test_batch_names_the_question_that_is_wrong(service):
    with pytest.raises(InvalidQueryError, match="question 2 of 2: the question is empty"):
        service.batch([QUESTIONS[0], Question("text", "papers", text=" ")])
    with pytest.raises(NotFoundError, match="question 1 of 2: no detection or paper"):
        service.batch([Question("examples", "papers", positive=["nowhere"]), QUESTIONS[0]])


@pytest.mark.parametrize("n", [0, MAX_QUESTIONS + 1])
def test_batch_of_no_or_too_many_questions_is_refused(service, n):
    with pytest.raises(InvalidQueryError, match=f"a batch of {n} questions: give 1 to 100"):
        service.batch(QUESTIONS[:1] * n)


def test_subject_has_all_its_vectors_and_excludes_its_source(small, vector_of):
    subject = small.service.subject(AGN.key)
    excluded = {
        point.id
        for condition in subject.excluded
        for point in small.store.scroll("detections", models.Filter(must=[condition]))[0]
    }

    assert subject.name == AGN.source_name
    assert {name: (v.dtype, v.shape) for name, v in subject.vectors.items()} == {
        SPECTRUM: (np.float32, (8,)),
        SHARED_SPECTRUM: (np.float32, (6,)),
    }
    assert subject.vectors[SHARED_SPECTRUM] == pytest.approx(vector_of(AGN))
    assert subject.payload["obsid"] == AGN.obsid
    assert excluded == {str(AGN.id), str(AGN_AGAIN.id)}


def test_subject_without_a_spectrum_says_what_to_do(service):
    with pytest.raises(InvalidQueryError, match="ingest its spectrum first"):
        service.subject(CATALOGUE_ONLY.key)


def test_subject_of_a_new_spectrum_has_the_vectors_of_the_stored_one(service):
    new = service.subject_of(hard_counts(1), EXPOSURE_S)
    stored = service.subject(AGN.key)

    assert new.name == "the spectrum given"
    assert new.payload == {"counts": hard_counts(1).sum(), "exposure_s": EXPOSURE_S}
    for name, vector in stored.vectors.items():
        assert new.vectors[name] == pytest.approx(vector, abs=1e-6)


def test_subject_of_a_spectrum_that_is_stored_is_no_neighbour_of_itself(service):
    again = service.subject_of(hard_counts(1), EXPOSURE_S)
    assert again.excluded == service.subject(AGN.key).excluded
    assert service.subject_of(hard_counts(99), EXPOSURE_S).excluded == ()
