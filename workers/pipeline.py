"""Records in, points in the store out: the one way in, for the CLI and for the workers.

Every method is a generator of outcomes. An outcome is yielded when its point is safely stored, so
whoever stops in the middle loses nothing that was reported, and the next run completes the rest:
ids are stable, what is stored is compared first, and unchanged inputs are not encoded again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self, TypeVar
from uuid import UUID

import numpy as np
from qdrant_client import models

from common.binning import min_max
from common.dataset import Dataset
from common.errors import InputError, InvalidSpectrumError, NotFoundError
from common.ports import Encoder, Float32Array, Summarizer
from common.records import Detection, Outcome, Paper, Refusal, Spectrum, Summary
from ingest.catalog import Catalogue
from ingest.discover import read_observed
from search import schema
from search.schema import DETECTIONS, PAPERS, NamedVectors, Payload
from search.store.base import Store

BATCH = 256

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DetectionItem:
    """A detection on its way into the store, with what has come for it so far."""

    input: str
    detection: Detection
    spectrum: Spectrum | None = None
    file: str | None = None
    summary: Summary | None = None


class Pipeline:
    """Encode records and upsert them, in batches, idempotently."""

    def __init__(self, store: Store, encoder: Encoder, summarizer: Summarizer) -> None:
        self.store = store
        self.encoder = encoder
        self.summarizer = summarizer
        schema.open_collections(store, encoder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if exc_type is None:
            for collection in (DETECTIONS, PAPERS):
                self.store.optimize(collection)
        self.store.close()

    def ingest_spectra(
        self, files: Iterable[Path], catalogue: Catalogue | None = None, radius_arcsec: float = 3.0
    ) -> Iterator[Outcome]:
        """Ingest PHA files and event lists, joined to catalogue rows where they match."""
        yield from self._ingest(_read_spectra(files, catalogue, radius_arcsec))

    def ingest_catalogue(self, catalogue: Catalogue) -> Iterator[Outcome]:
        """Ingest catalogue rows: detections whose spectra may come later, under the same id."""
        yield from map(Outcome.refused, catalogue.refused)
        yield from self._ingest(DetectionItem(d.key, d) for d in catalogue.detections)

    def ingest_papers(self, papers: Iterable[Paper | Refusal]) -> Iterator[Outcome]:
        """Summarise, embed and ingest papers."""
        for batch in _batches(papers, BATCH):
            yield from (Outcome.refused(x) for x in batch if isinstance(x, Refusal))
            yield from self._store_papers([x for x in batch if isinstance(x, Paper)])

    def ingest_dataset(
        self, dataset: Dataset, refused: Iterable[Refusal] = ()
    ) -> Iterator[Outcome]:
        """Ingest a dataset: its summaries as papers, then its detections with spectrum and text."""
        yield from map(Outcome.refused, refused)
        yield from self.ingest_papers(dataset.papers())
        order = np.argsort(dataset.source, kind="stable")
        yield from self._ingest(
            DetectionItem(
                dataset.detections[row].key,
                dataset.detections[row],
                dataset.spectrum(row),
                summary=dataset.summaries[dataset.source[row]],
            )
            for row in order.tolist()
        )

    def _ingest(self, items: Iterable[DetectionItem | Refusal]) -> Iterator[Outcome]:
        """Store detections in batches; refuse what contradicts an input of the same run."""
        seen: dict[str, tuple[str, str | None]] = {}
        for batch in _batches(items, BATCH):
            fresh: list[DetectionItem] = []
            repeated: list[Outcome] = []
            for item in batch:
                if isinstance(item, Refusal):
                    yield Outcome.refused(item)
                    continue
                if item.spectrum and (reason := _shapeless(item.spectrum)):
                    yield Outcome(item.input, "refused", reason)
                    continue
                key = item.detection.key
                spectrum_hash = item.spectrum.hash() if item.spectrum else None
                first, first_hash = seen.setdefault(key, (item.input, spectrum_hash))
                if first == item.input:
                    fresh.append(item)
                elif first_hash == spectrum_hash:
                    notes = (f"same content as {first}",)
                    repeated.append(Outcome(item.input, "unchanged", key, notes))
                else:
                    reason = f"another spectrum of {key} than {first}: keep one of the two"
                    yield Outcome(item.input, "refused", reason)
            yield from self._store_detections(fresh)
            yield from repeated  # only now is what they repeat safely stored

    def _store_detections(self, items: Sequence[DetectionItem]) -> Iterator[Outcome]:
        stored = self._payloads(DETECTIONS, [item.detection.id for item in items])
        spoiling = {
            item.detection.id
            for item in items
            if item.spectrum and item.detection.simulated and _is_observed(stored, item)
        }
        for item in items:
            if item.detection.id in spoiling:
                reason = (
                    f"{item.detection.key} is stored with its observed spectrum, which a simulated "
                    "one does not replace: ingest the simulation into another --data-dir"
                )
                yield Outcome(item.input, "refused", reason)
        items = [item for item in items if item.detection.id not in spoiling]
        merged = [self._merge(item, stored.get(item.detection.id, {})) for item in items]
        todo = [
            (item, payload)
            for item, payload in zip(items, merged, strict=True)
            if not schema.same_payload(payload, stored.get(item.detection.id))
        ]
        spectra = {
            item.detection.id: item.spectrum
            for item, payload in todo
            if item.spectrum and _differs(payload, stored.get(item.detection.id), "spectrum_hash")
        }
        texts = {
            item.detection.id: item.summary
            for item, payload in todo
            if item.summary and _differs(payload, stored.get(item.detection.id), "summary_hash")
        }
        vectors = self._vectors(DETECTIONS, [i.detection.id for i, _ in todo])
        self._encode_spectra(spectra, vectors)
        for point, (own, shared) in self._encode_texts(texts).items():
            vectors[point] |= {schema.TEXT: own.tolist(), schema.SHARED_TEXT: shared.tolist()}
        for point in {*spectra, *texts}:
            vectors[point] |= schema.both_vector(vectors[point])
        self._upsert(DETECTIONS, [(i.detection.id, vectors[i.detection.id], p) for i, p in todo])
        changed = {item.detection.id for item, _ in todo}
        for item in items:
            notes = item.spectrum.warnings if item.spectrum else ()
            yield _stored(item.input, item.detection.key, item.detection.id in changed, notes)

    def _store_papers(self, papers: Sequence[Paper]) -> Iterator[Outcome]:
        stored = self._payloads(PAPERS, [paper.id for paper in papers])
        unread = [
            paper
            for paper in papers
            if stored.get(paper.id, {}).get("text_hash") != schema.paper_hash(paper)
        ]
        bare = [(paper.title, paper.abstract) for paper in unread if paper.summary is None]
        written = iter(self.summarizer.summarize(bare) if bare else ())
        texts = {paper.id: paper.summary or next(written) for paper in unread}
        summaries = {
            paper.id: texts.get(paper.id) or schema.stored_summary(stored[paper.id])
            for paper in papers
        }
        payloads = {
            paper.id: {
                **stored.get(paper.id, {}),
                **schema.paper_payload(paper, summaries[paper.id]),
                "model_id": self.encoder.model_id,
            }
            for paper in papers
        }
        changed = [
            point
            for point, payload in payloads.items()
            if not schema.same_payload(payload, stored.get(point))
        ]
        vectors = self._vectors(PAPERS, changed)
        for point, (own, shared) in self._encode_texts(texts).items():
            vectors[point] |= {schema.TEXT: own.tolist(), schema.SHARED: shared.tolist()}
        words = {paper.id: schema.paper_keywords(paper, summaries[paper.id]) for paper in papers}
        self._upsert(
            PAPERS,
            [(p, {**vectors[p], schema.BM25: words[p]}, payloads[p]) for p in changed],
        )
        for paper in papers:
            yield _stored(paper.bibcode, paper.bibcode, paper.id in changed)

    def _merge(self, item: DetectionItem, stored: Payload) -> Payload:
        """Return the payload after this item; what it does not know stays as it was stored."""
        new = schema.detection_payload(item.detection, item.spectrum, item.file, item.summary)
        if stored.get("has_spectrum") and item.spectrum is None:
            new = {name: value for name, value in new.items() if name not in schema.SPECTRUM_FIELDS}
        elif _differs(new, stored, "spectrum_hash"):
            stored = {k: v for k, v in stored.items() if k not in schema.OUTLIER_FIELDS}
        return {**stored, **new, "model_id": self.encoder.model_id}

    def _encode_spectra(
        self, spectra: dict[UUID, Spectrum], vectors: dict[UUID, NamedVectors]
    ) -> None:
        if not spectra:
            return
        counts = np.stack([spectrum.binned_counts() for spectrum in spectra.values()])
        exposure_s = np.array([spectrum.exposure_s for spectrum in spectra.values()])
        encoded = self.encoder.encode_spectra(counts, exposure_s)
        for point, own, shared in zip(spectra, encoded.own, encoded.shared, strict=True):
            vectors[point] |= {
                schema.SPECTRUM: own.tolist(),
                schema.SHARED_SPECTRUM: shared.tolist(),
            }

    def _encode_texts(
        self, texts: dict[UUID, Summary]
    ) -> dict[UUID, tuple[Float32Array, Float32Array]]:
        if not texts:
            return {}
        encoded = self.encoder.encode_summaries(list(texts.values()))
        return dict(zip(texts, zip(encoded.own, encoded.shared, strict=True), strict=True))

    def _payloads(self, collection: str, ids: Sequence[UUID]) -> dict[UUID, Payload]:
        records = self.store.retrieve(collection, ids) if ids else []
        return {UUID(str(record.id)): record.payload or {} for record in records}

    def _vectors(self, collection: str, ids: Sequence[UUID]) -> dict[UUID, NamedVectors]:
        """Return the named vectors stored so far; a point not stored yet has none."""
        records = (
            self.store.retrieve(collection, ids, with_payload=False, with_vectors=True)
            if ids
            else []
        )
        found = {UUID(str(record.id)): schema.named_vectors(record) for record in records}
        return {point: found.get(point, {}) for point in ids}

    def _upsert(
        self,
        collection: str,
        points: Sequence[tuple[UUID, Mapping[str, list[float] | models.SparseVector], Payload]],
    ) -> None:
        if points:
            self.store.upsert(
                collection,
                [
                    models.PointStruct(id=str(point), vector={**vectors}, payload=payload)
                    for point, vectors, payload in points
                ],
            )


def _read_spectra(
    files: Iterable[Path], catalogue: Catalogue | None, radius_arcsec: float
) -> Iterator[DetectionItem | Refusal]:
    for path in files:
        try:
            observed = read_observed(path)
        except (InputError, NotFoundError) as exc:
            yield Refusal(str(path), str(exc))
            continue
        for number, one in enumerate(observed, start=1):
            detection = one.detection
            if catalogue is not None:
                detection = catalogue.match(
                    detection,
                    source_name=one.source_name,
                    target_ra_deg=one.target_ra_deg,
                    target_dec_deg=one.target_dec_deg,
                    radius_arcsec=radius_arcsec,
                )
            name = f"{path}[{number}]" if len(observed) > 1 else str(path)
            yield DetectionItem(name, detection, one.spectrum, path.name)


def _shapeless(spectrum: Spectrum) -> str | None:
    """Return why a spectrum cannot be encoded, before it can spoil its batch."""
    try:
        min_max(spectrum.binned_counts())
    except InvalidSpectrumError as exc:
        return str(exc)
    return None


def _is_observed(stored: dict[UUID, Payload], item: DetectionItem) -> bool:
    payload = stored.get(item.detection.id, {})
    return bool(payload.get("has_spectrum")) and not payload["simulated"]


def _stored(name: str, key: str, changed: bool, notes: tuple[str, ...] = ()) -> Outcome:
    return Outcome(name, "ingested" if changed else "unchanged", key, notes)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _differs(payload: Payload, stored: Payload | None, field: str) -> bool:
    return stored is None or payload.get(field) != stored.get(field)
