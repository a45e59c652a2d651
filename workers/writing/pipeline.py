"""Records in, points in the store out: the one way in, for the CLI and for the workers.

Every method is a generator of outcomes. An outcome is yielded when its point is safely stored, so
whoever stops in the middle loses nothing that was reported, and the next run completes the rest:
ids are stable, what is stored is compared first, and unchanged inputs are not encoded again. While
the model is being changed (`workers.maintenance.reindex`), both models' collections are written.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import UUID

import numpy as np

from common.binning import min_max
from common.dataset import Dataset
from common.errors import (
    InputError,
    InvalidSpectrumError,
    NotFoundError,
    StoreUnavailableError,
)
from common.ports import Encoder, Summarizer
from common.records import Outcome, Paper, Refusal, Spectrum
from ingest.catalogue.catalogue import Catalogue
from ingest.spectra.discover import read_observed
from search.collections import kept_inputs as inputs
from search.collections import schema
from search.collections.schema import DETECTIONS, PAPERS, WITHDRAWN, collection_of
from search.store.base import PointId, Store
from workers.writing.dual_write import ModelCopier, read_state
from workers.writing.first_inputs import FirstInputs
from workers.writing.patience import NO_PATIENCE, Patience
from workers.writing.writer import DetectionItem, Writer, in_batches

__all__ = ["BATCH", "DetectionItem", "Pipeline"]

BATCH = 256

LoadEncoder = Callable[[str], Encoder]
T = TypeVar("T")


class Pipeline:
    """Encode records and upsert them, in batches, idempotently; safe to use from threads.

    ``load`` finds the bundle of another model id, for a change of model while this runs;
    ``patience`` repeats batches while the store is away.
    """

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        summarizer: Summarizer,
        load: LoadEncoder | None = None,
        patience: Patience = NO_PATIENCE,
    ) -> None:
        self._patience = patience
        self.store = store
        self.encoder = encoder
        self.summarizer = summarizer
        self._load = load
        self._encoders = {encoder.model_id: encoder}
        if read_state(store):
            schema.create_collections(store, encoder)
        else:
            schema.open_collections(store, encoder)
        store.create_collection(inputs.SPECTRA, inputs.SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if exc_type is None:
            for kind in (DETECTIONS, PAPERS):
                self._patience(partial(self.store.optimize, kind))
        self.store.close()

    def ingest_spectra(
        self,
        files: Iterable[Path],
        catalogue: Catalogue | None = None,
        radius_arcsec: float = 3.0,
        rmf: Path | None = None,
        background: Path | None = None,
    ) -> Iterator[Outcome]:
        """Ingest PHA files and event lists, joined to catalogue rows where they match.

        A response or background that is given is that of all these files; else each is looked for
        beside its file.
        """
        items = _read_spectra(files, catalogue, radius_arcsec, rmf, background)
        yield from self.ingest_items(items)

    def ingest_catalogue(self, catalogue: Catalogue) -> Iterator[Outcome]:
        """Ingest catalogue rows: detections whose spectra may come later, under the same id."""
        yield from map(Outcome.refused, catalogue.refused)
        yield from self.ingest_items(DetectionItem(d.key, d) for d in catalogue.detections)

    def ingest_papers(self, papers: Iterable[Paper | Refusal]) -> Iterator[Outcome]:
        """Summarise, embed and ingest papers."""
        for batch in in_batches(papers, BATCH):
            yield from (Outcome.refused(x) for x in batch if isinstance(x, Refusal))
            fresh = [x for x in batch if isinstance(x, Paper)]
            yield from self._patience(partial(self._store_papers, fresh))

    def ingest_dataset(
        self, dataset: Dataset, refused: Iterable[Refusal] = ()
    ) -> Iterator[Outcome]:
        """Ingest a dataset: its texts as papers, then its detections with spectrum and text."""
        yield from map(Outcome.refused, refused)
        yield from self.ingest_papers(dataset.papers())
        order = np.argsort(dataset.source, kind="stable")
        yield from self.ingest_items(
            DetectionItem(
                dataset.detections[row].key,
                dataset.detections[row],
                dataset.spectrum(row),
                summary=dataset.summary_of(int(dataset.source[row])),
            )
            for row in order.tolist()
        )

    def ingest_items(self, items: Iterable[DetectionItem | Refusal]) -> Iterator[Outcome]:
        """Store detections in batches; refuse what contradicts an input of the same run."""
        with FirstInputs() as inputs_of_run:
            for batch in in_batches(items, BATCH):
                yield from self._ingest_batch(batch, inputs_of_run)

    def _ingest_batch(
        self, batch: Sequence[DetectionItem | Refusal], inputs_of_run: FirstInputs
    ) -> Iterator[Outcome]:
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
            first, first_hash = inputs_of_run.first(key, item.input, spectrum_hash)
            if first == item.input:
                fresh.append(item)
            elif first_hash == spectrum_hash:
                notes = (f"same content as {first}",)
                repeated.append(Outcome(item.input, "unchanged", key, notes))
            else:
                reason = f"another spectrum of {key} than {first}: keep one of the two"
                yield Outcome(item.input, "refused", reason)
        yield from self._patience(partial(self._store_detections, fresh))
        yield from repeated  # only now is what they repeat safely stored

    def _store_detections(self, items: Sequence[DetectionItem]) -> list[Outcome]:
        with self._writing() as writer:
            outcomes = writer.write_detections(items)
            self._carry(writer.model_id, DETECTIONS, [item.detection.id for item in items])
        return outcomes

    def _store_papers(self, papers: Sequence[Paper]) -> list[Outcome]:
        with self._writing() as writer:
            outcomes, touched = writer.write_papers(papers)
            for kind, ids in touched.items():
                self._carry(writer.model_id, kind, [*ids])
        return outcomes

    def correct(self, kind: str, fields: Mapping[UUID, Mapping[str, Any]]) -> None:
        """Set payload fields of detections or papers; nothing is encoded, unknown ids are left out.

        Anything that is not one model's own opinion is changed through here, so that it is not
        lost when the model is changed.
        """
        model_id = self.primary().model_id
        changes: dict[PointId, Mapping[str, Any]] = dict(fields.items())
        self.store.set_payload(collection_of(kind, model_id), changes)
        self._carry(model_id, kind, [*fields])

    def withdraw(self, kind: str, ids: Iterable[UUID], at: datetime | None = None) -> None:
        """Turn detections or papers into tombstones, until they are ingested again."""
        when = (at or datetime.now(UTC)).isoformat()
        self.correct(kind, {point: {WITHDRAWN: when} for point in ids})

    def primary(self) -> Encoder:
        """Return the model whose collections are written to first now."""
        state = read_state(self.store)
        model_id = state.primary if state else schema.model_of(self.store)
        self.encoder = self._encoder_of(model_id or self.encoder.model_id)
        return self.encoder

    def carry(self, kind: str, ids: Sequence[UUID]) -> None:
        """Bring points to the other model's collections, if a reindex is under way."""
        self._carry(self.primary().model_id, kind, ids)

    @contextmanager
    def _writing(self) -> Iterator[Writer]:
        """Give a writer; a batch whose collections were dropped under way is one to repeat."""
        writer = Writer(self.store, self.primary(), self.summarizer)
        try:
            yield writer
        except NotFoundError as exc:
            if collection_of(DETECTIONS, writer.model_id) in self.store.collections():
                raise
            raise _dropped(writer.model_id) from exc

    def _carry(self, model_id: str, kind: str, ids: Sequence[UUID]) -> None:
        """Bring what has been written, or found unchanged, to the other model's collections."""
        state = read_state(self.store)
        target = state.target(model_id) if state else None
        if target:
            ModelCopier(self.store, model_id, self._encoder_of(target)).copy(kind, ids)
        elif not state and schema.model_of(self.store) != model_id:
            raise _dropped(model_id)

    def _encoder_of(self, model_id: str) -> Encoder:
        if model_id not in self._encoders:
            if self._load is None:
                raise InputError(
                    f"the store has changed to model {model_id}: start again with its bundle"
                )
            encoder = self._load(model_id)
            if encoder.model_id != model_id:
                raise InputError(f"the bundle found for model {model_id} is {encoder.model_id}")
            self._encoders[model_id] = encoder
        return self._encoders[model_id]


def _dropped(model_id: str) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"the collections of model {model_id} were dropped while a batch was being written: repeat "
        "it, it goes to those in use now"
    )


def _read_spectra(
    files: Iterable[Path],
    catalogue: Catalogue | None,
    radius_arcsec: float,
    rmf: Path | None,
    background: Path | None,
) -> Iterator[DetectionItem | Refusal]:
    for path in files:
        try:
            observed = read_observed(path, rmf=rmf, background=background)
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
