"""What both engines promise: collections, points, queries, in the words of `qdrant_client.models`.

A caller never knows which engine answers. Every method that takes a collection also takes an alias.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
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

MAX_DIVERSE = 1000
"""Most candidates of a diverse answer: its time grows with their number times limit squared."""

HNSW_M, HNSW_EF_CONSTRUCT, HNSW_EF = 32, 200, 200
"""Links of a point in the vector index, and how many points are kept in view while it is built and
while it is searched (arXiv:1603.09320): see docs/decisions/0009."""

ACORN_BELOW = 0.8
"""Filters that keep a smaller share of the points are looked through (ACORN, arXiv:2403.04871)."""

RRF_K = 60
"""How little the first places count above the others in a `HybridQuery`."""


@dataclass(frozen=True, slots=True)
class VectorField:
    """A named vector of a collection, compared by cosine."""

    size: int
    on_disk: bool = False


@dataclass(frozen=True, slots=True)
class CollectionSchema:
    """Named vectors of a collection and the payload fields that filters and facets may use.

    Attributes
    ----------
    vectors : mapping of str to VectorField
        Dense vectors.
    payload_indexes : mapping of str to PayloadSchemaType
        Payload fields and how they are indexed.
    linked : frozenset of str
        Indexed fields whose values get links of their own in the vector index. Each makes a large
        index slower to build; it is decided when the field is first indexed.
    sparse : tuple of str
        Sparse vectors, compared by dot product weighted with the inverse document frequency.
    """

    vectors: Mapping[str, VectorField]
    payload_indexes: Mapping[str, models.PayloadSchemaType] = field(default_factory=dict)
    linked: frozenset[str] = frozenset()
    sparse: tuple[str, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Size of each dense vector."""
        return {name: vector.size for name, vector in self.vectors.items()}


@dataclass(frozen=True, slots=True, eq=False)
class NearestQuery:
    """One nearest-neighbour question of a batch.

    Attributes
    ----------
    vector : sequence or ndarray of float, shape (size,), or SparseVector
        The question; finite.
    using : str
        Which named vector to compare it with.
    query_filter : Filter or None
        Only points that match; every field in it needs a payload index.
    limit : int
        Number of points at most, 1 to `MAX_LIMIT`.
    with_payload, with_vectors : bool or list of str
        What to return beside id and score: all, nothing, or these fields or vectors.
    diversity : float
        From 0, the nearest points, to 1, points unlike one another: maximal marginal relevance
        over the `n_candidates` nearest, dense vectors only, limit up to `MAX_DIVERSE`. The first
        answer is always the nearest; scores are those of the question, so they need not fall.
    exact : bool
        Compare with every point that matches, without the vector index.
    """

    vector: Vector | models.SparseVector
    using: str
    query_filter: models.Filter | None = None
    limit: int = 10
    with_payload: WithPayload = True
    with_vectors: WithVectors = False
    diversity: float = 0.0
    exact: bool = False

    @property
    def n_candidates(self) -> int:
        """Number of nearest points among which diverse ones are chosen."""
        return min(max(100, 10 * self.limit), MAX_DIVERSE)


@dataclass(frozen=True, slots=True, eq=False)
class HybridQuery:
    """Several questions answered as one ranking, by reciprocal rank fusion.

    A point that is number r (from 1) in the answer to a part gets 1 / (`RRF_K` + r - 1) from it;
    its score is the sum.

    Attributes
    ----------
    parts : sequence of NearestQuery
        The questions, each with its own vector, filter and limit; what they would return beside
        ids is not asked for.
    limit : int
        Number of points at most, 1 to `MAX_LIMIT`.
    with_payload, with_vectors : bool or list of str
        What to return beside id and score: all, nothing, or these fields or vectors.

    References
    ----------
    .. [1] Cormack, Clarke & Büttcher 2009, SIGIR '09, 758.
    """

    parts: Sequence[NearestQuery]
    limit: int = 10
    with_payload: WithPayload = True
    with_vectors: WithVectors = False


@dataclass(frozen=True, slots=True)
class IndexState:
    """How far a collection is indexed: ``indexed_vectors`` counts every named vector of a point."""

    points: int
    indexed_vectors: int
    segments: int


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A point as it was at one moment.

    Attributes
    ----------
    id : int or str
        Its id, as `Store.retrieve` spells it.
    payload : dict
        Its payload.
    vectors : dict
        Its named vectors, if they were asked for.
    revision : str or None
        What the last write to it was marked with; None where that was before there were marks.
    """

    id: int | str
    payload: dict[str, Any]
    vectors: dict[str, Any]
    revision: str | None


Revisions = Mapping[PointId, str | None]
"""The revisions of points as they were read; a point that was not there is missing."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a guarded write.

    Attributes
    ----------
    revisions : mapping of str to str
        What the points are marked with now that were written, by their ids as text.
    lost : frozenset of str
        Ids of points that others had changed since they were read: read them again, and repeat.
        On a server also those that others have already written once more, so that a repetition
        must do no harm.
    """

    revisions: Mapping[str, str]
    lost: frozenset[str]


class Store(Protocol):
    """Collections of points with named vectors and a payload.

    Errors are those of `common.errors`: ``InputError`` for what can never be stored,
    ``InvalidQueryError`` for a question that cannot be asked, ``NotFoundError`` for an unknown
    collection, ``UnavailableError`` when the engine does not answer. Ids come back as int or str.
    Safe to use from several threads.

    Every write marks its points with a revision of its own (`search.store.revisions`), so that who
    reads a point, works for seconds and writes it erases nothing that came meanwhile: `read`, then
    `write` or `write_payload`, and again for what is lost. Payloads come back without it, unless
    it is asked for by name.
    """

    @property
    def engine(self) -> Engine:
        """Which engine answers."""
        ...

    def create_collection(self, name: str, schema: CollectionSchema) -> None:
        """Create a collection with its payload indexes; repeating it adds what is missing.

        Payload indexes and sparse vectors can be added to a collection that exists; its points
        have no values of them until they are stored again.

        Raises
        ------
        InputError
            If the name is unusable, or the collection exists with other dense vectors.
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

    def set_aliases(self, aliases: Mapping[str, str]) -> None:
        """Let each alias name its collection, all of them from the same moment."""
        ...

    def aliases(self) -> dict[str, str]:
        """Return the collection of each alias."""
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

    def read(
        self, collection: str, ids: Sequence[PointId], with_vectors: WithVectors = False
    ) -> dict[str, Held]:
        """Return points by their ids as text, to decide from them what is written next.

        On a cluster replicas have to agree. Where they go on disagreeing, the latest version that
        is to be found is written to all of them first.
        """
        ...

    def replicas(self, collection: str) -> int:
        """Return how many times a collection is kept."""
        ...

    def apart(self, collection: str, ids: Sequence[PointId]) -> set[str]:
        """Return the ids as text of points on which the replicas of a cluster disagree."""
        ...

    def write(
        self, collection: str, points: Sequence[models.PointStruct], revisions: Revisions
    ) -> Written:
        """Insert or replace those points that are still as they were read.

        ``revisions`` are those of `read`; a point without one there must not exist yet. Checked
        and durable as by `upsert`.
        """
        ...

    def write_payload(
        self, collection: str, payloads: Mapping[PointId, Mapping[str, Any]], revisions: Revisions
    ) -> Written:
        """Set payload fields, as `set_payload` does, of points that are still as they were read."""
        ...

    def delete_points(self, collection: str, ids: Sequence[PointId]) -> None:
        """Delete the points of these ids; unknown ids are left out."""
        ...

    def set_payload(self, collection: str, payloads: Mapping[PointId, Mapping[str, Any]]) -> None:
        """Set these payload fields of these points and keep their other fields.

        Unknown ids are left out. Everything is checked before anything is written.
        """
        ...

    def delete_payload(
        self,
        collection: str,
        fields: Sequence[str],
        query_filter: models.Filter | None = None,
    ) -> None:
        """Remove payload fields from the points that match."""
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
        vector: Vector | models.SparseVector,
        using: str,
        query_filter: models.Filter | None = None,
        limit: int = 10,
        with_payload: WithPayload = True,
        with_vectors: WithVectors = False,
        diversity: float = 0.0,
        exact: bool = False,
    ) -> list[models.ScoredPoint]:
        """Return the points nearest to a vector, best first; see `NearestQuery`."""
        ...

    def query_batch(
        self, collection: str, queries: Sequence[NearestQuery | HybridQuery]
    ) -> list[list[models.ScoredPoint]]:
        """Answer several queries in one call, in the same order.

        Points of equal score come in the order of their ids.
        """
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
        order_by: models.OrderBy | None = None,
    ) -> tuple[list[models.Record], int | str | None]:
        """Return points in the order of their ids, and the offset of the next page, if any.

        In the order of an indexed number or date there is no next page, points without a value
        are left out, and those of equal value come by chance: see `scrolling.first_by`.
        """
        ...

    def optimize(self, collection: str) -> None:
        """Build the vector index after a large upload."""
        ...

    def index_state(self, collection: str) -> IndexState:
        """Return how far a collection is indexed."""
        ...

    def save_snapshot(self, collection: str, path: Path) -> None:
        """Write a collection as it is at one moment into a file, in the engine's own format.

        Writers of an embedded store wait meanwhile, questions do not.
        """
        ...

    def load_snapshot(self, collection: str, path: Path) -> None:
        """Create a collection from the snapshot of an engine of the same kind.

        Raises
        ------
        InputError
            If there is a collection of that name, or the file is no snapshot of this engine.
        """
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
