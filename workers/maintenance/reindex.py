"""A better model for a store that is in use: filled beside the live one, checked, then switched.

Nothing here stops ingestion or questions. Ingestion writes to both models' collections until the
reindex has ended, and `workers.writing.dual_write` says why neither overtakes the other. Questions
go to the old collections until one request moves both aliases. Killed at any moment, the same
command goes on: what is already there is compared and not encoded again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from qdrant_client import models

from common.errors import InputError, NotFoundError, UnavailableError
from common.ports import Encoder, Progress, no_progress
from search.app import keep_bundle, keep_calibration, keep_current_bundle, load_encoder
from search.collections import kept_inputs as inputs
from search.collections import schema
from search.collections.kept_inputs import read_inputs
from search.collections.schema import (
    DETECTIONS,
    PAPERS,
    SHARED,
    SHARED_SPECTRUM,
    UNENCODED,
    collection_of,
    model_of,
)
from search.settings import SearchSettings
from search.store.base import NearestQuery, Store
from search.store.scroll import scroll_all
from workers.writing.dual_write import (
    ModelCopier,
    Reindexing,
    forget_state,
    read_state,
    write_state,
)
from workers.writing.writer import in_batches

BATCH = 256
GRACE_S = 60.0
"""How long dropped collections stay for questions and batches under way, and for `ModelWatch`."""

SAMPLE = 200
_PAGE_OF_SAMPLE = 10
_SAME = 0.999  # cosine of a vector with itself, stored as float32 and perhaps compressed
_FOUND = 0.98  # of a sample: an approximate index misses a few
_KINDS = (PAPERS, DETECTIONS)
_ATTEMPTS = 5
_PAUSE_S = 1.0
_UNENCODED = models.Filter(
    must_not=[models.IsEmptyCondition(is_empty=models.PayloadField(key=UNENCODED))]
)


@dataclass(frozen=True, slots=True)
class Reindexed:
    """What a reindex has come to.

    Attributes
    ----------
    detections, papers : int
        Points of the new collections.
    encoded : int
        Points written by this run; the others were there.
    incomplete : list of str
        Keys of detections without the new vectors: ingest them again.
    """

    detections: int
    papers: int
    encoded: int
    incomplete: list[str]


class Reindex:
    """Bring a store to the model of an encoder."""

    def __init__(
        self, store: Store, encoder: Encoder, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._store = store
        self._encoder = encoder
        self._sleep = sleep

    def run(self, progress: Progress = no_progress) -> Reindexed:
        """Fill, check and switch; repeated, it goes on where it was interrupted.

        Raises
        ------
        InputError
            If the store has this model already, or is on its way to another.
        UnavailableError
            If the new collections do not say what the old ones do: nothing is switched then.
        """
        state = self.begin()
        encoded = self.fill(progress)
        if state.phase != "switched":
            encoded += self.check(progress)
            self.switch()
        counts = {kind: self._store.count(self._new(kind)) for kind in _KINDS}
        return Reindexed(counts[DETECTIONS], counts[PAPERS], encoded, incomplete(self._store))

    def begin(self) -> Reindexing:
        """Create the new collections and let every writer know, before anything is filled."""
        new = self._encoder.model_id
        state = read_state(self._store)
        if state and state.new != new:
            raise InputError(
                f"a change to model {state.new} is under way: complete it with its own bundle, or "
                "give it up with --rollback and --drop-old"
            )
        if state and state.phase == "ending":
            raise InputError("the last change has not ended: repeat `reindex --drop-old` first")
        old = state.old if state else model_of(self._store)
        if old is None:
            raise NotFoundError(
                "nothing is stored yet: ingest with this bundle (--bundle), no reindex is needed"
            )
        if old == new:
            raise InputError(f"the store has model {new} already: give another --bundle")
        schema.create_collections(self._store, self._encoder)
        self._store.create_collection(inputs.SPECTRA, inputs.SCHEMA)
        return state or write_state(self._store, old, new, "filling")

    def fill(self, progress: Progress = no_progress) -> int:
        """Carry everything, and return how many points were written."""
        return sum(self._carry(kind, self._old(kind), kind, progress) for kind in _KINDS)

    def check(self, progress: Progress = no_progress) -> int:
        """Compare everything once more, then counts and answers; return how many were written.

        Whoever was killed between the two writes of a batch is made good here.
        """
        written = 0
        for _ in range(_ATTEMPTS):
            for kind in _KINDS:
                written += self._carry(kind, self._old(kind), f"checking {kind}", progress)
                if self._store.count(self._new(kind)) > self._store.count(self._old(kind)):
                    written += self._carry(kind, self._new(kind), f"{kind} removed", progress)
            counts = {k: (self._store.count(self._old(k)), self._count(k)) for k in _KINDS}
            if all(old == new for old, new in counts.values()):
                break
            self._sleep(_PAUSE_S)  # ingestion is between its two writes
        else:
            told = ", ".join(f"{new:,} of {old:,} {kind}" for kind, (old, new) in counts.items())
            raise UnavailableError(f"the new collections hold {told}, not switched: repeat")
        for kind in _KINDS:
            self._check_answers(kind)
        return written

    def switch(self) -> None:
        """Let questions go to the new collections, all from one moment to the next."""
        for kind in _KINDS:
            self._store.optimize(self._new(kind))
        self._store.set_aliases({kind: self._new(kind) for kind in _KINDS})
        write_state(self._store, self._state().old, self._encoder.model_id, "switched")

    def _state(self) -> Reindexing:
        state = read_state(self._store)
        if state is None:
            raise UnavailableError("the reindex was ended by somebody else: look with --status")
        return state

    def _old(self, kind: str) -> str:
        return collection_of(kind, self._state().old)

    def _new(self, kind: str) -> str:
        return collection_of(kind, self._encoder.model_id)

    def _count(self, kind: str) -> int:
        return self._store.count(self._new(kind))

    def _carry(self, kind: str, listed: str, stage: str, progress: Progress) -> int:
        """Carry the points that one collection lists."""
        copier = ModelCopier(self._store, self._state().old, self._encoder)
        total, done, written = self._store.count(listed), 0, 0
        records = scroll_all(self._store, listed, with_payload=False)
        for batch in in_batches(records, BATCH):
            written += copier.copy(kind, [UUID(str(record.id)) for record in batch])
            done += len(batch)
            progress(stage, done, max(done, total))
        return written

    def _check_answers(self, kind: str) -> None:
        """Let inputs of a sample, encoded anew, find the point that was made of them.

        What ingestion changes between question and answer counts for nothing.
        """
        said = self._contents(kind, self._sample(kind))
        questions, using = (
            (self._spectra(said), SHARED_SPECTRUM)
            if kind == DETECTIONS
            else (self._texts([*said]), SHARED)
        )
        asked = [
            NearestQuery(vector, using, limit=1, with_payload=False)
            for vector in questions.values()
        ]
        answers = self._store.query_batch(self._new(kind), asked) if asked else []
        now = self._contents(kind, [*questions])
        same = [
            hits
            for point, hits in zip(questions, answers, strict=True)
            if now.get(point) == said[point]
        ]
        found = sum(bool(hits) and hits[0].score > _SAME for hits in same)
        if found < _FOUND * len(same):
            raise UnavailableError(
                f"only {found} of {len(same)} {kind} are found by their own content in "
                f"{self._new(kind)}, not switched: repeat, or --rollback and --drop-old"
            )

    def _contents(self, kind: str, ids: Sequence[UUID]) -> dict[UUID, Any]:
        """Return what tells the content of points."""
        field = "spectrum_hash" if kind == DETECTIONS else "summary"
        records = self._store.retrieve(self._new(kind), ids, [field]) if ids else []
        return {UUID(str(record.id)): (record.payload or {}).get(field) for record in records}

    def _sample(self, kind: str) -> list[UUID]:
        """Return points spread by chance: their ids are hashes."""
        found: dict[UUID, None] = {}
        for _ in range(SAMPLE // _PAGE_OF_SAMPLE):
            page, _ = self._store.scroll(
                self._new(kind), limit=_PAGE_OF_SAMPLE, offset=str(uuid4()), with_payload=False
            )
            found.update(dict.fromkeys(UUID(str(record.id)) for record in page))
        return [*found]

    def _spectra(self, hashes: Mapping[UUID, str | None]) -> dict[UUID, list[float]]:
        given = {
            point: one
            for point, one in read_inputs(self._store, [*hashes]).items()
            if one.counts is not None and one.spectrum_hash == hashes[point]
        }
        if not given:
            return {}
        counts = np.stack([one.counts for one in given.values() if one.counts is not None])
        exposure_s = np.array([one.exposure_s for one in given.values()])
        encoded = self._encoder.encode_spectra(counts, exposure_s)
        return dict(zip(given, encoded.shared.tolist(), strict=True))

    def _texts(self, ids: Sequence[UUID]) -> dict[UUID, list[float]]:
        records = self._store.retrieve(self._new(PAPERS), ids) if ids else []
        if not records:
            return {}
        summaries = [schema.stored_summary(record.payload or {}) for record in records]
        encoded = self._encoder.encode_summaries(summaries)
        points = (UUID(str(record.id)) for record in records)
        return dict(zip(points, encoded.shared.tolist(), strict=True))


def open_reindex(store: Store, settings: SearchSettings, bundle: Path) -> Reindex:
    """Return the change of an open store to another bundle; both are kept beside the store.

    Raises
    ------
    BundleError
        If the bundle is damaged, or that of the stored vectors, which ingestion needs meanwhile,
        is neither kept there nor the one of the settings.
    """
    encoder = load_encoder(settings.model_copy(update={"bundle": bundle}))
    keep_bundle(settings, bundle, encoder.model_id)
    current = keep_current_bundle(store, settings)
    if current not in (None, encoder.model_id):
        keep_calibration(settings, str(current))
    return Reindex(store, encoder)


def incomplete(store: Store) -> list[str]:
    """Return the detections that a new model could not be given, by key, of the model in use."""
    records = scroll_all(store, DETECTIONS, _UNENCODED, ["key"])
    return sorted((record.payload or {})["key"] for record in records)


def roll_back(store: Store) -> Reindexing:
    """Let questions go to the old collections again; ingestion has kept them complete."""
    state = read_state(store)
    if state is None or state.phase == "ending":
        raise InputError("there is nothing to go back to: no reindex is under way, or it is ending")
    store.set_aliases({kind: collection_of(kind, state.old) for kind in _KINDS})
    return write_state(store, state.old, state.new, "rolled back")


def drop_old(
    store: Store,
    grace_s: float = GRACE_S,
    sleep: Callable[[float], None] = time.sleep,
    progress: Progress = no_progress,
) -> str:
    """Delete the collections that no question goes to, end the reindex, and return the model left.

    Everybody is told first, and has ``grace_s`` for what is under way.
    """
    state = read_state(store)
    if state is None:
        raise InputError("no reindex is under way: there is nothing to drop")
    if state.phase == "filling":
        raise InputError(
            "the new collections are not in use yet: complete the reindex, or give it up with "
            "--rollback first"
        )
    kept = state.kept or (state.new if state.phase == "switched" else state.old)
    gone = state.old if kept == state.new else state.new
    if state.phase != "ending":
        state = write_state(store, state.old, state.new, "ending", kept)
    end = state.since + timedelta(seconds=grace_s)
    while (left := (end - datetime.now(UTC)).total_seconds()) > 0:
        progress("letting what is under way end", round(grace_s - left), round(grace_s))
        sleep(min(left, 1.0))
    for name in {collection_of(kind, gone) for kind in _KINDS} & {*store.collections()}:
        store.delete_collection(name)
    forget_state(store)
    return kept
