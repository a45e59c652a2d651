"""Train two fully connected networks by Eq. 1 of arXiv:2603.04516."""

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import optim

from encoders.config import TrainingConfig
from encoders.fitting.fit_alignment import Pairs, mean_recall
from encoders.fitting.losses import InfoNCELoss
from encoders.fitting.temperature import calibrated_temperature
from encoders.heads import Heads


def fit_as_printed(
    pair: Heads,
    training: Pairs,
    validation: Pairs,
    config: TrainingConfig,
    member: int,
    *,
    calibration: Pairs,
) -> Iterator[tuple[int, float]]:
    """Train one member in place; the weights of the best epoch are kept at the end.

    Every pair of a spectrum and its text is seen once an epoch; all other pairs of its batch are
    negatives, those of its own source included. Adam keeps its learning rate. After each epoch the
    temperature becomes the one at which the loss of the calibration pairs is least.

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
    calibration : Pairs
        Pairs to tune the temperature on.

    Yields
    ------
    epoch : int
        The epoch just done.
    score : float
        Mean of the six recalls, of both directions, on the validation pairs.
    """
    rng = np.random.default_rng([config.seed, 1, member])
    torch.manual_seed(int(rng.integers(2**62)))
    optimizer = optim.Adam(pair.parameters(), config.alignment_learning_rate)
    n_batches = max(1, len(training.source) // config.alignment_batch)
    temperature = config.temperature
    best_score, best_epoch, best = -1.0, 0, pair.state_dict()
    for epoch in range(config.alignment_epochs):
        pair.train()
        loss_of = InfoNCELoss(temperature, symmetric=False).to(training.latents.device)
        for rows in np.array_split(rng.permutation(len(training.source)), n_batches):
            source = torch.from_numpy(training.source[rows]).to(training.of_text.device)
            loss = loss_of(
                pair.spectrum(training.latents[0, rows]),
                pair.text(training.sentences, training.of_text[source]),
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        score = mean_recall(pair, validation)
        temperature = _temperature(pair, calibration)
        if score > best_score:
            best_score, best_epoch, best = score, epoch, copy.deepcopy(pair.state_dict())
        yield epoch, score
        if epoch - best_epoch >= config.patience:
            break
    pair.load_state_dict(best)


def _temperature(pair: Heads, calibration: Pairs) -> float:
    pair.eval()
    with torch.no_grad():
        spectra = pair.spectrum(calibration.latents[0])
        texts = pair.text(calibration.sentences, calibration.of_text)
    return calibrated_temperature(spectra, texts, calibration.source, symmetric=False)
