"""Train an autoencoder on spectra and, where it reads them, their catalogue variables."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, optim
from torch.nn import functional

from common.dataset import Dataset
from common.ports import Progress
from common.variables import VARIABLE_NAMES
from encoders.autoencoder import ShapeAutoencoder, shapes
from encoders.config import TrainingConfig
from encoders.fitting.checkpoint import Checkpoints, restore, state_of

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LARGEST_DEVIATION = 4.0
WARM_UP = 0.1  # part of the steps in which the learning rate rises
_BATCH = 512
_STAGE = "training the autoencoder"


@dataclass(frozen=True, slots=True, eq=False)
class Spectra:
    """Spectra with what is to be read off them.

    Attributes
    ----------
    counts : ndarray of float64, shape (n, 400)
        Counts per bin.
    variables : Tensor of float32, shape (n, 20)
        Standardised variables, NaN where there is no value.
    """

    counts: FloatArray
    variables: Tensor

    @classmethod
    def of(cls, dataset: Dataset, rows: IntArray, training: IntArray) -> Self:
        """Return rows of a dataset, standardised by the median and spread of its training rows."""
        missing = np.full(len(dataset), np.nan)
        values = np.stack([dataset.variables.get(v, missing) for v in VARIABLE_NAMES], axis=1)
        standard = np.full((len(rows), len(VARIABLE_NAMES)), np.nan, dtype=np.float32)
        for column, every in enumerate(values.T):
            known = every[training][np.isfinite(every[training])]
            if len(known):
                low, middle, high = np.percentile(known, [16, 50, 84])
                if high > low:
                    standard[:, column] = (every[rows] - middle) / ((high - low) / 2)
        limited = np.clip(standard, -LARGEST_DEVIATION, LARGEST_DEVIATION)
        return cls(dataset.counts[rows], torch.from_numpy(limited))


def fit_autoencoder(
    autoencoder: ShapeAutoencoder,
    training: Spectra,
    validation: Spectra,
    config: TrainingConfig,
    checkpoints: Checkpoints,
    progress: Progress,
) -> None:
    """Train in place; the weights of the epoch with the least validation loss are kept.

    The shape of each spectrum is drawn from a copy of it with fewer counts, so the latent learns
    what the copies have in common, not which bins the noise happened to fill; with ``least_kept``
    of 1 it is drawn from itself.

    Parameters
    ----------
    autoencoder : SpectrumAutoencoder
        Model to train; its weights are where training begins.
    training, validation : Spectra
        Spectra to learn from and to judge by.
    config : TrainingConfig
        Hyperparameters.
    checkpoints : Checkpoints
        Written after each epoch; equal results with and without an interruption.
    progress : callable
        Told how many batches are done.
    """
    n_batches = -(-len(training.counts) // config.autoencoder_batch)
    n_epochs = min(config.autoencoder_epochs, -(-config.autoencoder_steps // n_batches))
    if not n_epochs:
        return
    total = n_epochs * n_batches
    rate = config.autoencoder_learning_rate
    optimizer = optim.AdamW(autoencoder.parameters(), rate, weight_decay=config.weight_decay)
    schedule = optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=total + 1, pct_start=WARM_UP
    )
    begin, best_epoch, best_loss, best = 0, 0, torch.tensor(torch.inf), autoencoder.state_dict()
    saved = checkpoints.load("autoencoder")
    if saved:
        restore(autoencoder, optimizer, saved)
        begin, best_epoch = int(saved["epochs"][0]), int(saved["epochs"][1])
        best_loss = saved["best_loss"]
        best = {k.removeprefix("best/"): v for k, v in saved.items() if k.startswith("best/")}
        steps = begin * n_batches
        schedule.load_state_dict({"last_epoch": steps, "_step_count": steps + 1})
    for epoch in range(begin, n_epochs):
        if epoch - best_epoch > config.patience:
            break
        # Each epoch has its own random numbers, so that none need be saved with a checkpoint.
        rng = np.random.default_rng([config.seed, 0, epoch])
        autoencoder.train()
        for batch, rows in enumerate(
            np.array_split(rng.permutation(len(training.counts)), n_batches)
        ):
            loss = _loss(
                autoencoder,
                thin(training.counts[rows], config, rng),
                Spectra(training.counts[rows], training.variables[rows]),
                config,
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(autoencoder.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            progress(_STAGE, epoch * n_batches + batch + 1, total)
        loss = _validation_loss(autoencoder, validation, config)
        if loss < best_loss:
            best_loss, best_epoch = loss, epoch
            best = copy.deepcopy(autoencoder.state_dict())
        checkpoints.save(
            "autoencoder",
            state_of(autoencoder, optimizer)
            | {f"best/{name}": tensor for name, tensor in best.items()}
            | {"epochs": torch.tensor([epoch + 1, best_epoch]), "best_loss": best_loss},
        )
    autoencoder.load_state_dict(best)
    autoencoder.eval()
    progress(_STAGE, total, total)


def encode(autoencoder: ShapeAutoencoder, counts: FloatArray) -> Tensor:
    """Return the latents of spectra, shape (n, 400) -> (n, latent)."""
    autoencoder.eval()
    with torch.inference_mode():
        return torch.cat([autoencoder.encode(batch) for batch in _batches(autoencoder, counts)])


def reconstruction_error(autoencoder: ShapeAutoencoder, counts: FloatArray) -> float:
    """Return the mean absolute error of the shapes drawn for counts, shape (n, 400)."""
    autoencoder.eval()
    with torch.inference_mode():
        errors = [
            (autoencoder.decode(autoencoder.encode(batch)) - shapes(batch)).abs().mean(1)
            for batch in _batches(autoencoder, counts)
        ]
    return float(torch.cat(errors).mean())


def thin(counts: FloatArray, config: TrainingConfig, rng: np.random.Generator) -> FloatArray:
    """Keep a random part of the counts of each spectrum, as a shorter exposure would.

    Parameters
    ----------
    counts : ndarray of float64, shape (n, 400)
        Counts; fractions are rounded.
    config : TrainingConfig
        The fraction kept is log-uniform from ``least_kept``, or what leaves ``thinned_to`` counts
        if that is less, to 1.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of float64, shape (n, 400)
        Thinned counts, or the counts themselves where thinning would leave no shape.
    """
    if config.least_kept == 1:
        return counts
    total = counts.sum(axis=1, keepdims=True)
    least = np.minimum(config.least_kept, config.thinned_to / np.maximum(total, 1.0))
    kept = least ** rng.uniform(size=(len(counts), 1))
    thinned = rng.binomial(np.rint(counts).astype(np.int64), kept).astype(np.float64)
    shapeless = np.ptp(thinned, axis=1) == 0
    thinned[shapeless] = counts[shapeless]
    return thinned


def _loss(
    autoencoder: ShapeAutoencoder, seen: FloatArray, wanted: Spectra, config: TrainingConfig
) -> Tensor:
    """Return the loss of drawing shapes and reading variables off spectra seen."""
    device = next(autoencoder.parameters()).device
    counts = _tensor(wanted.counts, device)
    variables = wanted.variables.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        latent = autoencoder.encode(_tensor(seen, device))
        drawn = autoencoder.decode(latent)
        of_variables = autoencoder.variable_loss(latent, variables)
    loss = functional.l1_loss(drawn.float(), shapes(counts))
    return loss + config.variable_weight * of_variables


def _validation_loss(
    autoencoder: ShapeAutoencoder, validation: Spectra, config: TrainingConfig
) -> Tensor:
    autoencoder.eval()
    with torch.no_grad():
        losses = [
            _loss(autoencoder, counts, Spectra(counts, variables), config) * len(counts)
            for counts, variables in zip(
                np.split(validation.counts, range(_BATCH, len(validation.counts), _BATCH)),
                torch.split(validation.variables, _BATCH),
                strict=True,
            )
        ]
    return torch.stack(losses).sum().cpu() / len(validation.counts)


def _batches(autoencoder: ShapeAutoencoder, counts: FloatArray) -> Iterator[Tensor]:
    device = next(autoencoder.parameters()).device
    for start in range(0, len(counts), _BATCH):
        yield _tensor(counts[start : start + _BATCH], device)


def _tensor(counts: FloatArray, device: torch.device) -> Tensor:
    return torch.from_numpy(counts.astype(np.float32)).to(device)
