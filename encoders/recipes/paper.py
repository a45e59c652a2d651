"""The recipe of arXiv:2603.04516 as printed, to compare with.

The spectrum is its min-max normalised shape, the text its three section embeddings side by side,
and two fully connected networks take both to the shared space. What the paper leaves open, and how
it is filled in here, is listed in docs/explanation/the-paper.md.
"""

import functools
from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from common.ports import Float32Array
from encoders.autoencoder import ShapeAutoencoder
from encoders.config import TrainingConfig
from encoders.fitting.fit_alignment import FitHeads, Pairs
from encoders.heads import Heads, SharedSpace
from encoders.recipes.paper_fit import fit_as_printed
from encoders.text.sentences import SentenceSets

N_SECTIONS = 3


class FullyConnected(nn.Module):
    """Two fully connected layers to the shared space."""

    def __init__(self, n_inputs: int, config: TrainingConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_inputs, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.shared),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return unit vectors, (B, n_inputs) -> (B, shared)."""
        return functional.normalize(self.layers(inputs), dim=-1)


class SectionHead(FullyConnected):
    """The same for texts, each of which is one row of section embeddings side by side."""

    def forward(self, sections: Tensor, of_text: Tensor) -> Tensor:  # type: ignore[override]
        """Return unit vectors of rows ``of_text``, (n, 3 width), (B, 1) -> (B, shared)."""
        return super().forward(sections[of_text[:, 0]])


class SectionHeads(Heads):
    """One member of the ensemble."""

    def __init__(self, text_width: int, config: TrainingConfig) -> None:
        super().__init__()
        self.spectrum = FullyConnected(config.latent, config)
        self.text = SectionHead(text_width, config)


class SideBySide(SharedSpace):
    """An ensemble whose members' outputs are put side by side; inputs are taken as they are.

    The cosine of such vectors is the mean of the members' cosines.
    """

    def __init__(self, section_width: int, config: TrainingConfig) -> None:
        super().__init__()
        self.pairs = nn.ModuleList(
            SectionHeads(N_SECTIONS * section_width, config) for _ in range(config.members)
        )

    def fit_inputs(self, latents: Tensor, embeddings: Tensor) -> None:
        """Learn nothing."""

    def prepare_latents(self, latents: Tensor) -> Tensor:
        """Return latents as they are."""
        return latents

    def prepare_sentences(self, embeddings: Tensor, numbers: Tensor) -> Tensor:
        """Return embeddings as they are."""
        return embeddings

    def fit_merge(self, latents: Tensor, sentences: Tensor, of_text: Tensor) -> None:
        """Learn nothing."""

    def place(self, latents: Tensor) -> Tensor:
        """Return unit vectors of the shared space, (B, latent) -> (B, members * shared)."""
        return _side_by_side([pair.spectrum(latents) for pair in self._members()])

    def read(self, sentences: Tensor, of_text: Tensor) -> Tensor:
        """Return unit vectors, (n, 3 width), (B, 1) -> (B, members * shared)."""
        return _side_by_side([pair.text(sentences, of_text) for pair in self._members()])

    def _members(self) -> list[Heads]:
        return [cast("Heads", pair) for pair in self.pairs]


def _side_by_side(outputs: list[Tensor]) -> Tensor:
    joined: Tensor = torch.cat(outputs, dim=1) / len(outputs) ** 0.5  # of unit length again
    return joined


class PaperRecipe:
    """See `encoders.recipes.recipe.Recipe`.

    References
    ----------
    .. [1] Augmenting representations with scientific papers, arXiv:2603.04516.
    .. [2] The spectrum encoder, arXiv:2510.14102.
    """

    def autoencoder(self, config: TrainingConfig) -> ShapeAutoencoder:
        """Return an autoencoder of the shape alone."""
        return ShapeAutoencoder(config)

    def shared_space(self, section_width: int, config: TrainingConfig) -> SideBySide:
        """Return an ensemble of pairs of fully connected networks."""
        return SideBySide(section_width, config)

    def shared_width(self, config: TrainingConfig) -> int:
        """Return the width of all members side by side."""
        return config.members * config.shared

    def heads(self, text_width: int, config: TrainingConfig) -> SectionHeads:
        """Return one member."""
        return SectionHeads(text_width, config)

    def text_inputs(
        self, sentences: SentenceSets, sections: Callable[[], Float32Array]
    ) -> SentenceSets:
        """Return section embeddings side by side: one row a text, 3 x 1,536 with ada-002."""
        own = sections()
        n = len(own)
        return SentenceSets(own, np.empty((n, 0), np.float32), np.arange(n)[:, None])

    def fitting(self, pairs: Mapping[str, Pairs]) -> FitHeads:
        """Return a training that tunes the temperature on the calibration pairs."""
        calibration = pairs.get("calibration", pairs["validation"])
        return functools.partial(fit_as_printed, calibration=calibration)
