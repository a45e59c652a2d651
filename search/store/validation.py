"""Checks that both engines share: what would be stored or asked wrongly is refused here.

The embedded engine stores NaN vectors without a word, keeps half of a failed batch, and panics at
a NaN in a filter; JSON turns a NaN into a missing bound. So nothing reaches an engine unchecked.
"""

import json
import logging
import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
from qdrant_client import models

from common.errors import InputError, InvalidQueryError
from search.store.base import (
    MAX_DIVERSE,
    MAX_LIMIT,
    CollectionSchema,
    HybridQuery,
    NearestQuery,
    PointId,
    Vector,
)

MAX_BODY_BYTES = 4_000_000  # request bodies far beyond 5 MB end as time-outs
_BYTES_PER_NUMBER = 24  # of a float64 in JSON, comma included
_MAX_CHANGES = 1000  # each is an operation of its own, all of which one request waits for
_BYTES_PER_POINT = 120  # its id, and the words around payload and vectors
T = TypeVar("T")
Payload = Mapping[str, Any]

_log = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,127}")


def tell_of_upgrade(collection: str, fields: Collection[str], n_points: int) -> None:
    """Say that a collection of a former version gets its new indexes: it may take a while."""
    if fields and n_points:
        _log.warning(
            "%s was made by a former version: indexing %s of its %s points, nothing else changes; "
            "broken off, it goes on when the store is opened next",
            collection,
            ", ".join(sorted(fields)),
            f"{n_points:,}",
        )


def check_name(name: str) -> str:
    """Return a collection or alias name, refused if it could not be a folder and a URL segment."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a collection: use letters, digits and _ . @ -, "
            "at most 128, the first a letter or digit"
        )
    return name


def check_limit(limit: int) -> int:
    """Return a limit inside 1 … `MAX_LIMIT`."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidQueryError(f"limit is {limit}: give a number from 1 to {MAX_LIMIT:,}")
    return limit


def parse_id(identifier: PointId) -> int | UUID:
    """Return a point id as a number or a UUID; anything else is refused."""
    if isinstance(identifier, UUID) or (isinstance(identifier, int) and 0 <= identifier < 2**64):
        return identifier
    try:
        return UUID(str(identifier))
    except ValueError as exc:
        raise InputError(
            f"{identifier!r} is no point id: give a UUID or a whole number from 0 on"
        ) from exc


def check_vectors(collection: str, stored: Mapping[str, int], wanted: Mapping[str, int]) -> None:
    """Refuse an existing collection whose dense vectors have other names or sizes than wanted."""
    if dict(stored) != dict(wanted):
        raise InputError(
            f"collection {collection} exists with vectors {dict(stored)}, wanted {dict(wanted)}: "
            "use another collection name or delete that one"
        )


def check_query(query: NearestQuery) -> list[float] | models.SparseVector:
    """Return the vector of a query as numbers; its limit, filter and diversity are checked too."""
    check_limit(query.limit)
    check_filter(query.query_filter)
    if not 0 <= query.diversity <= 1:
        raise InvalidQueryError(f"diversity is {query.diversity}: give a number from 0 to 1")
    if query.diversity and query.limit > MAX_DIVERSE:
        raise InvalidQueryError(
            f"limit is {query.limit} with diversity: give at most {MAX_DIVERSE:,}, or diversity 0"
        )
    if not isinstance(query.vector, models.SparseVector):
        return finite_vector(query.vector)
    if query.diversity:
        raise InvalidQueryError(
            f"diversity needs a dense vector, {query.using!r} is sparse: ask with diversity 0"
        )
    if fault := _sparse_fault(query.vector):
        raise InvalidQueryError(f"a sparse query vector {fault}")
    return query.vector


def check_hybrid(query: HybridQuery) -> None:
    """Refuse a fusion of nothing, and a limit out of range; its parts are checked one by one."""
    check_limit(query.limit)
    if not query.parts:
        raise InvalidQueryError("a hybrid query has no parts: give at least one question")


def finite_vector(vector: Vector) -> list[float]:
    """Return a query vector, shape (size,), as a list of finite float32 numbers."""
    with np.errstate(over="ignore"):
        array = np.asarray(vector, dtype=np.float32)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise InvalidQueryError(
            f"a query vector of shape {array.shape} must be one row of finite numbers"
        )
    numbers: list[float] = array.tolist()
    return numbers


def check_filter(node: object) -> None:
    """Refuse numbers without an equal in the engine, and conditions that ask nothing."""
    if isinstance(node, float):
        if not math.isfinite(node):
            raise InvalidQueryError(f"{node} in a filter: give a finite number")
    elif isinstance(node, int):
        if abs(node) >= 2**63:
            raise InvalidQueryError(f"{node} in a filter: give a number of 64 bits")
    elif isinstance(node, list):
        for value in node:
            check_filter(value)
    elif given := getattr(node, "model_fields_set", None):
        # Not isinstance: on pydantic models it costs more than the rest of a query's checks.
        if type(node) is models.FieldCondition and given == {"key"}:
            raise InvalidQueryError(f"the filter names {node.key!r} but asks nothing of it")
        for name in given:
            check_filter(getattr(node, name))


def check_field(key: str, indexed: Collection[str]) -> None:
    """Refuse a condition on a field without an index."""
    if key not in indexed:
        raise InvalidQueryError(
            f"cannot filter by {key!r}: it has no index; there are {', '.join(sorted(indexed))}"
        )


def check_indexed(node: object, indexed: Collection[str]) -> None:
    """Refuse a filter with such a condition where the engine would not."""
    if isinstance(node, list):
        for part in node:
            check_indexed(part, indexed)
    elif isinstance(node, models.FieldCondition):
        check_field(node.key, indexed)
    elif isinstance(node, models.Filter | models.MinShould):
        for name in node.model_fields_set:
            check_indexed(getattr(node, name), indexed)


def check_points(
    collection: str, points: Sequence[models.PointStruct], schema: CollectionSchema
) -> Iterator[list[models.PointStruct]]:
    """Check all points, then return them in batches whose JSON stays below 5 MB.

    Parameters
    ----------
    collection : str
        Where they go, for messages.
    points : sequence of PointStruct
        Points with named vectors.
    schema : CollectionSchema
        Named vectors of the collection.

    Returns
    -------
    iterator of list of PointStruct
        The same points in the same order.

    Raises
    ------
    InputError
        If an id, a vector or a payload cannot be stored. Nothing has been written then.
    """
    rows: dict[str, list[list[float]]] = defaultdict(list)
    owners: dict[str, list[models.PointStruct]] = defaultdict(list)
    weights = []
    for point in points:
        weight = _check_id_and_payload(collection, point.id, point.payload)
        for name, row in _named_vectors(collection, point, schema).items():
            if isinstance(row, models.SparseVector):
                weight += 2 * _BYTES_PER_NUMBER * len(row.indices)
                continue
            rows[name].append(row)
            owners[name].append(point)
            weight += _BYTES_PER_NUMBER * len(row)
        weights.append(weight)
    for name, vectors in rows.items():
        _check_finite(collection, name, vectors, owners[name])
    return _batches(points, weights)


def check_payloads(
    collection: str, payloads: Mapping[PointId, Payload]
) -> Iterator[list[tuple[int | UUID, Payload]]]:
    """Check all payloads, then return them with their ids in batches as `check_points` does."""
    weights = [_check_id_and_payload(collection, i, payload) for i, payload in payloads.items()]
    changes = [(parse_id(i), payload) for i, payload in payloads.items()]
    return _batches(changes, weights, _MAX_CHANGES)


def _check_id_and_payload(collection: str, identifier: PointId, payload: Payload | None) -> int:
    """Return the size of the payload in JSON."""
    parse_id(identifier)
    try:
        return _BYTES_PER_POINT + len(json.dumps(payload, allow_nan=False))
    except (TypeError, ValueError) as exc:
        raise InputError(
            f"{collection}: the payload of point {identifier} is not JSON ({exc}): leave out what "
            "has no value, write dates as RFC 3339 text"
        ) from exc


def _named_vectors(
    collection: str, point: models.PointStruct, schema: CollectionSchema
) -> dict[str, list[float] | models.SparseVector]:
    expected = ", ".join([*schema.vectors, *schema.sparse])
    vectors = point.vector
    if not isinstance(vectors, dict):
        raise InputError(
            f"{collection}: point {point.id} has a vector without a name, expected some of "
            f"{expected}"
        )
    checked: dict[str, list[float] | models.SparseVector] = {}
    for name, row in vectors.items():
        if name in schema.sparse:
            _check_sparse(collection, name, row, point)
        elif name not in schema.vectors:
            raise InputError(
                f"{collection}: point {point.id} has an unknown vector {name!r}, expected some of "
                f"{expected}"
            )
        elif not isinstance(row, list) or len(row) != schema.vectors[name].size:
            length = len(row) if isinstance(row, list) else type(row).__name__
            raise InputError(
                f"{collection}: vector {name!r} of point {point.id} has {length} numbers, "
                f"expected {schema.vectors[name].size}"
            )
        checked[name] = row  # type: ignore[assignment]  # nested lists fail in _check_finite
    return checked


def _check_sparse(collection: str, name: str, row: object, point: models.PointStruct) -> None:
    fault = (
        _sparse_fault(row)
        if isinstance(row, models.SparseVector)
        else f"is a {type(row).__name__}, expected a SparseVector"
    )
    if fault:
        raise InputError(f"{collection}: vector {name!r} of point {point.id} {fault}")


def _sparse_fault(vector: models.SparseVector) -> str | None:
    """Return what is wrong with a sparse vector: at some of it the embedded engine panics."""
    indices, values = vector.indices, vector.values
    if len(indices) != len(values):
        return f"has {len(indices)} indices and {len(values)} values: give as many of both"
    if len({*indices}) != len(indices):
        return "has an index more than once: add up its values"
    if any(not 0 <= index < 2**32 for index in indices):
        return "has an index that is no number of 32 bits: give 0 to 4,294,967,295"
    with np.errstate(over="ignore"):
        finite = np.isfinite(np.array(values, dtype=np.float32)).all()
    return None if finite else "has numbers that are not finite: encode it again"


def _check_finite(
    collection: str,
    name: str,
    rows: list[list[float]],
    owners: Sequence[models.PointStruct],
) -> None:
    try:
        with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is refused
            array = np.array(rows, dtype=np.float32)  # (n_point, size)
    except (TypeError, ValueError) as exc:
        raise InputError(f"{collection}: vector {name!r} does not hold numbers: {exc}") from exc
    if array.ndim != 2:
        raise InputError(f"{collection}: vector {name!r} holds lists, expected numbers")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if bad.size:
        raise InputError(
            f"{collection}: vector {name!r} of point {owners[bad[0]].id} has numbers that are "
            f"not finite ({bad.size} of {len(rows)} points): encode it again"
        )


def _batches(
    items: Sequence[T], weights: Sequence[int], most: int | None = None
) -> Iterator[list[T]]:
    batch: list[T] = []
    total = 0
    for item, weight in zip(items, weights, strict=True):
        if batch and (total + weight > MAX_BODY_BYTES or len(batch) == most):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += weight
    if batch:
        yield batch
