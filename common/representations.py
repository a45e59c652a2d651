"""Vectors of detections as plain arrays, with what is known of the detections behind them.

What an evaluation works on, whether a dataset was encoded for it or a store read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.errors import InvalidTableError
from common.ports import Float32Array

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

REPRESENTATIONS = ("spectrum", "text", "shared_spectrum", "shared_text", "both")
"""Before alignment, after it, and both of the latter side by side."""
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Vectors of m texts, of which a source may have several.

    Attributes
    ----------
    shared : ndarray of float32, shape (m, d)
        In the shared space.
    about : ndarray of int64, shape (m,)
        Source of each text, as in `Representations.source`.
    """

    shared: Float32Array
    about: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Representations:
    """Vectors of n detections.

    Attributes
    ----------
    dataset : str
        What the dataset is called in reports.
    simulated : bool
        Whether spectra are simulated; shown wherever results are.
    model_id, text_model : str
        The model that made the vectors.
    vectors : mapping of str to ndarray of float32, shape (n, d)
        One entry of `REPRESENTATIONS` or more; the text ones are missing without summaries.
    variables : mapping of str to ndarray of float64, shape (n,)
        The 20 variables, NaN where there is no value.
    source : ndarray of int64, shape (n,)
        Source of each detection.
    source_class : sequence of tuple of str, length n
        Path of each detection's class, empty where it is unknown.
    names : sequence of str, length n
        What each detection is called in tables.
    counts : ndarray of float64, shape (n,)
        Counts of each spectrum, 0.5-8 keV.
    split : mapping of str to ndarray of int64
        Rows of ``train``, ``validation`` and ``test``; no source is in two of them.
    notes : sequence of str
        What was left out and why.
    texts : Texts or None
        All texts, where a source has several; None: ``shared_text`` holds the only one of each.
    """

    dataset: str
    simulated: bool
    model_id: str
    text_model: str
    vectors: Mapping[str, Float32Array]
    variables: Mapping[str, FloatArray]
    source: IntArray
    source_class: Sequence[tuple[str, ...]]
    names: Sequence[str]
    counts: FloatArray
    split: Mapping[str, IntArray]
    notes: Sequence[str] = ()
    texts: Texts | None = None

    def __post_init__(self) -> None:
        if not self.vectors or not self.vectors.keys() <= set(REPRESENTATIONS):
            raise InvalidTableError(
                f"dataset {self.dataset}: vectors are called {sorted(self.vectors)}: give one or "
                f"more of {', '.join(REPRESENTATIONS)}"
            )
        self._check_values()
        self._check_split()

    def _check_values(self) -> None:
        lengths = {
            **{name: len(x) for name, x in self.vectors.items()},
            **{name: len(values) for name, values in self.variables.items()},
            "source": len(self.source),
            "source_class": len(self.source_class),
            "names": len(self.names),
            "counts": len(self.counts),
        }
        if len(set(lengths.values())) > 1:
            raise InvalidTableError(
                f"dataset {self.dataset}: lengths differ: {lengths}: give one row per detection"
            )
        for name, x in self.vectors.items():
            if not np.isfinite(x).all():
                raise InvalidTableError(
                    f"dataset {self.dataset}: vectors {name} hold NaN or infinity: encode again"
                )

    def _check_split(self) -> None:
        missing = [part for part in PARTS if part not in self.split]
        if missing:
            raise InvalidTableError(
                f"dataset {self.dataset}: the split has no {', '.join(missing)}: give "
                f"{', '.join(PARTS)}"
            )
        owner: dict[int, str] = {}
        for part in PARTS:
            for source in np.unique(self.source[self.split[part]]).tolist():
                if owner.setdefault(source, part) != part:
                    raise InvalidTableError(
                        f"dataset {self.dataset}: source {source} is in {owner[source]} and in "
                        f"{part}: split by source, else results are too good"
                    )
