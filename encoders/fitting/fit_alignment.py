"""Train the heads that align spectra with texts, on the latents of a trained autoencoder."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from common.ports import Progress
from encoders.alignment import HeadPair
from encoders.config import TrainingConfig
from encoders.fitting.checkpoint import Checkpoints
from encoders.fitting.losses import InfoNCELoss
from encoders.heads import Heads, SharedSpace
from encoders.retrieval import PERCENTS, Retrieval, rank_sources, rank_texts

IntArray = npt.NDArray[np.int64]

_WARM_UP = 0.2  # part of the steps in which the learning rate rises


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Detections, each with the texts of its source.

    Attributes
    ----------
    latents : Tensor of float32, shape (n_copies, n, latent)
        Prepared latents of n spectra and of thinned copies of them; the original comes first.
    sentences : Tensor of float32, shape (n_sentence, d)
        Prepared sentences.
    of_text : Tensor of int64, shape (m, longest)
        Rows of the sentences in each of m texts; -1 where it has no more.
    source : ndarray of int64, shape (n,)
        Source of each spectrum, 0 … k - 1; each has one at least.
    about : ndarray of int64, shape (m,), or None
        Source of each text, ascending; each has one at least. None: text i is that of source i.
    """

    latents: Tensor
    sentences: Tensor
    of_text: Tensor
    source: IntArray
    about: IntArray | None = None

    @property
    def n_sources(self) -> int:
        """Number of sources."""
        return len(self.of_text) if self.about is None else int(self.about[-1]) + 1

    @property
    def first_texts(self) -> IntArray:
        """The first text of each source, shape (k,)."""
        if self.about is None:
            return np.arange(len(self.of_text))
        return np.searchsorted(self.about, np.arange(self.n_sources))

    def retrieval(self, spectra: Tensor, texts: Tensor) -> dict[str, Retrieval]:
        """Return both directions for unit vectors of the n spectra and m texts."""
        vectors = spectra.cpu().numpy(), texts.cpu().numpy(), self.source, self.about
        return {
            "spectrum_to_text": rank_texts(*vectors),
            "text_to_spectrum": rank_sources(*vectors),
        }


class FitHeads(Protocol):
    """Train one member in place, for instance `fit_pair`."""

    def __call__(
        self,
        pair: Heads,
        training: Pairs,
        validation: Pairs,
        config: TrainingConfig,
        member: int,
    ) -> Iterator[tuple[int, float]]:
        """Yield each epoch with its score on the validation pairs, higher being better."""
        ...


def fit_alignment(
    alignment: SharedSpace,
    training: Pairs,
    validation: Pairs,
    config: TrainingConfig,
    checkpoints: Checkpoints,
    progress: Progress,
    *,
    heads: Callable[[int, TrainingConfig], Heads] = HeadPair,
    fit: FitHeads | None = None,
) -> None:
    """Train candidates, each until validation retrieval stops rising; the best are the ensemble.

    ``heads`` and ``fit`` make and train one of them; by default as our recipe does.
    """
    fit = fit or fit_pair
    total = config.candidates * config.alignment_epochs
    pairs = [cast("Heads", pair) for pair in alignment.pairs]
    torch.manual_seed(config.seed)  # an interruption shall not change what the others begin with
    pairs += [
        heads(training.sentences.shape[1], config).to(training.latents.device)
        for _ in range(config.candidates - config.members)
    ]
    for number, pair in enumerate(pairs):
        part, before = f"candidate-{number}", number * config.alignment_epochs
        saved = checkpoints.load(part)
        if saved:
            pair.load_state_dict(saved)
        else:
            for epoch, _ in fit(pair, training, validation, config, number):
                progress("training the alignment", before + epoch + 1, total)
            checkpoints.save(part, pair.state_dict())
        progress("training the alignment", before + config.alignment_epochs, total)
    by_score = sorted(pairs, key=lambda pair: mean_recall(pair, validation), reverse=True)
    best = by_score[: config.members]
    alignment.pairs = nn.ModuleList(pair for pair in pairs if pair in best)
    alignment.eval()
    with torch.no_grad():
        alignment.fit_merge(training.latents[0], training.sentences, training.of_text)


def fit_pair(
    pair: Heads, training: Pairs, validation: Pairs, config: TrainingConfig, member: int
) -> Iterator[tuple[int, float]]:
    """Train one pair of heads in place; the weights of the best epoch are kept at the end.

    Parameters
    ----------
    pair : Heads
        What to train.
    training, validation : Pairs
        Pairs to learn from and to judge by.
    config : TrainingConfig
        Hyperparameters.
    member : int
        Number of the pair in its ensemble; together with the seed it decides the random numbers.

    Yields
    ------
    epoch : int
        The epoch just done.
    score : float
        Mean of the six recalls, of both directions, on the validation pairs.
    """
    # Members have their own random numbers: one does not depend on those trained before it.
    rng = np.random.default_rng([config.seed, 1, member])
    torch.manual_seed(int(rng.integers(2**62)))
    n_batches = max(1, training.n_sources // config.alignment_batch)
    n_epochs = min(config.alignment_epochs, -(-config.alignment_steps // n_batches))
    loss_function = InfoNCELoss(config.temperature, config.symmetric).to(training.latents.device)
    optimizer = torch.optim.AdamW(
        [
            {"params": pair.parameters(), "weight_decay": config.weight_decay},
            {"params": loss_function.parameters(), "weight_decay": 0.0},
        ]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        config.alignment_learning_rate,
        total_steps=n_epochs * n_batches + 1,
        pct_start=_WARM_UP,
    )
    best_score, best_epoch, best = -1.0, 0, pair.state_dict()
    for epoch in range(n_epochs):
        pair.train()
        for rows in np.array_split(_one_of_each(training.source, rng), n_batches):
            copies = rng.integers(len(training.latents), size=len(rows))
            source = torch.from_numpy(training.source[rows]).to(training.of_text.device)
            texts = torch.from_numpy(_a_text_of(training, training.source[rows], rng))
            of_text = _shorten(training.of_text[texts.to(source.device)], config, rng)
            loss = loss_function(
                pair.spectrum(training.latents[copies, rows]),
                pair.text(training.sentences, of_text),
                source,
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        score = mean_recall(pair, validation)
        if score > best_score:
            best_score, best_epoch, best = score, epoch, copy.deepcopy(pair.state_dict())
        yield epoch, score
        if epoch - best_epoch >= config.patience:
            break
    pair.load_state_dict(best)


def _one_of_each(source: IntArray, rng: np.random.Generator) -> IntArray:
    """Return the row of one random detection of each source, in random order."""
    order = rng.permutation(len(source))
    _, first = np.unique(source[order], return_index=True)
    return rng.permutation(order[first])


def _a_text_of(pairs: Pairs, sources: IntArray, rng: np.random.Generator) -> IntArray:
    """Return a random text of each of these sources."""
    if pairs.about is None:
        return sources
    first, last = (np.searchsorted(pairs.about, sources, side) for side in ("left", "right"))
    return rng.integers(first, last)


def _shorten(of_text: Tensor, config: TrainingConfig, rng: np.random.Generator) -> Tensor:
    """Leave some sentences out of each text, most of them out of some, but never all."""
    part = np.where(
        rng.random(len(of_text)) < config.brief_texts,
        rng.random(len(of_text)),
        config.dropped_sentences,
    )
    dropped = torch.from_numpy(rng.random(tuple(of_text.shape)) < part[:, None])
    fewer = of_text.masked_fill(dropped.to(of_text.device), -1)
    emptied = (fewer < 0).all(dim=1, keepdim=True)
    return torch.where(emptied, of_text, fewer)


def mean_recall(pair: Heads, validation: Pairs) -> float:
    """Return the mean of the six recalls of both directions."""
    pair.eval()
    with torch.no_grad():
        return mean_recall_of(
            validation,
            pair.spectrum(validation.latents[0]),
            pair.text(validation.sentences, validation.of_text),
        )


def mean_recall_of(validation: Pairs, spectra: Tensor, texts: Tensor) -> float:
    """Return the mean of the six recalls for unit vectors of the n spectra and m texts."""
    found = validation.retrieval(spectra, texts)
    recalls = [r.recall_at(percent) for r in found.values() for percent in PERCENTS]
    return sum(recalls) / len(recalls)
