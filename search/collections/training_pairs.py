"""What a store can teach: its spectra with all texts about their sources, as a dataset.

Vectors are not read: a model to come is trained on what the vectors were made of
(`search.collections.kept_inputs`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np

from common.dataset import Dataset, Text, part_of
from common.errors import NotFoundError
from common.ports import Progress, no_progress
from common.records import Detection, Summary
from common.variables import VARIABLE_NAMES
from search.collections.kept_inputs import SPECTRA, Inputs, read_inputs
from search.collections.schema import (
    DETECTIONS,
    PAPERS,
    TOPIC_PROBABILITY,
    WITHDRAWN,
    Payload,
    stored_summary,
)
from search.collections.sources import is_to_judge_by, label_of
from search.store.base import Store
from search.store.scroll import PAGE, scroll_all

NAME = "the store"

MOST_SOURCES = 20
"""A text about more sources than these is a survey, and says nothing of any one of them."""

LEAST_TOPIC = 0.5
"""Of a paper that is paired: less than a search asks for, as it has been linked to the source."""

_HELD_OUT_FIRST = ("test", "validation", "calibration", "train")
_PAPER_FIELDS = [
    *("bibcode", "alternate_bibcodes", "source_names", "title", "year"),
    *("summary", "summary_method", TOPIC_PROBABILITY, WITHDRAWN),
]


@dataclass(frozen=True, slots=True)
class _Link:
    """A text of a source, and the name of the paper that it is from."""

    bibcode: str
    summary: Summary
    title: str = ""
    year: int | None = None


def stored_pairs(store: Store, progress: Progress = no_progress) -> tuple[Dataset, list[str]]:
    """Read all detections whose spectrum is kept, and all texts about their sources.

    A source is known by its name; detections without one by the text beside them, or by their key.
    The part of the split that it is in hangs on that alone, so that what was held out stays so
    when the store grows. A text about sources of several parts goes to the one held out most.

    Parameters
    ----------
    store : Store
        Where detections and papers have been ingested.
    progress : callable
        Told how many detections are read.

    Returns
    -------
    dataset : Dataset
        In the order of keys; the first text of a source is the one stored beside its detections.
    notes : list of str
        What was left out and why.

    Raises
    ------
    NotFoundError
        If no spectrum is kept.
    """
    rows = sorted(_detections(store, progress), key=lambda row: row[0]["key"])
    if not rows:
        raise NotFoundError(
            "the store keeps no spectrum to learn from: ingest spectra or a dataset first"
        )
    payloads = [payload for payload, _ in rows]
    labels, source = np.unique([label_of(payload) for payload in payloads], return_inverse=True)
    parts = [part_of(label) for label in labels.tolist()]
    links, off_topic = _links(store, rows, source)
    texts, notes = _texts(links, parts)
    if off_topic:
        notes.append(f"{off_topic:,} papers are not about X-ray sources and are paired with none")
    counts = [kept.counts for _, kept in rows if kept.counts is not None]
    dataset = Dataset(
        name=NAME,
        counts=np.stack(counts),
        exposure_s=np.array([kept.exposure_s for _, kept in rows]),
        source=source.astype(np.int64),
        variables={
            name: np.array([payload.get(name, np.nan) for payload in payloads], dtype=np.float64)
            for name in VARIABLE_NAMES
        },
        detections=[_detection(payload) for payload in payloads],
        texts=texts,
        simulated=any(payload.get("simulated") for payload in payloads),
        parts=parts,
    )
    return dataset, notes


def _detections(store: Store, progress: Progress) -> Iterator[tuple[Payload, Inputs]]:
    """Yield the detections in use that have a kept spectrum."""
    if store.resolve(DETECTIONS) is None or SPECTRA not in store.collections():
        return
    total = store.count(DETECTIONS)
    page: dict[UUID, Payload] = {}
    for done, record in enumerate(scroll_all(store, DETECTIONS), start=1):
        page[UUID(str(record.id))] = record.payload or {}
        if len(page) == PAGE:
            yield from _with_inputs(store, page)
            page = {}
            progress("reading the store", done, total)
    yield from _with_inputs(store, page)
    progress("reading the store", total, total)


def _with_inputs(store: Store, page: Mapping[UUID, Payload]) -> Iterator[tuple[Payload, Inputs]]:
    kept = read_inputs(store, [*page])
    for point, payload in page.items():
        one = kept.get(point)
        usable = WITHDRAWN not in payload and not is_to_judge_by(payload)
        if usable and one is not None and one.counts is not None:
            yield payload, one


def _links(
    store: Store, rows: Sequence[tuple[Payload, Inputs]], source: np.ndarray[Any, Any]
) -> tuple[dict[int, dict[str, _Link]], int]:
    """Return the texts of each source by their hash, and how many papers are off-topic."""
    by_bibcode: defaultdict[str, set[int]] = defaultdict(set)
    by_name: dict[str, int] = {}
    beside: defaultdict[int, dict[str, _Link]] = defaultdict(dict)
    for (payload, kept), own in zip(rows, source.tolist(), strict=True):
        for bibcode in payload.get("bibcodes", ()):
            by_bibcode[bibcode].add(own)
        if "source_name" in payload:
            by_name[payload["source_name"]] = own
        if kept.summary is not None:
            link = _Link(f"beside {payload['key']}", kept.summary)
            beside[own].setdefault(kept.summary.hash(), link)
    links: dict[int, dict[str, _Link]] = {own: dict(found) for own, found in beside.items()}
    off_topic: set[str] = set()
    for paper in _papers(store):
        summary = stored_summary(paper)
        if not all(section.strip() for section in summary.sections()):
            continue
        digest = summary.hash()
        if paper.get(TOPIC_PROBABILITY, 1.0) < LEAST_TOPIC:
            off_topic.add(digest)
            continue
        names = (paper["bibcode"], *paper.get("alternate_bibcodes", ()))
        about = {own for name in names for own in by_bibcode.get(name, ())}
        about |= {by_name[name] for name in paper.get("source_names", ()) if name in by_name}
        link = _Link(paper["bibcode"], summary, paper.get("title", ""), paper.get("year"))
        for own in sorted(about):
            links.setdefault(own, {})[digest] = link  # in the place of the one beside a detection
    for found in links.values():
        for digest in off_topic & found.keys():
            del found[digest]
    return links, len(off_topic)


def _papers(store: Store) -> Iterator[Payload]:
    if store.resolve(PAPERS) is None:
        return
    for record in scroll_all(store, PAPERS, with_payload=_PAPER_FIELDS):
        payload = record.payload or {}
        if WITHDRAWN not in payload:
            yield payload


def _texts(
    links: Mapping[int, Mapping[str, _Link]], parts: Sequence[str]
) -> tuple[list[Text], list[str]]:
    """Return the texts to pair, in the order of sources, and what was left out."""
    shared = Counter(digest for found in links.values() for digest in found)
    surveys = {digest for digest, n in shared.items() if n > MOST_SOURCES}
    owner: dict[str, str] = {}
    for source, found in links.items():
        for digest in found:
            owner[digest] = min(
                owner.get(digest, parts[source]), parts[source], key=_HELD_OUT_FIRST.index
            )
    texts, withheld = [], 0
    for source in sorted(links):
        for digest, link in links[source].items():
            if digest in surveys:
                continue
            if parts[source] != owner[digest]:
                withheld += 1
                continue
            texts.append(Text(source, link.bibcode, link.summary, link.title, year=link.year))
    notes = []
    if surveys:
        notes.append(
            f"{len(surveys):,} texts about more than {MOST_SOURCES} sources each are left out"
        )
    if withheld:
        notes.append(
            f"{withheld:,} pairs are left out: their text is about a source held out as well"
        )
    return texts, notes


def _detection(payload: Payload) -> Detection:
    """Return the record that a payload was made of."""
    observed_at = payload.get("observed_at")
    return Detection(
        key=payload["key"],
        telescope=payload["telescope"],
        instrument=payload["instrument"],
        obsid=payload.get("obsid"),
        obi=payload.get("obi"),
        region_id=payload.get("region_id"),
        release=payload.get("release"),
        source_name=payload.get("source_name"),
        ra_deg=payload.get("ra_deg"),
        dec_deg=payload.get("dec_deg"),
        observed_at=datetime.fromisoformat(observed_at) if observed_at else None,
        exposure_s=payload.get("exposure_s"),
        source_class=tuple(payload.get("class_path", ())),
        variables={name: payload[name] for name in VARIABLE_NAMES if name in payload},
        catalogue=payload.get("catalogue", {}),
        bibcodes=tuple(payload.get("bibcodes", ())),
        simulated=bool(payload.get("simulated")),
    )
