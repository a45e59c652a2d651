"""Vectors as they are stored, with what is known of the detections behind them, as plain arrays."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from common.dataset import part_of
from common.errors import NotFoundError
from common.ports import Float32Array, Progress, no_progress
from common.representations import PARTS, Representations
from common.variables import VARIABLE_NAMES
from search.collections.model_view import current_view
from search.collections.schema import (
    BOTH,
    DETECTIONS,
    SHARED_SPECTRUM,
    SHARED_TEXT,
    SPECTRUM,
    TEXT,
    NamedVectors,
    Payload,
    named_vectors,
)
from search.collections.sources import is_to_judge_by, label_of
from search.store.base import Store
from search.store.scroll import PAGE, scroll_all

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

OF_SPECTRUM = (SPECTRUM, SHARED_SPECTRUM)
OF_TEXT = (TEXT, SHARED_TEXT, BOTH)
ENOUGH_SOURCES = 20
"""Below so many sources with a text, texts are left out rather than half of the detections."""

_FIELDS = ("key", "source_name", "class_path", "counts", "simulated", "summary_hash", "catalogue")


def read_vectors(store: Store, progress: Progress = no_progress) -> Representations:
    """Read the vectors of all detections that have a spectrum, withdrawn ones left out.

    Parameters
    ----------
    store : Store
        Where detections have been ingested.
    progress : callable
        Told how many detections are read.

    Returns
    -------
    Representations
        Only detections with a text, where at least `ENOUGH_SOURCES` sources have one; else all,
        without their texts.

    Raises
    ------
    NotFoundError
        If no detection in the store has a spectrum.
    """
    store = current_view(store)
    collection = store.resolve(DETECTIONS)
    total = store.count(DETECTIONS) if collection else 0
    payloads: list[Payload] = []
    found: list[dict[str, Float32Array]] = []
    n_judging = 0
    for payload, vectors in _read(store, total, progress) if collection else ():
        if is_to_judge_by(payload):
            n_judging += 1
        elif all(name in vectors for name in OF_SPECTRUM):
            payloads.append(payload)
            found.append({name: np.array(v, dtype=np.float32) for name, v in vectors.items()})
    if not payloads or collection is None:
        raise NotFoundError(
            f"none of the {total - n_judging:,} detections in the store that may be learnt from "
            "has a spectrum to evaluate: ingest spectra or a dataset first"
        )
    notes = []
    if n_judging:
        notes.append(f"{n_judging:,} detections of datasets for tests only take no part")
    if len(payloads) + n_judging < total:
        without = total - n_judging - len(payloads)
        notes.append(f"{without:,} of {total:,} detections have no spectrum")
    told = np.array([all(name in vectors for name in OF_TEXT) for vectors in found])
    label = np.array([label_of(payload) for payload in payloads])
    n_told = len(np.unique(label[told]))
    names = (*OF_SPECTRUM, *OF_TEXT) if n_told >= ENOUGH_SOURCES else OF_SPECTRUM
    rows = np.flatnonzero(told) if names != OF_SPECTRUM else np.arange(len(payloads))
    if names == OF_SPECTRUM:
        notes.append(
            f"texts are left out: {n_told:,} sources have a text stored beside their spectrum, "
            f"{ENOUGH_SOURCES} are needed"
        )
    elif len(rows) < len(payloads):
        notes.append(
            f"{len(payloads) - len(rows):,} of {len(payloads):,} detections with a spectrum have "
            "no text stored beside it and take no part"
        )
    labels, source = np.unique(label[rows], return_inverse=True)
    kept = [payloads[row] for row in rows.tolist()]
    return Representations(
        dataset="store",
        model_id=collection.partition("@")[2],
        text_model="not recorded",
        simulated=any(payload.get("simulated") for payload in kept),
        vectors={name: np.stack([found[row][name] for row in rows.tolist()]) for name in names},
        variables={name: _numbers(kept, name) for name in VARIABLE_NAMES},
        source=source,
        source_class=[tuple(payload.get("class_path", ())) for payload in kept],
        names=[payload.get("source_name") or payload["key"] for payload in kept],
        counts=_numbers(kept, "counts"),
        split=_split(labels.tolist(), source),
        notes=notes,
    )


def _read(store: Store, total: int, progress: Progress) -> Iterator[tuple[Payload, NamedVectors]]:
    records = scroll_all(
        store,
        DETECTIONS,
        with_payload=[*_FIELDS, *VARIABLE_NAMES],
        with_vectors=[*OF_SPECTRUM, *OF_TEXT],
        page=PAGE,
    )
    for done, record in enumerate(records, start=1):
        yield record.payload or {}, named_vectors(record)
        if done % PAGE == 0 or done == total:
            progress("reading the store", done, total)


def _numbers(payloads: Sequence[Payload], field: str) -> FloatArray:
    values: list[Any] = [payload.get(field, np.nan) for payload in payloads]
    return np.array(values, dtype=np.float64)


def _split(labels: Sequence[str], source: IntArray) -> dict[str, IntArray]:
    """Return the rows of each part: the same for good, however the store grows."""
    parts = np.array([part_of(label) for label in labels])[source]
    return {part: np.flatnonzero(parts == part) for part in PARTS}
