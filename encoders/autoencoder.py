"""Transformer autoencoder of spectra, after arXiv:2510.14102.

A spectrum's 400 bins are cut into patches; each patch is one token of a transformer, and all tokens
together are squeezed into one latent vector of unit length, from which a second transformer draws
the spectrum again. `ShapeAutoencoder` sees the normalised shape alone, as the paper's does. In
`SpectrumAutoencoder` two things differ. A token holds counts beside the shape: 60 and 600 counts of
the same shape do not tell equally much. Brighter spectra are scaled down to
`TrainingConfig.most_counts`: they differ from fainter ones by their lower noise alone, so that a
source keeps its place whatever the exposure. And the catalogue variables are read off the latent
while it is trained, so that neighbours agree in them.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.binning import N_BINS
from common.variables import VARIABLES
from encoders.config import TrainingConfig

_HUBER_BETA = 0.3


class ShapeAutoencoder(nn.Module):
    """Compress the shape of a spectrum to a unit vector and draw it again.

    Parameters
    ----------
    config : TrainingConfig
        ``patch`` (bins in a patch; divides 400), ``width`` (of a token), ``encoder_layers``,
        ``decoder_layers``, ``attention_heads`` and ``latent`` (width of the latent vector).

    References
    ----------
    .. [1] arXiv:2510.14102, transformer autoencoder of Chandra spectra.
    """

    n_inputs = 1
    """Numbers that the encoder sees of each bin."""

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__()
        if N_BINS % config.patch:
            raise ValueError(f"patch must divide {N_BINS}, got {config.patch}")
        self.patch, self.width, self.latent = config.patch, config.width, config.latent
        n_patches = N_BINS // self.patch
        self.embed = nn.Linear(self.n_inputs * self.patch, self.width)
        self.encoder_position = nn.Parameter(0.02 * torch.randn(n_patches, self.width))
        self.encoder = _transformer(config, config.encoder_layers)
        self.squeeze = nn.Linear(n_patches * self.width, self.latent)
        self.expand = nn.Linear(self.latent, n_patches * self.width)
        self.decoder_position = nn.Parameter(0.02 * torch.randn(n_patches, self.width))
        self.decoder = _transformer(config, config.decoder_layers)
        self.draw = nn.Linear(self.width, self.patch)

    def inputs(self, counts: Tensor) -> list[Tensor]:
        """Return what the encoder sees of spectra, `n_inputs` times (B, 400)."""
        return [shapes(counts)]

    def encode(self, counts: Tensor) -> Tensor:
        """Return unit latents of spectra that are not constant, (B, 400) -> (B, latent)."""
        tokens = torch.cat(
            [x.reshape(len(counts), -1, self.patch) for x in self.inputs(counts)], dim=2
        )  # (B, P, n_inputs * patch)
        tokens = self.encoder(self.embed(tokens) + self.encoder_position)  # (B, P, width)
        return functional.normalize(self.squeeze(tokens.flatten(1)), dim=-1)  # (B, latent)

    def decode(self, latent: Tensor) -> Tensor:
        """Draw shapes from latents, (B, latent) -> (B, 400)."""
        tokens = self.expand(self._scaled(latent)).reshape(len(latent), -1, self.width)
        patches: Tensor = self.draw(self.decoder(tokens + self.decoder_position))  # (B, P, patch)
        return patches.flatten(1)

    def variable_loss(self, latent: Tensor, variables: Tensor) -> Tensor:
        """Return the loss of what is read off latents besides the shape: here nothing is."""
        return latent.new_zeros((), dtype=variables.dtype)

    def _scaled(self, latent: Tensor) -> Tensor:
        # Unit vectors have entries of about latent**-0.5; the layers expect entries of about 1.
        scaled: Tensor = latent * self.latent**0.5
        return scaled


class SpectrumAutoencoder(ShapeAutoencoder):
    """Compress the shape and the counts of a spectrum so that its variables can be told too."""

    n_inputs = 2

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__(config)
        self.most_counts = config.most_counts
        self.measure = nn.Sequential(
            nn.Linear(self.latent, 2 * self.latent),
            nn.GELU(),
            nn.Linear(2 * self.latent, len(VARIABLES)),
        )

    def inputs(self, counts: Tensor) -> list[Tensor]:
        """Return shapes and logarithms of counts, twice (B, 400)."""
        return [shapes(counts), bounded(counts, self.most_counts).log1p()]

    def variables(self, latent: Tensor) -> Tensor:
        """Return the standardised catalogue variables, (B, latent) -> (B, 20)."""
        values: Tensor = self.measure(self._scaled(latent))
        return values

    def variable_loss(self, latent: Tensor, variables: Tensor) -> Tensor:
        """Return the Huber loss of the variables that are known, NaN where one is not."""
        known = variables.isfinite()
        if not known.any():
            return super().variable_loss(latent, variables)
        read = self.variables(latent).float()
        return functional.smooth_l1_loss(read[known], variables[known], beta=_HUBER_BETA)


def shapes(counts: Tensor) -> Tensor:
    """Scale each spectrum to minimum 0 and maximum 1, (B, 400) -> (B, 400)."""
    low, high = counts.amin(1, keepdim=True), counts.amax(1, keepdim=True)
    return (counts - low) / (high - low)


def bounded(counts: Tensor, most: float) -> Tensor:
    """Scale spectra of more counts than ``most`` down to these, (B, 400) -> (B, 400)."""
    return counts * (most / counts.sum(1, keepdim=True)).clamp_max(1.0)


def _transformer(config: TrainingConfig, layers: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        config.width,
        config.attention_heads,
        dim_feedforward=2 * config.width,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    return nn.TransformerEncoder(
        layer, layers, norm=nn.LayerNorm(config.width), enable_nested_tensor=False
    )
