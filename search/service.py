"""Questions in, answers out: the search layer that the CLI and the HTTP API share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import numpy as np
import numpy.typing as npt
from qdrant_client import models

from common.errors import InvalidQueryError, NotFoundError
from common.ports import Encoder
from common.records import point_id
from search.filters import DetectionFilter, PaperFilter
from search.schema import (
    DETECTIONS,
    PAPERS,
    SHARED,
    SHARED_SPECTRUM,
    SHARED_TEXT,
    TEXT,
    named_vectors,
)
from search.store.base import Store

Target = Literal["detections", "papers"]
Filter = DetectionFilter | PaperFilter

MAX_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer; ``score`` is the cosine similarity, higher is better.

    The score is None where there is nothing to compare yet: a detection known from the catalogue
    only, which fits the filter.
    """

    id: UUID
    score: float | None
    payload: Mapping[str, Any]


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


class SearchService:
    """Answer questions over one store with one encoder."""

    def __init__(self, store: Store, encoder: Encoder, max_query_characters: int = 10_000) -> None:
        self.store = store
        self.encoder = encoder
        self.max_query_characters = max_query_characters

    def by_text(
        self, question: str, to: Target, query_filter: Filter | None = None, limit: int = 10
    ) -> list[Hit]:
        """Return the detections or papers that best fit a question.

        Detections are compared in the shared space (text with spectra), papers by their own text
        embeddings, which hold more of the wording. When a filter leaves fewer spectra than asked
        for, detections that fit it and have no spectrum yet follow, without a score.
        """
        question = question.strip()
        if not question:
            raise InvalidQueryError("the question is empty: say in words what you look for")
        if len(question) > self.max_query_characters:
            raise InvalidQueryError(
                f"the question has {len(question):,} characters, at most "
                f"{self.max_query_characters:,} are read: shorten it"
            )
        vectors = self.encoder.encode_question(question)
        if to == "papers":
            return self.nearest(PAPERS, TEXT, vectors.own[0], query_filter, limit)
        hits = self.nearest(DETECTIONS, SHARED_SPECTRUM, vectors.shared[0], query_filter, limit)
        condition = query_filter.to_qdrant() if query_filter else None
        return hits + (self._without_spectrum(condition, limit - len(hits)) if condition else [])

    def by_spectrum(
        self,
        binned_counts: npt.NDArray[np.float64],
        exposure_s: float,
        to: Target,
        query_filter: Filter | None = None,
        limit: int = 10,
    ) -> list[Hit]:
        """Return the detections or papers nearest to a spectrum.

        Parameters
        ----------
        binned_counts : ndarray of float64, shape (400,)
            Counts on the 400 bins of 0.5-8 keV.
        exposure_s : float
            Exposure in seconds.
        to : {"detections", "papers"}
            What to look for.
        query_filter : DetectionFilter or PaperFilter, optional
            Restriction by payload, of the kind that fits ``to``.
        limit : int
            Number of answers at most.

        Returns
        -------
        list of Hit
            Best first.
        """
        vectors = self.encoder.encode_spectra(binned_counts[None, :], np.array([exposure_s]))
        collection, using = _shared_vectors(to)
        return self.nearest(collection, using, vectors.shared[0], query_filter, limit)

    def like(
        self, identifier: str, to: Target, query_filter: Filter | None = None, limit: int = 10
    ) -> list[Hit]:
        """Return what is like a stored detection or paper, its own source left out.

        Parameters
        ----------
        identifier : str
            Point id, detection key (``csc2.0/1575/1/475``), source name or bibcode.
        to : {"detections", "papers"}
            What to look for.
        query_filter : DetectionFilter or PaperFilter, optional
            Restriction by payload, of the kind that fits ``to``.
        limit : int
            Number of answers at most.

        Returns
        -------
        list of Hit
            Best first.
        """
        home, example = self._find(identifier)
        vectors = named_vectors(example)
        vector = vectors.get(SHARED_SPECTRUM) or vectors.get(SHARED) or vectors.get(SHARED_TEXT)
        if vector is None:
            raise InvalidQueryError(
                f"{identifier} has neither a spectrum nor a text yet, only catalogue values: "
                "ingest its spectrum first"
            )
        collection, using = _shared_vectors(to)
        excluded = _same_source(example) if collection == home else []
        return self.nearest(collection, using, vector, query_filter, limit, excluded)

    def detection(self, identifier: str) -> Hit:
        """Return a stored detection by point id, key or source name."""
        return _as_hit(self._find(identifier, (DETECTIONS,))[1])

    def paper(self, identifier: str) -> Hit:
        """Return a stored paper by point id or bibcode, former bibcodes included."""
        return _as_hit(self._find(identifier, (PAPERS,))[1])

    def status(self) -> Status:
        """Return what the store holds."""
        store = self.store
        return Status(
            engine=store.engine,
            model_id=self.encoder.model_id,
            text_model=self.encoder.text_model,
            detections=store.count(DETECTIONS),
            detections_with_spectrum=store.count(DETECTIONS, _flag("has_spectrum")),
            detections_simulated=store.count(DETECTIONS, _flag("simulated")),
            papers=store.count(PAPERS),
            papers_simulated=store.count(PAPERS, _flag("simulated")),
            classes=store.facet(DETECTIONS, "class_path"),
            instruments=store.facet(DETECTIONS, "instrument"),
        )

    def nearest(
        self,
        collection: str,
        using: str,
        vector: Sequence[float] | npt.NDArray[np.float32],
        query_filter: Filter | None,
        limit: int,
        excluded: Sequence[models.Condition] = (),
    ) -> list[Hit]:
        """Return the points nearest to a vector of this model, best first."""
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidQueryError(f"limit is {limit}: give a number from 1 to {MAX_LIMIT}")
        wanted = DetectionFilter if collection == DETECTIONS else PaperFilter
        if query_filter is not None and not isinstance(query_filter, wanted):
            raise ValueError(f"{collection} are filtered by {wanted.__name__}")
        condition = query_filter.to_qdrant() if query_filter else None
        if excluded:
            must = [condition] if condition else None
            condition = models.Filter(must=must, must_not=list(excluded))
        points = self.store.query(
            collection, vector, using=using, query_filter=condition, limit=limit
        )
        return [_as_hit(point) for point in points]

    def _without_spectrum(self, condition: models.Filter, limit: int) -> list[Hit]:
        """Return detections that fit a filter and are known from the catalogue only."""
        if limit <= 0:
            return []
        both = models.Filter(must=[condition, _matches("has_spectrum", False)])
        points, _ = self.store.scroll(DETECTIONS, both, limit=limit)
        return [_as_hit(point) for point in points]

    def _find(
        self, identifier: str, collections: Sequence[str] = (DETECTIONS, PAPERS)
    ) -> tuple[str, models.Record]:
        """Return the collection and the point that an identifier names, with its vectors."""
        identifier = identifier.strip()
        for collection in collections:
            ids = _possible_ids(identifier)
            if not self.store.retrieve(collection, ids, with_payload=False):
                named, _ = self.store.scroll(collection, _named(collection, identifier), limit=1)
                ids = [UUID(str(point.id)) for point in named]
            if found := self.store.retrieve(collection, ids, with_vectors=True):
                return collection, found[0]
        kinds = " or ".join("detection" if c == DETECTIONS else "paper" for c in collections)
        raise NotFoundError(
            f"no {kinds} {identifier!r} in the store: give a point id from a search result, a key "
            "such as csc2.0/1575/1/475, a source name such as '2CXO J004242.9+411543', or a bibcode"
        )


def _shared_vectors(to: Target) -> tuple[str, str]:
    return (DETECTIONS, SHARED_SPECTRUM) if to == "detections" else (PAPERS, SHARED)


def _possible_ids(identifier: str) -> list[UUID]:
    try:
        return [UUID(identifier)]
    except ValueError:
        return [point_id("detection", identifier), point_id("paper", identifier)]


def _named(collection: str, identifier: str) -> models.Filter:
    """Return the filter that finds a point by a name that is not its key."""
    field = "source_name" if collection == DETECTIONS else "alternate_bibcodes"
    return models.Filter(must=[_matches(field, identifier)])


def _same_source(example: models.Record) -> list[models.Condition]:
    """Return conditions that hold for the example and for other detections of its source."""
    payload = example.payload or {}
    conditions: list[models.Condition] = [models.HasIdCondition(has_id=[example.id])]
    if name := payload.get("source_name"):
        conditions.append(_matches("source_name", name))
    return conditions


def _matches(field: str, value: str | bool) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=value))


def _flag(field: str) -> models.Filter:
    return models.Filter(must=[_matches(field, True)])


def _as_hit(point: models.Record | models.ScoredPoint) -> Hit:
    score = float(point.score) if isinstance(point, models.ScoredPoint) else None
    return Hit(UUID(str(point.id)), score, point.payload or {})
