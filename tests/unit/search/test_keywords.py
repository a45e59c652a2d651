import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.store.keywords import keywords_of_document, keywords_of_question


def words(text):
    return {*keywords_of_question(text).indices}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("galaxies", "galaxy"),
        ("AGN", "agn"),
        ("Bursting binaries", "burst binary"),
        ("X-ray", "x ray"),
        ("the spectrum of the source", "spectra source spectrum"),
        ("Schrödinger", "schrodinger"),
        ("(NGC 4258)", "NGC 4258"),
    ],
)
def test_keywords_of_words_that_mean_the_same_agree(one, other):
    assert words(one) <= words(other)


def test_keywords_of_different_words_differ():
    assert words("NGC 4258") != words("NGC 4259")
    assert not words("quasar") & words("binary")


@pytest.mark.parametrize("text", ["", "   ", "the of and", "?!"])
def test_keywords_of_nothing_but_stop_words_are_empty(text):
    assert words(text) == set()
    assert keywords_of_document(text).values == []


def test_keywords_of_a_question_weigh_alike_and_are_those_of_the_document():
    text = "Iron line of an obscured nucleus, iron"
    question, document = keywords_of_question(text), keywords_of_document(text)
    assert set(question.values) == {1.0}
    assert {*question.indices} == {*document.indices}


def test_keywords_of_a_document_grow_with_repetition_and_saturate():
    weights = [keywords_of_document("iron " * n).values[0] for n in (1, 2, 4, 40)]
    assert weights == sorted(weights)
    assert weights[0] > 1
    assert weights[-1] < 2.2  # k + 1 of BM25, however often a word is repeated


@given(st.text(max_size=300))
def test_keywords_of_any_text_can_be_stored(text):
    vector = keywords_of_document(text)
    assert len({*vector.indices}) == len(vector.values)
    assert all(math.isfinite(value) and value > 0 for value in vector.values)
    assert all(0 <= index < 2**32 for index in vector.indices)
