"""Texts as sets of sentences: what the text heads read.

A section says several things, and one embedding of it blurs them. Sentence by sentence, what
belongs to the source can be told from what would stand in any paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.numbers import number_features, split_quantities
from common.ports import Float32Array, Progress, TextEmbedder, no_progress
from common.records import Summary
from common.sentences import split_sentences

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class SentenceSets:
    """The sentences of n texts, each distinct sentence once.

    Attributes
    ----------
    embeddings : ndarray of float32, shape (n_sentence, width)
        Embeddings of the distinct sentences.
    numbers : ndarray of float32, shape (n_sentence, 15)
        Their `common.numbers.number_features`.
    of_text : ndarray of int64, shape (n, longest)
        Rows of the sentences of each text, filled up with -1; one at least.
    """

    embeddings: Float32Array
    numbers: Float32Array
    of_text: IntArray


def embed_sentences(
    embedder: TextEmbedder, summaries: Sequence[Summary], progress: Progress = no_progress
) -> SentenceSets:
    """Split summaries into sentences and embed these; repeated ones count once in a text."""
    texts = [_sentences(summary) for summary in summaries]
    row = {sentence: i for i, sentence in enumerate(sorted({s for text in texts for s in text}))}
    of_text = np.full((len(texts), max(map(len, texts), default=1)), -1, dtype=np.int64)
    for place, text in zip(of_text, texts, strict=True):
        place[: len(text)] = [row[sentence] for sentence in text]
    distinct = list(row)
    return SentenceSets(embedder.embed(distinct, progress), number_features(distinct), of_text)


def _sentences(summary: Summary) -> list[str]:
    sentences = dict.fromkeys(
        part
        for section in summary.sections()
        for sentence in split_sentences(section)
        for part in split_quantities(sentence)
    )
    return list(sentences) or [""]
