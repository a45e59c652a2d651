"""``--corpus`` and ``--exclude`` of ``train``: real texts to learn words and the topic from."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cli.console import say
from common.concept_targets import concept_targets
from common.concepts import N_CONCEPTS
from common.corpus import CorpusText
from common.errors import InputError
from common.ports import Progress, TextEmbedder
from common.records import Summary
from ingest.papers.corpus import read_corpus
from ingest.papers.extractive import ExtractiveSummarizer

if TYPE_CHECKING:  # torch takes seconds to load, and --help can do without
    from encoders.fitting.fit_text_concepts import ConceptText
    from encoders.training.train import TrainingTexts

NO_CORPUS = (
    "no --corpus: words are those that the bundle to start from has learnt, or, with --start none, "
    "those of the dataset and of templates, and papers are not told by their topic"
)


def read_words(
    files: Sequence[Path],
    exclude: Sequence[Path],
    embedder: TextEmbedder,
    progress: Progress,
) -> "TrainingTexts | None":
    """Read the four fifths of corpora that may be learnt from, or say what goes without them.

    Raises
    ------
    InputError
        If nothing in them is about X-ray sources.
    """
    from encoders.training.train import TrainingTexts

    if not files:
        if exclude:
            raise InputError("--exclude leaves texts out of a --corpus: give one, or leave it out")
        say(NO_CORPUS)
        return None
    corpus = read_corpus(files, exclude)
    for note in corpus.notes:
        say(f"note: {note}")
    texts = corpus.training()
    if not any(text.kind == "xray-source" for text in texts):
        raise InputError(
            f"{', '.join(corpus.files)}: no text of kind xray-source to learn from: add some"
        )
    summaries = ExtractiveSummarizer(embedder).summarize(
        [(text.title, text.abstract) for text in texts], progress
    )
    return TrainingTexts(
        texts=[_lesson(text, own) for text, own in zip(texts, summaries, strict=True)],
        sizes={" ".join(corpus.files): len(texts)},
    )


def _lesson(text: CorpusText, summary: Summary) -> "ConceptText":
    """Return what a text teaches: concepts and topic, the topic, or nothing that is sure."""
    from encoders.fitting.fit_text_concepts import ConceptText

    if text.kind == "xray-source":
        targets, weights = concept_targets(summary.sections(), text.classes, text.score or None)
        return ConceptText(summary, targets, weights, topic=1.0)
    nothing = np.zeros(N_CONCEPTS, dtype=np.float32)
    return ConceptText(summary, nothing, nothing, topic=0.0 if text.is_off_topic else float("nan"))
