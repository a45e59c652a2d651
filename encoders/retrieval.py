"""How well one modality finds the other, scored by source (DESIGN.md, decision 5)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.ports import Float32Array

IntArray = npt.NDArray[np.int64]

PERCENTS = (1, 5, 10)
CURVE_PERCENTS = (0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 50.0, 75.0, 100.0)
_CHUNK = 1024  # queries at a time: bounds the similarity matrix held in memory


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Ranks of the right answers among ``candidates`` sources, 1 the best."""

    ranks: tuple[int, ...]
    candidates: int

    def recall_at(self, percent: float) -> float:
        """Return the fraction of queries with the right answer in the first ``percent``.

        That is a rank of at most ``floor(percent / 100 * candidates)``, or 1 when that is 0.
        """
        return float(np.mean(np.array(self.ranks) <= self.last(percent)))

    def last(self, percent: float) -> int:
        """Return the last rank that counts as in the first ``percent``."""
        return max(1, int(self.candidates * percent / 100))

    def curve(self) -> dict[str, float]:
        """Return the recall at more percentages, from 0.5 to 100."""
        return {f"{percent:g}": self.recall_at(percent) for percent in CURVE_PERCENTS}

    def to_dict(self) -> dict[str, float]:
        """Return the figures reported."""
        return {
            **{f"recall_at_{p}_percent": self.recall_at(p) for p in PERCENTS},
            "median_rank": float(np.median(self.ranks)),
            "candidates": self.candidates,
        }


def rank_texts(
    spectra: Float32Array, texts: Float32Array, own: IntArray, about: IntArray | None = None
) -> Retrieval:
    """Let each detection look for a text of its source: every one of them is a right answer.

    Parameters
    ----------
    spectra : ndarray of float32, shape (n, d)
        Unit vectors of detections.
    texts : ndarray of float32, shape (m, d)
        Unit vectors of texts.
    own : ndarray of int64, shape (n,)
        Source of each detection, 0 … k - 1.
    about : ndarray of int64, shape (m,), or None
        Source of each text; each source has one at least. None: text i is that of source i.

    Returns
    -------
    Retrieval
        One rank per detection among the k sources, each by the score of its best text; ties count
        as if all others came first.
    """
    candidates, first = _by_source(texts, about)
    ranks: list[int] = []
    for start in range(0, len(spectra), _CHUNK):
        scores = spectra[start : start + _CHUNK] @ candidates.T  # (chunk, m)
        best = np.maximum.reduceat(scores, first, axis=1)  # (chunk, k)
        ranks += _ranks(best, own[start : start + _CHUNK])
    return Retrieval(tuple(ranks), len(first))


def rank_sources(
    spectra: Float32Array, texts: Float32Array, own: IntArray, about: IntArray | None = None
) -> Retrieval:
    """Let each text look for its source, whose score is that of its best detection.

    Parameters
    ----------
    spectra : ndarray of float32, shape (n, d)
        Unit vectors of detections.
    texts : ndarray of float32, shape (m, d)
        Unit vectors of texts.
    own : ndarray of int64, shape (n,)
        Source of each detection, 0 … k - 1; each source has one at least.
    about : ndarray of int64, shape (m,), or None
        Source of each text. None: text i is that of source i.

    Returns
    -------
    Retrieval
        One rank per text among the k sources; ties count as if all others came first.
    """
    candidates, first = _by_source(spectra, own)
    about = np.arange(len(texts)) if about is None else about
    ranks: list[int] = []
    for start in range(0, len(texts), _CHUNK):
        scores = texts[start : start + _CHUNK] @ candidates.T  # (chunk, n)
        best = np.maximum.reduceat(scores, first, axis=1)  # (chunk, k)
        ranks += _ranks(best, about[start : start + _CHUNK])
    return Retrieval(tuple(ranks), len(first))


def _by_source(vectors: Float32Array, source: IntArray | None) -> tuple[Float32Array, IntArray]:
    """Return vectors in the order of their sources, and the first row of each source."""
    if source is None:
        return vectors, np.arange(len(vectors))
    order = np.argsort(source, kind="stable")
    return vectors[order], np.unique(source[order], return_index=True)[1]


def _ranks(scores: Float32Array, own: IntArray) -> list[int]:
    right = np.take_along_axis(scores, own[:, None], axis=1)  # (n, 1)
    # Not "scores >= right": vectors of a model that diverged are NaN, and rank last.
    return [int(rank) for rank in (~(scores < right)).sum(axis=1)]
