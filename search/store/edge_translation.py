"""From `qdrant_client.models` to the words of Qdrant Edge and back.

What Edge has no word for is an InputError: a condition silently dropped would widen an answer.
"""

from __future__ import annotations  # some types of Edge exist in its stubs only

from collections.abc import Callable, Collection
from datetime import date
from typing import Any

import numpy as np
import qdrant_edge as edge
from qdrant_client import models

from common.errors import InputError
from search.store.base import (
    ACORN_BELOW,
    HNSW_EF,
    HNSW_EF_CONSTRUCT,
    HNSW_M,
    RRF_K,
    CollectionSchema,
    HybridQuery,
    NearestQuery,
    PointId,
)
from search.store.result_order import fusion_limit
from search.store.validation import check_field, check_hybrid, check_query, parse_id

FULL_SCAN_KB = 10_000  # Qdrant's own default, which Edge wants to be told

_INDEXES: dict[models.PayloadSchemaType, Callable[..., edge.PayloadSchemaParams]] = {
    models.PayloadSchemaType.KEYWORD: edge.KeywordIndexParams,
    models.PayloadSchemaType.INTEGER: edge.IntegerIndexParams,
    models.PayloadSchemaType.FLOAT: edge.FloatIndexParams,
    models.PayloadSchemaType.GEO: edge.GeoIndexParams,
    models.PayloadSchemaType.TEXT: edge.TextIndexParams,
    models.PayloadSchemaType.BOOL: edge.BoolIndexParams,
    models.PayloadSchemaType.DATETIME: edge.DatetimeIndexParams,
    models.PayloadSchemaType.UUID: edge.UuidIndexParams,
}

_MATCHES: dict[type, Callable[[Any], edge.MatchType]] = {
    models.MatchValue: lambda match: _match_value(match.value),
    models.MatchAny: lambda match: edge.MatchAny(match.any),
    models.MatchExcept: lambda match: edge.MatchExcept(match.except_),
    models.MatchText: lambda match: edge.MatchText(match.text),
    models.MatchTextAny: lambda match: edge.MatchTextAny(match.text_any),
    models.MatchPhrase: lambda match: edge.MatchPhrase(match.phrase),
}


def to_config(schema: CollectionSchema) -> edge.EdgeConfig:
    """Return the shard configuration of a schema."""
    return edge.EdgeConfig(
        vectors={
            name: edge.EdgeVectorParams(
                size=vector.size,
                distance=edge.Distance.Cosine,
                memory=edge.Memory.Cold if vector.on_disk else edge.Memory.Cached,
            )
            for name, vector in schema.vectors.items()
        },
        sparse_vectors={
            name: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf) for name in schema.sparse
        },
        hnsw_config=edge.HnswIndexConfig(HNSW_M, HNSW_EF_CONSTRUCT, FULL_SCAN_KB),
    )


def to_index(kind: models.PayloadSchemaType, linked: bool) -> edge.PayloadSchemaParams:
    """Return how a payload field is indexed; a linked one has links in the vector index."""
    return _INDEXES[kind](enable_hnsw=linked)


def to_point(point: models.PointStruct) -> edge.Point:
    """Return a point with named vectors, already checked."""
    named: Any = point.vector
    vectors = {name: to_vector(vector) for name, vector in named.items()}
    return edge.Point(parse_id(point.id), vectors, point.payload)


def to_query(query: NearestQuery | HybridQuery, fields: Collection[str]) -> edge.QueryRequest:
    """Return a checked query; filters may use these fields."""
    if isinstance(query, NearestQuery):
        return edge.QueryRequest(
            limit=query.limit,
            query=_scoring(query),
            params=_params(query),
            filter=to_filter(query.query_filter, fields),
            with_payload=query.with_payload,
            with_vector=query.with_vectors,
        )
    check_hybrid(query)
    return edge.QueryRequest(
        limit=fusion_limit(query),
        query=edge.Fusion.Rrf(k=RRF_K),  # type: ignore[arg-type]
        prefetches=[
            edge.Prefetch(
                limit=part.limit,
                query=_scoring(part),
                params=_params(part),
                filter=to_filter(part.query_filter, fields),
            )
            for part in query.parts
        ],
        with_payload=query.with_payload,
        with_vector=query.with_vectors,
    )


def _scoring(query: NearestQuery) -> edge.ScoringQueryType:
    vector = to_vector(check_query(query))
    if not query.diversity:
        return edge.Query.Nearest(vector, using=query.using)
    return edge.Mmr(vector, 1 - query.diversity, query.n_candidates, query.using)


def _params(query: NearestQuery) -> edge.SearchParams:
    if query.exact:
        return edge.SearchParams(exact=True)
    through = edge.AcornSearchParams(enable=True, max_selectivity=ACORN_BELOW)
    return edge.SearchParams(hnsw_ef=HNSW_EF, acorn=through)


def to_vector(vector: list[float] | models.SparseVector) -> edge.NamedVector:
    """Return a vector, dense or sparse."""
    if isinstance(vector, models.SparseVector):
        return edge.SparseVector(vector.indices, vector.values)
    return vector


def to_filter(node: models.Filter | None, fields: Collection[str]) -> edge.Filter | None:
    """Return a filter, each condition of which may use only these indexed fields."""
    return None if node is None else _filter(node, fields)


def to_order(order: models.OrderBy | None) -> edge.OrderBy | None:
    """Return the order of a scroll."""
    if order is None:
        return None
    falling = order.direction == models.Direction.DESC
    return edge.OrderBy(order.key, edge.Direction.Desc if falling else edge.Direction.Asc)


def from_record(record: edge.Record) -> models.Record:
    """Return a stored point."""
    return models.Record(
        id=from_id(record.id),
        payload=record.payload,
        vector=_from_vectors(record.vector),
        order_value=record.order_value,
    )


def from_scored(point: edge.ScoredPoint) -> models.ScoredPoint:
    """Return an answer to a query."""
    return models.ScoredPoint(
        id=from_id(point.id),
        version=point.version,
        score=point.score,
        payload=point.payload,
        vector=_from_vectors(point.vector),
    )


def _from_vectors(vectors: edge.Vector | None) -> Any:  # noqa: ANN401
    if not isinstance(vectors, dict):
        return vectors
    return {
        name: models.SparseVector(indices=vector.indices, values=vector.values)
        if isinstance(vector, edge.SparseVector)
        else vector
        for name, vector in vectors.items()
    }


def from_id(identifier: PointId) -> int | str:
    """Return a point id as the server spells it."""
    return identifier if isinstance(identifier, int) else str(identifier)


def _filter(node: models.Filter, fields: Collection[str]) -> edge.Filter:
    minimum = node.min_should
    return edge.Filter(
        must=_conditions(node.must, fields),
        should=_conditions(node.should, fields),
        must_not=_conditions(node.must_not, fields),
        min_should=None
        if minimum is None
        else edge.MinShould([_condition(c, fields) for c in minimum.conditions], minimum.min_count),
    )


def _conditions(
    nodes: list[models.Condition] | models.Condition | None, fields: Collection[str]
) -> list[edge.ConditionType] | None:
    if nodes is None:
        return None
    return [_condition(node, fields) for node in (nodes if isinstance(nodes, list) else [nodes])]


def _condition(node: models.Condition, fields: Collection[str]) -> edge.ConditionType:
    match node:
        case models.FieldCondition():
            return _field_condition(node, fields)
        case models.Filter():
            return _filter(node, fields)
        case models.IsEmptyCondition():
            return edge.IsEmptyCondition(node.is_empty.key)
        case models.IsNullCondition():
            return edge.IsNullCondition(node.is_null.key)
        case models.HasIdCondition():
            return edge.HasIdCondition({parse_id(identifier) for identifier in node.has_id})
        case models.HasVectorCondition():
            return edge.HasVectorCondition(node.has_vector)
        case _:
            raise _untranslatable(node)


def _field_condition(node: models.FieldCondition, fields: Collection[str]) -> edge.FieldCondition:
    check_field(node.key, fields)
    if node.geo_polygon is not None:
        raise _untranslatable(node.geo_polygon)
    return edge.FieldCondition(
        node.key,
        match=None if node.match is None else _match(node.match),
        range=None if node.range is None else _range(node.range),
        geo_bounding_box=None if node.geo_bounding_box is None else _box(node.geo_bounding_box),
        geo_radius=None if node.geo_radius is None else _circle(node.geo_radius),
        values_count=None if node.values_count is None else _values_count(node.values_count),
        is_empty=node.is_empty,
        is_null=node.is_null,
    )


def _match(node: models.Match) -> edge.MatchType:
    try:
        return _MATCHES[type(node)](node)
    except KeyError as exc:
        raise _untranslatable(node) from exc


def _match_value(value: str | int | bool) -> edge.MatchValue:
    # Edge 0.9 reads a Python bool as the number 0 or 1, which no flag equals; numpy's it knows.
    return edge.MatchValue(np.bool_(value) if isinstance(value, bool) else value)  # type: ignore[arg-type]


def _range(node: models.Range | models.DatetimeRange) -> edge.RangeType:
    if isinstance(node, models.Range):
        return edge.RangeFloat(gte=node.gte, gt=node.gt, lte=node.lte, lt=node.lt)
    return edge.RangeDateTime(
        gte=_rfc3339(node.gte), gt=_rfc3339(node.gt), lte=_rfc3339(node.lte), lt=_rfc3339(node.lt)
    )


def _rfc3339(moment: date | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _geo_point(node: models.GeoPoint) -> edge.GeoPoint:
    return edge.GeoPoint(node.lon, node.lat)


def _box(node: models.GeoBoundingBox) -> edge.GeoBoundingBox:
    return edge.GeoBoundingBox(_geo_point(node.top_left), _geo_point(node.bottom_right))


def _circle(node: models.GeoRadius) -> edge.GeoRadius:
    return edge.GeoRadius(_geo_point(node.center), node.radius)


def _values_count(node: models.ValuesCount) -> edge.ValuesCount:
    return edge.ValuesCount(lt=node.lt, gt=node.gt, lte=node.lte, gte=node.gte)


def _untranslatable(node: object) -> InputError:
    return InputError(
        f"the embedded engine cannot filter by {type(node).__name__}: use other conditions"
    )
