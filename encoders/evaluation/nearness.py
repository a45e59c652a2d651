"""How far from its neighbours a spectrum may lie and still be one that the store knows.

Faint spectra scatter: so far from its neighbours as is usual among bright ones, a faint spectrum is
strange. A single line of 2,000 counts finds nothing like it but spectra of 20 counts, and lies no
farther from these than bright ones from each other. So distances are compared with those of
detections whose neighbours are as bright.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from common.calibration import OUTSIDE
from encoders.evaluation.neighbours import Nearest

FloatArray = npt.NDArray[np.float64]

K_NEAR: Final = 10
COUNTS: Final = (0.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 1e5)
"""Where bins of the neighbours' median counts begin."""

FEWEST: Final = 20
"""Detections of one kind in a bin: below, they do not say what is usual in it."""

_N_QUANTILES: Final = 201
_TINY: Final = 1e-6  # of spectra that are all the same


@dataclass(frozen=True, slots=True, eq=False)
class Distances:
    """Distances of n detections to the `K_NEAR`-th neighbour, and the neighbours' median counts."""

    distance: FloatArray
    counts: FloatArray

    @classmethod
    def of(cls, near: Nearest, counts: FloatArray) -> "Distances":
        """Return those of detections with these neighbours; ``counts`` are those of all rows."""
        taken = near.rows[:, :K_NEAR]
        return cls(near.distance[:, K_NEAR - 1], np.median(counts[taken], axis=1))


@dataclass(frozen=True, slots=True)
class Nearness:
    """What is usual, as `common.calibration.RuleSet` has it."""

    near: tuple[float, ...]
    near_counts: tuple[float, ...]
    near_scale: tuple[float, ...]
    near_k: int = K_NEAR


def nearness_of(kinds: Sequence[Distances]) -> Nearness:
    """Return what is usual of detections of several kinds, or with neighbours of several kinds.

    Parameters
    ----------
    kinds : sequence of Distances
        Of each kind; the largest counts.

    Returns
    -------
    Nearness
        Scales are the distances that few detections exceed, by bin.
    """
    bins = [np.digitize(one.counts, COUNTS) - 1 for one in kinds]
    found: dict[int, float] = {}
    for number in range(len(COUNTS)):
        inside = [one.distance[of == number] for one, of in zip(kinds, bins, strict=True)]
        if known := [distance for distance in inside if len(distance) >= FEWEST]:
            found[number] = _most(known)
    if not found:
        found[0] = _most(one.distance for one in kinds)
    # A bin with few is like the one beside it, not like all: the faintest are few, and unlike.
    scale = [found[min(found, key=lambda known: abs(known - n))] for n in range(len(COUNTS))]
    levels = np.linspace(0, 1, _N_QUANTILES)
    quantiles = [
        np.quantile(one.distance / np.array(scale)[of], levels)
        for one, of in zip(kinds, bins, strict=True)
    ]
    return Nearness(
        near=tuple(np.round(np.max(quantiles, axis=0), 6).tolist()),
        near_counts=COUNTS,
        near_scale=tuple(np.round(scale, 6).tolist()),
    )


def _most(distances: Iterable[FloatArray]) -> float:
    """Return the distance that few of each kind exceed."""
    most = max(float(np.quantile(distance, 1 - OUTSIDE)) for distance in distances)
    return max(most, _TINY)
