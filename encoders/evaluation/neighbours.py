"""Nearest neighbours in each representation, found once for all rules that need them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import NearestNeighbors

from common.ports import Float32Array

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """Neighbours of n rows, nearest first: their rows and distances, each (n, k)."""

    rows: IntArray
    distance: FloatArray


def nearest(x: Float32Array, among: IntArray, of: IntArray, k: int) -> Nearest:
    """Return the k rows of ``among`` nearest to each row of ``of``, by Euclidean distance."""
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(x[among])
    distance, found = search.kneighbors(x[of])
    return Nearest(among[found], np.asarray(distance, dtype=np.float64))


class NeighbourSearch:
    """Neighbours by representation, remembered: variables known of equal rows share them."""

    def __init__(self, vectors: Mapping[str, Float32Array], k: int) -> None:
        self._vectors, self._k = vectors, k
        self._found: dict[tuple[bytes, bytes], dict[str, Nearest]] = {}

    def among(self, reference: IntArray, rows: IntArray) -> dict[str, Nearest]:
        """Return for each representation the neighbours of rows, as many as there are up to k."""
        key = reference.tobytes(), rows.tobytes()
        if key not in self._found:
            k = min(self._k, len(reference))
            self._found[key] = {
                name: nearest(x, reference, rows, k) for name, x in self._vectors.items()
            }
        return self._found[key]
