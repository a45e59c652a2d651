"""Routes of the stand-in: Qdrant's paths, bodies and envelope."""

from importlib.metadata import version

import qdrant_edge as edge
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from qdrant_client import models
from qdrant_rest.shards import ApiError, Collections
from qdrant_rest.snapshots import add_snapshots

from search.store.edge_translation import (
    from_id,
    from_record,
    from_scored,
    to_filter,
    to_order,
    to_point,
    to_vector,
)
from search.store.validation import parse_id

MODES = {
    None: None,
    models.UpdateMode.UPSERT: edge.UpdateMode.Upsert,
    models.UpdateMode.INSERT_ONLY: edge.UpdateMode.InsertOnly,
    models.UpdateMode.UPDATE_ONLY: edge.UpdateMode.UpdateOnly,
}


class AnyField(frozenset):
    """Indexed fields among which every field is."""

    def __contains__(self, _key):
        return True


def create_api(folder, n_replicas=1):
    api = FastAPI()
    collections = Collections(folder, n_replicas)

    @api.exception_handler(ApiError)
    def on_error(_request, exc):
        return JSONResponse({"status": {"error": str(exc)}, "time": 0.0}, exc.status)

    @api.exception_handler(RequestValidationError)
    def on_bad_body(_request, exc):
        return JSONResponse({"status": {"error": f"Format error: {exc}"}, "time": 0.0}, 400)

    @api.post("/faults")
    def fail(body: dict[str, int]):
        collections.faults.half_writes = body["half_writes"]
        return ok(True)

    @api.get("/apart")
    def apart():
        held = collections.by_name.copy()
        return {name: ids for name, one in held.items() if (ids := one.apart())}

    @api.get("/")
    def root():
        return {"title": "stand-in for Qdrant in tests", "version": version("qdrant-client")}

    @api.get("/collections")
    def names():
        return ok({"collections": [{"name": name} for name in collections.by_name]})

    @api.get("/aliases")
    def aliases():
        found = collections.aliases.items()
        return ok({"aliases": [{"alias_name": a, "collection_name": c} for a, c in found]})

    @api.post("/collections/aliases")
    def change_aliases(body: models.ChangeAliasesOperation):
        collections.change_aliases(body.actions)
        return ok(True)

    @api.get("/collections/{name}/exists")
    def exists(name: str):
        return ok({"exists": name in collections.by_name})

    @api.get("/collections/{name}")
    def info(name: str):
        return ok(describe(collections.get(name)))

    @api.put("/collections/{name}")
    def create(name: str, body: models.CreateCollection):
        collections.create(name, body)
        return ok(True)

    @api.delete("/collections/{name}")
    def delete(name: str):
        return ok(collections.delete(name))

    @api.put("/collections/{name}/index")
    def index(name: str, body: models.CreateFieldIndex):
        collections.index(name, body.field_name, body.field_schema)
        return done()

    @api.put("/collections/{name}/points")
    def upsert(name: str, body: models.PointsList, ordering: str | None = None):
        points = [to_point(point) for point in body.points]
        condition, mode = guard(body.update_filter), MODES[body.update_mode]
        operation = edge.UpdateOperation.upsert_points(points, condition, mode)
        guarded = condition is not None or mode is not None
        collections.get(name).update(operation, ordering, guarded)
        return done()

    @api.put("/collections/{name}/vectors/{vector}")
    def create_vector(name: str, vector: str, body: models.SparseVectorNameConfig):
        collections.add_sparse(name, vector, body.sparse)
        return done()

    @api.post("/collections/{name}/points/delete")
    def delete_points(name: str, body: models.PointIdsList):
        ids = [parse_id(identifier) for identifier in body.points]
        collections.get(name).update(edge.UpdateOperation.delete_points(ids))
        return done()

    @api.post("/collections/{name}/points/batch")
    def batch(name: str, body: models.UpdateOperations, ordering: str | None = None):
        collection = collections.get(name)
        for change in body.operations:
            given = change.set_payload
            if given.points is None:
                condition = guard(given.filter)
                operation = edge.UpdateOperation.set_payload_by_filter(condition, given.payload)
            else:  # a filter beside ids is ignored
                ids = [parse_id(identifier) for identifier in given.points]
                operation = edge.UpdateOperation.set_payload(ids, given.payload)
            collection.update(operation, ordering, given.points is None)
        return ok([{"operation_id": 0, "status": "completed"}] * len(body.operations))

    @api.post("/collections/{name}/points/payload/delete")
    def delete_payload(name: str, body: models.DeletePayload):
        collection = collections.get(name)
        node = to_filter(body.filter, AnyField())  # the real one too refuses no field here
        collection.update(edge.UpdateOperation.delete_payload_by_filter(node, body.keys))
        return done()

    @api.post("/collections/{name}/points")
    def retrieve(name: str, body: models.PointRequest, consistency: str | None = None):
        ids = [parse_id(identifier) for identifier in body.ids]
        payload, vectors = body.with_payload, bool_or_names(body.with_vector)
        return ok(collections.get(name).retrieve(ids, payload, vectors, consistency))

    @api.post("/collections/{name}/points/query/batch")
    def query_batch(name: str, body: models.QueryRequestBatch):
        collection = collections.get(name)
        requests = [question(collection, query) for query in body.searches]
        answers = collection.call("query_batch", edge.QueryBatchRequest(requests))
        return ok([{"points": [from_scored(point) for point in found]} for found in answers])

    @api.post("/collections/{name}/points/count")
    def count(name: str, body: models.CountRequest):
        collection = collections.get(name)
        request = edge.CountRequest(exact=True, filter=collection.filter(body.filter))
        found = collection.call("count", request)
        return ok({"count": found // 2 if collection.filling else found})

    @api.post("/collections/{name}/facet")
    def facet(name: str, body: models.FacetRequest):
        collection = collections.get(name)
        node = collection.filter(body.filter)
        request = edge.FacetRequest(body.key, limit=body.limit or 10, exact=True, filter=node)
        hits = collection.call("facet", request).hits
        return ok({"hits": [{"value": hit.value, "count": hit.count} for hit in hits]})

    @api.post("/collections/{name}/points/scroll")
    def scroll(name: str, body: models.ScrollRequest):
        collection = collections.get(name)
        request = edge.ScrollRequest(
            offset=None if body.offset is None else parse_id(body.offset),
            limit=body.limit or 10,
            filter=collection.filter(body.filter),
            order_by=to_order(body.order_by),
            with_payload=body.with_payload,
            with_vector=bool_or_names(body.with_vector),
        )
        records, following = collection.call("scroll", request)
        offset = None if following is None else from_id(following)
        return ok({"points": [from_record(r) for r in records], "next_page_offset": offset})

    add_snapshots(api, collections)
    return api


def guard(node):
    """Translate the condition of a write, which may ask for fields without an index."""
    return None if node is None else to_filter(node, AnyField())


def ok(result):
    return {"result": result, "status": "ok", "time": 0.0}


def done():
    return ok({"operation_id": 0, "status": "completed"})


def bool_or_names(with_vector):
    return False if with_vector is None else with_vector


def question(collection, query):
    return edge.QueryRequest(
        limit=query.limit or 10,
        query=scoring(query),
        prefetches=[
            edge.Prefetch(
                limit=part.limit or 10,
                query=scoring(part),
                params=params(part),
                filter=collection.filter(part.filter),
            )
            for part in query.prefetch or []
        ],
        params=params(query),
        filter=collection.filter(query.filter),
        with_payload=query.with_payload,
        with_vector=bool_or_names(query.with_vector),
    )


def scoring(query):
    if isinstance(query.query, models.RrfQuery):
        return edge.Fusion.Rrf(k=query.query.rrf.k)
    vector, mmr = to_vector(query.query.nearest), query.query.mmr
    if mmr is None:
        return edge.Query.Nearest(vector, using=query.using)
    return edge.Mmr(vector, 1 - mmr.diversity, mmr.candidates_limit, query.using)


def params(query):
    given = query.params
    if given is None:
        return None
    acorn = given.acorn and edge.AcornSearchParams(given.acorn.enable, given.acorn.max_selectivity)
    return edge.SearchParams(given.hnsw_ef, bool(given.exact), acorn=acorn)


def describe(collection):
    found = collection.shard.info()
    return {
        "status": "green",
        "optimizer_status": "ok",
        "points_count": found.points_count,
        "indexed_vectors_count": found.indexed_vectors_count,
        "segments_count": found.segments_count,
        "payload_schema": {
            field: {"data_type": params.type, "params": params, "points": 0}
            for field, params in collection.indexes.items()
        },
        "config": {
            "params": {
                "vectors": collection.config.vectors,
                "sparse_vectors": collection.config.sparse_vectors,
                "shard_number": collection.config.shard_number or 1,
                "replication_factor": max(
                    collection.config.replication_factor or 1, len(collection.replicas)
                ),
                "write_consistency_factor": collection.config.write_consistency_factor or 1,
            },
            "hnsw_config": {
                "m": collection.config.hnsw_config.m,
                "ef_construct": collection.config.hnsw_config.ef_construct,
                "full_scan_threshold": 10_000,
            },
            "optimizer_config": {"default_segment_number": 0, "flush_interval_sec": 5},
        },
    }
