"""The shared space: the bridge of concepts and the aligned vectors of spectra and texts, joined.

Both are put side by side, each with its share (the cosine of such vectors is the weighted mean of
both cosines), and turned back into few numbers by the directions that hold most of them.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.concepts import N_CONCEPTS
from encoders.config import TrainingConfig


class Joint(nn.Module):
    """Join bridge and aligned vectors to vectors of the shared space."""

    share: Tensor
    merge: Tensor

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__()
        self.register_buffer("share", torch.zeros(()))
        self.register_buffer("merge", torch.eye(N_CONCEPTS + config.shared, config.shared))

    def forward(self, bridge: Tensor, aligned: Tensor) -> Tensor:
        """Return unit vectors, (B, N_CONCEPTS), (B, shared) -> (B, shared)."""
        return functional.normalize(self._side_by_side(bridge, aligned) @ self.merge, dim=-1)

    def fit(self, share: float, bridge: Tensor, aligned: Tensor) -> None:
        """Set the share of the bridge, and the directions that hold most of these vectors."""
        self.share.fill_(share)
        both = self._side_by_side(bridge, aligned)
        _, direction = torch.linalg.eigh((both.T @ both).double())  # ascending
        self.merge.copy_(direction.flip(1)[:, : self.merge.shape[1]])

    def _side_by_side(self, bridge: Tensor, aligned: Tensor) -> Tensor:
        return torch.cat([self.share.sqrt() * bridge, (1 - self.share).sqrt() * aligned], dim=1)


def choose_share(
    joint: Joint,
    shares: Sequence[float],
    training: tuple[Tensor, Tensor],
    score: Callable[[], float],
) -> None:
    """Fit a joint with the share that scores best.

    Parameters
    ----------
    joint : Joint
        What to fit.
    shares : sequence of float
        Shares of the bridge to try; of equals the first wins.
    training : tuple of Tensor
        Bridge and aligned vectors of spectra and texts, (n, N_CONCEPTS) and (n, shared).
    score : callable
        Tells how good the joint is now, more being better.
    """
    scores = {}
    for share in shares:
        joint.fit(share, *training)
        scores[share] = score() if len(shares) > 1 else 0.0
    joint.fit(max(scores, key=lambda share: scores[share]), *training)
