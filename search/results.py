"""What the search layer answers with: plain records that every interface renders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import numpy as np
import numpy.typing as npt
from qdrant_client import models

Target = Literal["detections", "papers"]
Ranking = Literal["hybrid", "dense", "keywords"]
"""How papers are compared with a question: both ways by rank fusion, or one of them."""


@dataclass(frozen=True, slots=True)
class PageOptions:
    """How answers are cut and ordered.

    Attributes
    ----------
    limit : int
        Answers of one page at most.
    cursor : str or None
        Where the page begins: `Page.cursor` of the page before, of the same question.
    by_source : bool
        Whether only the best detection of each source is shown.
    diversity : float
        0 ranks by similarity alone, towards 1 answers differ more from each other (MMR).
    """

    limit: int = 10
    cursor: str | None = None
    by_source: bool = False
    diversity: float = 0.0


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer.

    Attributes
    ----------
    id : UUID
        Point id.
    score : float or None
        Higher is better: cosine similarity, or the fused rank score of a hybrid search. None where
        there is nothing to compare: catalogue-only detections, cone searches, lists.
    payload : mapping
        What is stored.
    compared : str or None
        The named vector compared with the question, for instance ``shared_spectrum``; those of a
        hybrid search are joined by ``+``.
    cosine : float or None
        Cosine similarity of the dense vector.
    keyword_score : float or None
        BM25 score, of papers found by keywords.
    highlights : tuple of str
        Sentences of a paper that fit the question best, best first.
    separation_arcsec : float or None
        Great-circle distance from the centre of the cone asked for.
    n_detections : int or None
        How many detections of this source were found, where answers are grouped by source.
    """

    id: UUID
    score: float | None
    payload: Mapping[str, Any]
    compared: str | None = None
    cosine: float | None = None
    keyword_score: float | None = None
    highlights: tuple[str, ...] = ()
    separation_arcsec: float | None = None
    n_detections: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Answers, best first, and where the next page begins.

    Attributes
    ----------
    hits : sequence of Hit
        Answers.
    cursor : str or None
        None: there are no more, or answers were chosen for diversity, which is one page.
    off_topic : int
        How many papers would fit and are left out as not about X-ray sources; counted for papers
        of a region, and where a page is not full.
    """

    hits: Sequence[Hit]
    cursor: str | None = None
    off_topic: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A spectrum that is asked about, stored or new.

    Attributes
    ----------
    name : str
        What it is called in answers.
    vectors : mapping of str to ndarray of float32
        Named vectors of the detections collection that it has, each of shape (d,).
    payload : mapping
        What is known of it; of a new spectrum, ``counts`` and ``exposure_s``.
    excluded : tuple of Condition
        What must not count as its neighbour: itself, and other detections of its source.
    """

    name: str
    vectors: Mapping[str, npt.NDArray[np.float32]]
    payload: Mapping[str, Any]
    excluded: tuple[models.Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A detection behind an estimate or a vote."""

    id: UUID
    name: str
    distance: float
    """Euclidean distance of unit vectors in the representation used."""
    value: float | None = None
    source_class: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Estimate:
    """One of the 20 variables, estimated from neighbours.

    Attributes
    ----------
    variable : str
        Name as in the Chandra Source Catalog.
    value : float or None
        None where too few neighbours have a value.
    low_68, high_68, low_90, high_90 : float or None
        Prediction intervals; None without a calibration.
    representations : tuple of str
        Named vectors whose neighbours were averaged.
    k : int
        Neighbours asked for in each representation.
    weighting : str
        ``mean``, ``median`` or ``distance-weighted mean``.
    neighbours : tuple of Neighbour
        Those behind the number, nearest first, of all representations used.
    stored : float or None
        The catalogue's value of a stored detection, which took no part.
    calibrated_on : str or None
        What its intervals were calibrated on, in words; None without intervals.
    interval_simulated : bool or None
        Whether that was simulated values, which real ones may deviate from more.
    """

    variable: str
    value: float | None
    low_68: float | None
    high_68: float | None
    low_90: float | None
    high_90: float | None
    representations: tuple[str, ...]
    k: int
    weighting: str
    neighbours: tuple[Neighbour, ...] = ()
    stored: float | None = None
    calibrated_on: str | None = None
    interval_simulated: bool | None = None


@dataclass(frozen=True, slots=True)
class Estimates:
    """All that was estimated of one spectrum.

    Attributes
    ----------
    name : str
        The subject.
    estimates : mapping of str to Estimate
        By variable, in the order of `common.variables.VARIABLE_NAMES`.
    outside : bool
        Whether the spectrum lies outside what the store knows: then no interval can be trusted.
    nearness : float or None
        Fraction of calibration detections that lie farther from their neighbours than this one;
        None without a calibration.
    calibrated_on : str or None
        What the intervals were calibrated on, in words.
    notes : tuple of str
        What a reader should know.
    """

    name: str
    estimates: Mapping[str, Estimate]
    outside: bool
    nearness: float | None
    calibrated_on: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassProbability:
    """Probability that a source belongs to a class or below it."""

    path: tuple[str, ...]
    probability: float
    vote: float
    """Weighted share of the neighbours, before calibration."""


@dataclass(frozen=True, slots=True)
class Classification:
    """The vote of neighbours at every level of the class path.

    Attributes
    ----------
    name : str
        The subject.
    levels : sequence of sequence of ClassProbability
        By depth of the path, most general first; within a level most probable first.
    neighbours : tuple of Neighbour
        The voters, nearest first.
    stored : tuple of str
        Class path of a stored detection, which took no part; empty when unknown.
    outside : bool
        Whether the spectrum lies outside what the store knows.
    calibrated_on : str or None
        What probabilities were calibrated on; None: they are bare shares of the vote.
    notes : tuple of str
        What a reader should know.
    """

    name: str
    levels: Sequence[Sequence[ClassProbability]]
    neighbours: tuple[Neighbour, ...]
    stored: tuple[str, ...] = ()
    outside: bool = False
    calibrated_on: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deviation:
    """A variable in which a detection differs from its neighbours."""

    variable: str
    value: float
    neighbours_median: float
    deviation: float
    """In robust standard deviations of that variable over the store."""


@dataclass(frozen=True, slots=True)
class Check:
    """One physics check of an outlier: ``passed`` is None where what it needs is not known."""

    name: str
    passed: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class Outlier:
    """A detection unlike the others, with what makes it so.

    Attributes
    ----------
    hit : Hit
        The detection; its score is the anomaly score, 1 for the most anomalous.
    rank, rank_in_class : int
        From 1, over all and within its most special class.
    deviations : tuple of Deviation
        Largest first.
    checks : tuple of Check
        Pile-up, saturation, off-axis angle, low counts, background share.
    verdict : str
        ``likely artefact`` when a check fails, ``likely object`` when all that could be made
        passed, ``undecided`` when too few could be made.
    """

    hit: Hit
    rank: int
    rank_in_class: int
    deviations: tuple[Deviation, ...] = ()
    checks: tuple[Check, ...] = ()
    verdict: Literal["likely artefact", "likely object", "undecided"] = "undecided"


@dataclass(frozen=True, slots=True)
class OutlierReport:
    """The outliers of a store or of a part of it."""

    outliers: Sequence[Outlier]
    n_scored: int
    representation: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """Evidence behind a statement: a measured value, an estimate, a neighbour or a paper."""

    kind: Literal["measured", "estimate", "class", "neighbour", "paper", "check"]
    label: str
    """``[1]``, ``[2]`` … as it appears in the text."""
    text: str
    """What the evidence says, numbers included."""
    identifier: str | None = None
    """Detection key or bibcode."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence and the labels of the references behind it."""

    text: str
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """A characterisation in plain language, each statement with its references."""

    name: str
    statements: Sequence[Statement]
    references: Sequence[Reference]
    written_by: str
    """``template``, or ``openai:`` and the name of the language model."""
    notes: tuple[str, ...] = field(default_factory=tuple)

    def text(self) -> str:
        """Return the statements as one paragraph."""
        return " ".join(statement.text for statement in self.statements)


@dataclass(frozen=True, slots=True)
class Status:
    """What the store holds and by which model."""

    engine: str
    model_id: str
    text_model: str
    detections: int
    detections_with_spectrum: int
    detections_simulated: int
    papers: int
    papers_simulated: int
    classes: Mapping[str, int]
    instruments: Mapping[str, int]
