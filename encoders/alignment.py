"""Heads that take spectra and texts to one shared space.

An ensemble: several pairs of two-layer heads are trained apart, their outputs are put side by side
(the cosine of such vectors is the mean of the members' cosines) and turned back into few numbers by
the directions that hold most of them.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.binning import N_BINS
from encoders.config import TrainingConfig

N_COARSE = 40
N_SECTIONS = 3
FEATURE_LIMIT = 5.0
WHITENING_FLOOR = 1e-3


def spectrum_features(latent: Tensor, counts: Tensor) -> Tensor:
    """Return what the spectrum heads see.

    Parameters
    ----------
    latent : Tensor of float32, shape (B, latent)
        Latents of the autoencoder.
    counts : Tensor of float32, shape (B, 400)
        Counts per bin, with a positive sum.

    Returns
    -------
    Tensor of float32, shape (B, latent + 41)
        The latent, the square root of the fraction of counts in each of 40 coarse bins (its noise
        is even), and the log of all counts, which tells how far the rest can be trusted.
    """
    coarse = counts.reshape(len(counts), N_COARSE, N_BINS // N_COARSE).sum(2)  # (B, 40)
    total = coarse.sum(1, keepdim=True)  # (B, 1)
    return torch.cat([latent, (coarse / total).sqrt(), total.log()], dim=1)


class AlignmentHead(nn.Module):
    """Two fully connected layers to the shared space."""

    def __init__(self, n_in: int, config: TrainingConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(config.input_dropout),
            nn.Linear(n_in, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.shared),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return unit vectors, (B, n_in) -> (B, shared)."""
        return functional.normalize(self.layers(features), dim=-1)


class HeadPair(nn.Module):
    """One member of the ensemble."""

    def __init__(self, n_spectrum: int, n_text: int, config: TrainingConfig) -> None:
        super().__init__()
        self.spectrum = AlignmentHead(n_spectrum, config)
        self.text = AlignmentHead(n_text, config)


class Alignment(nn.Module):
    """The ensemble of heads with what prepares its inputs and merges its outputs."""

    spectrum_mean: Tensor
    spectrum_scale: Tensor
    text_mean: Tensor
    text_components: Tensor
    merge: Tensor

    def __init__(self, text_width: int, config: TrainingConfig) -> None:
        super().__init__()
        n_spectrum = config.latent + N_COARSE + 1
        n_text = min(config.text_components, text_width)
        self.pairs = nn.ModuleList(
            HeadPair(n_spectrum, N_SECTIONS * n_text, config) for _ in range(config.members)
        )
        self.register_buffer("spectrum_mean", torch.zeros(n_spectrum))
        self.register_buffer("spectrum_scale", torch.ones(n_spectrum))
        self.register_buffer("text_mean", torch.zeros(text_width))
        self.register_buffer("text_components", torch.eye(text_width, n_text))
        self.register_buffer("merge", torch.eye(config.members * config.shared, config.shared))

    def fit_inputs(self, features: Tensor, sections: Tensor) -> None:
        """Set how inputs are standardised and whitened.

        Parameters
        ----------
        features : Tensor of float32, shape (n, latent + 41)
            Features of the training spectra.
        sections : Tensor of float32, shape (m, text_width)
            Embeddings of the training sections, three in a row for each summary.
        """
        self.spectrum_mean.copy_(features.mean(0))
        self.spectrum_scale.copy_(features.std(0) + WHITENING_FLOOR)
        # What tells two summaries apart, a number in a sentence, moves an embedding much less than
        # the sentence does: whitening gives both directions the same weight.
        self.text_mean.copy_(sections.mean(0))
        covariance = (sections - self.text_mean).double().T.cov()  # (text_width, text_width)
        variance, direction = torch.linalg.eigh(covariance)  # ascending
        n_text = self.text_components.shape[1]
        scale = variance.clamp_min(0).sqrt() + WHITENING_FLOOR
        self.text_components.copy_((direction / scale).flip(1)[:, :n_text])

    def prepare_spectra(self, features: Tensor) -> Tensor:
        """Standardise features, (B, latent + 41) -> the same."""
        standard = (features - self.spectrum_mean) / self.spectrum_scale
        return standard.clamp(-FEATURE_LIMIT, FEATURE_LIMIT)

    def prepare_sections(self, sections: Tensor) -> Tensor:
        """Whiten section embeddings, (B, 3, text_width) -> (B, 3, n_text).

        Each is brought to one length: texts unlike those of training stay within its range.
        """
        white = (sections - self.text_mean) @ self.text_components
        return functional.normalize(white, dim=-1) * math.sqrt(white.shape[-1])

    def fit_merge(self, spectra: Tensor, sections: Tensor) -> None:
        """Set the directions that hold most of the members' outputs for these pairs."""
        outputs = torch.cat([self._members(spectra, "spectrum"), self._members(sections, "text")])
        _, direction = torch.linalg.eigh((outputs.T @ outputs).double())  # ascending
        self.merge.copy_(direction.flip(1)[:, : self.merge.shape[1]])

    def spectra(self, features: Tensor) -> Tensor:
        """Return unit vectors of the shared space, (B, latent + 41) -> (B, shared)."""
        outputs = self._members(self.prepare_spectra(features), "spectrum")
        return functional.normalize(outputs @ self.merge, dim=-1)

    def texts(self, sections: Tensor) -> Tensor:
        """Return unit vectors of the shared space, (B, 3, text_width) -> (B, shared)."""
        outputs = self._members(self.prepare_sections(sections).flatten(1), "text")
        return functional.normalize(outputs @ self.merge, dim=-1)

    def _members(self, inputs: Tensor, side: str) -> Tensor:
        heads = (cast("AlignmentHead", getattr(pair, side)) for pair in self.pairs)
        return torch.cat([head(inputs) for head in heads], dim=1)  # (B, members * shared)
