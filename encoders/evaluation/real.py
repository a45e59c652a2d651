"""A benchmark of real data: do spectra find papers about X-ray sources, their own, and questions?

The dataset's texts and the held-out fifth of corpora make one pool of texts. Nothing is learnt from
any of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from common.calibration import Calibration
from common.corpus import CorpusText
from common.dataset import Dataset, Question
from common.errors import InputError
from common.ports import (
    MIN_TOPIC,
    Encoder,
    Float32Array,
    Progress,
    Summarizer,
    Vectors,
    no_progress,
)
from common.records import Summary
from common.source_class import normalise_or_none
from encoders.bundle import PlacedTexts
from encoders.evaluation.bootstrap import Bootstrap, interval, ratio
from encoders.evaluation.counts import count_drift
from encoders.evaluation.coverage import Valued, bright_spectra, catalogue_values, coverage
from encoders.evaluation.reference import Reference
from encoders.evaluation.result import (
    BrightSpectra,
    Interval,
    OwnTextPercentile,
    QuestionAuc,
    RealResult,
)
from encoders.evaluation.topic import topic_reliability

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

N_NEAREST: Final = 10


class PlacesTexts(Encoder, Protocol):
    """An encoder that places texts without embedding whole sections."""

    def place_summaries(
        self, summaries: Sequence[Summary], progress: Progress = no_progress
    ) -> PlacedTexts:
        """Give the places of summaries in the shared space, and their topics."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What a model is judged on.

    Attributes
    ----------
    dataset : Dataset
        Real spectra and texts.
    corpus : sequence of CorpusText
        Held-out texts; those that are neither topical nor off-topic take no part.
    questions : sequence of Question
        Those whose class has no spectrum take no part.
    reference : Dataset or None
        Whose detections are the neighbours that estimates are made from.
    calibration : Calibration or None
        Rules and intervals of the model's estimates.
    rows : ndarray of int64 or None
        Detections that take part; None for all.
    """

    dataset: Dataset
    corpus: Sequence[CorpusText] = ()
    questions: Sequence[Question] = ()
    reference: Dataset | None = None
    calibration: Calibration | None = None
    rows: IntArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Spectra:
    """The spectra that take part: rows of the dataset, and what is known of them."""

    rows: IntArray
    counts: FloatArray  # (n, 400)
    exposure_s: FloatArray  # (n,)
    source: IntArray  # (n,)
    names: list[str]
    vectors: Vectors


def score_real(
    judged: Judged,
    model: PlacesTexts,
    summarizer: Summarizer,
    seed: int = 0,
    progress: Progress = no_progress,
) -> RealResult:
    """Score a model on real spectra, texts and questions.

    Parameters
    ----------
    judged : Judged
        What to judge on.
    model : Encoder
        The model.
    summarizer : Summarizer
        Gives the texts of the corpus their three sections.
    seed : int
        Of the bootstrap and of thinned spectra.
    progress : callable
        Told what is being done and how far it is.

    Returns
    -------
    RealResult
        Figures with bootstrap intervals over objects; notes say what is missing and why.

    Raises
    ------
    InputError
        If no spectrum takes part.
    """
    dataset = judged.dataset
    rows = np.arange(len(dataset)) if judged.rows is None else judged.rows
    if not len(rows):
        raise InputError(f"dataset {dataset.name}: no spectrum to judge by: give one that has some")
    counts, exposure_s = dataset.counts[rows], dataset.exposure_s[rows]
    detections = [dataset.detections[row] for row in rows.tolist()]
    spectra = _Spectra(
        rows=rows,
        counts=counts,
        exposure_s=exposure_s,
        source=dataset.source[rows],
        names=[one.source_name or one.key for one in detections],
        vectors=model.encode_spectra(counts, exposure_s, progress),
    )
    bootstrap = Bootstrap(spectra.source, seed)
    intervals: dict[str, Interval] = {}
    notes: list[str] = []
    corpus = _pool(judged)
    summaries = summarizer.summarize([(one.title, one.abstract) for one in corpus], progress)
    texts = model.place_summaries([t.summary for t in dataset.texts] + summaries, progress)
    topical = np.array([True] * len(dataset.texts) + [one.is_topical for one in corpus], dtype=bool)
    cosine = (_unit(spectra.vectors.shared) @ _unit(texts.shared).T).astype(np.float64)
    probability = texts.topic_probability.astype(np.float64)
    of_corpus = slice(len(dataset.texts), None)
    precision = None
    if topical.all() or not len(topical):
        notes.append("no text is off-topic: give --corpus to see whether spectra find the others")
    else:
        shown = ~(probability < MIN_TOPIC)  # one not known is shown
        by_object = _by_object(spectra.source, _precision(cosine, topical, shown))
        precision = float(by_object.mean())
        _add(intervals, "topical_precision_at_10", precision, by_object, seed)
    own = _own_texts(dataset, spectra, cosine, topical, intervals, seed)
    asked, classes = _questions(judged.questions, detections_of=detections, notes=notes)
    auc = _question_auc(asked, model, spectra, classes, bootstrap, intervals)
    drift = {}
    for n, (bright, values) in count_drift(model, counts, exposure_s, seed).items():
        drift[str(n)] = float(values.mean()) if len(values) else None
        if len(values):
            draws = bootstrap.means(values[:, None], bright)[:, 0]
            intervals[f"count_drift_{n}"] = interval(float(values.mean()), draws)
    covered, gain = _estimates(judged, model, spectra, bootstrap, notes, seed, progress)
    intervals |= {f"coverage_{level}": share for level, share in covered.items()}
    return RealResult(
        topical_precision_at_10=precision,
        topical_prior=float(topical.mean()) if precision is not None else None,
        topic=topic_reliability(probability[of_corpus], topical[of_corpus]),
        own_text_percentile=own,
        question_auc=auc,
        coverage_68=covered["68"].value if covered else None,
        coverage_90=covered["90"].value if covered else None,
        count_drift=drift,
        bright_spectra=gain,
        interval=intervals,
        sizes={
            "spectra": len(rows),
            "objects": len(np.unique(spectra.source)),
            "objects_with_texts": len(own.by_object) if own else 0,
            "texts": len(topical),
            "topical_texts": int(topical.sum()),
            "questions": len(asked),
        },
        classes={one.question: one.source_class for one in asked},
        notes=notes,
    )


def _pool(judged: Judged) -> list[CorpusText]:
    """Return the texts of the corpus that are held out and surely on the topic or off it."""
    known = {text.bibcode for text in judged.dataset.texts}
    return [
        one
        for one in judged.corpus
        if one.is_held_out and (one.is_topical or one.is_off_topic) and one.id not in known
    ]


def _precision(cosine: FloatArray, topical: BoolArray, shown: BoolArray) -> FloatArray:
    """Return for each spectrum how many of the nearest texts shown are topical, shape (n,)."""
    candidates = np.flatnonzero(shown)
    if not len(candidates):
        return np.zeros(len(cosine))
    order = np.argsort(-cosine[:, candidates], axis=1, kind="stable")[:, :N_NEAREST]
    return np.asarray(topical[candidates[order]].mean(axis=1), dtype=np.float64)


def percentiles(own: FloatArray, others: FloatArray) -> FloatArray:
    """Return the share of others that score higher, ties half.

    Parameters
    ----------
    own : ndarray of float, shape (m,)
        Scores to place.
    others : ndarray of float, shape (k,)
        Scores to place them among.

    Returns
    -------
    ndarray of float64, shape (m,)
        0 where none is higher, 1 where all are.
    """
    higher = (others[None, :] > own[:, None]).mean(axis=1)
    equal = (others[None, :] == own[:, None]).mean(axis=1)
    return np.asarray(higher + equal / 2, dtype=np.float64)


def _own_texts(
    dataset: Dataset,
    spectra: _Spectra,
    cosine: FloatArray,
    topical: BoolArray,
    intervals: dict[str, Interval],
    seed: int,
) -> OwnTextPercentile | None:
    """Return where the texts about each object stand for its spectra."""
    column_of: dict[int, list[int]] = {}
    for column, text in enumerate(dataset.texts):
        if text.source is not None:
            column_of.setdefault(text.source, []).append(column)
    found: dict[int, list[float]] = {}
    names: dict[int, str] = {}
    for row, source in enumerate(spectra.source.tolist()):
        for column in column_of.get(source, ()):
            others = topical.copy()
            others[column] = False
            if others.any():
                place = percentiles(cosine[row, [column]], cosine[row, others])
                found.setdefault(source, []).append(float(place[0]))
                names[source] = spectra.names[row]
    if not found:
        return None
    by_object = {names[source]: float(np.mean(places)) for source, places in found.items()}
    values = np.array(list(by_object.values()))
    mean, median = float(values.mean()), float(np.median(values))
    _add(intervals, "own_text_percentile_mean", mean, values, seed)
    medians = Bootstrap(np.arange(len(values)), seed).medians(values)
    intervals["own_text_percentile_median"] = interval(median, medians)
    return OwnTextPercentile(mean, median, by_object)


def auc(score: FloatArray, positive: BoolArray, weights: FloatArray) -> FloatArray:
    """Return the area under the ROC curve, for each set of weights.

    Parameters
    ----------
    score : ndarray of float, shape (n,)
        Higher first.
    positive : ndarray of bool, shape (n,)
        What should come first.
    weights : ndarray of float64, shape (m, n)
        How often each row counts.

    Returns
    -------
    ndarray of float64, shape (m,)
        Share of pairs in right order, ties half; NaN where one side has no weight.
    """
    yes, no = score[positive], score[~positive]
    order = (yes[:, None] > no[None, :]) + (yes[:, None] == no[None, :]) / 2
    w_yes, w_no = weights[:, positive], weights[:, ~positive]
    right = ((w_yes @ order) * w_no).sum(axis=1)
    return ratio(right, w_yes.sum(axis=1) * w_no.sum(axis=1))


def _questions(
    questions: Sequence[Question], detections_of: Sequence[object], notes: list[str]
) -> tuple[list[Question], list[str]]:
    """Return the questions whose class has a spectrum, and the class of each spectrum."""
    classes = [(getattr(one, "source_class", ()) or ("",))[-1] for one in detections_of]
    known = set(classes) - {""}
    asked = [one for one in questions if _label(one) in known and len({*classes}) > 1]
    if left_out := len(questions) - len(asked):
        notes.append(f"{left_out} of {len(questions)} questions left out: no spectrum of the class")
    return asked, classes


def _label(question: Question) -> str:
    path = normalise_or_none(question.source_class)
    return path[-1] if path else question.source_class


def _question_auc(
    asked: Sequence[Question],
    model: Encoder,
    spectra: _Spectra,
    classes: Sequence[str],
    bootstrap: Bootstrap,
    intervals: dict[str, Interval],
) -> QuestionAuc | None:
    if not asked:
        return None
    shared = _unit(spectra.vectors.shared)
    once, resampled = np.ones((1, len(classes))), bootstrap.weights()
    found: dict[str, float] = {}
    draws = []
    for one in asked:
        score = (shared @ _unit(model.encode_question(one.question).shared)[0]).astype(np.float64)
        positive = np.array([label == _label(one) for label in classes])
        found[one.question] = float(auc(score, positive, once)[0])
        draws.append(auc(score, positive, resampled))
    mean = float(np.mean(list(found.values())))
    known = np.isfinite(draws)
    intervals["question_auc_mean"] = interval(
        mean, ratio(np.where(known, draws, 0).sum(axis=0), known.sum(axis=0).astype(np.float64))
    )
    return QuestionAuc(mean, found)


def _estimates(
    judged: Judged,
    model: Encoder,
    spectra: _Spectra,
    bootstrap: Bootstrap,
    notes: list[str],
    seed: int,
    progress: Progress,
) -> tuple[dict[str, Interval], BrightSpectra | None]:
    """Return how often intervals hold the catalogue value, and what bright spectra gain."""
    truth = catalogue_values(judged.dataset, spectra.rows)
    if not any(np.isfinite(values).any() for values in truth.values()):
        notes.append("no coverage: no detection has a catalogue value")
    elif judged.reference is None:
        notes.append("no coverage: give --reference, a dataset whose detections are the neighbours")
    elif judged.calibration is None:
        notes.append("no coverage: the bundle has no calibration")
    else:
        reference = Reference(judged.reference, model, judged.calibration.spectrum_only, progress)
        found = reference.estimate(spectra.vectors, spectra.names)
        valued = Valued(spectra.counts, spectra.exposure_s, spectra.names, truth)
        gain = bright_spectra(reference, valued, spectra.vectors, model, seed)
        return coverage(found, truth, bootstrap), gain
    return {}, None


def _by_object(source: IntArray, values: FloatArray) -> FloatArray:
    """Return the mean of each object."""
    _, own = np.unique(source, return_inverse=True)
    return np.asarray(np.bincount(own, weights=values) / np.bincount(own), dtype=np.float64)


def _add(
    intervals: dict[str, Interval], name: str, value: float, by_object: FloatArray, seed: int
) -> None:
    draws = Bootstrap(np.arange(len(by_object)), seed).means(by_object[:, None])[:, 0]
    intervals[name] = interval(value, draws)


def _unit(x: Float32Array) -> Float32Array:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), dtype=np.float32)
