"""The sentences of papers that fit a question, by the words that they share with it."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from common.sentences import split_sentences
from search.store.keywords import keywords_of_document, keywords_of_question

MOST = 3
"""Sentences shown of one paper."""


def highlight(question: str, papers: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return the sentences of each paper that fit a question, best first.

    A sentence counts the words (stems) that it shares with the question, the rare ones more; how
    rare a word is, the sentences of these papers tell.

    Parameters
    ----------
    question : str
        Any words.
    papers : sequence of mapping, length n
        Payloads with title, abstract and summary.

    Returns
    -------
    list of tuple of str, length n
        At most `MOST` sentences of each paper; none where no word is shared.
    """
    wanted = set(keywords_of_question(question).indices)
    if not wanted:
        return [()] * len(papers)
    read = [
        [(sentence, _shared(sentence, wanted)) for sentence in dict.fromkeys(_sentences(paper))]
        for paper in papers
    ]
    holders = Counter(word for one in read for _, words in one for word in words)
    n = sum(map(len, read))
    rarity = {word: math.log(1 + n / count) for word, count in holders.items()}

    def worth(entry: tuple[str, Mapping[int, float]]) -> float:
        return sum(weight * rarity[word] for word, weight in entry[1].items())

    return [
        tuple(
            sentence
            for sentence, _ in sorted((e for e in one if e[1]), key=worth, reverse=True)[:MOST]
        )
        for one in read
    ]


def _shared(sentence: str, wanted: set[int]) -> dict[int, float]:
    """Return the words shared with the question and their BM25 weights in the sentence."""
    words = keywords_of_document(sentence)
    return {
        word: weight
        for word, weight in zip(words.indices, words.values, strict=True)
        if word in wanted
    }


def _sentences(payload: Mapping[str, Any]) -> Iterator[str]:
    summary = payload.get("summary", {})
    sections = ("nature", "xray", "interpretation")
    for text in (
        payload.get("title", ""),
        payload.get("abstract", ""),
        *(summary.get(section, "") for section in sections),
    ):
        yield from split_sentences(text)
