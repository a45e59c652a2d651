import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidPaperError
from common.ports import no_progress
from common.sentences import split_sentences
from ingest.papers.extractive import (
    ANCHORS,
    MAX_CHARACTERS_PER_SECTION,
    MAX_SENTENCES_PER_SECTION,
    ExtractiveSummarizer,
    share_out,
)
from ingest.papers.papers import read_papers


class HashEmbedder:
    """Bag of words: texts are near when they share words."""

    name = "hash"
    width = 256

    def __init__(self):
        self.calls = []

    def embed(self, texts, progress=no_progress):
        self.calls.append(list(texts))
        vectors = np.zeros((len(texts), self.width), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().replace(".", " ").replace(",", " ").split():
                vectors[row, hashlib.sha256(word.encode()).digest()[0]] += 1
            progress("embed", row + 1, len(texts))
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(norms == 0, 1, norms)


TITLE = "An obscured quasar behind NGC 4258"
ABSTRACT = (
    "We identify the source as a quasar. "
    "The spectrum is an absorbed power law of photon index 1.8 and column density 2e22 cm-2. "
    "The light curve shows flares. "
    "We interpret the emission with a model of a wind and discuss its origin."
)


@pytest.fixture
def summarizer():
    return ExtractiveSummarizer(HashEmbedder())


# Summaries


def test_sentences_go_to_the_section_they_fit(summarizer):
    (summary,) = summarizer.summarize([(TITLE, ABSTRACT)])
    assert summary.nature == f"{TITLE}. We identify the source as a quasar."
    assert summary.xray == (
        "The spectrum is an absorbed power law of photon index 1.8 and column density 2e22 cm-2. "
        "The light curve shows flares."
    )
    assert summary.interpretation == (
        "We interpret the emission with a model of a wind and discuss its origin."
    )
    assert summary.method == "extractive"


@pytest.mark.parametrize(
    ("title", "abstract", "whole"),
    [
        ("A title", "One short abstract.", "A title. One short abstract."),
        ("A title?", "One  sentence. And\nanother.", "A title? One sentence. And another."),
        ("", "A. B. C. D.", "A. B. C. D."),
        ("Only a title", "", "Only a title."),
    ],
)  # fmt: skip
def test_short_abstracts_are_repeated_never_invented(summarizer, title, abstract, whole):
    (summary,) = summarizer.summarize([(title, abstract)])
    assert summary.sections() == (whole, whole, whole)


def test_imprint_is_left_out(summarizer):
    imprint = "Based on observations made with the VLT. E-mail: someone@example.org"
    with_imprint, without = summarizer.summarize(
        [(TITLE, f"{ABSTRACT} {imprint}"), (TITLE, ABSTRACT)]
    )
    assert with_imprint == without


def test_nothing_at_all_is_refused(summarizer):
    with pytest.raises(InvalidPaperError, match="neither title nor abstract"):
        summarizer.summarize([("", " ")])


def test_no_texts_give_no_summaries(summarizer):
    assert summarizer.summarize([]) == []


def test_sentences_of_a_batch_are_embedded_at_once_and_descriptions_only_once():
    embedder = HashEmbedder()
    summarizer = ExtractiveSummarizer(embedder)
    stages = []
    for _ in range(2):
        summarizer.summarize([(TITLE, ABSTRACT), ("Short", "Text."), (TITLE, ABSTRACT)],
                             lambda *call: stages.append(call))  # fmt: skip
    assert [len(texts) for texts in embedder.calls] == [8, sum(map(len, ANCHORS)), 8]
    assert stages[-1] == ("embed", 8, 8)


def test_a_summary_does_not_depend_on_its_batch(summarizer):
    texts = [(TITLE, ABSTRACT), ("Short", "Text."), ("Other", ABSTRACT.replace("quasar", "star"))]
    assert summarizer.summarize(texts) == [
        summary for text in texts for summary in summarizer.summarize([text])
    ]


@given(st.lists(st.tuples(st.text(), st.text("abAB.!? ()", max_size=400)), max_size=4))
def test_sections_are_sentences_of_the_paper_in_their_order(texts):
    texts = [text for text in texts if "".join(text).strip()]
    for (title, abstract), summary in zip(
        texts, ExtractiveSummarizer(HashEmbedder()).summarize(texts), strict=True
    ):
        title = " ".join(title.split())
        own = [
            title if not title or title[-1] in ".!?" else f"{title}.",
            *split_sentences(abstract),
        ]
        for section in summary.sections():
            assert section
            assert is_joined_from(section, [sentence for sentence in own if sentence])


def is_joined_from(section, sentences):
    """Whether a text is some of these sentences, in their order, joined by blanks."""
    reachable = {0}  # positions up to which the section is explained by the sentences so far
    for sentence in sentences:
        reachable |= {
            start + len(sentence) + 1 for start in reachable if section.startswith(sentence, start)
        }
    return len(section) + 1 in reachable


def closed(title):
    return title if not title or title[-1] in ".!?" else f"{title}."


def test_real_abstracts_give_three_sections_that_fit_the_text_model(shared_data):
    papers, _ = read_papers(shared_data / "papers" / "papers.jsonl")
    texts = [(paper.title, paper.abstract) for paper in papers]
    summaries = ExtractiveSummarizer(HashEmbedder()).summarize(texts)
    for (title, abstract), summary in zip(texts, summaries, strict=True):
        own = [closed(title), *split_sentences(abstract)]
        assert all(is_joined_from(section, own) for section in summary.sections())
        if len(set(summary.sections())) == 3:
            # Only a first sentence may be longer, and title and first sentence of nature.
            longest = len(own[0]) + 1 + max(map(len, own[1:]))
            assert all(
                len(x) <= max(MAX_CHARACTERS_PER_SECTION, longest) for x in summary.sections()
            )


# Sharing out


@given(
    st.lists(
        st.tuples(*[st.floats(-1, 1, width=16)] * 3, st.integers(1, 1000)), min_size=3, max_size=15
    )
)
def test_no_section_is_empty_and_no_sentence_used_twice(sentences):
    *scores, lengths = zip(*sentences, strict=True)
    sections = share_out(np.array(scores).T, lengths)
    used = [sentence for section in sections for sentence in section]
    assert len(used) == len(set(used))
    for section in sections:
        assert 1 <= len(section) <= MAX_SENTENCES_PER_SECTION
        assert section == sorted(section)
        if len(section) > 1:
            assert sum(lengths[i] for i in section) <= MAX_CHARACTERS_PER_SECTION


def test_each_section_keeps_its_best_sentence():
    scores = np.array([[0.9, 0.1, 0.1], [0.1, 0.1, 0.8], [0.2, 0.7, 0.1], [0.5, 0.6, 0.1]])
    assert share_out(scores, [100] * 4) == [[0], [2, 3], [1]]


def test_sections_all_alike_to_the_embedder_are_still_filled():
    assert sorted(i for own in share_out(np.zeros((3, 3)), [10] * 3) for i in own) == [0, 1, 2]
