"""Records of one batch into the collections of one model: what is new or changed is encoded."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar
from uuid import UUID

import numpy as np
from qdrant_client import models

from common.ports import Encoder, Float32Array, Summarizer
from common.records import Detection, Outcome, Paper, Spectrum, Summary
from search import schema
from search.inputs import hashes_kept, keep_inputs, spectrum_inputs, summary_inputs
from search.schema import (
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
from search.store.base import Store
from workers.moves import Moves

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
    """Write batches to the collections of one model; which model does not change under way."""

    def __init__(self, store: Store, encoder: Encoder, summarizer: Summarizer) -> None:
        self._store = store
        self._encoder = encoder
        self._summarizer = summarizer
        self.model_id = encoder.model_id

    def write_detections(self, items: Sequence[DetectionItem]) -> list[Outcome]:
        """Store detections, each of them once in a batch, and say what became of them."""
        stored = self._payloads(DETECTIONS, [item.detection.id for item in items])
        outcomes = []
        kept = []
        for item in items:
            if item.spectrum and item.detection.simulated and _is_observed(stored, item):
                reason = (
                    f"{item.detection.key} is stored with its observed spectrum, which a simulated "
                    "one does not replace: ingest the simulation into another --data-dir"
                )
                outcomes.append(Outcome(item.input, "refused", reason))
            else:
                kept.append(item)
        merged = {i.detection.id: self._merge(i, stored.get(i.detection.id, {})) for i in kept}
        todo = [
            item
            for item in kept
            if not schema.same_payload(merged[item.detection.id], stored.get(item.detection.id))
        ]
        spectra = {
            item.detection.id: item.spectrum
            for item in todo
            if item.spectrum and _needs(merged, stored, item, SPECTRUM, "spectrum_hash")
        }
        texts = {
            item.detection.id: item.summary
            for item in todo
            if item.summary and _needs(merged, stored, item, TEXT, "summary_hash")
        }
        vectors = self._vectors(DETECTIONS, [item.detection.id for item in todo])
        self._encode_spectra(spectra, vectors)
        for point, (own, shared, _) in self._encode_texts(texts).items():
            vectors[point] |= {schema.TEXT: own.tolist(), schema.SHARED_TEXT: shared.tolist()}
        for point in {*spectra, *texts}:
            vectors[point] |= schema.both_vector(vectors[point])
        self._keep_inputs(kept)
        ids = [item.detection.id for item in todo]
        self._upsert(DETECTIONS, [(point, vectors[point], merged[point]) for point in ids])
        changed = {*ids}
        for item in kept:
            notes = item.spectrum.warnings if item.spectrum else ()
            outcomes.append(
                _stored(item.input, item.detection.key, item.detection.id in changed, notes)
            )
        return outcomes

    def write_papers(self, papers: Sequence[Paper]) -> tuple[list[Outcome], dict[str, set[UUID]]]:
        """Store papers, and return what became of them and which points were touched, by kind."""
        moves = Moves(self._store, self.model_id, papers)
        outcomes = [*moves.superseded]
        papers = moves.current
        stored = self._payloads(PAPERS, [paper.id for paper in papers]) | moves.payloads
        unread = [
            paper
            for paper in papers
            if stored.get(paper.id, {}).get("text_hash") != schema.paper_hash(paper)
        ]
        bare = [(paper.title, paper.abstract) for paper in unread if paper.summary is None]
        written = iter(self._summarizer.summarize(bare) if bare else ())
        texts = {paper.id: paper.summary or next(written) for paper in unread}
        summaries = {
            paper.id: texts.get(paper.id) or schema.stored_summary(stored[paper.id])
            for paper in papers
        }
        texts |= {  # stored before there were topics
            point: summary
            for point, summary in summaries.items()
            if schema.TOPIC_PROBABILITY not in stored.get(point, {})
        }
        encoded = self._encode_texts(texts)
        payloads = {
            paper.id: self._paper_payload(paper, summaries[paper.id], stored.get(paper.id, {}))
            | (schema.topic_payload(encoded[paper.id][2]) if paper.id in encoded else {})
            for paper in papers
        }
        changed = [
            point
            for point, payload in payloads.items()
            if point in moves.payloads or not schema.same_payload(payload, stored.get(point))
        ]
        vectors = self._vectors(PAPERS, changed) | moves.vectors
        for point, (own, shared, _) in encoded.items():
            vectors[point] |= {schema.TEXT: own.tolist(), schema.SHARED: shared.tolist()}
        words = {paper.id: schema.paper_keywords(paper, summaries[paper.id]) for paper in papers}
        self._upsert(
            PAPERS,
            [(p, {**vectors[p], schema.BM25: words[p]}, payloads[p]) for p in changed],
        )
        touched = moves.finish()
        outcomes += [_stored(p.bibcode, p.bibcode, p.id in changed) for p in papers]
        touched[PAPERS] |= {paper.id for paper in papers}
        return outcomes, touched

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

    def _encode_spectra(
        self, spectra: Mapping[UUID, Spectrum], vectors: dict[UUID, NamedVectors]
    ) -> None:
        if not spectra:
            return
        counts = np.stack([spectrum.binned_counts() for spectrum in spectra.values()])
        exposure_s = np.array([spectrum.exposure_s for spectrum in spectra.values()])
        encoded = self._encoder.encode_spectra(counts, exposure_s)
        for point, own, shared in zip(spectra, encoded.own, encoded.shared, strict=True):
            vectors[point] |= {
                schema.SPECTRUM: own.tolist(),
                schema.SHARED_SPECTRUM: shared.tolist(),
            }

    def _encode_texts(
        self, texts: Mapping[UUID, Summary]
    ) -> dict[UUID, tuple[Float32Array, Float32Array, float]]:
        """Return both vectors of texts, and how probable it is that they are on X-ray sources."""
        if not texts:
            return {}
        encoded = self._encoder.encode_summaries(list(texts.values()))
        rows = zip(encoded.own, encoded.shared, encoded.topic_probability.tolist(), strict=True)
        return dict(zip(texts, rows, strict=True))

    def _payloads(self, kind: str, ids: Sequence[UUID]) -> dict[UUID, Payload]:
        records = self._store.retrieve(self._name(kind), ids) if ids else []
        return {UUID(str(record.id)): record.payload or {} for record in records}

    def _vectors(self, kind: str, ids: Sequence[UUID]) -> dict[UUID, NamedVectors]:
        """Return the named vectors stored so far; a point not stored yet has none."""
        records = self._store.retrieve(self._name(kind), ids, False, True) if ids else []
        found = {UUID(str(record.id)): schema.named_vectors(record) for record in records}
        return {point: found.get(point, {}) for point in ids}

    def _upsert(
        self,
        kind: str,
        points: Sequence[tuple[UUID, Mapping[str, list[float] | models.SparseVector], Payload]],
    ) -> None:
        if points:
            self._store.upsert(
                self._name(kind),
                [
                    models.PointStruct(id=str(point), vector={**vectors}, payload=payload)
                    for point, vectors, payload in points
                ],
            )

    def _name(self, kind: str) -> str:
        return collection_of(kind, self.model_id)


def _is_observed(stored: Mapping[UUID, Payload], item: DetectionItem) -> bool:
    payload = stored.get(item.detection.id, {})
    return bool(payload.get("has_spectrum")) and not payload["simulated"]


def _needs(
    merged: Mapping[UUID, Payload],
    stored: Mapping[UUID, Payload],
    item: DetectionItem,
    what: str,
    digest: str,
) -> bool:
    """Return whether an input is another than the one encoded, or was never encoded."""
    before = stored.get(item.detection.id, {})
    changed = merged[item.detection.id].get(digest) != before.get(digest)
    return changed or what in before.get(UNENCODED, ())


def _stored(name: str, key: str, changed: bool, notes: tuple[str, ...] = ()) -> Outcome:
    return Outcome(name, "ingested" if changed else "unchanged", key, notes)


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield items in lists of this size, the last one shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
