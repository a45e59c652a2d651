"""Train the heads that align spectra with texts, on the latents of a trained autoencoder."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from common.ports import Progress
from encoders.alignment import N_SECTIONS, Alignment, HeadPair
from encoders.config import TrainingConfig
from encoders.losses import InfoNCELoss
from encoders.retrieval import PERCENTS, Retrieval, rank_sources, rank_texts

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Detections, each with the text of its source.

    Attributes
    ----------
    features : Tensor of float32, shape (n_copies, n, d)
        Features of n spectra and of thinned copies of them; the first copy is the original.
    sections : Tensor of float32, shape (m, 3, section_width)
        Texts of m sources.
    source : ndarray of int64, shape (n,)
        Row of ``sections`` that belongs to each spectrum; each row has one at least.
    """

    features: Tensor
    sections: Tensor
    source: IntArray

    def retrieval(self, spectra: Tensor, texts: Tensor) -> dict[str, Retrieval]:
        """Return both directions for unit vectors of the n spectra and m texts."""
        vectors = spectra.cpu().numpy(), texts.cpu().numpy(), self.source
        return {
            "spectrum_to_text": rank_texts(*vectors),
            "text_to_spectrum": rank_sources(*vectors),
        }


def fit_alignment(
    alignment: Alignment,
    training: Pairs,
    validation: Pairs,
    config: TrainingConfig,
    rng: np.random.Generator,
    progress: Progress,
) -> None:
    """Train the ensemble in place, each pair of heads until validation retrieval stops rising."""
    with torch.no_grad():
        alignment.fit_inputs(training.features.flatten(0, 1), training.sections.flatten(0, 1))
        training, validation = (
            Pairs(
                alignment.prepare_spectra(pairs.features),
                alignment.prepare_sections(pairs.sections),
                pairs.source,
            )
            for pairs in (training, validation)
        )
    total = config.members * config.alignment_epochs
    for member, pair in enumerate(alignment.pairs):
        before = member * config.alignment_epochs
        for epoch in _fit_pair(cast("HeadPair", pair), training, validation, config, rng):
            progress("training the alignment", before + epoch + 1, total)
        progress("training the alignment", before + config.alignment_epochs, total)
    alignment.eval()
    with torch.no_grad():
        alignment.fit_merge(training.features[0], training.sections.flatten(1))


def _fit_pair(
    pair: HeadPair,
    training: Pairs,
    validation: Pairs,
    config: TrainingConfig,
    rng: np.random.Generator,
) -> Iterator[int]:
    """Train one pair of heads, yielding each epoch done; the best one's weights are kept."""
    n_batches = max(1, len(training.sections) // config.alignment_batch)
    loss_function = InfoNCELoss(config.temperature).to(training.features.device)
    optimizer = torch.optim.AdamW(
        [
            {"params": pair.parameters(), "weight_decay": config.weight_decay},
            {"params": loss_function.parameters(), "weight_decay": 0.0},
        ]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        config.alignment_learning_rate,
        total_steps=config.alignment_epochs * n_batches,
    )
    best_score, best_epoch, best = -1.0, 0, pair.state_dict()
    for epoch in range(config.alignment_epochs):
        pair.train()
        for rows in np.array_split(_one_of_each(training.source, rng), n_batches):
            copies = rng.integers(len(training.features), size=len(rows))
            source = torch.from_numpy(training.source[rows]).to(training.sections.device)
            texts = _repeat_sections(training.sections[source], config.repeated_section, rng)
            loss = loss_function(
                pair.spectrum(training.features[copies, rows]), pair.text(texts), source
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        score = _score(pair, validation)
        if score > best_score:
            best_score, best_epoch, best = score, epoch, copy.deepcopy(pair.state_dict())
        yield epoch
        if epoch - best_epoch >= config.patience:
            break
    pair.load_state_dict(best)


def _one_of_each(source: IntArray, rng: np.random.Generator) -> IntArray:
    """Return the row of one random detection of each source, in random order."""
    order = rng.permutation(len(source))
    _, first = np.unique(source[order], return_index=True)
    return rng.permutation(order[first])


def _repeat_sections(sections: Tensor, probability: float, rng: np.random.Generator) -> Tensor:
    """Put one section in all three places of some texts, (B, 3, d) -> (B, 3 d)."""
    n = len(sections)
    places = np.tile(np.arange(N_SECTIONS), (n, 1))  # (B, 3)
    repeated = rng.random(n) < probability
    places[repeated] = rng.integers(N_SECTIONS, size=(n, 1))[repeated]
    return sections[np.arange(n)[:, None], places].flatten(1)


def _score(pair: HeadPair, validation: Pairs) -> float:
    """Return the mean of the recalls of both directions."""
    pair.eval()
    with torch.no_grad():
        found = validation.retrieval(
            pair.spectrum(validation.features[0]), pair.text(validation.sections.flatten(1))
        )
    recalls = [r.recall_at(percent) for r in found.values() for percent in PERCENTS]
    return sum(recalls) / len(recalls)
