"""The contrastive loss that aligns spectra with texts."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class InfoNCELoss(nn.Module):
    """InfoNCE with in-batch negatives, in both directions or from text to spectrum alone.

    Parameters
    ----------
    temperature : float
        Divides the cosine similarities; positive. Its logarithm is a parameter, which an optimizer
        may tune.
    symmetric : bool
        False asks only which spectrum belongs to a text, as arXiv:2603.04516 does.

    References
    ----------
    .. [1] A. van den Oord et al., arXiv:1807.03748.
    """

    def __init__(self, temperature: float = 0.07, symmetric: bool = True) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.symmetric = symmetric
        self.log_temperature = nn.Parameter(torch.tensor(temperature).log())

    def forward(self, spectrum: Tensor, text: Tensor, source: Tensor | None = None) -> Tensor:
        """Return the scalar loss; row i of both (B, D) inputs is one pair.

        Rows of equal ``source``, shape (B,), are never each other's negatives: another detection
        of the source belongs to the same text.
        """
        spectrum = functional.normalize(spectrum, dim=-1)  # (B, D)
        text = functional.normalize(text, dim=-1)  # (B, D)
        logits = spectrum @ text.T / self.log_temperature.exp()  # (B, B)
        if source is not None:
            same = source[:, None] == source[None, :]  # (B, B)
            itself = torch.eye(len(source), dtype=torch.bool, device=source.device)
            logits = logits.masked_fill(same & ~itself, float("-inf"))
        target = torch.arange(len(logits), device=logits.device)  # (B,)
        of_text = functional.cross_entropy(logits.T, target)
        if not self.symmetric:
            return of_text
        return (functional.cross_entropy(logits, target) + of_text) / 2
