"""Records of one batch into the collections of one model: what is new or changed is encoded."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar
from uuid import UUID

import numpy as np
from qdrant_client import models

from common.errors import UnavailableError
from common.ports import Encoder, Float32Array, Summarizer
from common.records import Detection, Outcome, Paper, Spectrum, Summary
from search.collections import schema
from search.collections.kept_inputs import hashes_kept, keep_inputs, spectrum_inputs, summary_inputs
from search.collections.schema import (
    DETECTIONS,
    PAPERS,
    SPECTRUM,
    TEXT,
    UNENCODED,
    WITHDRAWN,
    NamedVectors,
    Payload,
    collection_of,
)
from search.store.base import Held, Store
from search.store.revisions import revisions_of
from workers.writing.renamed_papers import BibcodeRenames

ROUNDS = 20
"""How often a point may be changed by others while it is being written."""

EncodedText = tuple[Float32Array, Float32Array, float]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DetectionItem:
    """A detection on its way into the store, with what has come for it so far."""

    input: str
    detection: Detection
    spectrum: Spectrum | None = None
    file: str | None = None
    summary: Summary | None = None


class Writer:
    """Write batches to the collections of one model; which model does not change under way.

    Encoding takes seconds, and others may write meanwhile: so what is written says what it was
    worked out from, and what has changed since is read again, merged again and written again, with
    the vectors that are made already. Of a spectrum and a text that come at once neither is lost.
    """

    def __init__(self, store: Store, encoder: Encoder, summarizer: Summarizer) -> None:
        self._store = store
        self._encoder = encoder
        self._summarizer = summarizer
        self.model_id = encoder.model_id

    def write_detections(self, items: Sequence[DetectionItem]) -> list[Outcome]:
        """Store detections, each of them once in a batch, and say what became of them."""
        made = _Made(self._encoder)
        changed: set[UUID] = set()
        refused: dict[UUID, str] = {}
        pending = {item.detection.id: item for item in items}
        stored = first = self._read(DETECTIONS, [*pending])
        for _ in range(ROUNDS):
            refused |= {
                point: reason
                for point, item in pending.items()
                if (reason := _displaces_an_observation(item, stored.get(point)))
            }
            kept = {point: item for point, item in pending.items() if point not in refused}
            self._keep_inputs([*kept.values()])
            lost = self._write_detections_once(kept, stored, made, changed, first)
            if not lost:
                break
            pending = {point: kept[point] for point in lost}
            stored = self._read(DETECTIONS, [*pending])
        else:
            raise _busy(len(pending), DETECTIONS)
        return [self._outcome(item, changed, refused) for item in items]

    def _write_detections_once(
        self,
        items: Mapping[UUID, DetectionItem],
        stored: Mapping[UUID, Held],
        made: "_Made",
        changed: set[UUID],
        first: Mapping[UUID, Held],
    ) -> set[UUID]:
        """Write what differs, and return what others have changed meanwhile.

        ``first`` is what was stored when the batch was begun: what came since is the later word.
        """
        said = {point: held.payload for point, held in stored.items()}
        merged = {
            point: self._merge(item, said.get(point, {}))
            | _said_since(first.get(point), said.get(point, {}))
            for point, item in items.items()
        }
        todo = {
            point: item
            for point, item in items.items()
            if not schema.same_payload(merged[point], said.get(point))
        }
        spectra = {
            point: item.spectrum
            for point, item in todo.items()
            if item.spectrum and _needs(merged, said, point, SPECTRUM, "spectrum_hash")
        }
        texts = {
            point: item.summary
            for point, item in todo.items()
            if item.summary and _needs(merged, said, point, TEXT, "summary_hash")
        }
        of_spectra, of_texts = made.spectra(spectra), made.texts(texts)
        now = self._read(DETECTIONS, [*todo], with_vectors=True)
        points = []
        for point in todo:
            vectors = dict(now[point].vectors) if point in now else {}
            vectors |= of_spectra.get(point, {})
            if point in of_texts:
                own, shared, _ = of_texts[point]
                vectors |= {TEXT: own.tolist(), schema.SHARED_TEXT: shared.tolist()}
            points.append(_point(point, vectors | schema.both_vector(vectors), merged[point]))
        changed.update(todo)
        return self._write(DETECTIONS, points, stored)

    def write_papers(self, papers: Sequence[Paper]) -> tuple[list[Outcome], dict[str, set[UUID]]]:
        """Store papers, and return what became of them and which points were touched, by kind."""
        moves = BibcodeRenames(self._store, self.model_id, papers)
        made, summarized = _Made(self._encoder), _Summarized(self._summarizer)
        changed: set[UUID] = set()
        pending, carried = moves.current, moves
        stored = first = self._read(PAPERS, [paper.id for paper in pending])
        for _ in range(ROUNDS):
            lost = self._write_papers_once(
                pending, stored, carried, made, summarized, changed, first
            )
            if not lost:
                break
            pending = [paper for paper in pending if paper.id in lost]
            carried = BibcodeRenames(self._store, self.model_id, pending)
            stored = self._read(PAPERS, [paper.id for paper in pending])
        else:
            raise _busy(len(pending), PAPERS)
        touched = moves.finish()
        outcomes = [*moves.superseded]
        outcomes += [_stored(p.bibcode, p.bibcode, p.id in changed) for p in moves.current]
        touched[PAPERS] |= {paper.id for paper in moves.current}
        return outcomes, touched

    def _write_papers_once(
        self,
        papers: Sequence[Paper],
        stored: Mapping[UUID, Held],
        moves: BibcodeRenames,
        made: "_Made",
        summarized: "_Summarized",
        changed: set[UUID],
        first: Mapping[UUID, Held],
    ) -> set[UUID]:
        moved = moves.payloads.keys() - stored.keys()
        said = {point: moves.payloads[point] for point in moved}
        said |= {point: held.payload for point, held in stored.items()}
        unread = [
            paper
            for paper in papers
            if said.get(paper.id, {}).get("text_hash") != schema.paper_hash(paper)
        ]
        texts = summarized.of(unread)
        summaries = {
            paper.id: texts.get(paper.id) or schema.stored_summary(said[paper.id])
            for paper in papers
        }
        texts |= {  # stored before there were topics
            point: summary
            for point, summary in summaries.items()
            if schema.TOPIC_PROBABILITY not in said.get(point, {})
        }
        encoded = made.texts(texts)
        payloads = {
            paper.id: self._paper_payload(paper, summaries[paper.id], said.get(paper.id, {}))
            | _said_since(first.get(paper.id), said.get(paper.id, {}))
            | (schema.topic_payload(encoded[paper.id][2]) if paper.id in encoded else {})
            for paper in papers
        }
        todo = [
            paper
            for paper in papers
            if paper.id in moved or not schema.same_payload(payloads[paper.id], said.get(paper.id))
        ]
        now = self._read(PAPERS, [paper.id for paper in todo], with_vectors=True)
        points = []
        for paper in todo:
            vectors: NamedVectors = moves.vectors[paper.id] if paper.id in moved else {}
            if paper.id in now:
                vectors = schema.dense(now[paper.id].vectors)
            if paper.id in encoded:
                own, shared, _ = encoded[paper.id]
                vectors = vectors | {TEXT: own.tolist(), schema.SHARED: shared.tolist()}
            words = schema.paper_keywords(paper, summaries[paper.id])
            points.append(_point(paper.id, {**vectors, schema.BM25: words}, payloads[paper.id]))
        changed.update(paper.id for paper in todo)
        return self._write(PAPERS, points, stored)

    def _paper_payload(self, paper: Paper, summary: Summary, stored: Payload) -> Payload:
        kept = {name: value for name, value in stored.items() if name != WITHDRAWN}
        return {**kept, **schema.paper_payload(paper, summary), "model_id": self.model_id}

    def _merge(self, item: DetectionItem, stored: Payload) -> Payload:
        """Return the payload after this item; what it does not know stays as it was stored."""
        new = schema.detection_payload(item.detection, item.spectrum, item.file, item.summary)
        if stored.get("has_spectrum") and item.spectrum is None:
            new = {name: value for name, value in new.items() if name not in schema.SPECTRUM_FIELDS}
        elif new.get("spectrum_hash") != stored.get("spectrum_hash"):
            stored = {k: v for k, v in stored.items() if k not in schema.OUTLIER_FIELDS}
        given = {SPECTRUM: item.spectrum, TEXT: item.summary}
        lacking = [what for what in stored.get(UNENCODED, ()) if given.get(what) is None]
        stored = {k: v for k, v in stored.items() if k not in (UNENCODED, WITHDRAWN)}
        marks = {UNENCODED: lacking} if lacking else {}
        return {**stored, **new, **marks, "model_id": self.model_id}

    def _keep_inputs(self, items: Sequence[DetectionItem]) -> None:
        """Keep what vectors are made of, before the detections that say that there is some."""
        known = hashes_kept(self._store, [item.detection.id for item in items])
        inputs: dict[UUID, Payload] = {}
        for item in items:
            key, held = item.detection.key, known.get(item.detection.id, {})
            fields: Payload = {}
            if item.spectrum and item.spectrum.hash() != held.get("spectrum_hash"):
                fields |= spectrum_inputs(key, item.spectrum)
            if item.summary and item.summary.hash() != held.get("summary_hash"):
                fields |= summary_inputs(key, item.summary)
            if fields:
                inputs[item.detection.id] = fields
        keep_inputs(self._store, inputs)

    def _read(self, kind: str, ids: Sequence[UUID], with_vectors: bool = False) -> dict[UUID, Held]:
        found = self._store.read(self._name(kind), ids, with_vectors) if ids else {}
        return {UUID(point): held for point, held in found.items()}

    def _write(
        self, kind: str, points: Sequence[models.PointStruct], stored: Mapping[UUID, Held]
    ) -> set[UUID]:
        """Write what was worked out from these points, and return which have changed since."""
        if not points:
            return set()
        written = self._store.write(self._name(kind), points, revisions_of(stored.values()))
        return {UUID(point) for point in written.lost}

    @staticmethod
    def _outcome(item: DetectionItem, changed: set[UUID], refused: Mapping[UUID, str]) -> Outcome:
        point = item.detection.id
        if point in refused:
            return Outcome(item.input, "refused", refused[point])
        notes = item.spectrum.warnings if item.spectrum else ()
        return _stored(item.input, item.detection.key, point in changed, notes)

    def _name(self, kind: str) -> str:
        return collection_of(kind, self.model_id)


class _Made:
    """Vectors of the inputs of one batch: what has to be written again is not encoded again."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._spectra: dict[UUID, NamedVectors] = {}
        self._texts: dict[UUID, EncodedText] = {}

    def spectra(self, spectra: Mapping[UUID, Spectrum]) -> dict[UUID, NamedVectors]:
        """Return the vectors of spectra."""
        fresh = {point: one for point, one in spectra.items() if point not in self._spectra}
        if fresh:
            counts = np.stack([spectrum.binned_counts() for spectrum in fresh.values()])
            exposure_s = np.array([spectrum.exposure_s for spectrum in fresh.values()])
            encoded = self._encoder.encode_spectra(counts, exposure_s)
            for point, own, shared in zip(fresh, encoded.own, encoded.shared, strict=True):
                self._spectra[point] = {
                    SPECTRUM: own.tolist(),
                    schema.SHARED_SPECTRUM: shared.tolist(),
                }
        return {point: self._spectra[point] for point in spectra}

    def texts(self, texts: Mapping[UUID, Summary]) -> dict[UUID, EncodedText]:
        """Return both vectors of texts, and how probable it is that they are on X-ray sources."""
        fresh = {point: one for point, one in texts.items() if point not in self._texts}
        if fresh:
            encoded = self._encoder.encode_summaries([*fresh.values()])
            probabilities = encoded.topic_probability.tolist()
            rows = zip(encoded.own, encoded.shared, probabilities, strict=True)
            self._texts |= dict(zip(fresh, rows, strict=True))
        return {point: self._texts[point] for point in texts}


class _Summarized:
    """Summaries of the papers of one batch, each made once: a language model is paid for them."""

    def __init__(self, summarizer: Summarizer) -> None:
        self._summarizer = summarizer
        self._made: dict[UUID, Summary] = {}

    def of(self, papers: Sequence[Paper]) -> dict[UUID, Summary]:
        """Return the summaries of papers: those that they bring, or new ones."""
        bare = [p for p in papers if p.summary is None and p.id not in self._made]
        if bare:
            written = self._summarizer.summarize([(p.title, p.abstract) for p in bare])
            self._made |= {p.id: one for p, one in zip(bare, written, strict=True)}
        return {paper.id: paper.summary or self._made[paper.id] for paper in papers}


def _point(
    point: UUID, vectors: Mapping[str, list[float] | models.SparseVector], payload: Payload
) -> models.PointStruct:
    return models.PointStruct(id=str(point), vector={**vectors}, payload=payload)


def _said_since(first: Held | None, now: Payload) -> Payload:
    """Return what archives, or who withdrew it, have said of a point since it was read first."""
    if first is None:
        return {}
    fields = ("class_path", "bibcodes", "citation_count", WITHDRAWN)
    return {f: now[f] for f in fields if f in now and now[f] != first.payload.get(f)}


def _busy(n: int, kind: str) -> UnavailableError:
    return UnavailableError(
        f"{n} {kind} were changed by others {ROUNDS} times while they were being written: repeat "
        "the batch, with fewer writers"
    )


def _displaces_an_observation(item: DetectionItem, held: Held | None) -> str | None:
    """Return why a spectrum must not be stored, if an observed one would give way to it."""
    stored = held.payload if held else {}
    simulated = bool(item.spectrum) and item.detection.simulated
    if not simulated or not stored.get("has_spectrum") or stored["simulated"]:
        return None
    return (
        f"{item.detection.key} is stored with its observed spectrum, which a simulated one does "
        "not replace: ingest the simulation into another --data-dir"
    )


def _needs(
    merged: Mapping[UUID, Payload],
    stored: Mapping[UUID, Payload],
    point: UUID,
    what: str,
    digest: str,
) -> bool:
    """Return whether an input is another than the one encoded, or was never encoded."""
    before = stored.get(point, {})
    changed = merged[point].get(digest) != before.get(digest)
    return changed or what in before.get(UNENCODED, ())


def _stored(name: str, key: str, changed: bool, notes: tuple[str, ...] = ()) -> Outcome:
    return Outcome(name, "ingested" if changed else "unchanged", key, notes)


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield items in lists of this size, the last one shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
