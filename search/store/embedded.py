"""The engine in this process: Qdrant Edge, one shard and one folder per collection, no server."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from uuid import UUID

import qdrant_edge as edge
from qdrant_client import models

from search.store.base import (
    CollectionSchema,
    Held,
    HybridQuery,
    IndexState,
    NearestQuery,
    PointId,
    Revisions,
    Vector,
    WithPayload,
    WithVectors,
    Written,
)
from search.store.edge_translation import (
    from_id,
    from_record,
    from_scored,
    to_filter,
    to_order,
    to_point,
    to_query,
)
from search.store.result_order import facet_counts, in_order, ranked, unmarked
from search.store.revisions import REVISION, Stamp, by_text, held
from search.store.shards import Shard, Shards, edge_errors
from search.store.validation import (
    check_filter,
    check_limit,
    check_payloads,
    check_points,
    parse_id,
)


class EmbeddedStore:
    """A `Store` in one folder, for one process at a time.

    What ``upsert`` has returned is in Edge's write-ahead log and survives ``kill -9``.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the store in a folder, or raise StoreLockedError if it is in use."""
        self._shards = Shards(path)

    @property
    def engine(self) -> Literal["embedded"]:
        """Which engine answers."""
        return "embedded"

    def create_collection(self, name: str, schema: CollectionSchema) -> None:
        """Create a collection with its payload indexes; see `Store`."""
        self._shards.create(name, schema)

    def collections(self) -> list[str]:
        """Return the names of all collections; see `Store`."""
        return self._shards.names()

    def delete_collection(self, name: str) -> None:
        """Delete a collection and its aliases; see `Store`."""
        self._shards.delete(name)

    def set_alias(self, alias: str, collection: str) -> None:
        """Let an alias name this collection; see `Store`."""
        self._shards.set_aliases({alias: collection})

    def set_aliases(self, aliases: Mapping[str, str]) -> None:
        """Let each alias name its collection; see `Store`."""
        self._shards.set_aliases(aliases)

    def aliases(self) -> dict[str, str]:
        """Return the collection of each alias; see `Store`."""
        return self._shards.aliases()

    def resolve(self, alias: str) -> str | None:
        """Return the collection that an alias names; see `Store`."""
        return self._shards.resolve(alias)

    def upsert(self, collection: str, points: Sequence[models.PointStruct]) -> None:
        """Insert or replace points; see `Store`."""
        shard = self._shards.get(collection)
        marked = Stamp().points(points, {})
        for batch in check_points(shard.name, marked, shard.schema):
            with shard.writing, edge_errors(shard.name):
                _upsert(shard, batch)
        shard.written(len(points))

    def read(
        self, collection: str, ids: Sequence[PointId], with_vectors: WithVectors = False
    ) -> dict[str, Held]:
        """Return points with their revisions; see `Store`."""
        shard = self._shards.get(collection)
        wanted = [parse_id(identifier) for identifier in ids]
        with edge_errors(shard.name):
            records = shard.edge.retrieve([*wanted], True, with_vectors)
        return {str(record.id): held(from_record(record)) for record in records}

    def replicas(self, collection: str) -> int:
        """Return 1: it is kept once; see `Store`."""
        return 1

    def apart(self, collection: str, ids: Sequence[PointId]) -> set[str]:
        """Return none: there are no replicas; see `Store`."""
        return set()

    def write(
        self, collection: str, points: Sequence[models.PointStruct], revisions: Revisions
    ) -> Written:
        """Insert or replace points that are as they were read; see `Store`."""
        shard = self._shards.get(collection)
        stamp, expected = Stamp(), by_text(revisions)
        lost: set[str] = set()
        for batch in check_points(shard.name, stamp.points(points, expected), shard.schema):
            with shard.writing, edge_errors(shard.name):  # one process: nobody writes in between
                changed = _changed(shard, [point.id for point in batch], expected)
                _upsert(shard, [point for point in batch if str(point.id) not in changed])
            lost |= changed
        shard.written(len(points))
        return stamp.written([point.id for point in points], expected, lost)

    def write_payload(
        self, collection: str, payloads: Mapping[PointId, Mapping[str, Any]], revisions: Revisions
    ) -> Written:
        """Set payload fields of points that are as they were read; see `Store`."""
        shard = self._shards.get(collection)
        stamp, expected = Stamp(), by_text(revisions)
        lost: set[str] = set()
        for batch in check_payloads(shard.name, stamp.payloads(payloads, expected)):
            with shard.writing, edge_errors(shard.name):
                ids = [point for point, _ in batch]
                changed = _changed(shard, ids, expected) | ({*map(str, ids)} - expected.keys())
                _set_payload(shard, [one for one in batch if str(one[0]) not in changed])
            lost |= changed
        shard.written(len(payloads))
        return stamp.written([*payloads], expected, lost)

    def delete_points(self, collection: str, ids: Sequence[PointId]) -> None:
        """Delete points; see `Store`."""
        shard = self._shards.get(collection)
        doomed = [parse_id(identifier) for identifier in ids]
        with shard.writing, edge_errors(shard.name):
            shard.edge.update(edge.UpdateOperation.delete_points([*doomed]))
        shard.written(len(doomed))

    def set_payload(self, collection: str, payloads: Mapping[PointId, Mapping[str, Any]]) -> None:
        """Set payload fields of points; see `Store`."""
        shard = self._shards.get(collection)
        for batch in check_payloads(shard.name, Stamp().payloads(payloads, {})):
            with shard.writing, edge_errors(shard.name):
                known = {r.id for r in shard.edge.retrieve([i for i, _ in batch], False, False)}
                _set_payload(shard, [one for one in batch if one[0] in known])
        shard.written(len(payloads))

    def delete_payload(
        self,
        collection: str,
        fields: Sequence[str],
        query_filter: models.Filter | None = None,
    ) -> None:
        """Remove payload fields; see `Store`."""
        shard = self._shards.get(collection)
        matching = _filter(shard, query_filter) or edge.Filter()
        with shard.writing, edge_errors(shard.name):
            shard.edge.update(edge.UpdateOperation.delete_payload_by_filter(matching, [*fields]))
        shard.flush()

    def retrieve(
        self,
        collection: str,
        ids: Sequence[PointId],
        with_payload: WithPayload = True,
        with_vectors: WithVectors = False,
    ) -> list[models.Record]:
        """Return the points of these ids; see `Store`."""
        shard = self._shards.get(collection)
        wanted = [parse_id(identifier) for identifier in ids]
        with edge_errors(shard.name):
            records = shard.edge.retrieve([*wanted], with_payload, with_vectors)
        found = in_order([from_record(record) for record in records], wanted)
        return [*unmarked(found, with_payload)]

    def query(
        self,
        collection: str,
        vector: Vector | models.SparseVector,
        using: str,
        query_filter: models.Filter | None = None,
        limit: int = 10,
        with_payload: WithPayload = True,
        with_vectors: WithVectors = False,
        diversity: float = 0.0,
        exact: bool = False,
    ) -> list[models.ScoredPoint]:
        """Return the points nearest to a vector; see `Store`."""
        query = NearestQuery(
            vector, using, query_filter, limit, with_payload, with_vectors, diversity, exact
        )
        return self.query_batch(collection, [query])[0]

    def query_batch(
        self, collection: str, queries: Sequence[NearestQuery | HybridQuery]
    ) -> list[list[models.ScoredPoint]]:
        """Answer several queries in one call; see `Store`."""
        shard = self._shards.get(collection)
        fields = shard.schema.payload_indexes
        request = edge.QueryBatchRequest([to_query(query, fields) for query in queries])
        with edge_errors(shard.name):
            answers = shard.edge.query_batch(request)
        return [
            ranked([from_scored(point) for point in found], query)
            for query, found in zip(queries, answers, strict=True)
        ]

    def count(self, collection: str, query_filter: models.Filter | None = None) -> int:
        """Return the exact number of points that match; see `Store`."""
        shard = self._shards.get(collection)
        request = edge.CountRequest(exact=True, filter=_filter(shard, query_filter))
        with edge_errors(shard.name):
            return shard.edge.count(request)

    def facet(
        self,
        collection: str,
        key: str,
        query_filter: models.Filter | None = None,
        limit: int = 50,
    ) -> dict[str, int]:
        """Return how many points hold each value of an indexed field; see `Store`."""
        shard = self._shards.get(collection)
        request = edge.FacetRequest(
            key, limit=check_limit(limit), exact=True, filter=_filter(shard, query_filter)
        )
        with edge_errors(shard.name):
            return facet_counts(shard.edge.facet(request).hits)

    def scroll(
        self,
        collection: str,
        query_filter: models.Filter | None = None,
        limit: int = 100,
        offset: int | str | None = None,
        with_payload: WithPayload = True,
        with_vectors: WithVectors = False,
        order_by: models.OrderBy | None = None,
    ) -> tuple[list[models.Record], int | str | None]:
        """Return points in the order of their ids, and the next offset; see `Store`."""
        shard = self._shards.get(collection)
        request = edge.ScrollRequest(
            offset=None if offset is None else parse_id(offset),
            limit=check_limit(limit),
            filter=_filter(shard, query_filter),
            order_by=to_order(order_by),
            with_payload=with_payload,
            with_vector=with_vectors,
        )
        with edge_errors(shard.name):
            records, following = shard.edge.scroll(request)
        page = [*unmarked([from_record(record) for record in records], with_payload)]
        return page, None if following is None else from_id(following)

    def optimize(self, collection: str) -> None:
        """Build the vector index; Edge lets no other Python thread run meanwhile."""
        shard = self._shards.get(collection)
        with shard.writing, edge_errors(shard.name):
            shard.edge.optimize()
        shard.flush()

    def index_state(self, collection: str) -> IndexState:
        """Return how far a collection is indexed; see `Store`."""
        shard = self._shards.get(collection)
        with edge_errors(shard.name):
            found = shard.edge.info()
        return IndexState(found.points_count, found.indexed_vectors_count, found.segments_count)

    def save_snapshot(self, collection: str, path: Path) -> None:
        """Write a collection into a file; see `Store`."""
        self._shards.save(collection, path)

    def load_snapshot(self, collection: str, path: Path) -> None:
        """Create a collection from a file; see `Store`."""
        self._shards.load(collection, path)

    def close(self) -> None:
        """Write what is pending and let go of the folder; see `Store`."""
        self._shards.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _filter(shard: Shard, query_filter: models.Filter | None) -> edge.Filter | None:
    check_filter(query_filter)
    return to_filter(query_filter, shard.schema.payload_indexes)


def _changed(shard: Shard, ids: Sequence[PointId], expected: Mapping[str, str | None]) -> set[str]:
    """Return which points are not as expected: another revision, gone, or there already."""
    records = shard.edge.retrieve([parse_id(point) for point in ids], [REVISION], False)
    now = {str(record.id): (record.payload or {}).get(REVISION) for record in records}
    own = {str(point) for point in ids}
    return {
        point
        for point in own
        if (point in now) != (point in expected) or now.get(point) != expected.get(point)
    }


def _upsert(shard: Shard, points: Sequence[models.PointStruct]) -> None:
    if points:
        shard.edge.update(edge.UpdateOperation.upsert_points([to_point(point) for point in points]))


def _set_payload(shard: Shard, payloads: Sequence[tuple[int | UUID, Mapping[str, Any]]]) -> None:
    for identifier, payload in payloads:
        shard.edge.update(edge.UpdateOperation.set_payload([identifier], dict(payload)))
