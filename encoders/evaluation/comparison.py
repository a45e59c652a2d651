"""Two models on the same held-out pairs: which is better, and whether that may be chance."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import InputError
from common.ports import Progress, no_progress
from common.representations import Representations
from encoders.evaluation.bootstrap import Bootstrap
from encoders.evaluation.estimation import estimate_variables
from encoders.evaluation.folds import make_folds
from encoders.evaluation.matching import Found, find_pairs
from encoders.retrieval import PERCENTS, Retrieval

FloatArray = npt.NDArray[np.float64]

K = 3
"""Neighbours of an estimate."""
_PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Scores:
    """What one model reaches on the test split.

    Attributes
    ----------
    model_id : str
        The model.
    spectrum_to_text, text_to_spectrum : mapping of str to float
        Recalls, median rank and number of candidate sources.
    mean_recall : float
        Mean of the six recalls: the figure that decides.
    estimation : mapping of str to float
        By representation and rule: mean over the variables of error / error of the mean.
    """

    model_id: str
    spectrum_to_text: Mapping[str, float]
    text_to_spectrum: Mapping[str, float]
    mean_recall: float
    estimation: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models side by side.

    Attributes
    ----------
    old, new : Scores
        What they reach.
    difference : float
        Mean recall of the new one less that of the old one.
    low, high : float
        95% interval of the difference, sources drawn again and again, the same for both models.
    n_sources, n_detections, n_texts : int
        Size of the test split.
    """

    old: Scores
    new: Scores
    difference: float
    low: float
    high: float
    n_sources: int
    n_detections: int
    n_texts: int

    @property
    def is_better(self) -> bool:
        """Whether the new model is better beyond chance."""
        return self.low > 0

    def to_dict(self) -> dict[str, Any]:
        """Return everything as a JSON document."""
        return {**asdict(self), "better": self.is_better}


def compare(
    old: Representations, new: Representations, seed: int = 0, progress: Progress = no_progress
) -> Comparison:
    """Compare two models on the test split of one dataset.

    Parameters
    ----------
    old, new : Representations
        Vectors of the same detections and texts by either model.
    seed : int
        Of the bootstrap.
    progress : callable
        Told what is being done.

    Returns
    -------
    Comparison
        Scores, and the difference with its interval: a paired bootstrap, by source.

    Raises
    ------
    InputError
        If these are not the same detections, or have no texts.
    """
    if old.names != new.names or "shared_text" not in old.vectors:
        raise InputError("two models are compared on the same detections with texts: give those")
    tested = old.split["test"]
    found = find_pairs(old, tested), find_pairs(new, tested)
    # One row for each query of either direction; a source brings all its queries.
    sources = np.concatenate([found[0].spectrum_source, found[0].text_source])
    bootstrap = Bootstrap(sources, seed)
    draws = [_resampled(one, bootstrap) for one in found]
    scores = [
        _scores(given, one, seed, progress) for given, one in zip((old, new), found, strict=True)
    ]
    low, high = np.percentile(draws[1] - draws[0], _PERCENTILES)
    return Comparison(
        old=scores[0],
        new=scores[1],
        difference=scores[1].mean_recall - scores[0].mean_recall,
        low=float(low),
        high=float(high),
        n_sources=len(np.unique(sources)),
        n_detections=len(tested),
        n_texts=len(found[0].text_source),
    )


def _resampled(found: Found, bootstrap: Bootstrap) -> FloatArray:
    """Return the mean of the six recalls in each resample."""
    n = len(found.spectrum_source)
    rows = np.arange(n + len(found.text_source))
    recalls = [
        bootstrap.means(_hits(retrieval), of_direction)
        for retrieval, of_direction in ((found.forth, rows[:n]), (found.back, rows[n:]))
    ]  # two of (n_resample, n_percent)
    mean: FloatArray = np.hstack(recalls).mean(axis=1)
    return mean


def _hits(found: Retrieval) -> FloatArray:
    ranks = np.array(found.ranks)
    hits = np.column_stack([ranks <= found.last(percent) for percent in PERCENTS])
    return hits.astype(np.float64)


def _scores(given: Representations, found: Found, seed: int, progress: Progress) -> Scores:
    recalls = [r.recall_at(percent) for r in (found.forth, found.back) for percent in PERCENTS]
    folds = make_folds(given, "fixed split", K, seed)
    estimation = estimate_variables(given, folds, K, seed, progress)
    return Scores(
        model_id=given.model_id,
        spectrum_to_text=found.forth.to_dict(),
        text_to_spectrum=found.back.to_dict(),
        mean_recall=sum(recalls) / len(recalls),
        estimation={name: one.value for name, one in estimation.ratio.items()},
    )
