"""Backgrounds: how the counts that are not the source's are spread over the bins."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from common.binning import BIN_EDGES_KEV
from ingest.simulation import models

FloatArray = npt.NDArray[np.float64]

SHAPES = ("particles", "soft sky", "Galactic plasma", "instrument lines", "hard sky")

_CENTRE_KEV = (BIN_EDGES_KEV[:-1] + BIN_EDGES_KEV[1:]) / 2


def instrument_background(rise: float, lines: Mapping[float, float]) -> FloatArray:
    """Return particles (rising to high energies, fluorescence lines) and a soft sky.

    Parameters
    ----------
    rise : float
        Of the particles, per keV.
    lines : mapping of float to float
        Height of each line, by its energy in keV, over the particles.

    Returns
    -------
    ndarray of float64, shape (400,)
        Sums to 1.
    """
    shape = 1 + rise * _CENTRE_KEV + 2.5 * np.exp(-_CENTRE_KEV / 0.35) + _lines(lines)
    return np.asarray(shape / shape.sum())


def other_backgrounds(folding: FloatArray, lines: Mapping[float, float]) -> FloatArray:
    """Return what a background may be besides, by `SHAPES`.

    Parameters
    ----------
    folding : ndarray of float64, shape (n_energy, 400)
        Of the response: the sky comes through the mirrors, particles do not.
    lines : mapping of float to float
        As for `instrument_background`.

    Returns
    -------
    ndarray of float64, shape (5, 400)
        Each sums to 1.
    """
    soft = models.normalise(models.plasma(0.1)) + models.normalise(models.plasma(0.22))
    plasma = models.normalise(models.plasma(0.65) + 0.1 * models.plasma(5.0))
    hard = models.power_law(1.4) * models.transmission(5e21)
    shapes = np.concatenate(
        [
            1 + 0.15 * _CENTRE_KEV[None],
            soft @ folding,
            (plasma * models.transmission(4e21)) @ folding,
            0.25 + 3 * _lines(lines)[None],
            hard @ folding,
        ]
    )
    return np.asarray(shapes / shapes.sum(axis=1, keepdims=True))


def _lines(lines: Mapping[float, float]) -> FloatArray:
    shape = np.zeros(len(_CENTRE_KEV))
    for energy_kev, height in lines.items():
        shape += height * np.exp(-0.5 * ((_CENTRE_KEV - energy_kev) / 0.05) ** 2)
    return shape
