"""What spectra are taken to show: known from simulation, catalogues, and what papers say."""

import numpy as np
import numpy.typing as npt

from common.concepts import N_CONCEPTS, targets_of_class
from common.dataset import Dataset
from common.ports import Float32Array

IntArray = npt.NDArray[np.int64]

SAID = 0.5
"""Probability from which on a text is taken to say a concept; that it does not tells nothing."""


def spectral_targets(
    dataset: Dataset, told: Float32Array, recognised: Float32Array | None
) -> Float32Array:
    """Return the probability of each concept for each detection.

    Parameters
    ----------
    dataset : Dataset
        n detections.
    told : ndarray of float32, shape (n_source, n_concept)
        What the texts of each source say; NaN for a source without texts.
    recognised : ndarray of float32, shape (n, n_concept), or None
        What the model that training begins with sees in the spectra: it stands where nobody says
        anything, so that what was learnt is not forgotten.

    Returns
    -------
    ndarray of float32, shape (n, n_concept)
        NaN where nothing is known.
    """
    if dataset.concepts is not None:
        return dataset.concepts.astype(np.float32)
    targets = np.full((len(dataset), N_CONCEPTS), np.nan, dtype=np.float32)
    if recognised is not None:
        targets[:] = recognised
    said = told[dataset.source]
    targets = np.where(said > SAID, said, targets)
    of_path = {
        path: targets_of_class(path)
        for path in {detection.source_class for detection in dataset.detections}
    }
    catalogued = np.stack([of_path[detection.source_class] for detection in dataset.detections])
    return np.where(np.isfinite(catalogued), catalogued, targets).astype(np.float32)
