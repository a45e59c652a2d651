"""What can be asked, and how it becomes a vector of the store's model."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from qdrant_client import models

from common.binning import N_BINS
from common.errors import ChandraSearchError, InvalidQueryError, InvalidSpectrumError
from common.ports import Encoder, Float32Array, Vectors
from common.records import Summary, content_hash
from search.collections.schema import (
    DETECTIONS,
    PAPERS,
    SHARED,
    SHARED_SPECTRUM,
    SHARED_TEXT,
    TEXT,
    named_vectors,
)
from search.filters.filters import DetectionFilter, PaperFilter, restriction
from search.queries.lookup import find, no_vectors, same_source
from search.queries.pages import PLAIN, check_arrange
from search.queries.topic import by_default, left_out
from search.results import PageOptions, Ranking, Target
from search.store.base import Store

Filter = DetectionFilter | PaperFilter
Kind = Literal["text", "spectrum", "examples", "vector"]

MAX_QUESTIONS = 100
MAX_EXAMPLES = 100


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One question of a batch; its kind says which of the arguments count.

    Attributes
    ----------
    kind : {"text", "spectrum", "examples", "vector"}
        ``text`` needs `text`, ``spectrum`` `binned_counts` and `exposure_s`, ``examples``
        `positive` and perhaps `negative`, ``vector`` `vector` and `model_id`.
    to : {"detections", "papers"}
        What to look for.
    text : str
        The question in words.
    binned_counts : ndarray of float64, shape (400,), or None
        Counts on the 400 bins of 0.5-8 keV.
    exposure_s : float
        Exposure in seconds.
    positive, negative : sequence of str
        Point ids, keys, source names and bibcodes: like these, unlike those.
    vector : ndarray of float32, shape (shared width,), or None
        A vector of the shared space.
    model_id : str
        The model that made the vector.
    query_filter : DetectionFilter, PaperFilter or None
        Restriction by payload, of the kind that fits `to`.
    arrange : PageOptions
        How answers are cut and ordered.
    ranking : {"hybrid", "dense", "keywords"}
        How papers are compared with words.
    """

    kind: Kind
    to: Target
    text: str = ""
    binned_counts: npt.NDArray[np.float64] | None = None
    exposure_s: float = 0.0
    positive: Sequence[str] = ()
    negative: Sequence[str] = ()
    vector: npt.NDArray[np.float32] | None = None
    model_id: str = ""
    query_filter: Filter | None = None
    arrange: PageOptions = PLAIN
    ranking: Ranking = "hybrid"

    @property
    def by_words(self) -> bool:
        """Whether words decide the ranking, alone or beside the dense vectors."""
        return self.kind == "text" and self.to == "papers" and self.ranking != "dense"


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question ready for the engine.

    Attributes
    ----------
    question : Question
        What was asked.
    collection, using : str
        What is compared.
    vector : ndarray of float32, shape (size,)
        The question as a vector.
    condition : Filter or None
        The filter, and what is left out.
    fingerprint : str
        Same question, same text; cursors are bound to it.
    off_topic : Filter or None
        What is left out as not about X-ray sources, though not asked for.
    """

    question: Question
    collection: str
    using: str
    vector: Float32Array
    condition: models.Filter | None
    fingerprint: str
    off_topic: models.Filter | None = None


class Asker:
    """Turn questions into vectors with one encoder, over one store."""

    def __init__(self, store: Store, encoder: Encoder, max_query_characters: int) -> None:
        self.store = store
        self.encoder = encoder
        self.max_query_characters = max_query_characters

    def ask(self, questions: Sequence[Question]) -> list[Asked]:
        """Check questions and encode them: all texts together, all spectra together."""
        if not 1 <= len(questions) <= MAX_QUESTIONS:
            raise InvalidQueryError(
                f"a batch of {len(questions):,} questions: give 1 to {MAX_QUESTIONS}"
            )
        for number, question in enumerate(questions, start=1):
            with _naming(number, len(questions)):
                self._check(question)
        texts = self._encode_texts([q for q in questions if q.kind == "text"])
        spectra = self._encode_spectra([q for q in questions if q.kind == "spectrum"])
        encoded = {**texts, **spectra}
        asked = []
        for number, question in enumerate(questions, start=1):
            with _naming(number, len(questions)):
                asked.append(self._asked(question, encoded))
        return asked

    def _check(self, question: Question) -> None:
        check_arrange(question.arrange)
        check_filter_kind(question.to, question.query_filter)
        if question.arrange.by_source and question.to == "papers":
            raise InvalidQueryError("papers are not grouped by source: leave by_source out")
        if question.arrange.diversity and question.by_words:
            raise InvalidQueryError(
                f"diversity compares vectors, ranking {question.ranking!r} also words: "
                "set ranking to 'dense', or leave diversity out"
            )
        if question.kind == "text":
            self._check_text(question.text)
        counts = question.binned_counts
        if question.kind == "spectrum" and (counts is None or counts.shape != (N_BINS,)):
            given = "there is no spectrum" if counts is None else f"it has shape {counts.shape}"
            raise InvalidSpectrumError(
                f"{given}: give an array of counts on the {N_BINS} bins of 0.5-8 keV"
            )

    def _check_text(self, text: str) -> None:
        if not text.strip():
            raise InvalidQueryError("the question is empty: say in words what you look for")
        if len(text) > self.max_query_characters:
            raise InvalidQueryError(
                f"the question has {len(text):,} characters, at most "
                f"{self.max_query_characters:,} are read: shorten it"
            )

    def _encode_texts(self, questions: Sequence[Question]) -> dict[int, Vectors]:
        if not questions:
            return {}
        texts = [question.text.strip() for question in questions]
        encoded = self.encoder.encode_summaries([Summary(t, t, t, "given") for t in texts])
        return _one_by_one(questions, encoded)

    def _encode_spectra(self, questions: Sequence[Question]) -> dict[int, Vectors]:
        if not questions:
            return {}
        counts = np.stack([q.binned_counts for q in questions if q.binned_counts is not None])
        exposure_s = np.array([question.exposure_s for question in questions], dtype=np.float64)
        return _one_by_one(questions, self.encoder.encode_spectra(counts, exposure_s))

    def _asked(self, question: Question, encoded: Mapping[int, Vectors]) -> Asked:
        collection, using = (
            (DETECTIONS, SHARED_SPECTRUM) if question.to == "detections" else (PAPERS, SHARED)
        )
        excluded: list[models.Condition] = []
        if question.kind == "examples":
            using, vector, excluded = self._examples(question, using)
        elif question.kind == "vector":
            vector = self._given(question)
        elif question.kind == "text" and question.to == "papers":
            using, vector = TEXT, encoded[id(question)].own[0]
        else:
            vector = encoded[id(question)].shared[0]
        given = question.query_filter
        wanted = by_default(given) if using == SHARED else given
        condition = self._condition(wanted, excluded)
        off_topic = None if wanted is given else left_out(self._condition(given, excluded))
        fingerprint = self._fingerprint(question)
        return Asked(question, collection, using, vector, condition, fingerprint, off_topic)

    def _condition(
        self, query_filter: Filter | None, excluded: list[models.Condition]
    ) -> models.Filter | None:
        """Return the engine's filter; what lies in a cone is found out anew each time."""
        condition = None
        if query_filter is not None:
            condition, has_cone = _translated(_Said(repr(query_filter), query_filter))
            condition = restriction(query_filter, self.store) if has_cone else condition
        if excluded:
            must = None if condition is None else [condition]
            return models.Filter(must=must, must_not=excluded)
        return condition

    def _examples(
        self, question: Question, using: str
    ) -> tuple[str, Float32Array, list[models.Condition]]:
        """Return what examples are compared by, their vector, and what is left out."""
        positive, negative = list(question.positive), list(question.negative)
        if not positive:
            raise InvalidQueryError("there is no positive example: name what answers shall be like")
        if len(positive) + len(negative) > MAX_EXAMPLES:
            raise InvalidQueryError(
                f"{len(positive) + len(negative):,} examples: give at most {MAX_EXAMPLES}"
            )
        found = [find(self.store, identifier) for identifier in positive + negative]
        ids = [record.id for _, record in found]
        if both := set(ids[: len(positive)]) & set(ids[len(positive) :]):
            raise InvalidQueryError(
                f"{both.pop()} is a positive and a negative example: leave one of them out"
            )
        if question.to == "papers" and all(home == PAPERS for home, _ in found):
            using = TEXT  # papers among themselves: it keeps the wording
        vectors = [
            _vector_of(record, name, using)
            for (_, record), name in zip(found, positive + negative, strict=True)
        ]
        like = np.mean(vectors[: len(positive)], axis=0)
        if negative:
            like = like + (like - np.mean(vectors[len(positive) :], axis=0))
        length = np.linalg.norm(like)
        if length < 1e-6:
            raise InvalidQueryError("the examples cancel each other out: leave some of them out")
        home = PAPERS if question.to == "papers" else DETECTIONS
        examples = [record for collection, record in found if collection == home]
        excluded = same_source(examples) if examples else []
        return using, (like / length).astype(np.float32), excluded

    def _given(self, question: Question) -> Float32Array:
        """Return a vector that was given, checked."""
        if question.model_id != self.encoder.model_id:
            raise InvalidQueryError(
                f"the vector is of model {question.model_id[:40]!r}, the store of "
                f"{self.encoder.model_id!r}: vectors of two models cannot be compared, "
                "encode it with the store's bundle"
            )
        with np.errstate(over="ignore"):
            vector = np.asarray(question.vector, dtype=np.float32)
        if vector.shape != (self.encoder.shared_width,):
            raise InvalidQueryError(
                f"the vector has shape {vector.shape}, vectors of the shared space have "
                f"{self.encoder.shared_width} numbers"
            )
        if not np.isfinite(vector).all() or not vector.any():
            raise InvalidQueryError(
                "the vector has numbers that are not finite, or is zero: encode it again"
            )
        return vector

    def _fingerprint(self, question: Question) -> str:
        arrays = (question.binned_counts, question.vector)
        said = [
            self.encoder.model_id,
            question.kind,
            question.to,
            question.text.strip(),
            float(question.exposure_s),
            list(question.positive),
            list(question.negative),
            question.query_filter.model_dump_json() if question.query_filter else "",
            question.arrange.by_source,
            question.ranking if question.by_words else "",
        ]
        return content_hash(json.dumps(said), *(array for array in arrays if array is not None))


def check_filter_kind(of: Target, query_filter: Filter | None) -> None:
    """Refuse a filter for the other collection: a mistake of the program."""
    wanted = DetectionFilter if of == "detections" else PaperFilter
    fits = query_filter is None or isinstance(query_filter, wanted)
    if not fits:
        raise ValueError(f"{of} are filtered by {wanted.__name__}")


@dataclass(frozen=True, slots=True)
class _Said:
    """A filter, known by what it says."""

    text: str
    query_filter: Filter = field(compare=False)


@lru_cache(maxsize=1024)
def _translated(said: _Said) -> tuple[models.Filter | None, bool]:
    """Return the engine's filter and whether it has cones: reading it takes as long as a query."""
    condition = said.query_filter.to_qdrant()
    has_cone = condition is not None and "geo_radius" in condition.model_dump_json(
        exclude_none=True
    )
    return condition, has_cone


@contextmanager
def _naming(number: int, total: int) -> Iterator[None]:
    """Let an error say which question of a batch it is about."""
    try:
        yield
    except ChandraSearchError as exc:
        if total == 1:
            raise
        raise type(exc)(f"question {number} of {total}: {exc}") from exc


def _one_by_one(questions: Sequence[Question], encoded: Vectors) -> dict[int, Vectors]:
    """Return the vectors of each question by its identity."""
    return {
        id(question): Vectors(encoded.own[row : row + 1], encoded.shared[row : row + 1])
        for row, question in enumerate(questions)
    }


def _vector_of(record: models.Record, name: str, using: str) -> Float32Array:
    """Return the unit vector of an example."""
    vectors = named_vectors(record)
    wanted = (TEXT,) if using == TEXT else (SHARED_SPECTRUM, SHARED, SHARED_TEXT)
    vector = next((vectors[one] for one in wanted if one in vectors), None)
    if vector is None:
        raise no_vectors(name)
    array = np.array(vector, dtype=np.float32)
    return np.asarray(array / np.linalg.norm(array), dtype=np.float32)
