"""What an evaluation found: plain records, which the report and its JSON are made of."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from encoders.retrieval import Retrieval

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its bootstrap standard error and 68% interval (resampled by source)."""

    value: float
    error: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RetrievalResult:
    """Retrieval in one direction, over all and in parts (Fig. 2)."""

    overall: Retrieval
    interval: Mapping[str, Interval]
    """By ``recall_at_1_percent`` … and ``median_rank_percent``."""
    by_class: Mapping[str, Retrieval]
    """Queries of one class among all candidates."""
    by_counts: Sequence[tuple[float, float, Retrieval]]
    """Deciles of the counts of the query: lowest, highest, ranks."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a variable is estimated: from which representations, from how many neighbours."""

    representations: tuple[str, ...]
    k: int
    average: str
    """``mean``, ``median`` or ``distance-weighted mean`` of the neighbours' values.

    The estimates of several representations are averaged.
    """


@dataclass(frozen=True, slots=True)
class VariableResult:
    """Mean absolute errors of one variable on the test split (Table 1)."""

    n_test: int
    mean_baseline: Interval
    by_representation: Mapping[str, Interval]
    """k-NN with k = 3, as in the paper."""
    moe: Interval
    """The paper's mixture of experts: best validation Pearson correlation, k = 3."""
    moe_choice: str
    """In cross-validation the choice of most folds, as is the refined rule."""
    refined: Interval
    """The rule with the least validation MAE among more rules than the paper's.

    Where a few extreme values make most of the deviation, errors on them are limited there.
    """
    refined_rule: Rule
    worse_than_best_single: bool
    """Whether the refined estimate loses to the best single one by more than its interval.

    That is the 68% interval of the difference of both, of the same detections.
    """


@dataclass(frozen=True, slots=True, eq=False)
class DimensionCorrelations:
    """Pearson correlation of each vector dimension with each variable (Table 2)."""

    representation: str
    variables: Sequence[str]
    correlation: FloatArray  # (d, n_variable), NaN where a variable has no values


@dataclass(frozen=True, slots=True)
class Outlier:
    """One detection with its anomaly score, 1 at the top (Table 4)."""

    name: str
    source_class: str
    counts: float
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class OutlierResult:
    """Isolation Forest on the 128-d vectors of all detections (Table 4, Fig. 4)."""

    top: Sequence[Outlier]
    scores: FloatArray  # (n,), scaled to 1 at the top
    by_class: Mapping[str, tuple[int, float, float, float]]
    """Class: size, first quartile, median and third quartile of its scores."""
    representation: str = "both"
    """Of spectra alone where there are no texts."""


@dataclass(frozen=True, slots=True)
class ClassificationResult:
    """k-NN vote on one representation, test split (arXiv:2510.14102)."""

    representation: str
    classes: Sequence[str]
    balanced_accuracy: Interval
    confusion: Sequence[Sequence[int]]
    agn_or_compact: Interval | None
    """Balanced accuracy of AGN against compact objects; None where one of them is missing."""


@dataclass(frozen=True, slots=True, eq=False)
class MapResult:
    """t-SNE of one representation (Fig. 3)."""

    representation: str
    rows: npt.NDArray[np.int64]  # (m,) detections drawn
    position: FloatArray  # (m, 2)


@dataclass(frozen=True, slots=True)
class OwnTextPercentile:
    """Where the texts about an object stand among all topical ones, 0 first, by chance 0.5."""

    mean: float
    median: float
    by_object: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class QuestionAuc:
    """How surely a spectrum of the class asked for comes before another, by chance 0.5."""

    mean: float
    by_question: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class BrightSpectra:
    """Mean error of estimates, in spreads of the reference, from all counts and from 1,000."""

    n: int
    error: float
    error_thinned: float


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Texts of about equal probability, and the share of them that is about X-ray sources."""

    probability: float
    """Mean of the texts."""
    topical: float
    n: int


@dataclass(frozen=True, slots=True)
class TopicReliability:
    """How far the topic's probability is to be trusted, on held-out texts of corpora."""

    auc: float
    expected_calibration_error: float
    """Of 15 equally wide bins."""
    shown_of_topical: float
    """Share of the texts on the topic that a search shows by default."""
    shown_of_others: float
    bins: Sequence[ReliabilityBin]


@dataclass(frozen=True, slots=True)
class RealResult:
    """How real spectra, real papers and short questions meet; None where nothing can be said."""

    topical_precision_at_10: float | None
    topical_prior: float | None
    """Topical share of the pool: what chance reaches."""
    topic: TopicReliability | None
    own_text_percentile: OwnTextPercentile | None
    question_auc: QuestionAuc | None
    coverage_68: float | None
    coverage_90: float | None
    count_drift: Mapping[str, float | None]
    """By counts: cosine of the shared vectors of that many and of 1,000 counts of a spectrum."""
    bright_spectra: BrightSpectra | None
    interval: Mapping[str, Interval]
    """Bootstrap over objects, by the names of the figures: ``own_text_percentile_mean`` ..."""
    sizes: Mapping[str, int]
    classes: Mapping[str, str]
    """Class that each question asks for."""
    notes: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """All results; a part is empty or None where the dataset does not have what it needs."""

    dataset: str
    simulated: bool
    model_id: str
    text_model: str
    scheme: str
    """``fixed split`` or ``cross-validated by source``."""
    sizes: Mapping[str, int]
    spectrum_to_text: RetrievalResult | None
    text_to_spectrum: RetrievalResult | None
    regression: Mapping[str, VariableResult]
    dimensions: Sequence[DimensionCorrelations]
    outliers: OutlierResult | None
    classification: Sequence[ClassificationResult]
    maps: Sequence[MapResult]
    notes: Sequence[str]
    """What was left out and why, for the reader of the report."""
    mean_ratio: Mapping[str, Interval] = field(default_factory=dict)
    """Mean over the variables of MAE / MAE of the mean baseline, by representation and rule."""
    mean_gain: Mapping[str, Interval] = field(default_factory=dict)
    """Mean gain over the better modality before alignment: ``both``, ``moe``, ``refined``."""
    real: RealResult | None = None
    """Where a corpus was given, or the dataset is there to judge by."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of ``chandra-search evaluate``; null where nothing is known."""
        return {one.name: _plain(getattr(self, one.name)) for one in fields(self)}


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return what strict JSON can say."""
    match value:
        case Retrieval():
            return {"queries": len(value.ranks), **_plain(value.to_dict()), "curve": value.curve()}
        case np.ndarray() | np.generic():
            return _plain(value.tolist())
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    return value
