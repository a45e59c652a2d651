"""Texts made ready for training: who reads their concepts, and what is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from common.concepts import N_CONCEPTS
from common.dataset import Dataset
from common.ports import Float32Array, Progress, TextEmbedder
from common.records import Summary
from encoders.bundle import ModelBundle
from encoders.config import TrainingConfig
from encoders.fitting.fit_text_concepts import ConceptText, fit_text_concepts
from encoders.model import SpectrumTextModel
from encoders.recipes.known import recipe_of
from encoders.text.sentences import SentenceSets, embed_sentences
from encoders.text.text_concepts import TextConcepts
from encoders.training.training_data import IntArray, Parts, TrainingTexts

MOST_SIMULATED_TEXTS = 6000  # their wording repeats itself soon


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """n texts as the heads read them.

    Attributes
    ----------
    inputs : SentenceSets
        What the text heads read.
    told : ndarray of float32, shape (n, N_CONCEPTS)
        Probabilities of the concepts that they say.
    """

    inputs: SentenceSets
    told: Float32Array


def read_texts(
    model: SpectrumTextModel,
    embedder: TextEmbedder,
    summaries: Sequence[Summary],
    config: TrainingConfig,
    progress: Progress,
) -> Read:
    """Embed texts and read their concepts."""
    sentences = embed_sentences(embedder, summaries, progress)
    told, _ = model.text_concepts.probabilities(summaries, sentences)

    def sections() -> Float32Array:
        each = [section for summary in summaries for section in summary.sections()]
        return embedder.embed(each, progress).reshape(len(summaries), -1)

    return Read(recipe_of(config).text_inputs(sentences, sections), told)


def mean_told(dataset: Dataset, rows: IntArray, told: Float32Array) -> Float32Array:
    """Return what the texts of each source say in the mean.

    Parameters
    ----------
    dataset : Dataset
        Of n_source sources.
    rows : ndarray of int64
        Detections whose sources have texts.
    told : ndarray of float32, shape (n_text, N_CONCEPTS)
        What is told by the texts of these sources, in the order of the sources.

    Returns
    -------
    ndarray of float32, shape (n_source, N_CONCEPTS)
        NaN for all other sources.
    """
    mean = np.full((dataset.n_sources, N_CONCEPTS), np.nan, dtype=np.float32)
    first = 0
    for source in np.unique(dataset.source[rows]).tolist():
        after = first + len(dataset.texts_of(source))
        mean[source] = told[first:after].mean(axis=0)
        first = after
    return mean


def kept_reader(
    start: ModelBundle | None, words: TrainingTexts | None, embedder: TextEmbedder
) -> ModelBundle | None:
    """Return the bundle whose reader of texts is kept: ``start``, unless a new one is trained."""
    if words is None and start is not None and start.text_model == embedder.name:
        return start
    return None


def text_concepts_for(
    dataset: Dataset,
    parts: Parts,
    embedder: TextEmbedder,
    config: TrainingConfig,
    start: ModelBundle | None,
    words: TrainingTexts | None,
    progress: Progress,
) -> TextConcepts:
    """Return what reads concepts and topic: that of ``start``, or a new one of a corpus' words."""
    kept = kept_reader(start, words, embedder)
    if kept is not None:
        text_concepts = TextConcepts(embedder.width, kept.manifest.config.text_concepts)
        text_concepts.load_state_dict(kept.weights("text_concepts"))
        return text_concepts.eval()
    if config.bridge_share == 0 and words is None:  # nothing asks what is said, or tells topics
        unread = TextConcepts(embedder.width, config.text_concepts)
        unread.topic_slope.fill_(nan)
        return unread.eval()
    return fit_text_concepts(
        embedder,
        words.texts if words else (),
        config.text_concepts,
        _simulated_texts(dataset, parts.paired["training"]),
        progress,
    )


def _simulated_texts(dataset: Dataset, rows: IntArray) -> list[ConceptText]:
    """Return texts of simulated sources with the concepts that are known to hold."""
    if dataset.concepts is None:
        return []
    sources, first = np.unique(dataset.source[rows], return_index=True)
    everything = np.ones(N_CONCEPTS, dtype=np.float32)
    return [
        ConceptText(text.summary, dataset.concepts[row].astype(np.float32), everything, topic=1.0)
        for source, row in zip(sources.tolist(), rows[first].tolist(), strict=True)
        for text in dataset.texts_of(source)
    ][:MOST_SIMULATED_TEXTS]
