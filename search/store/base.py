"""What both engines promise: collections, points, queries, in the words of `qdrant_client.models`.

A caller never knows which engine answers. Every method that takes a collection also takes an alias.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self
from uuid import UUID

import numpy as np
import numpy.typing as npt
from qdrant_client import models

Vector = Sequence[float] | npt.NDArray[np.floating[Any]]
PointId = int | str | UUID
WithPayload = bool | list[str]
WithVectors = bool | list[str]
Engine = Literal["embedded", "server"]

MAX_LIMIT = 10_000
"""Most points that one call returns; more is read by `Store.scroll`."""


@dataclass(frozen=True, slots=True)
class VectorField:
    """A named vector of a collection, compared by cosine."""

    size: int
    on_disk: bool = False


@dataclass(frozen=True, slots=True)
class CollectionSchema:
    """Named vectors of a collection and the payload fields that filters and facets may use."""

    vectors: Mapping[str, VectorField]
    payload_indexes: Mapping[str, models.PayloadSchemaType] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """Size of each named vector."""
        return {name: vector.size for name, vector in self.vectors.items()}


@dataclass(frozen=True, slots=True, eq=False)
class NearestQuery:
    """One nearest-neighbour question of a batch.

    Attributes
    ----------
    vector : sequence or ndarray of float, shape (size,)
        The question; finite.
    using : str
        Which named vector to compare it with.
    query_filter : Filter or None
        Only points that match; every field in it needs a payload index.
    limit : int
        Number of points at most, 1 to `MAX_LIMIT`.
    with_payload, with_vectors : bool or list of str
        What to return beside id and score: all, nothing, or these fields or vectors.
    """

    vector: Vector
    using: str
    query_filter: models.Filter | None = None
    limit: int = 10
    with_payload: WithPayload = True
    with_vectors: WithVectors = False


class Store(Protocol):
    """Collections of points with named vectors and a payload.

    Errors are those of `common.errors`: ``InputError`` for what can never be stored,
    ``InvalidQueryError`` for a question that cannot be asked, ``NotFoundError`` for an unknown
    collection, ``UnavailableError`` when the engine does not answer. Ids come back as int or str.
    Safe to use from several threads.
    """

    @property
    def engine(self) -> Engine:
        """Which engine answers."""
        ...

    def create_collection(self, name: str, schema: CollectionSchema) -> None:
        """Create a collection with its payload indexes; repeating it adds what indexes are missing.

        Raises
        ------
        InputError
            If the name is unusable, or the collection exists with other vectors.
        """
        ...

    def collections(self) -> list[str]:
        """Return the names of all collections in alphabetical order, without aliases."""
        ...

    def delete_collection(self, name: str) -> None:
        """Delete a collection by its own name, its points, and the aliases that point to it."""
        ...

    def set_alias(self, alias: str, collection: str) -> None:
        """Let an alias name this collection, from one moment to the next."""
        ...

    def resolve(self, alias: str) -> str | None:
        """Return the collection that an alias names, None if there is no such alias."""
        ...

    def upsert(self, collection: str, points: Sequence[models.PointStruct]) -> None:
        """Insert points or replace those of the same id; once it returns, a kill loses nothing.

        Points may lack some of the named vectors. Everything is checked before anything is
        written: vectors that are not finite, of another size or of an unknown name, and payloads
        that are not JSON, raise InputError.
        """
        ...

    def retrieve(
        self,
        collection: str,
        ids: Sequence[PointId],
        with_payload: WithPayload = True,
        with_vectors: WithVectors = False,
    ) -> list[models.Record]:
        """Return the points of these ids in the order asked, unknown ids left out."""
        ...

    def query(
        self,
        collection: str,
        vector: Vector,
        using: str,
        query_filter: models.Filter | None = None,
        limit: int = 10,
        with_payload: WithPayload = True,
        with_vectors: WithVectors = False,
    ) -> list[models.ScoredPoint]:
        """Return the points nearest to a vector, best first; see `NearestQuery`."""
        ...

    def query_batch(
        self, collection: str, queries: Sequence[NearestQuery]
    ) -> list[list[models.ScoredPoint]]:
        """Answer several queries in one call, in the same order."""
        ...

    def count(self, collection: str, query_filter: models.Filter | None = None) -> int:
        """Return the exact number of points that match."""
        ...

    def facet(
        self,
        collection: str,
        key: str,
        query_filter: models.Filter | None = None,
        limit: int = 50,
    ) -> dict[str, int]:
        """Return how many points hold each value of an indexed field, most frequent first."""
        ...

    def scroll(
        self,
        collection: str,
        query_filter: models.Filter | None = None,
        limit: int = 100,
        offset: int | str | None = None,
        with_payload: WithPayload = True,
        with_vectors: WithVectors = False,
    ) -> tuple[list[models.Record], int | str | None]:
        """Return points in the order of their ids, and the offset of the next page, if any."""
        ...

    def optimize(self, collection: str) -> None:
        """Build the vector index after a large upload."""
        ...

    def close(self) -> None:
        """Write what is pending and let go of the store; closing twice changes nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
