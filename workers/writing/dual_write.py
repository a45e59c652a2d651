"""From the collections of one model to those of the next, while both are written to.

A reindex under way is one stored point (`Reindexing`), which every writer reads after each write.
What was written to the old model's collections is then *carried*: read there, encoded by the new
model where its inputs changed, written to the new collections, and compared again until both say
the same. The filler of `workers.maintenance.reindex` carries everything, ingestion carries what it
has just written; it is the same call, always from old to new, and it never deletes or decides
anything else.

Why nothing older can win, whoever overtakes whom. Let T be the moment of the last write to a
point of the new collections, by writer A. After T, A reads the old collections and then the new
ones and leaves off only when they are equal, say with version v read at T1 > T. Whoever wrote a
later version to the old collections did so after T1, so its own carrying ended with a comparison
after T1 too: it found the new point at v, unequal, and wrote it. That write came after T, which
was the last: a contradiction. Nobody locks, nobody needs an order. It holds as long as

* every writer carries after writing, changed or not: one that was killed in between is made good
  by whoever repeats its batch (the ledger does), and at the latest by `Reindex.check`;
* the state is stored before the first filling: a writer that does not see it has written before,
  so that the filler meets what it wrote;
* all carry in the same direction. So the old collections stay the primary ones even while the
  alias names the new ones, until the reindex ends; a rollback loses nothing for the same reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import numpy as np
from qdrant_client import models

from common.errors import NotFoundError, UnavailableError
from common.ports import Encoder
from search.collections import schema
from search.collections.kept_inputs import NOTHING, Inputs, read_inputs
from search.collections.schema import (
    BM25,
    DETECTIONS,
    OUTLIER_FIELDS,
    SHARED,
    SHARED_SPECTRUM,
    SHARED_TEXT,
    SPECTRUM,
    TEXT,
    TOPIC_PROBABILITY,
    UNENCODED,
    NamedVectors,
    Payload,
    both_vector,
    collection_of,
)
from search.store.base import CollectionSchema, Held, Store
from search.store.revisions import revisions_of

REINDEX = "reindex"
_POINT = 1
_ROUNDS = 20  # a point would have to change as often while it is being carried
_KEPT = (*OUTLIER_FIELDS, TOPIC_PROBABILITY)
_OF_THE_MODEL = frozenset({"model_id", UNENCODED, *_KEPT})

Phase = Literal["filling", "switched", "rolled back", "ending"]
Payloads = dict[UUID, Payload]

_MADE_OF = {
    SPECTRUM: ("spectrum_hash", {SPECTRUM, SHARED_SPECTRUM}),
    TEXT: ("summary_hash", {TEXT, SHARED_TEXT}),
}
"""The hash of each input, and the vectors that are made of it."""


@dataclass(frozen=True, slots=True)
class Reindexing:
    """A change of model under way.

    Attributes
    ----------
    old, new : str
        Model ids.
    phase : str
        ``filling`` and ``rolled back``: questions are answered by the old model; ``switched``: by
        the new one; ``ending``: by the one that is kept, the other's collections are going.
    since : datetime
        When the phase began, UTC.
    kept : str or None
        In the last phase: the model that stays.
    """

    old: str
    new: str
    phase: Phase
    since: datetime
    kept: str | None = None

    @property
    def primary(self) -> str:
        """The model whose collections are written to first."""
        return self.kept or self.old

    def target(self, source: str) -> str | None:
        """Return the model to which that is carried which was written to another, if any."""
        if self.kept:
            return None if source == self.kept else self.kept
        return self.new if source == self.old else None


def read_state(store: Store) -> Reindexing | None:
    """Return the reindex under way, if any."""
    try:
        records = store.retrieve(REINDEX, [_POINT])
    except NotFoundError:
        return None
    if not records:
        return None
    fields = records[0].payload or {}
    return Reindexing(**{**fields, "since": datetime.fromisoformat(fields["since"])})


def write_state(
    store: Store, old: str, new: str, phase: Phase, kept: str | None = None
) -> Reindexing:
    """Store what the reindex has come to, and return it."""
    state = Reindexing(old, new, phase, datetime.now(UTC), kept)
    store.create_collection(REINDEX, CollectionSchema({}, sparse=("none",)))
    payload = {**asdict(state), "since": state.since.isoformat()}
    store.upsert(REINDEX, [models.PointStruct(id=_POINT, vector={}, payload=payload)])
    return state


def forget_state(store: Store) -> None:
    """No reindex is under way any more."""
    store.delete_collection(REINDEX)


class ModelCopier:
    """Make the collections of one model say what those of another say."""

    def __init__(self, store: Store, source: str, encoder: Encoder) -> None:
        self._store = store
        self._source = source
        self._encoder = encoder

    def copy(self, kind: str, ids: Sequence[UUID]) -> int:
        """Copy these points of a kind, and return how many were written.

        Raises
        ------
        UnavailableError
            If others change them all the time.
        """
        source = collection_of(kind, self._source)
        target = collection_of(kind, self._encoder.model_id)
        written: set[UUID] = set()
        pending = [*ids]
        for _ in range(_ROUNDS):
            here = self._read(source, pending, with_vectors=False)
            said = {point: one.payload for point, one in here.items()}
            there = self._read(target, pending, with_vectors=False)
            held = {point: one.payload for point, one in there.items()}
            pending = self._unequal(pending, said, held)
            if not pending:
                return len(written)
            written |= {*pending}
            if gone := [point for point in pending if point not in said]:
                self._store.delete_points(target, gone)
            wanted = {point: said[point] for point in pending if point in said}
            if wanted:
                before = self._read(target, [*wanted])
                points = self._points(kind, wanted, before)
                self._store.write(target, points, revisions_of(before.values()))
        raise UnavailableError(
            f"{len(pending)} {kind} changed {_ROUNDS} times while they were carried to model "
            f"{self._encoder.model_id}: repeat, with fewer writers"
        )

    def renew(self, kind: str, ids: Sequence[UUID], afresh: bool = False) -> None:
        """Encode what points of this model lack, or all of it, from the inputs that are kept."""
        name = collection_of(kind, self._encoder.model_id)
        pending = [*ids]
        for _ in range(_ROUNDS):
            before = self._read(name, pending)
            said = {point: held.payload for point, held in before.items()}
            points = self._points(kind, said, before, afresh)
            pending = [
                UUID(point)
                for point in self._store.write(name, points, revisions_of(before.values())).lost
            ]
            if not pending:
                return
        raise UnavailableError(
            f"{len(pending)} {kind} changed {_ROUNDS} times while they were encoded again: repeat, "
            "with fewer writers"
        )

    def _unequal(self, ids: Sequence[UUID], said: Payloads, held: Payloads) -> list[UUID]:
        """Return the points that differ, or lacked inputs that are there now."""
        lacking = {point: held[point] for point in ids if held.get(point, {}).get(UNENCODED)}
        inputs = read_inputs(self._store, [*lacking])
        return [
            point
            for point in ids
            if not is_carried(said.get(point), held.get(point))
            or any(
                _has(inputs.get(point, NOTHING), lacking[point], what)
                for what in lacking.get(point, {}).get(UNENCODED, ())
            )
        ]

    def _points(
        self, kind: str, said: Payloads, before: Mapping[UUID, Held], afresh: bool = False
    ) -> list[models.PointStruct]:
        """Return what this model is to say, from what it said ``before``."""
        held = {point: one.payload for point, one in before.items()}
        vectors = {
            point: {} if afresh else schema.dense(one.vectors) for point, one in before.items()
        }
        encode = self._detections if kind == DETECTIONS else self._papers
        return encode(said, held, vectors)

    def _detections(
        self, said: Payloads, held: Payloads, vectors: dict[UUID, NamedVectors]
    ) -> list[models.PointStruct]:
        inputs = read_inputs(self._store, [*said])
        fresh: dict[str, dict[UUID, Inputs]] = {SPECTRUM: {}, TEXT: {}}
        lacking: dict[UUID, list[str]] = {point: [] for point in said}
        for point, payload in said.items():
            own = vectors.setdefault(point, {})
            for what, (digest, names) in _MADE_OF.items():
                same = held.get(point, {}).get(digest) == payload.get(digest)
                if same and (digest not in payload or own.keys() >= names):
                    continue
                for name in (*names, schema.BOTH):
                    own.pop(name, None)
                if _has(inputs.get(point, NOTHING), payload, what):
                    fresh[what][point] = inputs[point]
                elif digest in payload:
                    lacking[point].append(what)
        self._encode_spectra(fresh[SPECTRUM], vectors)
        self._encode_texts(
            {p: i.summary for p, i in fresh[TEXT].items() if i.summary}, vectors, SHARED_TEXT
        )
        return [
            self._point(
                point,
                {**vectors[point], **both_vector(vectors[point])},
                payload,
                kept={} if point in fresh[SPECTRUM] else held.get(point, {}),
                lacking=lacking[point],
            )
            for point, payload in said.items()
        ]

    def _papers(
        self, said: Payloads, held: Payloads, vectors: dict[UUID, NamedVectors]
    ) -> list[models.PointStruct]:
        stale = {
            point: schema.stored_summary(payload)
            for point, payload in said.items()
            if held.get(point, {}).get("summary") != payload["summary"]
            or not vectors.get(point, {}).keys() >= {TEXT, SHARED}
            or TOPIC_PROBABILITY not in held.get(point, {})
        }
        topics = self._encode_texts(stale, vectors, SHARED)
        return [
            self._point(
                point,
                {**vectors[point], BM25: _words(payload)},
                payload,
                kept={**held.get(point, {}), **topics.get(point, {})},
            )
            for point, payload in said.items()
        ]

    def _point(
        self,
        point: UUID,
        vectors: Mapping[str, Any],
        payload: Payload,
        kept: Mapping[str, Any] | None = None,
        lacking: Sequence[str] = (),
    ) -> models.PointStruct:
        said = {name: value for name, value in payload.items() if name not in _OF_THE_MODEL}
        own = {name: (kept or {})[name] for name in _KEPT if name in (kept or {})}
        marks = {"model_id": self._encoder.model_id, **({UNENCODED: [*lacking]} if lacking else {})}
        return models.PointStruct(id=str(point), vector={**vectors}, payload=said | own | marks)

    def _encode_spectra(
        self, inputs: Mapping[UUID, Inputs], vectors: dict[UUID, NamedVectors]
    ) -> None:
        if not inputs:
            return
        counts = np.stack([one.counts for one in inputs.values() if one.counts is not None])
        exposure_s = np.array([one.exposure_s for one in inputs.values()])
        encoded = self._encoder.encode_spectra(counts, exposure_s)
        for point, own, shared in zip(inputs, encoded.own, encoded.shared, strict=True):
            vectors[point] |= {SPECTRUM: own.tolist(), SHARED_SPECTRUM: shared.tolist()}

    def _encode_texts(
        self, texts: Mapping[UUID, Any], vectors: dict[UUID, NamedVectors], shared_name: str
    ) -> dict[UUID, Payload]:
        """Add the vectors of texts, and return what is stored of their topics."""
        if not texts:
            return {}
        encoded = self._encoder.encode_summaries(list(texts.values()))
        for point, own, shared in zip(texts, encoded.own, encoded.shared, strict=True):
            vectors.setdefault(point, {}).update({TEXT: own.tolist(), shared_name: shared.tolist()})
        topics = map(schema.topic_payload, encoded.topic_probability.tolist())
        return dict(zip(texts, topics, strict=True))

    def _read(
        self, collection: str, ids: Sequence[UUID], with_vectors: bool = True
    ) -> dict[UUID, Held]:
        found = self._store.read(collection, ids, with_vectors) if ids else {}
        return {UUID(point): held for point, held in found.items()}


def is_carried(said: Payload | None, held: Payload | None) -> bool:
    """Return whether two models' points say the same of a detection or paper."""
    if said is None or held is None:
        return said is held
    return schema.same_payload(_said(said), _said(held))


def _said(payload: Payload) -> Payload:
    return {name: value for name, value in payload.items() if name not in _OF_THE_MODEL}


def _has(inputs: Inputs, payload: Mapping[str, Any], what: str) -> bool:
    """Return whether the kept inputs are those that a payload speaks of."""
    own = inputs.spectrum_hash if what == SPECTRUM else inputs.summary_hash
    return own is not None and own == payload.get(_MADE_OF[what][0])


def _words(payload: Payload) -> models.SparseVector:
    """Return the words by which a stored paper is found."""
    summary = schema.stored_summary(payload)
    return schema.keywords_of(payload["title"], payload.get("abstract", ""), summary)
