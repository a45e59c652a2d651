"""What one room asks of another, without knowing who answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from common.records import Summary

Float32Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

Progress = Callable[[str, int, int | None], None]
"""Called as ``progress(stage, done, total)``; ``total`` is None when unknown."""


def no_progress(_stage: str, _done: int, _total: int | None) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Embeddings of the same n inputs before and after alignment, rows of unit L2 norm.

    Attributes
    ----------
    own : ndarray of float32, shape (n, d_own)
        Before alignment: autoencoder latents (64) or text embeddings (3 x width).
    shared : ndarray of float32, shape (n, d_shared)
        In the shared space.
    """

    own: Float32Array
    shared: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class TextVectors(Vectors):
    """Embeddings of texts, and what the model thinks of their subject.

    Attributes
    ----------
    topic_probability : ndarray of float32, shape (n,)
        Calibrated probability that a text is about X-ray sources, from 0 to 1; NaN where the
        model has not learnt to tell.
    """

    topic_probability: Float32Array


MIN_TOPIC: Final = 0.8
"""Least `TextVectors.topic_probability` of a text that counts as about X-ray sources: 97% of those
on the topic have it, and 4 of 5,788 off it (docs/decisions/0013-concepts.md)."""


class TextEmbedder(Protocol):
    """Turn text into vectors."""

    name: str
    width: int

    def embed(self, texts: Sequence[str], progress: Progress = no_progress) -> Float32Array:
        """Return embeddings, shape (n, width), unit L2 norm."""
        ...


class Encoder(Protocol):
    """Turn spectra and summaries into vectors; one model bundle, one ``model_id``."""

    model_id: str
    text_model: str
    spectrum_width: int
    text_width: int  # of the three concatenated sections
    shared_width: int

    def encode_spectra(
        self, counts: FloatArray, exposure_s: FloatArray, progress: Progress = no_progress
    ) -> Vectors:
        """Encode counts on the 400 bins, shape (n, 400), with exposures, shape (n,)."""
        ...

    def encode_summaries(
        self, summaries: Sequence[Summary], progress: Progress = no_progress
    ) -> TextVectors:
        """Encode three-section summaries."""
        ...

    def encode_question(self, question: str) -> TextVectors:
        """Encode free text as a summary whose three sections are the question (n = 1)."""
        ...


class Summarizer(Protocol):
    """Write the three sections of a paper from its title and abstract."""

    def summarize(
        self, texts: Sequence[tuple[str, str]], progress: Progress = no_progress
    ) -> list[Summary]:
        """Return one summary for each ``(title, abstract)``."""
        ...
