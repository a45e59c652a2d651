"""Heads that take spectra and texts to one shared space.

An ensemble: several pairs of heads are trained apart, their outputs are put side by side (the
cosine of such vectors is the mean of the members' cosines) and turned back into few numbers by the
directions that hold most of them.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.numbers import N_NUMBER_FEATURES
from encoders.config import TrainingConfig
from encoders.heads import Heads, SharedSpace

LARGEST_DEVIATION = 5.0
SENTENCE_NORM = 4.0
WHITENING_FLOOR = 1e-2


class SpectrumHead(nn.Module):
    """Two fully connected layers from the latent to the shared space."""

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(config.input_dropout),
            nn.Linear(config.latent, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.shared),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Return unit vectors, (B, latent) -> (B, shared)."""
        return functional.normalize(self.layers(latents), dim=-1)


class TextHead(nn.Module):
    """Read each sentence, add up what all of a text say, and take the sum to the shared space.

    References
    ----------
    .. [1] M. Zaheer et al., Deep Sets, arXiv:1703.06114.
    """

    def __init__(self, n_sentence: int, config: TrainingConfig) -> None:
        super().__init__()
        self.read = nn.Sequential(
            nn.Linear(n_sentence, config.hidden),
            nn.GELU(),
            nn.Dropout(config.input_dropout),
            nn.Linear(config.hidden, config.hidden),
        )
        self.conclude = nn.Sequential(
            nn.GELU(), nn.Dropout(config.dropout), nn.Linear(config.hidden, config.shared)
        )

    def forward(self, sentences: Tensor, of_text: Tensor) -> Tensor:
        """Return unit vectors.

        Parameters
        ----------
        sentences : Tensor of float32, shape (n_sentence, d)
            Prepared sentences.
        of_text : Tensor of int64, shape (B, longest)
            Rows of the sentences of each text; -1 where it has no more.

        Returns
        -------
        Tensor of float32, shape (B, shared)
            One vector for each text.
        """
        text, place = (of_text >= 0).nonzero(as_tuple=True)  # (t,), (t,)
        used, row = torch.unique(of_text[text, place], return_inverse=True)
        said = self.read(sentences[used])[row]  # (t, hidden)
        all_said = said.new_zeros(len(of_text), said.shape[1]).index_add(0, text, said)
        return functional.normalize(self.conclude(all_said), dim=-1)


class HeadPair(Heads):
    """One member of the ensemble."""

    def __init__(self, n_sentence: int, config: TrainingConfig) -> None:
        super().__init__()
        self.spectrum = SpectrumHead(config)
        self.text = TextHead(n_sentence, config)


class Alignment(SharedSpace):
    """The ensemble of heads with what prepares its inputs and merges its outputs."""

    latent_mean: Tensor
    latent_scale: Tensor
    text_mean: Tensor
    text_components: Tensor
    merge: Tensor

    def __init__(self, text_width: int, config: TrainingConfig) -> None:
        super().__init__()
        n_text = min(config.text_components, text_width)
        self.pairs = nn.ModuleList(
            HeadPair(n_text + N_NUMBER_FEATURES, config) for _ in range(config.members)
        )
        self.register_buffer("latent_mean", torch.zeros(config.latent))
        self.register_buffer("latent_scale", torch.ones(config.latent))
        self.register_buffer("text_mean", torch.zeros(text_width))
        self.register_buffer("text_components", torch.eye(text_width, n_text))
        self.register_buffer("merge", torch.eye(config.members * config.shared, config.shared))

    def fit_inputs(self, latents: Tensor, embeddings: Tensor) -> None:
        """Set how inputs are standardised and whitened.

        Parameters
        ----------
        latents : Tensor of float32, shape (n, latent)
            Latents of the training spectra.
        embeddings : Tensor of float32, shape (n_sentence, text_width)
            Embeddings of the distinct training sentences.
        """
        self.latent_mean.copy_(latents.mean(0))
        self.latent_scale.copy_(latents.std(0, correction=0).clamp_min(1e-6))
        # What tells two sentences apart, a word or a number, moves an embedding much less than
        # their common subject does: whitening gives both directions the same weight.
        self.text_mean.copy_(embeddings.mean(0))
        centred = (embeddings - self.text_mean).double()
        variance, direction = torch.linalg.eigh(centred.T @ centred / len(centred))  # ascending
        scale = variance.clamp_min(0).sqrt() + WHITENING_FLOOR
        self.text_components.copy_((direction / scale).flip(1)[:, : self.text_components.shape[1]])

    def prepare_latents(self, latents: Tensor) -> Tensor:
        """Standardise latents, (B, latent) -> the same."""
        standard = (latents - self.latent_mean) / self.latent_scale
        return standard.clamp(-LARGEST_DEVIATION, LARGEST_DEVIATION)

    def prepare_sentences(self, embeddings: Tensor, numbers: Tensor) -> Tensor:
        """Whiten embeddings and add the numbers, (s, text_width), (s, 15) -> (s, n_text + 15).

        Embeddings are brought to one length: sentences unlike those of training stay in its range.
        """
        white = (embeddings - self.text_mean) @ self.text_components
        return torch.cat([SENTENCE_NORM * functional.normalize(white, dim=-1), numbers], dim=1)

    def fit_merge(self, latents: Tensor, sentences: Tensor, of_text: Tensor) -> None:
        """Set the directions that hold most of the members' outputs for these prepared inputs."""
        outputs = torch.cat([self._spectra(latents), self._texts(sentences, of_text)])
        _, direction = torch.linalg.eigh((outputs.T @ outputs).double())  # ascending
        self.merge.copy_(direction.flip(1)[:, : self.merge.shape[1]])

    def place(self, latents: Tensor) -> Tensor:
        """Return unit vectors of the shared space for prepared latents, (B, shared)."""
        return functional.normalize(self._spectra(latents) @ self.merge, dim=-1)

    def read(self, sentences: Tensor, of_text: Tensor) -> Tensor:
        """Return unit vectors of the shared space for prepared sentences, (B, shared)."""
        return functional.normalize(self._texts(sentences, of_text) @ self.merge, dim=-1)

    def _spectra(self, latents: Tensor) -> Tensor:
        return torch.cat([self._pair(i).spectrum(latents) for i in range(len(self.pairs))], dim=1)

    def _texts(self, sentences: Tensor, of_text: Tensor) -> Tensor:
        outputs = [self._pair(i).text(sentences, of_text) for i in range(len(self.pairs))]
        return torch.cat(outputs, dim=1)  # (B, members * shared)

    def _pair(self, index: int) -> HeadPair:
        return cast("HeadPair", self.pairs[index])
