"""The temperature that turns cosines of the shared space into probabilities."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from encoders.fitting.losses import InfoNCELoss

IntArray = npt.NDArray[np.int64]

TEMPERATURES = np.geomspace(0.005, 1.0, 200)


def calibrated_temperature(
    spectra: Tensor, texts: Tensor, source: IntArray, *, symmetric: bool = True
) -> float:
    """Return the temperature at which InfoNCE is least for pairs not trained on.

    Parameters
    ----------
    spectra : Tensor of float32, shape (n, shared)
        Unit vectors of detections; the first of each source is used.
    texts : Tensor of float32, shape (m, shared)
        Unit vectors of the texts of m sources, m at least 2.
    source : ndarray of int64, shape (n,)
        Row of ``texts`` that belongs to each spectrum; each row has one at least.
    symmetric : bool
        Whether both directions count, or only that from text to spectrum.

    Returns
    -------
    float
        One of 200 values from 0.005 to 1.
    """
    first = np.unique(source, return_index=True)[1]
    with torch.no_grad():
        losses = [
            InfoNCELoss(t, symmetric).to(texts.device)(spectra[first], texts) for t in TEMPERATURES
        ]
    return float(TEMPERATURES[int(torch.stack(losses).argmin())])
