"""From our questions to requests of Qdrant's REST API."""

from collections.abc import Callable

from qdrant_client import models

from search.store.base import (
    ACORN_BELOW,
    HNSW_EF,
    RRF_K,
    CollectionSchema,
    HybridQuery,
    NearestQuery,
    VectorField,
)
from search.store.result_order import fusion_limit
from search.store.validation import check_hybrid, check_query

OVERSAMPLING = 2.0
"""How many times more candidates are compared whole than are asked for."""

_INDEXES: dict[models.PayloadSchemaType, Callable[..., models.PayloadSchemaParams]] = {
    models.PayloadSchemaType.KEYWORD: models.KeywordIndexParams,
    models.PayloadSchemaType.INTEGER: models.IntegerIndexParams,
    models.PayloadSchemaType.FLOAT: models.FloatIndexParams,
    models.PayloadSchemaType.GEO: models.GeoIndexParams,
    models.PayloadSchemaType.TEXT: models.TextIndexParams,
    models.PayloadSchemaType.BOOL: models.BoolIndexParams,
    models.PayloadSchemaType.DATETIME: models.DatetimeIndexParams,
    models.PayloadSchemaType.UUID: models.UuidIndexParams,
}


def to_index(kind: models.PayloadSchemaType, linked: bool) -> models.PayloadSchemaParams:
    """Return how a payload field is indexed; a linked one has links in the vector index."""
    return _INDEXES[kind](type=kind.value, enable_hnsw=linked)


def stored_schema(info: models.CollectionInfo) -> CollectionSchema:
    """Return the named vectors of a collection that the server describes."""
    params = info.config.params
    dense = params.vectors if isinstance(params.vectors, dict) else {}
    return CollectionSchema(
        {name: VectorField(vector.size, bool(vector.on_disk)) for name, vector in dense.items()},
        sparse=tuple(params.sparse_vectors or ()),
    )


def to_request(query: NearestQuery | HybridQuery, int8: bool = False) -> models.QueryRequest:
    """Return a checked query; vectors kept as bytes only choose who is compared whole."""
    if isinstance(query, NearestQuery):
        return models.QueryRequest(
            query=_scoring(query),
            using=query.using,
            params=_params(query, int8),
            filter=query.query_filter,
            limit=query.limit,
            with_payload=query.with_payload,
            with_vector=query.with_vectors,
        )
    check_hybrid(query)
    return models.QueryRequest(
        query=models.RrfQuery(rrf=models.Rrf(k=RRF_K)),
        prefetch=[
            models.Prefetch(
                query=_scoring(part),
                using=part.using,
                params=_params(part, int8),
                filter=part.query_filter,
                limit=part.limit,
            )
            for part in query.parts
        ],
        limit=fusion_limit(query),
        with_payload=query.with_payload,
        with_vector=query.with_vectors,
    )


def _scoring(query: NearestQuery) -> models.NearestQuery:
    mmr = models.Mmr(diversity=query.diversity, candidates_limit=query.n_candidates)
    return models.NearestQuery(nearest=check_query(query), mmr=mmr if query.diversity else None)


def _params(query: NearestQuery, int8: bool) -> models.SearchParams:
    if query.exact:
        whole = models.QuantizationSearchParams(ignore=True) if int8 else None
        return models.SearchParams(exact=True, quantization=whole)
    through = models.AcornSearchParams(enable=True, max_selectivity=ACORN_BELOW)
    again = models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
    return models.SearchParams(hnsw_ef=HNSW_EF, acorn=through, quantization=again if int8 else None)
