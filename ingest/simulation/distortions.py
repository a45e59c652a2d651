"""What calibration does not know: errors of effective areas and of the energy scale."""

import numpy as np
import numpy.typing as npt

from common.binning import BIN_EDGES_KEV, N_BINS
from ingest.simulation.models import ENERGY_KEV

FloatArray = npt.NDArray[np.float64]

_CORRELATION_DEX = 0.2
_KNOTS = np.linspace(-1.0, 1.0, 25)  # log10 of the energy in keV
_GAIN, _OFFSET_KEV = 0.003, 0.004


def area_errors(rng: np.random.Generator, n: int, rms: float) -> FloatArray:
    """Draw smooth factors by which effective areas are wrong.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    n : int
        Number of observations.
    rms : float
        Of the factors' logarithms, which are correlated over 0.2 dex of energy.

    Returns
    -------
    ndarray of float64, shape (n, n_energy)
        On ``models.ENERGY_KEV``.
    """
    distance = (_KNOTS[:, None] - _KNOTS) / _CORRELATION_DEX
    covariance = np.exp(-0.5 * distance**2) + 1e-9 * np.eye(len(_KNOTS))
    knots = rng.normal(size=(n, len(_KNOTS))) @ np.linalg.cholesky(covariance).T
    place = np.interp(np.log10(ENERGY_KEV), _KNOTS, np.arange(len(_KNOTS)))
    below = np.minimum(place.astype(np.int64), len(_KNOTS) - 2)
    above = place - below
    return np.asarray(np.exp(rms * (knots[:, below] * (1 - above) + knots[:, below + 1] * above)))


def shift_energies(rng: np.random.Generator, mean: FloatArray) -> FloatArray:
    """Move expected counts of n observations, shape (n, 400), along the energies a little.

    Each has a gain of its own, wrong by 0.3% rms, and an offset of 4 eV rms.
    """
    n = len(mean)
    gain, offset = rng.normal(0.0, _GAIN, (n, 1)), rng.normal(0.0, _OFFSET_KEV, (n, 1))
    edges = BIN_EDGES_KEV * (1 + gain) + offset
    width = (BIN_EDGES_KEV[-1] - BIN_EDGES_KEV[0]) / N_BINS
    place = np.clip((edges - BIN_EDGES_KEV[0]) / width, 0.0, N_BINS)
    below = np.minimum(place.astype(np.int64), N_BINS - 1)
    cumulative = np.concatenate([np.zeros((n, 1)), np.cumsum(mean, axis=1)], axis=1)
    row = np.arange(n)[:, None]
    at_edges = cumulative[row, below] + (place - below) * mean[row, below]
    return np.diff(at_edges, axis=1)
