"""Train the autoencoder on spectra alone."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from common.binning import min_max
from common.ports import Progress
from encoders.autoencoder import SpectrumAutoencoder
from encoders.config import TrainingConfig

FloatArray = npt.NDArray[np.float64]

_BATCH = 256


def fit_autoencoder(
    autoencoder: SpectrumAutoencoder,
    counts: FloatArray,
    config: TrainingConfig,
    rng: np.random.Generator,
    progress: Progress,
) -> None:
    """Train in place: draw the shape of each spectrum from a copy of it with fewer counts.

    So the latent learns what the copies have in common, not which bins the noise happened to fill.

    Parameters
    ----------
    autoencoder : SpectrumAutoencoder
        Model to train.
    counts : ndarray of float64, shape (n, 400)
        Training spectra.
    config : TrainingConfig
        Hyperparameters.
    rng : numpy.random.Generator
        Decides order and thinning.
    progress : callable
        Told how many batches are done.
    """
    device = next(autoencoder.parameters()).device
    n_batches = -(-len(counts) // config.autoencoder_batch)
    total = config.autoencoder_epochs * n_batches
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=config.autoencoder_learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.autoencoder_learning_rate, total_steps=total
    )
    loss_function = nn.L1Loss()
    autoencoder.train()
    for step in range(total):
        if step % n_batches == 0:
            batches = np.array_split(rng.permutation(len(counts)), n_batches)
        batch = counts[batches[step % n_batches]]
        loss = loss_function(
            autoencoder(_shapes(thin(batch, config.least_kept, rng), device)),
            _shapes(batch, device),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress("training the autoencoder", step + 1, total)
    autoencoder.eval()


def reconstruction_error(autoencoder: SpectrumAutoencoder, counts: FloatArray) -> float:
    """Return the mean absolute error of the shapes drawn for counts, shape (n, 400)."""
    with torch.inference_mode():
        errors = [(autoencoder(s) - s).abs().mean(1) for s, _ in shape_batches(autoencoder, counts)]
    return float(torch.cat(errors).mean())


def thin(counts: FloatArray, least_kept: float, rng: np.random.Generator) -> FloatArray:
    """Keep a random part of the counts of each spectrum, as a shorter exposure would.

    Parameters
    ----------
    counts : ndarray of float64, shape (n, 400)
        Counts; fractions are rounded.
    least_kept : float
        The fraction kept is uniform between this and 1.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of float64, shape (n, 400)
        Thinned counts, or the counts themselves where thinning would leave no shape.
    """
    kept = rng.uniform(least_kept, 1.0, size=(len(counts), 1))
    thinned = rng.binomial(np.rint(counts).astype(np.int64), kept).astype(np.float64)
    shapeless = np.ptp(thinned, axis=1) == 0
    thinned[shapeless] = counts[shapeless]
    return thinned


def shape_batches(
    autoencoder: SpectrumAutoencoder, counts: FloatArray
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shapes and counts, each (B, 400), on the device of the autoencoder."""
    device = next(autoencoder.parameters()).device
    for start in range(0, len(counts), _BATCH):
        batch = counts[start : start + _BATCH]
        yield _shapes(batch, device), torch.from_numpy(batch.astype(np.float32)).to(device)


def _shapes(counts: FloatArray, device: torch.device) -> Tensor:
    return torch.from_numpy(min_max(counts).astype(np.float32)).to(device)
