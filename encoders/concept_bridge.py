"""The bridge between spectra and texts that were never seen as pairs: both are read in concepts.

A spectrum and a text each become probabilities of the same concepts (`common.concepts`). What is
said beyond expectation, ``(p - prior) / sqrt(prior (1 - prior))``, brought to unit length, is a vector
of the shared space: its cosine is high where both say the same uncommon things.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from common.concepts import N_CONCEPTS
from common.ports import Progress
from encoders.config import TrainingConfig

SMALLEST_PRIOR = 0.005  # a concept never seen in training cannot outweigh all others
_STAGE = "training the concepts"


class SpectrumConcepts(nn.Module):
    """An ensemble of small nets that tell concepts from a spectrum's prepared latent."""

    prior: Tensor

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            nn.Sequential(
                nn.Dropout(config.input_dropout),
                nn.Linear(config.latent, config.concept_hidden),
                nn.GELU(),
                nn.Dropout(config.dropout),
                nn.Linear(config.concept_hidden, N_CONCEPTS),
            )
            for _ in range(config.concept_members)
        )
        self.register_buffer("prior", torch.full((N_CONCEPTS,), 0.5))

    def logits(self, latents: Tensor) -> Tensor:
        """Return the logits of all members, (B, latent) -> (member, B, n_concept)."""
        return torch.stack([member(latents) for member in self.members])

    def forward(self, latents: Tensor) -> Tensor:
        """Return probabilities, (B, latent) -> (B, n_concept)."""
        return self.logits(latents).sigmoid().mean(0)


def beyond_expectation(probabilities: Tensor, prior: Tensor) -> Tensor:
    """Return unit vectors of what is said beyond the prior, (B, n_concept), (n_concept,)."""
    prior = prior.clamp(SMALLEST_PRIOR, 1 - SMALLEST_PRIOR)
    surplus = (probabilities - prior) / (prior * (1 - prior)).sqrt()
    return functional.normalize(surplus, dim=-1)


def fit_spectrum_concepts(
    concepts: SpectrumConcepts,
    latents: Tensor,
    targets: Tensor,
    config: TrainingConfig,
    progress: Progress,
) -> None:
    """Train in place on prepared latents of spectra and of thinned copies of them.

    Parameters
    ----------
    concepts : SpectrumConcepts
        What to train; its weights are where training begins.
    latents : Tensor of float32, shape (n_copies, n, latent)
        Prepared latents.
    targets : Tensor of float32, shape (n, n_concept)
        Probabilities, NaN where nothing is known.
    config : TrainingConfig
        Hyperparameters.
    progress : callable
        Told how many batches are done.
    """
    rng = np.random.default_rng([config.seed, 3])
    torch.manual_seed(int(rng.integers(2**62)))
    known = targets.isfinite()
    concepts.prior.copy_(targets.nansum(0) / known.sum(0).clamp_min(1))
    n_batches = -(-latents.shape[1] // config.concept_batch)
    total = config.concept_epochs * n_batches
    if not total or not known.any():
        return
    optimizer = torch.optim.AdamW(
        concepts.parameters(), config.concept_learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.concept_learning_rate, total_steps=total + 1, pct_start=0.2
    )
    concepts.train()
    for step in range(total):
        if step % n_batches == 0:
            order = rng.permutation(latents.shape[1])
        rows = torch.from_numpy(np.array_split(order, n_batches)[step % n_batches])
        copies = torch.from_numpy(rng.integers(len(latents), size=(2, len(rows))))
        wanted = targets[rows]
        there = wanted.isfinite()
        first, second = (concepts.logits(latents[copy, rows]) for copy in copies)
        loss = functional.binary_cross_entropy_with_logits(
            torch.cat([first, second])[:, there],
            wanted[there].expand(2 * len(concepts.members), -1),
        )
        if config.concept_steadiness:
            placed = [beyond_expectation(x.sigmoid(), concepts.prior) for x in (first, second)]
            loss = loss + config.concept_steadiness * (1 - (placed[0] * placed[1]).sum(-1)).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        progress(_STAGE, step + 1, total)
    concepts.eval()
