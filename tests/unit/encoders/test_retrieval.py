import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.retrieval import Retrieval, rank_sources, rank_texts


def test_rank_texts_of_matching_vectors_are_first():
    rows = np.eye(5, dtype=np.float32)
    found = rank_texts(rows, rows, np.arange(5))
    assert found.ranks == (1,) * 5
    assert found.candidates == 5


def test_rank_texts_counts_the_texts_that_score_higher():
    spectrum = np.array([[1, 0]], dtype=np.float32)
    texts = np.array([[0.9, 0], [0.5, 0], [0.8, 0]], dtype=np.float32)
    assert [rank_texts(spectrum, texts, np.array([own])).ranks for own in range(3)] == [
        (1,),
        (3,),
        (2,),
    ]


def test_ranks_count_ties_against_us():
    rows = np.ones((4, 2), dtype=np.float32)
    assert rank_texts(rows, rows, np.arange(4)).ranks == (4,) * 4
    assert rank_sources(rows, rows, np.arange(4)).ranks == (4,) * 4


def test_rank_sources_scores_a_source_by_its_best_detection():
    texts = np.array([[1, 0], [0, 1]], dtype=np.float32)
    spectra = np.array([[0.1, 0.9], [0.6, 0], [0.9, 0.1]], dtype=np.float32)
    own = np.array([1, 1, 0])  # source 0: last row; source 1: first two
    assert rank_sources(spectra, texts, own).ranks == (1, 1)
    # Without its first detection source 1 has nothing near its text.
    assert rank_sources(spectra[1:], texts, own[1:]).ranks == (1, 2)


def test_every_text_of_a_source_is_a_right_answer():
    spectra = np.array([[1, 0], [0, 1]], dtype=np.float32)
    texts = np.array([[0.1, 0.2], [0.9, 0], [0.2, 0.8]], dtype=np.float32)
    about = np.array([0, 0, 1])
    found = rank_texts(spectra, texts, np.arange(2), about)
    assert (found.ranks, found.candidates) == ((1, 1), 2)
    back = rank_sources(spectra, texts, np.arange(2), about)
    assert (back.ranks, back.candidates) == ((2, 1, 1), 2)


@given(st.integers(1, 40), st.integers(0, 2**31))
def test_one_text_of_each_source_ranks_as_texts_in_any_order(n, seed):
    rng = np.random.default_rng(seed)
    spectra, texts = rng.normal(size=(2, n, 6)).astype(np.float32)
    own, about = rng.permutation(n), rng.permutation(n)
    in_order = texts[np.argsort(about)]
    assert rank_texts(spectra, texts, own, about) == rank_texts(spectra, in_order, own)
    by_source = np.array(rank_sources(spectra, in_order, own).ranks)
    assert rank_sources(spectra, texts, own, about).ranks == tuple(by_source[about])


@given(st.integers(1, 40), st.integers(0, 2**31))
def test_both_directions_agree_with_sorting(n, seed):
    rng = np.random.default_rng(seed)
    spectra, texts = rng.normal(size=(2, n, 6)).astype(np.float32)
    scores = spectra @ texts.T
    right = np.diag(scores)
    assert rank_texts(spectra, texts, np.arange(n)).ranks == tuple(
        (scores >= right[:, None]).sum(1)
    )
    assert rank_sources(spectra, texts, np.arange(n)).ranks == tuple((scores >= right).sum(0))


def test_recall_takes_the_first_percent_rounded_down():
    assert Retrieval((1, 11, 12, 1144), 1144).recall_at(1) == 0.5
    assert Retrieval((57, 58), 1144).recall_at(5) == 0.5


def test_recall_takes_the_first_answer_at_least():
    assert Retrieval((1, 2), 20).recall_at(1) == 0.5


def test_retrieval_reports_these_figures():
    assert Retrieval((1, 3, 100), 100).to_dict() == {
        "recall_at_1_percent": pytest.approx(1 / 3),
        "recall_at_5_percent": pytest.approx(2 / 3),
        "recall_at_10_percent": pytest.approx(2 / 3),
        "median_rank": 3.0,
        "candidates": 100,
    }


def test_curve_rises_from_half_a_percent_to_all():
    curve = Retrieval(tuple(range(1, 201)), 200).curve()
    assert next(iter(curve)) == "0.5"
    assert curve["0.5"] == 0.005
    assert curve["100"] == 1
    assert [*curve.values()] == sorted(curve.values())


def test_vectors_that_are_no_numbers_rank_last():
    nan = np.full((3, 2), np.nan, dtype=np.float32)
    for rank in (rank_texts, rank_sources):
        assert rank(nan, nan, np.arange(3)).ranks == (3, 3, 3)
