"""The one place where recipes differ: what each must offer."""

from collections.abc import Callable, Mapping
from typing import Protocol

from common.ports import Float32Array
from encoders.autoencoder import ShapeAutoencoder
from encoders.config import TrainingConfig
from encoders.fitting.fit_alignment import FitHeads, Pairs
from encoders.heads import Heads, SharedSpace
from encoders.text.sentences import SentenceSets


class Recipe(Protocol):
    """Parts of a model and how they are trained."""

    def autoencoder(self, config: TrainingConfig) -> ShapeAutoencoder:
        """Return an autoencoder of random weights."""
        ...

    def shared_space(self, section_width: int, config: TrainingConfig) -> SharedSpace:
        """Return an ensemble of random weights for section embeddings of this width."""
        ...

    def shared_width(self, config: TrainingConfig) -> int:
        """Return the length of the vectors of the shared space."""
        ...

    def heads(self, text_width: int, config: TrainingConfig) -> Heads:
        """Return one member for prepared sentences of this width."""
        ...

    def text_inputs(
        self, sentences: SentenceSets, sections: Callable[[], Float32Array]
    ) -> SentenceSets:
        """Return what the text heads read.

        Parameters
        ----------
        sentences : SentenceSets
            Sentences of n texts.
        sections : callable
            Gives the embeddings of their three sections side by side, shape (n, 3 width).

        Returns
        -------
        SentenceSets
            Inputs of the text heads.
        """
        ...

    def fitting(self, pairs: Mapping[str, Pairs]) -> FitHeads:
        """Return how one member is trained, given all that is not tested on."""
        ...
