"""The engine behind a URL: a Qdrant server, through qdrant-client over HTTP."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from common.errors import InputError, InvalidQueryError, NotFoundError
from search.store.base import (
    HNSW_EF_CONSTRUCT,
    HNSW_M,
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
from search.store.cluster_options import Placement
from search.store.result_order import facet_counts, in_order, ranked, unmarked
from search.store.revisions import Stamp, by_text
from search.store.server_errors import server_errors
from search.store.server_snapshots import ServerSnapshots
from search.store.server_translation import stored_schema, to_index, to_request
from search.store.server_writes import ORDERING, GuardedWrites, until_acknowledged
from search.store.validation import (
    check_filter,
    check_indexed,
    check_limit,
    check_name,
    check_payloads,
    check_points,
    check_vectors,
    parse_id,
    tell_of_upgrade,
)

DEFAULT_PLACEMENT = Placement()


class ServerStore:
    """A `Store` on a Qdrant server, shared by any number of processes.

    Nothing is retried here but writes of points: a StoreUnavailableError is the caller's to repeat.
    The time-out, in whole seconds rounded up, is for connecting and for waiting; the server too
    gives up a question then.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        timeout_s: float = 5.0,
        placement: Placement = DEFAULT_PLACEMENT,
    ) -> None:
        self._url = url
        self._placement = placement
        self._timeout_s = math.ceil(timeout_s)
        # The client's version check warns from a thread of its own, and a key given as such makes
        # it warn of http:// each time: `search.app` does that, with advice.
        self._client = QdrantClient(
            url=url,
            headers={"api-key": api_key} if api_key else None,
            timeout=self._timeout_s,
            check_compatibility=False,
        )
        self._snapshots = ServerSnapshots(url, api_key, timeout_s)
        self._guarded = GuardedWrites(self._client, self._timeout_s)

    @property
    def engine(self) -> Literal["server"]:
        """Which engine answers."""
        return "server"

    def create_collection(self, name: str, schema: CollectionSchema) -> None:
        """Create a collection with its payload indexes; see `Store`."""
        check_name(name)
        if current := self.resolve(name):
            raise InputError(f"{name} is an alias of {current}: use another name")
        with self._errors(InputError):
            if not self._client.collection_exists(name):
                self._create(name, schema)
            info = self._client.get_collection(name)
            stored = stored_schema(info)
            check_vectors(name, stored.sizes, schema.sizes)
            for vector in schema.sparse:
                if vector not in stored.sparse:
                    idf = models.SparseVectorConfig(modifier=models.Modifier.IDF)
                    config = models.SparseVectorNameConfig(sparse=idf)
                    self._client.create_vector_name(name, vector, config)
            missing = sorted(schema.payload_indexes.keys() - info.payload_schema.keys())
            tell_of_upgrade(name, missing, info.points_count or 0)
            for field in missing:
                params = to_index(schema.payload_indexes[field], field in schema.linked)
                self._client.create_payload_index(name, field, params)

    def collections(self) -> list[str]:
        """Return the names of all collections; see `Store`."""
        with self._errors(InputError):
            return sorted(found.name for found in self._client.get_collections().collections)

    def delete_collection(self, name: str) -> None:
        """Delete a collection and its aliases; see `Store`."""
        if current := self.resolve(name):
            raise NotFoundError(f"{name} is an alias: delete collection {current}")
        with self._errors(InputError):
            if not self._client.delete_collection(name):
                raise NotFoundError(f"no collection {name!r} on {self._url}")

    def set_alias(self, alias: str, collection: str) -> None:
        """Let an alias name this collection; see `Store`."""
        self.set_aliases({alias: collection})

    def set_aliases(self, aliases: Mapping[str, str]) -> None:
        """Let each alias name its collection; see `Store`."""
        current, held = self.aliases(), {*self.collections()}
        operations: list[models.AliasOperations] = []
        for alias, collection in aliases.items():
            if check_name(alias) in current:
                delete = models.DeleteAlias(alias_name=alias)
                operations.append(models.DeleteAliasOperation(delete_alias=delete))
            name = current.get(collection, collection)
            if name not in held:  # found out by the server, it might have moved others already
                raise NotFoundError(f"no collection {name!r} on {self._url}")
            create = models.CreateAlias(collection_name=name, alias_name=alias)
            operations.append(models.CreateAliasOperation(create_alias=create))
        with self._errors(InputError):
            self._client.update_collection_aliases(operations)

    def aliases(self) -> dict[str, str]:
        """Return the collection of each alias; see `Store`."""
        with self._errors(InputError):
            found = self._client.get_aliases().aliases
        return {one.alias_name: one.collection_name for one in found}

    def resolve(self, alias: str) -> str | None:
        """Return the collection that an alias names; see `Store`."""
        return self.aliases().get(alias)

    def upsert(self, collection: str, points: Sequence[models.PointStruct]) -> None:
        """Insert or replace points; see `Store`."""
        with self._errors(InputError):
            schema = stored_schema(self._client.get_collection(collection))
            for batch in check_points(collection, Stamp().points(points, {}), schema):
                until_acknowledged(self._client.upsert, collection, batch, ordering=ORDERING)

    def read(
        self, collection: str, ids: Sequence[PointId], with_vectors: WithVectors = False
    ) -> dict[str, Held]:
        """Return points with their revisions; see `Store`."""
        with self._errors():
            return self._guarded.read(collection, [parse_id(one) for one in ids], with_vectors)

    def replicas(self, collection: str) -> int:
        """Return how many times a collection is kept; see `Store`."""
        return self.placement_of(collection).replication_factor or 1

    def apart(self, collection: str, ids: Sequence[PointId]) -> set[str]:
        """Return the ids of points on which replicas disagree; see `Store`."""
        with self._errors():
            return self._guarded.apart(collection, [parse_id(one) for one in ids])

    def write(
        self, collection: str, points: Sequence[models.PointStruct], revisions: Revisions
    ) -> Written:
        """Insert or replace points that are as they were read; see `Store`."""
        stamp, known = Stamp(), by_text(revisions)
        with self._errors(InputError):
            schema = stored_schema(self._client.get_collection(collection))
            batches = check_points(collection, stamp.points(points, known), schema)
            lost = [self._guarded.points(collection, batch, known) for batch in batches]
        return stamp.written([point.id for point in points], known, set().union(*lost))

    def write_payload(
        self, collection: str, payloads: Mapping[PointId, Mapping[str, Any]], revisions: Revisions
    ) -> Written:
        """Set payload fields of points that are as they were read; see `Store`."""
        stamp, known = Stamp(), by_text(revisions)
        with self._errors(InputError):
            batches = check_payloads(collection, stamp.payloads(payloads, known))
            lost = [self._guarded.payloads(collection, batch, known) for batch in batches]
        return stamp.written([*payloads], known, set().union(*lost))

    def delete_points(self, collection: str, ids: Sequence[PointId]) -> None:
        """Delete points; see `Store`."""
        doomed = models.PointIdsList(points=[parse_id(identifier) for identifier in ids])
        with self._errors(InputError):
            until_acknowledged(self._client.delete, collection, doomed, ordering=ORDERING)

    def set_payload(self, collection: str, payloads: Mapping[PointId, Mapping[str, Any]]) -> None:
        """Set payload fields of points; see `Store`."""
        with self._errors(InputError):
            for batch in check_payloads(collection, Stamp().payloads(payloads, {})):
                self._guarded.any_payloads(collection, batch)

    def delete_payload(
        self,
        collection: str,
        fields: Sequence[str],
        query_filter: models.Filter | None = None,
    ) -> None:
        """Remove payload fields; see `Store`."""
        check_filter(query_filter)
        with self._errors(InputError):
            check_indexed(query_filter, self._client.get_collection(collection).payload_schema)
            selected = query_filter or models.Filter()
            delete = self._client.delete_payload
            until_acknowledged(delete, collection, fields, selected, ordering=ORDERING)

    def retrieve(
        self,
        collection: str,
        ids: Sequence[PointId],
        with_payload: WithPayload = True,
        with_vectors: WithVectors = False,
    ) -> list[models.Record]:
        """Return the points of these ids; see `Store`."""
        wanted = [parse_id(identifier) for identifier in ids]
        with self._errors():
            found = self._client.retrieve(
                collection, wanted, with_payload, with_vectors, timeout=self._timeout_s
            )
        return [*unmarked(in_order(found, wanted), with_payload)]

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
        requests = [to_request(query, self._placement.int8) for query in queries]
        with self._errors():
            answers = self._client.query_batch_points(collection, requests, timeout=self._timeout_s)
        return [
            ranked(answer.points, query) for query, answer in zip(queries, answers, strict=True)
        ]

    def count(self, collection: str, query_filter: models.Filter | None = None) -> int:
        """Return the exact number of points that match; see `Store`."""
        check_filter(query_filter)
        with self._errors():
            found = self._client.count(
                collection, query_filter, exact=True, timeout=self._timeout_s
            )
        return found.count

    def facet(
        self,
        collection: str,
        key: str,
        query_filter: models.Filter | None = None,
        limit: int = 50,
    ) -> dict[str, int]:
        """Return how many points hold each value of an indexed field; see `Store`."""
        check_filter(query_filter)
        check_limit(limit)
        with self._errors():
            answer = self._client.facet(
                collection, key, query_filter, limit, exact=True, timeout=self._timeout_s
            )
        return facet_counts(answer.hits)

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
        check_filter(query_filter)
        check_limit(limit)
        start = None if offset is None else parse_id(offset)
        with self._errors():
            page, following = self._client.scroll(
                collection,
                query_filter,
                limit=limit,
                order_by=order_by,
                offset=start,
                with_payload=with_payload,
                with_vectors=with_vectors,
                timeout=self._timeout_s,
            )
        unmarked(page, with_payload)
        return page, following if isinstance(following, int | None) else str(following)

    def optimize(self, collection: str) -> None:
        """Do nothing: the server builds its indexes by itself."""
        with self._errors():
            self._client.get_collection(collection)

    def index_state(self, collection: str) -> IndexState:
        """Return how far a collection is indexed; see `Store`."""
        with self._errors():
            found = self._client.get_collection(collection)
        return IndexState(
            found.points_count or 0, found.indexed_vectors_count or 0, found.segments_count
        )

    def placement_of(self, collection: str) -> Placement:
        """Return how a cluster keeps a collection."""
        with self._errors():
            kept = self._client.get_collection(collection).config.params
        return Placement(kept.shard_number, kept.replication_factor, kept.write_consistency_factor)

    def save_snapshot(self, collection: str, path: Path) -> None:
        """Write a collection into a file; see `Store`."""
        self._snapshots.download(self.resolve(collection) or collection, path)

    def load_snapshot(self, collection: str, path: Path) -> None:
        """Create a collection from a file; see `Store`."""
        if check_name(collection) in {*self.collections(), *self.aliases()}:
            raise InputError(f"there is a {collection} already: load it into an empty server")
        self._snapshots.upload(collection, path)

    def close(self) -> None:
        """Close the connections; see `Store`."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _create(self, name: str, schema: CollectionSchema) -> None:
        """Create a collection, unless another process has just done so."""
        if fault := self._placement.fault:
            raise InputError(f"{name} would have {fault}")
        vectors = {
            field: models.VectorParams(
                size=vector.size, distance=models.Distance.COSINE, on_disk=vector.on_disk
            )
            for field, vector in schema.vectors.items()
        }
        sparse = {
            field: models.SparseVectorParams(modifier=models.Modifier.IDF)
            for field in schema.sparse
        }
        hnsw = models.HnswConfigDiff(m=HNSW_M, ef_construct=HNSW_EF_CONSTRUCT)
        strict = models.StrictModeConfig(enabled=True, unindexed_filtering_retrieve=False)
        try:
            self._client.create_collection(
                name,
                vectors,
                sparse,
                shard_number=self._placement.shard_number,
                replication_factor=self._placement.replication_factor,
                write_consistency_factor=self._placement.write_consistency_factor,
                quantization_config=self._placement.quantization,
                hnsw_config=hnsw,
                strict_mode_config=strict,
            )
        except UnexpectedResponse as exc:
            if exc.status_code != HTTPStatus.CONFLICT:
                raise

    def _errors(
        self, refused: type[InputError] = InvalidQueryError
    ) -> AbstractContextManager[None]:
        return server_errors(self._url, refused)
