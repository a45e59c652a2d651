"""The bridge between spectra and texts that were never seen as pairs: both are read in concepts.

A spectrum and a text each become probabilities of the same concepts (`common.concepts`). What is
said beyond expectation, ``(p - prior) / sqrt(prior (1 - prior))``, brought to unit length, is a
vector of the shared space: its cosine is high where both say the same uncommon things.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from common.concepts import N_CONCEPTS
from common.ports import Float32Array, Progress
from encoders.config import TrainingConfig
from encoders.fitting.fit_autoencoder import thin
from encoders.spectral_features import N_FEATURES, spectral_features

FloatArray = npt.NDArray[np.float64]

SMALLEST_PRIOR = 0.005  # a concept never seen in training cannot outweigh all others
_LARGEST_DEVIATION = 5.0
_CHUNK = 4096
_STAGE = "training the concepts of spectra"


class SpectrumConcepts(nn.Module):
    """An ensemble of small nets that tell concepts from the features of a spectrum."""

    feature_mean: Tensor
    feature_scale: Tensor
    prior: Tensor

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            nn.Sequential(
                nn.Dropout(config.input_dropout),
                nn.Linear(N_FEATURES, config.concept_hidden),
                nn.GELU(),
                nn.Dropout(config.dropout),
                nn.Linear(config.concept_hidden, N_CONCEPTS),
            )
            for _ in range(config.concept_members)
        )
        self.register_buffer("feature_mean", torch.zeros(N_FEATURES))
        self.register_buffer("feature_scale", torch.ones(N_FEATURES))
        self.register_buffer("prior", torch.full((N_CONCEPTS,), 0.5))

    def prepare(self, features: Tensor) -> Tensor:
        """Standardise features, (B, N_FEATURES) -> the same."""
        standard = (features - self.feature_mean) / self.feature_scale
        return standard.clamp(-_LARGEST_DEVIATION, _LARGEST_DEVIATION)

    def logits(self, prepared: Tensor) -> Tensor:
        """Return the logits of all members, (B, N_FEATURES) -> (member, B, N_CONCEPTS)."""
        return torch.stack([member(prepared) for member in self.members])

    def forward(self, counts: Tensor) -> Tensor:
        """Return the probabilities of the concepts, (B, 400) -> (B, N_CONCEPTS)."""
        prepared = self.prepare(spectral_features(counts))
        return self.logits(prepared).sigmoid().mean(0)

    @torch.no_grad()
    def probabilities(self, counts: FloatArray) -> Float32Array:
        """Return the probabilities of the concepts, shape (n, 400) -> (n, N_CONCEPTS)."""
        self.eval()
        told = np.empty((len(counts), N_CONCEPTS), dtype=np.float32)
        for start in range(0, len(counts), _CHUNK):
            rows = slice(start, start + _CHUNK)
            told[rows] = self(self._tensor(counts[rows])).cpu().numpy()
        return told

    def features(self, counts: FloatArray) -> Tensor:
        """Return features, not standardised, shape (n, 400) -> (n, N_FEATURES)."""
        starts = range(0, len(counts), _CHUNK)
        return torch.cat([spectral_features(self._tensor(counts[i : i + _CHUNK])) for i in starts])

    def _tensor(self, counts: FloatArray) -> Tensor:
        return torch.from_numpy(counts.astype(np.float32)).to(self.prior.device)


def beyond_expectation(probabilities: Tensor, prior: Tensor) -> Tensor:
    """Return unit vectors of what is said beyond the prior, (B, N_CONCEPTS), (N_CONCEPTS,)."""
    prior = prior.clamp(SMALLEST_PRIOR, 1 - SMALLEST_PRIOR)
    surplus = (probabilities - prior) / (prior * (1 - prior)).sqrt()
    return functional.normalize(surplus, dim=-1)


def fit_spectrum_concepts(
    concepts: SpectrumConcepts,
    counts: FloatArray,
    targets: Float32Array,
    config: TrainingConfig,
    progress: Progress,
) -> None:
    """Train in place; its weights are where training begins.

    Parameters
    ----------
    concepts : SpectrumConcepts
        What to train.
    counts : ndarray of float64, shape (n, 400)
        Spectra.
    targets : ndarray of float32, shape (n, N_CONCEPTS)
        Probabilities, NaN where nothing is known.
    config : TrainingConfig
        Hyperparameters.
    progress : callable
        Told how many batches are done.
    """
    wanted = torch.from_numpy(targets).to(concepts.prior.device)
    known = wanted.isfinite()
    n_batches = -(-len(counts) // config.concept_batch)
    total = config.concept_epochs * n_batches
    if not total or not known.any():
        return
    rng = np.random.default_rng([config.seed, 3])
    torch.manual_seed(int(rng.integers(2**62)))
    copies = [thin(counts, config, rng) for _ in range(config.concept_copies)]
    features = torch.stack([concepts.features(seen) for seen in (counts, *copies)])
    concepts.feature_mean.copy_(features[0].mean(0))
    concepts.feature_scale.copy_(features[0].std(0, correction=0).clamp_min(1e-6))
    prepared = concepts.prepare(features)  # (n_copies, n, N_FEATURES)
    mean = wanted.nansum(0) / known.sum(0).clamp_min(1)
    concepts.prior.copy_(torch.where(known.any(0), mean, concepts.prior))
    optimizer = torch.optim.AdamW(
        concepts.parameters(), config.concept_learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.concept_learning_rate, total_steps=total + 1, pct_start=0.2
    )
    concepts.train()
    for epoch in range(config.concept_epochs):
        order = np.array_split(rng.permutation(len(counts)), n_batches)
        for batch, rows in enumerate(order):
            chosen = torch.from_numpy(rows)
            loss = _loss(concepts, prepared, chosen, wanted[chosen], config, rng)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            progress(_STAGE, epoch * n_batches + batch + 1, total)
    concepts.eval()


def _loss(
    concepts: SpectrumConcepts,
    prepared: Tensor,
    rows: Tensor,
    wanted: Tensor,
    config: TrainingConfig,
    rng: np.random.Generator,
) -> Tensor:
    """Return cross entropy for two copies of each spectrum, and how far apart they are placed."""
    copies = torch.from_numpy(rng.integers(len(prepared), size=(2, len(rows))))
    first, second = (concepts.logits(prepared[copy, rows]) for copy in copies)
    known = wanted.isfinite()
    loss = functional.binary_cross_entropy_with_logits(
        torch.cat([first, second])[:, known],
        wanted[known].expand(2 * len(concepts.members), -1),
    )
    placed = [beyond_expectation(x.sigmoid(), concepts.prior) for x in (first, second)]
    distance = 1 - (placed[0] * placed[1]).sum(-1).mean()
    return loss + config.concept_steadiness * distance
