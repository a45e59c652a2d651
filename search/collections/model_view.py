"""A store as questions see it: one model's collections by name, and no tombstones.

An alias may be switched to another model between a question's encoding and its answer. A view
never asks through an alias: whoever holds it gets answers of one model, until it is replaced.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from qdrant_client import models

from common.errors import NotFoundError
from search.collections.schema import DETECTIONS, PAPERS, WITHDRAWN, collection_of, model_of
from search.store.base import (
    CollectionSchema,
    Engine,
    Held,
    HybridQuery,
    IndexState,
    NearestQuery,
    PointId,
    Revisions,
    Store,
    Vector,
    WithPayload,
    WithVectors,
    Written,
)

T = TypeVar("T")

_NOT_WITHDRAWN = models.IsEmptyCondition(is_empty=models.PayloadField(key=WITHDRAWN))
_EVER = models.DatetimeRange(gt=datetime.fromtimestamp(0, UTC))
_WITHDRAWN = models.Filter(must=[models.FieldCondition(key=WITHDRAWN, range=_EVER)])

LOOK_EVERY_S = 1.0
"""How long a view may show what has just been withdrawn from a store without any tombstone."""


def current_view(store: Store) -> Store:
    """Return a store as questions see it, by the model whose collections are in use now."""
    model_id = model_of(store)
    return store if model_id is None else ModelView(store, model_id)


class ModelView:
    """A `Store` whose detections and papers are those of one model, without withdrawn ones."""

    def __init__(self, store: Store, model_id: str, look_every_s: float = LOOK_EVERY_S) -> None:
        self._store = store
        self._names = {alias: collection_of(alias, model_id) for alias in (DETECTIONS, PAPERS)}
        self._look_every_s = look_every_s
        self._looked_s: dict[str, float] = {}  # when there was no tombstone in a collection

    @property
    def engine(self) -> Engine:
        """Which engine answers."""
        return self._store.engine

    def _name(self, collection: str) -> str:
        return self._names.get(collection, collection)

    def _kept(self, collection: str, asked: models.Filter | None) -> models.Filter | None:
        """Return a filter that also leaves out tombstones: the one place where that is done."""
        if collection not in self._names or not self._has_tombstones(collection):
            return asked
        return models.Filter(must=[_NOT_WITHDRAWN, *([asked] if asked else [])])

    def _asked(self, collection: str, ask: Callable[[], T], nothing: T) -> T:
        """Return an answer; of a store into which nothing was ever ingested it is ``nothing``."""
        try:
            return ask()
        except NotFoundError:
            if collection not in self._names or self._store.resolve(collection) is not None:
                raise
            return nothing

    def _has_tombstones(self, collection: str) -> bool:
        """Return whether there are any: the filter costs up to four times an unfiltered query."""
        now_s = time.monotonic()
        if now_s - self._looked_s.get(collection, -math.inf) < self._look_every_s:
            return False
        if self._store.count(self._name(collection), _WITHDRAWN):
            return True
        self._looked_s[collection] = now_s
        return False

    def _kept_in(
        self, collection: str, query: NearestQuery | HybridQuery
    ) -> NearestQuery | HybridQuery:
        if isinstance(query, NearestQuery):
            return replace(query, query_filter=self._kept(collection, query.query_filter))
        parts = [
            replace(part, query_filter=self._kept(collection, part.query_filter))
            for part in query.parts
        ]
        return replace(query, parts=parts)

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

        def ask() -> list[list[models.ScoredPoint]]:
            kept = [self._kept_in(collection, query) for query in queries]
            return self._store.query_batch(self._name(collection), kept)

        return self._asked(collection, ask, [[] for _ in queries])

    def count(self, collection: str, query_filter: models.Filter | None = None) -> int:
        """Return the exact number of points that match; see `Store`."""
        name = self._name(collection)

        def ask() -> int:
            return self._store.count(name, self._kept(collection, query_filter))

        return self._asked(collection, ask, 0)

    def facet(
        self,
        collection: str,
        key: str,
        query_filter: models.Filter | None = None,
        limit: int = 50,
    ) -> dict[str, int]:
        """Return how many points hold each value of an indexed field; see `Store`."""
        name = self._name(collection)

        def ask() -> dict[str, int]:
            return self._store.facet(name, key, self._kept(collection, query_filter), limit)

        return self._asked(collection, ask, {})

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
        nothing: tuple[list[models.Record], int | str | None] = ([], None)

        def ask() -> tuple[list[models.Record], int | str | None]:
            kept = self._kept(collection, query_filter)
            return self._store.scroll(
                self._name(collection), kept, limit, offset, with_payload, with_vectors, order_by
            )

        return self._asked(collection, ask, nothing)

    def retrieve(
        self,
        collection: str,
        ids: Sequence[PointId],
        with_payload: WithPayload = True,
        with_vectors: WithVectors = False,
    ) -> list[models.Record]:
        """Return the points of these ids, tombstones too; see `Store`."""
        name = self._name(collection)

        def ask() -> list[models.Record]:
            return self._store.retrieve(name, ids, with_payload, with_vectors)

        return self._asked(collection, ask, [])

    def resolve(self, alias: str) -> str | None:
        """Return the collection that this view takes for an alias; see `Store`."""
        return self._names.get(alias) or self._store.resolve(alias)

    def aliases(self) -> dict[str, str]:
        """Return the collection of each alias; see `Store`."""
        return self._store.aliases() | self._names

    def set_alias(self, alias: str, collection: str) -> None:
        """Let an alias name this collection; see `Store`."""
        self._store.set_alias(alias, collection)

    def set_aliases(self, aliases: Mapping[str, str]) -> None:
        """Let each alias name its collection; see `Store`."""
        self._store.set_aliases(aliases)

    def create_collection(self, name: str, schema: CollectionSchema) -> None:
        """Create a collection; see `Store`."""
        self._store.create_collection(name, schema)

    def collections(self) -> list[str]:
        """Return the names of all collections; see `Store`."""
        return self._store.collections()

    def delete_collection(self, name: str) -> None:
        """Delete a collection; see `Store`."""
        self._store.delete_collection(name)

    def upsert(self, collection: str, points: Sequence[models.PointStruct]) -> None:
        """Insert or replace points; see `Store`."""
        self._store.upsert(self._name(collection), points)

    def read(
        self, collection: str, ids: Sequence[PointId], with_vectors: WithVectors = False
    ) -> dict[str, Held]:
        """Return points with their revisions, tombstones too; see `Store`."""
        return self._store.read(self._name(collection), ids, with_vectors)

    def replicas(self, collection: str) -> int:
        """Return how many times a collection is kept; see `Store`."""
        return self._store.replicas(self._name(collection))

    def apart(self, collection: str, ids: Sequence[PointId]) -> set[str]:
        """Return the ids of points on which replicas disagree; see `Store`."""
        return self._store.apart(self._name(collection), ids)

    def write(
        self, collection: str, points: Sequence[models.PointStruct], revisions: Revisions
    ) -> Written:
        """Insert or replace points that are as they were read; see `Store`."""
        return self._store.write(self._name(collection), points, revisions)

    def write_payload(
        self, collection: str, payloads: Mapping[PointId, Mapping[str, Any]], revisions: Revisions
    ) -> Written:
        """Set payload fields of points that are as they were read; see `Store`."""
        return self._store.write_payload(self._name(collection), payloads, revisions)

    def delete_points(self, collection: str, ids: Sequence[PointId]) -> None:
        """Delete points; see `Store`."""
        self._store.delete_points(self._name(collection), ids)

    def set_payload(self, collection: str, payloads: Mapping[PointId, Mapping[str, Any]]) -> None:
        """Set payload fields of points; see `Store`."""
        self._store.set_payload(self._name(collection), payloads)

    def delete_payload(
        self,
        collection: str,
        fields: Sequence[str],
        query_filter: models.Filter | None = None,
    ) -> None:
        """Remove payload fields, of tombstones too; see `Store`."""
        self._store.delete_payload(self._name(collection), fields, query_filter)

    def optimize(self, collection: str) -> None:
        """Build the vector index; see `Store`."""
        self._store.optimize(self._name(collection))

    def index_state(self, collection: str) -> IndexState:
        """Return how far a collection is indexed; see `Store`."""
        return self._store.index_state(self._name(collection))

    def save_snapshot(self, collection: str, path: Path) -> None:
        """Write a collection into a file; see `Store`."""
        self._store.save_snapshot(self._name(collection), path)

    def load_snapshot(self, collection: str, path: Path) -> None:
        """Create a collection from a file; see `Store`."""
        self._store.load_snapshot(collection, path)

    def close(self) -> None:
        """Let go of the store; see `Store`."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
