"""A few spectra beside what the autoencoder makes of them, for the eye to compare."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from common.dataset import Dataset, detections_of

if TYPE_CHECKING:  # torch takes seconds to load
    from encoders.bundle import ModelBundle

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Reconstructions:
    """A few spectra as the autoencoder gives them back, from faint to bright.

    Attributes
    ----------
    names : sequence of str, length n
        What each detection is called.
    counts : ndarray of float64, shape (n, 400)
        Counts per bin of 0.5-8 keV.
    shapes : ndarray of float, shape (n, 400)
        The reconstruction of each min-max normalised spectrum.
    """

    names: Sequence[str]
    counts: FloatArray
    shapes: npt.NDArray[np.floating[Any]]


def reconstruct_some(dataset: Dataset, model: "ModelBundle", n: int = 6) -> Reconstructions:
    """Return n spectra of the test split, at equal steps from the faintest to the brightest."""
    rows = detections_of(dataset, dataset.split()["test"])
    rows = rows if len(rows) else np.arange(len(dataset))  # cross-validated sets may be tiny
    total = dataset.counts.sum(axis=1)
    order = rows[np.argsort(total[rows], kind="stable")]
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(n, len(order))).astype(int))]
    counts = dataset.counts[chosen]
    return Reconstructions(
        [dataset.detections[row].source_name or dataset.detections[row].key for row in chosen],
        counts,
        model.reconstruct(counts, dataset.exposure_s[chosen]),
    )
