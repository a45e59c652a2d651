"""Whether store, kept inputs, ledger and files say the same, and how to mend what can be mended.

What is found is told first by `Finding`s; with ``repair`` each is mended as it is found. Ingestion
may go on meanwhile: inputs younger than `YOUNG` may belong to a batch under way and are left alone,
and what is encoded again takes the payload as it is at the moment of writing. Mending twice
changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from qdrant_client import models

from common.errors import InputError, NotFoundError
from common.ports import Progress, no_progress
from common.records import point_id
from ingest.spectra.discover import read_observed
from search.collections.kept_inputs import (
    NOTHING,
    SPECTRA,
    Inputs,
    keep_inputs,
    read_inputs,
    spectrum_inputs,
    written_at,
)
from search.collections.schema import (
    BM25,
    DETECTIONS,
    PAPERS,
    SHARED,
    SHARED_SPECTRUM,
    SHARED_TEXT,
    TOPIC_PROBABILITY,
    Payload,
    collection_of,
)
from search.store.base import PointId
from search.store.revisions import revisions_of
from search.store.scroll import scroll_all
from workers.writing.dual_write import ModelCopier, is_carried, read_state
from workers.writing.pipeline import Pipeline
from workers.writing.writer import in_batches

BATCH = 256
YOUNG = timedelta(hours=1)
LEDGER = "ingest_log"
_FEEDS: Mapping[str, tuple[Literal["detection", "paper"], str]] = {
    "csc": ("detection", DETECTIONS),
    "ads": ("paper", PAPERS),
}
"""Feeds whose item is a point by the same key."""

Kind = Literal[
    "vectors missing",
    "topic missing",
    "inputs missing",
    "inputs not encoded",
    "replicas disagree",
    "inputs without a detection",
    "another model's point",
    "former bibcode",
    "not ingested",
    "unreadable file",
    "lost item",
    "not carried to the new model",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be."""

    kind: Kind
    key: str
    cure: str
    mended: bool = False


@dataclass(slots=True)
class Verified:
    """What was compared, and what was found."""

    checked: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def open(self) -> list[Finding]:
        """What has not been mended."""
        return [finding for finding in self.findings if not finding.mended]

    def counts(self) -> dict[str, int]:
        """Return how many of each kind there are."""
        kinds = [finding.kind for finding in self.findings]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


class Verifier:
    """Compare everything once."""

    def __init__(
        self, pipeline: Pipeline, repair: bool = False, progress: Progress = no_progress
    ) -> None:
        self._pipeline = pipeline
        self._store = pipeline.store
        self._repair = repair
        self._progress = progress
        self._encoder = pipeline.primary()
        self._found = Verified()

    def run(self, files: Iterable[Path] = ()) -> Verified:
        """Compare files, papers, detections, inputs, ledger and a reindex under way."""
        self._check_files(files)
        former = self._check_papers()
        self._check_detections(former)
        self._check_inputs()
        self._check_ledger()
        self._check_reindex()
        self._check_replicas()
        return self._found

    def _tell(self, kind: Kind, key: str, cure: str, mended: bool = False) -> None:
        self._found.findings.append(Finding(kind, key, cure, mended))

    def _check_files(self, files: Iterable[Path]) -> None:
        """Look spectra up by their content: what a file is called says nothing."""
        for path in files:
            try:
                observed = read_observed(path)
            except (InputError, NotFoundError) as exc:
                self._tell("unreadable file", str(path), str(exc))
                continue
            for one in observed:
                digest = one.spectrum.hash()
                match = models.MatchValue(value=digest)
                same = models.Filter(must=[models.FieldCondition(key="spectrum_hash", match=match)])
                fields = ["key"]
                held = [*scroll_all(self._store, self._name(DETECTIONS), same, fields)]
                if not held:
                    cure = "`chandra-search ingest spectra`, with its --catalog"
                    self._tell("not ingested", str(path), cure)
                ids = {UUID(str(record.id)): (record.payload or {})["key"] for record in held}
                kept = read_inputs(self._store, [*ids])
                for point, key in ids.items():
                    if kept.get(point, NOTHING).spectrum_hash != digest and self._repair:
                        keep_inputs(self._store, {point: spectrum_inputs(key, one.spectrum)})
                        self._tell("inputs missing", key, f"read from {path.name}", mended=True)
            self._count("files", 1)

    def _check_papers(self) -> dict[str, str]:
        """Return the present bibcode of every former one."""
        former: dict[str, str] = {}
        for batch in self._batches(PAPERS, [SHARED, BM25]):
            lacking = []
            for record in batch:
                payload = record.payload or {}
                former |= dict.fromkeys(payload.get("alternate_bibcodes", ()), payload["bibcode"])
                if not _vectors(record) >= {SHARED, BM25}:
                    lacking.append(record)
                    self._tell("vectors missing", payload["bibcode"], "encode again", self._repair)
                elif TOPIC_PROBABILITY not in payload:
                    lacking.append(record)
                    self._tell("topic missing", payload["bibcode"], "encode again", self._repair)
                self._check_model(PAPERS, record, payload["bibcode"])
            self._renew(PAPERS, lacking)
        return former

    def _check_detections(self, former: Mapping[str, str]) -> None:
        for batch in self._batches(DETECTIONS, [SHARED_SPECTRUM, SHARED_TEXT]):
            kept = read_inputs(self._store, [UUID(str(record.id)) for record in batch])
            lacking = []
            for record in batch:
                payload, point = record.payload or {}, UUID(str(record.id))
                key, inputs = payload["key"], kept.get(point, NOTHING)
                missing = _missing(payload, inputs)
                if missing:
                    self._tell("inputs missing", key, f"ingest its {' and '.join(missing)} again")
                if left_out := _left_out(payload, inputs):
                    self._tell("inputs not encoded", key, "encode", self._repair)
                    lacking.append(record)
                    if self._repair:
                        self._speak_of(point, left_out)
                if not _vectors(record) >= _wanted(payload):
                    can = not missing
                    cure = "encode again" if can else f"ingest its {' and '.join(missing)} again"
                    self._tell("vectors missing", key, cure, can and self._repair)
                    lacking.append(record)
                self._check_model(DETECTIONS, record, key)
                self._check_bibcodes(point, payload, former)
            self._renew(DETECTIONS, lacking)

    def _speak_of(self, point: UUID, left_out: Payload) -> None:
        """Let a detection speak of its inputs, unless it does by now."""
        held = self._store.read(self._name(DETECTIONS), [point]).values()
        hashes = left_out.keys() & {"spectrum_hash", "summary_hash"}
        if any(hashes.isdisjoint(one.payload) for one in held):
            self._store.write_payload(self._name(DETECTIONS), {point: left_out}, revisions_of(held))
            self._pipeline.carry(DETECTIONS, [point])

    def _check_model(self, kind: str, record: models.Record, key: str) -> None:
        """Vectors of two models never mix; who wrote such a point is not known, so tell only."""
        found = (record.payload or {}).get("model_id", self._encoder.model_id)
        if found != self._encoder.model_id:
            cure = f"it says {found}: ingest it again"
            self._tell("another model's point", key, cure, self._repair)
            if self._repair:
                self._renew_from_inputs(kind, record)

    def _check_bibcodes(self, point: UUID, payload: Payload, former: Mapping[str, str]) -> None:
        held = payload.get("bibcodes", ())
        present = [*dict.fromkeys(former.get(bibcode, bibcode) for bibcode in held)]
        if present != [*held]:
            moved = ", ".join(bibcode for bibcode in held if bibcode in former)
            self._tell("former bibcode", payload["key"], f"{moved} has moved", self._repair)
            if self._repair:
                self._pipeline.correct(DETECTIONS, {point: {"bibcodes": present}})

    def _renew(self, kind: str, records: list[models.Record]) -> None:
        """Encode what lacks vectors, from the inputs that are kept."""
        if self._repair and records:
            self._copier().renew(kind, [UUID(str(record.id)) for record in records])

    def _renew_from_inputs(self, kind: str, record: models.Record) -> None:
        self._copier().renew(kind, [UUID(str(record.id))], afresh=True)

    def _copier(self) -> ModelCopier:
        return ModelCopier(self._store, self._encoder.model_id, self._encoder)

    def _check_inputs(self) -> None:
        """Find inputs that belong to no detection, and are too old to be ahead of theirs."""
        records = scroll_all(self._store, SPECTRA, with_payload=["key", "written_at"])
        for batch in in_batches(records, BATCH):
            ids = [record.id for record in batch]
            known = {r.id for r in self._store.retrieve(self._name(DETECTIONS), ids, False)}
            stray = [r for r in batch if r.id not in known and _is_old(written_at(r.payload or {}))]
            for record in stray:
                key = str((record.payload or {}).get("key"))
                self._tell("inputs without a detection", key, "remove", self._repair)
            if stray and self._repair:
                self._store.delete_points(SPECTRA, [record.id for record in stray])
            self._count(SPECTRA, len(batch))

    def _check_ledger(self) -> None:
        """Find items that the ledger calls stored and the store does not hold."""
        if LEDGER not in self._store.collections():
            return
        fields = ["feed", "key", "state"]
        for batch in in_batches(scroll_all(self._store, LEDGER, with_payload=fields), BATCH):
            items = [r for r in batch if (r.payload or {}).get("state") == "stored"]
            for feed, (kind, collection) in _FEEDS.items():
                own = {
                    point_id(kind, (item.payload or {})["key"]): item
                    for item in items
                    if (item.payload or {}).get("feed") == feed
                }
                found = self._store.retrieve(self._name(collection), [*own], False) if own else []
                known = {UUID(str(record.id)) for record in found}
                lost = [item for point, item in own.items() if point not in known]
                for item in lost:
                    key = (item.payload or {})["key"]
                    self._tell("lost item", f"{feed} {key}", "ingest again", self._repair)
                if lost and self._repair:
                    self._store.set_payload(LEDGER, {item.id: _FOUND_AGAIN for item in lost})
                self._count(f"ledger {feed}", len(own))

    def _check_reindex(self) -> None:
        state = read_state(self._store)
        if state is None or state.phase == "ending":
            return
        for kind in (PAPERS, DETECTIONS):
            old, new = collection_of(kind, state.old), collection_of(kind, state.new)
            if self._store.count(old) > self._store.count(new) and state.phase == "filling":
                continue  # it is being filled: that will be compared before the switch
            for batch in in_batches(scroll_all(self._store, old), BATCH):
                held = {r.id: r.payload for r in self._store.retrieve(new, [r.id for r in batch])}
                apart = [r for r in batch if not is_carried(r.payload, held.get(r.id))]
                for record in apart:
                    self._tell("not carried to the new model", _key(record), "carry", self._repair)
                if apart and self._repair:
                    self._pipeline.carry(kind, [UUID(str(record.id)) for record in apart])

    def _check_replicas(self) -> None:
        """Find what a write that failed half-way left on some replicas only.

        Which replica answers is the server's choice: a point that one lacks is met by another.
        """
        seen: set[tuple[str, str]] = set()
        own = map(self._name, (PAPERS, DETECTIONS))
        held = {*self._store.collections()}
        for name in (*own, *self._of_next_model(), SPECTRA, LEDGER):
            copies = self._store.replicas(name) if name in held else 1
            for _ in range(copies if copies > 1 else 0):
                for batch in in_batches(scroll_all(self._store, name, None, True, False), BATCH):
                    apart = self._store.apart(name, [record.id for record in batch])
                    for record in batch:
                        if str(record.id) in apart and (name, str(record.id)) not in seen:
                            seen.add((name, str(record.id)))
                            key = _key(record)
                            self._tell("replicas disagree", key, "write again", self._repair)
                    if apart and self._repair:
                        self._mend(name, [r.id for r in batch if str(r.id) in apart])

    def _mend(self, name: str, ids: Sequence[PointId]) -> None:
        """Write points as they are to all replicas; who reads does so, if no later one hides."""
        held = self._store.read(name, ids, with_vectors=True).values()
        if hidden := {*self._store.apart(name, ids)}:
            points = [
                models.PointStruct(id=one.id, vector=one.vectors, payload=one.payload)
                for one in held
                if str(one.id) in hidden
            ]
            self._store.write(name, points, revisions_of(held))
            self._store.read(name, ids)

    def _of_next_model(self) -> list[str]:
        state = read_state(self._store)
        target = state.target(self._encoder.model_id) if state else None
        return [collection_of(kind, target) for kind in (PAPERS, DETECTIONS)] if target else []

    def _batches(self, kind: str, vectors: list[str]) -> Iterator[list[models.Record]]:
        total = self._store.count(self._name(kind))
        records = scroll_all(self._store, self._name(kind), None, True, vectors, BATCH)
        done = 0
        for batch in in_batches(records, BATCH):
            yield batch
            done += len(batch)
            self._progress(kind, done, max(done, total))
            self._count(kind, len(batch))

    def _count(self, what: str, n: int) -> None:
        self._found.checked[what] = self._found.checked.get(what, 0) + n

    def _name(self, kind: str) -> str:
        return collection_of(kind, self._encoder.model_id)


_FOUND_AGAIN: Mapping[str, Any] = {"state": "found", "error": None, "leased_until": None}


def _key(record: models.Record) -> str:
    payload = record.payload or {}
    return str(payload.get("key") or payload.get("bibcode") or record.id)


def _vectors(record: models.Record) -> set[str]:
    return {*record.vector} if isinstance(record.vector, dict) else set()


def _wanted(payload: Payload) -> set[str]:
    """Return the shared vectors that a detection should have."""
    names = {SHARED_SPECTRUM} if "spectrum_hash" in payload else set()
    return names | ({SHARED_TEXT} if "summary_hash" in payload else set())


def _missing(payload: Payload, inputs: Inputs) -> list[str]:
    """Return which inputs of a detection are not kept, or are not those it speaks of."""
    pairs = (
        ("spectrum", payload.get("spectrum_hash"), inputs.spectrum_hash),
        ("text", payload.get("summary_hash"), inputs.summary_hash),
    )
    return [name for name, said, kept in pairs if said is not None and said != kept]


def _left_out(payload: Payload, inputs: Inputs) -> Payload:
    """Return what a detection should say of inputs that it knows nothing of: it was overwritten."""
    if not _is_old(inputs.written_at):
        return {}
    said: Payload = {}
    if inputs.counts is not None and "spectrum_hash" not in payload:
        said |= {
            "has_spectrum": True,
            "spectrum_hash": inputs.spectrum_hash,
            "counts": round(float(inputs.counts.sum()), 6),
            "exposure_s": inputs.exposure_s,
        }
    if inputs.summary is not None and "summary_hash" not in payload:
        said["summary_hash"] = inputs.summary_hash
    return said


def _is_old(moment: datetime | None) -> bool:
    return moment is None or datetime.now(UTC) - moment > YOUNG
