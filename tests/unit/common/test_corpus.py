from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.corpus import Corpus, CorpusText, is_held_out


def text(**changes):
    return CorpusText(**{"id": "1", "title": "T", "abstract": "A", "kind": "astro"} | changes)


@given(st.text())
def test_the_held_out_fifth_is_that_of_the_digest_as_a_number(identifier):
    number = int.from_bytes(sha256(identifier.encode()).digest(), "big")
    assert is_held_out(identifier) is (number % 5 == 0)


def test_about_a_fifth_is_held_out():
    assert 1900 < sum(is_held_out(f"arXiv:{n}") for n in range(10_000)) < 2100


@given(st.lists(st.text(), unique=True))
def test_what_is_held_out_is_never_trained_on(identifiers):
    corpus = Corpus([text(id=one) for one in identifiers])
    pool, training = ({one.id for one in part} for part in (corpus.pool(), corpus.training()))
    assert not pool & training
    assert pool | training == set(identifiers)


@pytest.mark.parametrize(
    ("kind", "score", "topical"),
    [("xray-source", 9, True), ("xray-source", 8.9, False), ("xray-other", 12, False)],
)
def test_topical_are_sure_texts_about_xray_sources(kind, score, topical):
    assert text(kind=kind, score=score).is_topical is topical


@pytest.mark.parametrize("word", ["X-ray", "x-rays", "Xray", "X ray", "X--ray", "X‐ray"])  # noqa: RUF001
def test_astronomy_with_xrays_is_neither_topical_nor_off_topic(word):
    for where in ("title", "abstract"):
        one = text(**{where: f"The {word} emission"})
        assert not one.is_topical
        assert not one.is_off_topic


@pytest.mark.parametrize("abstract", ["Stars.", "A max ray length.", "Xrayon"])
def test_astronomy_without_xrays_is_off_topic(abstract):
    assert text(abstract=abstract).is_off_topic is (abstract != "Xrayon")


def test_other_fields_are_off_topic_whatever_they_say():
    assert text(kind="other", abstract="X-ray crystallography").is_off_topic
    assert not text(kind="xray-source").is_off_topic
