"""The step that encodes: items whose inputs are at hand go through the pipeline into the store."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from qdrant_client import models

from common.errors import InputError, NotFoundError
from common.records import Detection, Outcome, Paper, Spectrum, Summary, point_id
from ingest.spectra.discover import read_observed
from search.collections.schema import (
    DETECTIONS,
    PAPERS,
    WITHDRAWN,
    Payload,
    collection_of,
    stored_summary,
)
from search.store.scroll import scroll_all
from workers.ledger.items import Item, State
from workers.ledger.ledger import Ledger
from workers.settings import WorkerSettings
from workers.steps.feeds.records import read_detection, read_paper
from workers.writing.pipeline import DetectionItem, Pipeline

PAPERS_TRIED = 20
"""Papers about a source among which one is looked for that is stored: its summary is the text."""

Ingest = Callable[[Sequence[Item]], Iterable[Outcome]]
Payloads = Mapping[str, Payload]


class Storer:
    """Store detections and papers, each with an outcome of its own."""

    def __init__(self, ledger: Ledger, pipeline: Pipeline, settings: WorkerSettings) -> None:
        self._ledger = ledger
        self._pipeline = pipeline
        self._store = pipeline.store
        self._settings = settings

    def store_detections(self, items: Sequence[Item]) -> None:
        """Store catalogue rows with their spectra and the text about their sources."""
        spectra, lost, errors = _read_spectra(items)
        texts = self._texts({item.key: item.match.get("bibcodes", ()) for item in items})

        def ingest(some: Sequence[Item]) -> Iterable[Outcome]:
            return self._pipeline.ingest_items(
                DetectionItem(
                    item.key,
                    _detection(item),
                    spectra.get(item),
                    Path(item.file).name if item in spectra else None,
                    texts.get(item.key),
                )
                for item in some
            )

        refused = _each([item for item in items if item not in lost], ingest)
        bare = [item for item in refused if spectra.pop(item, None)]
        refused |= _each(bare, ingest)  # a row is worth storing without its spectrum too
        errors |= refused
        for item, reason in lost.items():
            enough = item.attempts + 1 >= self._settings.max_attempts
            self._ledger.fail({item: reason}, None if enough else datetime.now(UTC))
        self._ledger.fail(errors, None)
        stored = [item for item in items if item not in errors and item not in lost]
        self._ledger.conclude(
            {
                item: {"state": State.FAILED, "attempts": item.attempts, "error": item.error}
                if item.given_up
                else {"state": State.STORED, "complete": True, "error": item.error}
                for item in stored
            }
        )

    def store_papers(self, items: Sequence[Item]) -> None:
        """Store papers, and give their text to detections that have none."""
        papers: dict[Item, Paper] = {item: read_paper(item.record) for item in items}
        renamed: dict[str, str] = {}

        def ingest(some: Sequence[Item]) -> Iterable[Outcome]:
            for outcome in self._pipeline.ingest_papers(papers[item] for item in some):
                if outcome.status != "refused" and outcome.detail != outcome.input:
                    renamed[outcome.input] = outcome.detail
                yield outcome

        errors = _each(items, ingest)
        stored = [item for item in items if item not in errors and item.key not in renamed]
        for item in stored:
            former = (name for name in papers[item].alternate_bibcodes if name != item.key)
            renamed |= dict.fromkeys(former, item.key)
        self._give_texts_of([item.key for item in stored])
        self._ledger.fail(errors, None)
        self._ledger.advance(stored, State.STORED, complete=True)
        reasons = {former: f"its bibcode is {present} now" for former, present in renamed.items()}
        self._ledger.withdraw(items[0].feed, reasons)

    def give_texts(self, detections: Payloads) -> None:
        """Give texts to detections that have none, by key, from the papers that they name."""
        lacking = {
            key: payload
            for key, payload in detections.items()
            if not {"summary_hash", WITHDRAWN} & payload.keys()
        }
        texts = self._texts({key: own.get("bibcodes", ()) for key, own in lacking.items()})
        items = [
            DetectionItem(
                key,
                Detection(
                    key,
                    lacking[key]["telescope"],
                    lacking[key]["instrument"],
                    simulated=lacking[key]["simulated"],
                ),
                summary=text,
            )
            for key, text in texts.items()
        ]
        for _ in self._pipeline.ingest_items(items):
            pass

    def _give_texts_of(self, bibcodes: Sequence[str]) -> None:
        if not bibcodes:
            return
        about = models.FieldCondition(key="bibcodes", match=models.MatchAny(any=[*bibcodes]))
        records = scroll_all(
            self._store, self._name(DETECTIONS), models.Filter(must=[about]), TEXT_FIELDS
        )
        self.give_texts({(r.payload or {})["key"]: r.payload or {} for r in records})

    def _texts(self, bibcodes: Mapping[str, Sequence[str]]) -> dict[str, Summary]:
        """Return the text of each key: the summary of the first of its papers that is stored."""
        tried = {key: own[:PAPERS_TRIED] for key, own in bibcodes.items()}
        ids = [
            point_id("paper", name) for name in sorted({b for own in tried.values() for b in own})
        ]
        fields = ["bibcode", "summary", "summary_method", WITHDRAWN]
        records = self._store.retrieve(self._name(PAPERS), ids, fields) if ids else []
        payloads = [record.payload or {} for record in records]
        held = {p["bibcode"]: stored_summary(p) for p in payloads if WITHDRAWN not in p}
        firsts = {key: next((b for b in own if b in held), "") for key, own in tried.items()}
        return {key: held[first] for key, first in firsts.items() if first}

    def _name(self, kind: str) -> str:
        return collection_of(kind, self._pipeline.primary().model_id)


TEXT_FIELDS = [
    *("key", "telescope", "instrument", "simulated"),
    *("class_path", "bibcodes", "summary_hash", WITHDRAWN),
]
"""What `Storer.give_texts` wants to know of a detection."""


def _read_spectra(
    items: Sequence[Item],
) -> tuple[dict[Item, Spectrum], dict[Item, str], dict[Item, str]]:
    """Return spectra, and the reasons why others are not there any more, or cannot be read."""
    spectra: dict[Item, Spectrum] = {}
    lost: dict[Item, str] = {}
    unreadable: dict[Item, str] = {}
    for item in items:
        if item.complete or not item.file:
            continue
        try:
            spectra[item] = read_observed(Path(item.file))[0].spectrum
        except NotFoundError:
            lost[item] = (
                f"{item.file} was fetched and is not there: workers of both queues need the same "
                "CHANDRA_DOWNLOADS_DIR, with room enough (CHANDRA_DOWNLOADS_GB)"
            )
        except InputError as exc:
            unreadable[item] = str(exc)
    return spectra, lost, unreadable


def _detection(item: Item) -> Detection:
    record = item.record
    match = {name: value for name, value in item.match.items() if value}
    if "class_path" in match:
        record = record | {"source_class": match["class_path"]}
    return read_detection({**record, "bibcodes": match.get("bibcodes", record.get("bibcodes", []))})


def _each(items: Sequence[Item], ingest: Ingest) -> dict[Item, str]:
    """Ingest a batch, and return what was refused; if it fails as a whole, one by one."""
    if not items:
        return {}
    own = {item.key: item for item in items}
    try:
        refused = [outcome for outcome in ingest(items) if outcome.status == "refused"]
    except InputError as exc:
        if len(items) == 1:
            return {items[0]: str(exc)}
        return {item: why for one in items for item, why in _each([one], ingest).items()}
    return {own[outcome.input]: outcome.detail for outcome in refused}
