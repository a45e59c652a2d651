"""Evaluate an encoder as arXiv:2603.04516 does: retrieval, and estimation of the 20 variables."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import NearestNeighbors

from common.dataset import Dataset, detections_of, split_by_source
from common.errors import InvalidTableError
from common.ports import Encoder, Float32Array, Progress, no_progress
from encoders.retrieval import Retrieval, rank_sources, rank_texts

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

REPRESENTATIONS = ("spectrum", "text", "shared_spectrum", "shared_text", "both")


@dataclass(frozen=True, slots=True)
class VariableErrors:
    """Mean absolute errors of one variable, by representation."""

    mean_baseline: float
    spectrum: float
    text: float
    shared_spectrum: float
    shared_text: float
    both: float
    moe: float
    moe_choice: str

    def gain(self, error: float) -> float:
        """Return by what fraction an error is below that of the better single modality."""
        best = min(self.spectrum, self.text)
        return 1 - error / best if best > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an encoder reaches on the test split of a dataset."""

    spectrum_to_text: Retrieval
    text_to_spectrum: Retrieval
    regression: Mapping[str, VariableErrors]

    def improvement(self) -> dict[str, float]:
        """Return the mean gain over the better single modality, 0 when there is no variable."""
        errors = self.regression.values()
        return {
            "both": float(np.mean([e.gain(e.both) for e in errors])) if errors else 0.0,
            "moe": float(np.mean([e.gain(e.moe) for e in errors])) if errors else 0.0,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the document that ``chandra-search evaluate --json`` prints."""
        return {
            "retrieval": {
                "spectrum_to_text": self.spectrum_to_text.to_dict(),
                "text_to_spectrum": self.text_to_spectrum.to_dict(),
            },
            "regression": {name: asdict(errors) for name, errors in self.regression.items()},
            "improvement": self.improvement(),
        }


def evaluate(
    dataset: Dataset, encoder: Encoder, k: int = 3, progress: Progress = no_progress
) -> Evaluation:
    """Evaluate on the test split; only detections whose source has a summary take part.

    Retrieval is scored by source. A variable's estimate is the mean of its k nearest neighbours of
    the training split that have a value; a variable with too few values is left out.

    Parameters
    ----------
    dataset : Dataset
        Spectra, variables and summaries.
    encoder : Encoder
        The model.
    k : int
        Neighbours in an estimate.
    progress : callable
        Told what is being done and how far it is.

    Returns
    -------
    Evaluation
        Ranks and errors.

    Raises
    ------
    InvalidTableError
        If a split has too few detections with a summary.
    """
    split = split_by_source(dataset.n_sources)
    has_summary = np.flatnonzero([summary is not None for summary in dataset.summaries])
    rows = {
        part: detections_of(dataset, np.intersect1d(split[part], has_summary))
        for part in ("train", "validation", "test")
    }
    _check_enough(dataset, rows, k)
    used = np.concatenate(list(rows.values()))
    spectra = encoder.encode_spectra(dataset.counts[used], dataset.exposure_s[used], progress)
    sources, own = np.unique(dataset.source[used], return_inverse=True)  # own: (n_used,)
    summaries = [dataset.summaries[source] for source in sources]
    texts = encoder.encode_summaries([s for s in summaries if s is not None], progress)
    vectors: dict[str, Float32Array] = {
        "spectrum": spectra.own,
        "text": texts.own[own],
        "shared_spectrum": spectra.shared,
        "shared_text": texts.shared[own],
        "both": np.hstack([spectra.shared, texts.shared[own]]),
    }
    place = dict(zip(rows, np.split(np.arange(len(used)), _bounds(rows)), strict=True))
    test = place["test"]
    candidates, own_candidate = np.unique(own[test], return_inverse=True)
    pairs = spectra.shared[test], texts.shared[candidates], own_candidate
    neighbours = _Neighbours(vectors, place, k)
    regression: dict[str, VariableErrors] = {}
    for done, (name, values) in enumerate(dataset.variables.items(), start=1):
        errors = _errors(neighbours, values[used], k)
        if errors is not None:
            regression[name] = errors
        progress("estimating variables", done, len(dataset.variables))
    return Evaluation(rank_texts(*pairs), rank_sources(*pairs), regression)


def _check_enough(dataset: Dataset, rows: Mapping[str, IntArray], k: int) -> None:
    found = {part: len(of_part) for part, of_part in rows.items()}
    if found["train"] < k or found["validation"] < 2 or found["test"] < 1:
        raise InvalidTableError(
            f"dataset {dataset.name}: the splits have {found} detections whose source has a "
            f"summary; at least {k} to train on, 2 for validation and 1 to test are needed: give a "
            "dataset of about 20 such sources or more"
        )


def _bounds(rows: Mapping[str, IntArray]) -> list[int]:
    return [int(end) for end in np.cumsum([len(of_part) for of_part in rows.values()])[:-1]]


class _Neighbours:
    """Nearest neighbours in each representation, found once for variables known of equal rows."""

    def __init__(
        self, vectors: Mapping[str, Float32Array], place: Mapping[str, IntArray], k: int
    ) -> None:
        self._vectors, self._place, self._k = vectors, place, k
        self._found: dict[bytes, dict[tuple[str, str], IntArray]] = {}

    def rows(self, known: BoolArray) -> dict[str, IntArray]:
        """Return the rows of each split that have a value."""
        return {part: rows[known[rows]] for part, rows in self._place.items()}

    def of(self, known: BoolArray) -> dict[tuple[str, str], IntArray]:
        """Return the neighbours among training rows, (n, k), by representation and split."""
        key = known.tobytes()
        if key not in self._found:
            rows = self.rows(known)
            self._found[key] = {}
            for name, x in self._vectors.items():
                search = NearestNeighbors(n_neighbors=self._k, algorithm="brute")
                search.fit(x[rows["train"]])
                for part in ("validation", "test"):
                    nearest = search.kneighbors(x[rows[part]], return_distance=False)
                    self._found[key][name, part] = rows["train"][nearest]
        return self._found[key]


def _errors(neighbours: _Neighbours, values: FloatArray, k: int) -> VariableErrors | None:
    """Return the errors of one variable, or None when too few rows have a value."""
    known = np.isfinite(values)
    rows = neighbours.rows(known)
    if len(rows["train"]) < k or len(rows["validation"]) < 2 or not len(rows["test"]):
        return None
    estimates = {key: values[found].mean(axis=1) for key, found in neighbours.of(known).items()}
    truth = {part: values[of_part] for part, of_part in rows.items()}
    error = {name: _mae(estimates[name, "test"], truth["test"]) for name in REPRESENTATIONS}
    choice = max(
        REPRESENTATIONS,
        key=lambda name: _pearson(estimates[name, "validation"], truth["validation"]),
    )
    baseline = _mae(truth["train"].mean(), truth["test"])
    return VariableErrors(mean_baseline=baseline, **error, moe=error[choice], moe_choice=choice)


def _mae(estimate: FloatArray | np.float64, values: FloatArray) -> float:
    return float(np.abs(estimate - values).mean())


def _pearson(estimate: FloatArray, values: FloatArray) -> float:
    """Return Pearson's correlation, -1 where it is not defined: such an estimate tells nothing."""
    if np.ptp(estimate) == 0 or np.ptp(values) == 0:
        return -1.0
    return float(np.corrcoef(estimate, values)[0, 1])
