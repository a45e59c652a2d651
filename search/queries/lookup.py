"""Stored detections and papers by any of their names, and what must not count as their like."""

from collections.abc import Sequence
from uuid import UUID

import numpy as np
import numpy.typing as npt
from qdrant_client import models

from common.errors import InvalidQueryError, NotFoundError
from common.records import point_id, spectrum_hash
from search.collections.schema import DETECTIONS, PAPERS, named_vectors
from search.results import Subject
from search.store.base import Store, WithVectors

FloatArray = npt.NDArray[np.float64]


def find(
    store: Store,
    identifier: str,
    collections: Sequence[str] = (DETECTIONS, PAPERS),
    with_vectors: WithVectors = True,
) -> tuple[str, models.Record]:
    """Return the collection and the point that an identifier names.

    Raises
    ------
    NotFoundError
        If nothing in these collections is called so.
    """
    identifier = identifier.strip()
    ids = _possible_ids(identifier)
    for collection in collections:
        found = store.retrieve(collection, ids, with_vectors=with_vectors)
        if not found:
            found = _called(store, collection, identifier, with_vectors)
        if found:
            return collection, found[0]
    kinds = " or ".join("detection" if c == DETECTIONS else "paper" for c in collections)
    raise NotFoundError(
        f"no {kinds} {identifier[:100]!r} in the store: give a point id from a search result, a "
        "key such as csc2.0/1575/1/475, a source name such as '2CXO J004242.9+411543', or a bibcode"
    )


def subject(store: Store, identifier: str) -> Subject:
    """Return a stored detection as a subject, with all its named vectors."""
    _, record = find(store, identifier, (DETECTIONS,))
    payload = record.payload or {}
    vectors = {
        name: np.array(vector, dtype=np.float32) for name, vector in named_vectors(record).items()
    }
    if not vectors:
        raise no_vectors(identifier)
    return Subject(
        name=payload.get("source_name") or payload.get("key") or str(record.id),
        vectors=vectors,
        payload=payload,
        excluded=tuple(same_source([record])),
    )


def copies(store: Store, binned_counts: FloatArray, exposure_s: float) -> list[models.Condition]:
    """Return what must not count as like a new spectrum: itself, if stored, and its source."""
    same = any_of("spectrum_hash", [spectrum_hash(binned_counts, exposure_s)])
    found, _ = store.scroll(DETECTIONS, models.Filter(must=[same]))
    return same_source(found) if found else []


def same_source(examples: Sequence[models.Record]) -> list[models.Condition]:
    """Return conditions that hold for the examples and for other detections of their sources."""
    conditions: list[models.Condition] = [
        models.HasIdCondition(has_id=[record.id for record in examples])
    ]
    payloads = [record.payload or {} for record in examples]
    if names := sorted({one["source_name"] for one in payloads if "source_name" in one}):
        conditions.append(any_of("source_name", names))
    return conditions


def no_vectors(identifier: str) -> InvalidQueryError:
    """Return the error about a point that nothing can be compared with."""
    return InvalidQueryError(
        f"{identifier[:100]} has neither a spectrum nor a text yet, only catalogue values: "
        "ingest its spectrum first"
    )


def any_of(field: str, values: Sequence[str]) -> models.FieldCondition:
    """Return the condition that a field holds one of some values."""
    return models.FieldCondition(key=field, match=models.MatchAny(any=list(values)))


def is_flag(field: str, value: bool = True) -> models.FieldCondition:
    """Return the condition that a flag is set, or is not."""
    return models.FieldCondition(key=field, match=models.MatchValue(value=value))


def _possible_ids(identifier: str) -> list[UUID]:
    try:
        return [UUID(identifier)]
    except ValueError:
        return [point_id("detection", identifier), point_id("paper", identifier)]


def _called(
    store: Store, collection: str, name: str, with_vectors: WithVectors
) -> list[models.Record]:
    """Return a point by a name that is not its key: of detections, rather one with a spectrum."""
    if collection == PAPERS:
        wanted: list[list[models.Condition]] = [[any_of("alternate_bibcodes", [name])]]
    else:
        of_source = any_of("source_name", [name])
        wanted = [[of_source, is_flag("has_spectrum")], [of_source]]
    for must in wanted:
        condition = models.Filter(must=must)
        if found := store.scroll(collection, condition, limit=1, with_vectors=with_vectors)[0]:
            return found
    return []
