"""Synthetic detections of the Chandra Source Catalog's size, for the benchmarks of the store.

Vectors are a mixture of Gaussians, as those of an encoder are clumped; uniform ones would be
easier to index than anything real.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.variables import VARIABLES

N_DETECTIONS = 407_806  # sources of CSC 2.1
WIDTH = 64
N_CLUMPS = 500
CLASSES = ("AGN", "QSO", "Sy1", "Sy2", "LXB", "HXB", "CV*", "SNR", "YSO", "ULX")
WANTED_CLASS, WANTED_HARDNESS = "ULX", 0.8  # one detection of a hundred

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sky:
    """Detections as columns.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n, 64)
        Unit length.
    source_class : ndarray of str, shape (n,)
        One of `CLASSES`.
    variables : mapping of str to ndarray of float64, shape (n,)
        The 20 variables.
    ra_deg, dec_deg, counts : ndarray of float64, shape (n,)
        Position and counts.
    """

    vectors: npt.NDArray[np.float32]
    source_class: npt.NDArray[np.str_]
    variables: dict[str, FloatArray]
    ra_deg: FloatArray
    dec_deg: FloatArray
    counts: FloatArray

    @property
    def wanted(self) -> npt.NDArray[np.bool_]:
        """Rows that the filter of the benchmarks keeps."""
        kept: npt.NDArray[np.bool_] = (self.source_class == WANTED_CLASS) & (
            self.variables["hard_hs"] > WANTED_HARDNESS
        )
        return kept


def make_sky(n: int, rng: np.random.Generator) -> Sky:
    """Return n detections."""
    return Sky(
        vectors=_clumped(n, rng),
        source_class=np.array(CLASSES)[rng.integers(len(CLASSES), size=n)],
        variables={v.name: rng.uniform(max(v.valid_min, -1), 1, n) for v in VARIABLES},
        ra_deg=rng.uniform(0, 360, n),
        dec_deg=np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
        counts=rng.lognormal(4, 1, n).round(),
    )


def questions(sky: Sky, n: int, rng: np.random.Generator) -> Iterator[list[float]]:
    """Yield vectors near those of the sky, as questions are."""
    for row in rng.integers(len(sky.vectors), size=n):
        near = sky.vectors[row] + 0.05 * rng.normal(size=WIDTH)
        yield (near / np.linalg.norm(near)).tolist()


def _clumped(n: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    middles = rng.normal(size=(N_CLUMPS, WIDTH))
    vectors = middles[rng.integers(N_CLUMPS, size=n)] + 0.5 * rng.normal(size=(n, WIDTH))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)
