"""Transformer autoencoder of spectra, after arXiv:2510.14102.

A spectrum's 400 bins are cut into patches; each patch is one token of a transformer, and all tokens
together are squeezed into one latent vector of unit length, from which a second transformer draws
the spectrum again.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.binning import N_BINS


class SpectrumAutoencoder(nn.Module):
    """Compress a min-max normalised spectrum to a unit vector and back.

    Parameters
    ----------
    patch : int
        Bins in a patch; divides 400.
    width : int
        Width of a token.
    layers : int
        Transformer layers of the encoder, and as many of the decoder.
    heads : int
        Attention heads.
    latent : int
        Width of the latent vector.

    References
    ----------
    .. [1] arXiv:2510.14102, transformer autoencoder of Chandra spectra.
    """

    def __init__(
        self, patch: int = 10, width: int = 64, layers: int = 3, heads: int = 4, latent: int = 64
    ) -> None:
        super().__init__()
        if N_BINS % patch:
            raise ValueError(f"patch must divide {N_BINS}, got {patch}")
        self.patch, self.width, self.latent = patch, width, latent
        n_patches = N_BINS // patch
        self.embed = nn.Linear(patch, width)
        self.encoder_position = nn.Parameter(0.02 * torch.randn(n_patches, width))
        self.encoder = _transformer(width, layers, heads)
        self.squeeze = nn.Linear(n_patches * width, latent)
        self.expand = nn.Linear(latent, n_patches * width)
        self.decoder_position = nn.Parameter(0.02 * torch.randn(n_patches, width))
        self.decoder = _transformer(width, layers, heads)
        self.draw = nn.Linear(width, patch)

    def encode(self, shape: Tensor) -> Tensor:
        """Return unit latents, (B, 400) -> (B, latent)."""
        patches = shape.reshape(len(shape), -1, self.patch)  # (B, P, patch)
        tokens = self.encoder(self.embed(patches) + self.encoder_position)  # (B, P, width)
        return functional.normalize(self.squeeze(tokens.flatten(1)), dim=-1)  # (B, latent)

    def decode(self, latent: Tensor) -> Tensor:
        """Draw spectra from latents, (B, latent) -> (B, 400)."""
        # Unit vectors have entries of about latent**-0.5; the layer expects entries of about 1.
        tokens = self.expand(latent * self.latent**0.5).reshape(len(latent), -1, self.width)
        patches: Tensor = self.draw(self.decoder(tokens + self.decoder_position))  # (B, P, patch)
        return patches.flatten(1)

    def forward(self, shape: Tensor) -> Tensor:
        """Return reconstructed spectra, (B, 400) -> (B, 400)."""
        return self.decode(self.encode(shape))


def _transformer(width: int, layers: int, heads: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        width,
        heads,
        dim_feedforward=2 * width,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    return nn.TransformerEncoder(
        layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False
    )
