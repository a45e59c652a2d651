"""Datasets on disk: arrays of counts with their table, and texts about their sources.

The format is described in docs/reference/dataset-format.md.
"""

import json
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import numpy as np

from common.concepts import format_concepts
from common.dataset import Dataset, Use
from common.errors import InvalidTableError, NotFoundError
from common.records import Refusal
from ingest.dataset.arrays import read_arrays
from ingest.dataset.rows import (
    ATTRIBUTES,
    CATALOGUE,
    KINDS,
    Arrays,
    ambiguous_rows,
    check_values,
    concepts_of,
    detections_of,
    keys_of,
    parts_of,
    releases_of,
    simulated_rows,
    some,
    variables_of,
)
from ingest.dataset.texts import ABSTRACTS, SUMMARIES, line_of, read_summaries, read_text
from ingest.settings import IngestSettings, get_settings

ARRAYS: Final = "detections.npz"
DESCRIPTION: Final = "dataset.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Description:
    """What ``dataset.json`` says of the whole."""

    name: str
    release: str | None = None
    simulated: bool | None = None
    use: Use = "any"


def read_dataset(
    path: Path, limits: IngestSettings | None = None, release: str | None = None
) -> Dataset:
    """Read a dataset as `read_pairs` does; the rows left out are logged."""
    dataset, refusals = read_pairs(path, limits, release)
    for refusal in refusals:
        logger.warning("%s left out: %s", refusal.input, refusal.reason)
    return dataset


def read_pairs(
    path: Path, limits: IngestSettings | None = None, release: str | None = None
) -> tuple[Dataset, list[Refusal]]:
    """Read a folder with ``detections.npz``, or one ``.npz`` file alone.

    Parameters
    ----------
    path : Path
        Folder or file.
    limits : IngestSettings or None
        Largest file and longest summary section; from the environment when None.
    release : str or None
        Release of the catalogue where the arrays do not say, for instance ``2.1``.

    Returns
    -------
    dataset : Dataset
        Counts of shape (n, 400), exposures in seconds, variables, detections, and the texts of
        ``summaries.jsonl``; `ingest.dataset.texts` reads its abstracts and questions.
    refusals : list of Refusal
        Rows left out because one detection is given to several sources
        (docs/decisions/0003-ambiguous-rows.md).

    Raises
    ------
    NotFoundError
        If there is no such dataset.
    InvalidTableError
        If something is missing, too large or contradicts the rest; rows are named.
    """
    limits = limits or get_settings()
    path = path.resolve()
    npz = path / ARRAYS if path.is_dir() else path
    if not npz.is_file():
        raise NotFoundError(f"no dataset {npz}: give a folder with {ARRAYS}, or a .npz file")
    file = f"{path.name}/{ARRAYS}" if path.is_dir() else path.name
    description = _read_description(path, limits)
    arrays = read_arrays(npz, KINDS, limits.max_file_mb)
    check_values(file, arrays)
    if "source" not in arrays:
        arrays["source"] = arrays["name"]
    arrays["release"] = releases_of(file, arrays, release or description.release)
    arrays["simulated"] = simulated_rows(arrays, description.simulated)
    arrays["key"] = keys_of(arrays, description.name)
    known = set(arrays["source"].tolist())
    ambiguous = ambiguous_rows(file, arrays)
    arrays = {name: np.delete(a, list(ambiguous), axis=0) for name, a in arrays.items()}

    labels, source = np.unique(arrays["source"], return_inverse=True)
    simulated = bool(arrays["simulated"].any())
    sources = {label: i for i, label in enumerate(labels.tolist())}
    # Texts of sources that are left out are no mistake in the file: they are read, then left out.
    gone = {label: len(sources) + i for i, label in enumerate(sorted(known - sources.keys()))}
    read = read_summaries(path, description.name, sources | gone, simulated, limits)
    texts = [text for text in read if text.source is None or text.source < len(sources)]
    variables = variables_of(arrays)
    dataset = Dataset(
        name=description.name,
        counts=arrays["counts"].astype(np.float64),
        exposure_s=arrays["exposure"].astype(np.float64),
        source=source.astype(np.int64),
        variables=variables,
        detections=detections_of(file, arrays, source, variables, texts, description.use),
        texts=texts,
        simulated=simulated,
        concepts=concepts_of(file, arrays),
        use=description.use,
        parts=parts_of(file, arrays, source),
    )
    return dataset, list(ambiguous.values())


def write_dataset(dataset: Dataset, folder: Path) -> None:
    """Write a dataset as a folder that `read_dataset` reads back.

    Kept of each detection is what the format has an array for, not its other catalogue columns.
    """
    without = np.setdiff1d(np.arange(dataset.n_sources), dataset.source)
    if len(without):
        raise InvalidTableError(
            f"dataset {dataset.name}: sources {some(without)} have no detection: remove them"
        )
    detections = dataset.detections
    whole = dataset.counts.astype(np.int64)
    arrays: Arrays = {
        "counts": whole if np.array_equal(whole, dataset.counts) else dataset.counts,
        "exposure": dataset.exposure_s,
        "source": dataset.source,
        "simulated": np.array([d.simulated for d in detections], dtype=np.bool_),
        "source_class": np.array([("", *d.source_class)[-1] for d in detections], dtype=np.str_),
        "observed_at": np.array(
            [d.observed_at.isoformat() if d.observed_at else "" for d in detections], dtype=np.str_
        ),
        **dataset.variables,
    }
    for name, (attribute, none) in ATTRIBUTES.items():
        values = [getattr(d, attribute) for d in detections]
        if any(value is not None for value in values):
            arrays[name] = np.array([none if value is None else value for value in values])
    if dataset.concepts is not None:
        arrays["concepts"] = np.array([format_concepts(holds) for holds in dataset.concepts])
    for name, default in CATALOGUE.items():
        given = [d.catalogue.get(name, default) for d in detections]
        if any(value != default for value in given):
            arrays[name] = np.array(given)
    if dataset.parts is not None:
        arrays["part"] = np.array(dataset.parts, dtype=np.str_)[dataset.source]
    lines = [line_of(text) for text in dataset.texts]
    description: dict[str, str | bool] = {"name": dataset.name, "simulated": dataset.simulated}
    if dataset.use != "any":
        description["use"] = dataset.use
    folder.mkdir(parents=True, exist_ok=True)
    # Written aside first: whoever stops in the middle leaves no file half-written.
    with tempfile.TemporaryDirectory(dir=folder) as name:
        aside = Path(name)
        np.savez_compressed(aside / ARRAYS, allow_pickle=False, **arrays)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (aside / SUMMARIES).write_text(text, encoding="utf-8")
        (aside / DESCRIPTION).write_text(json.dumps(description, indent=2), encoding="utf-8")
        for file in (SUMMARIES, DESCRIPTION, ARRAYS):
            (aside / file).replace(folder / file)
    (folder / ABSTRACTS).unlink(missing_ok=True)  # all texts are among the summaries now


def _read_description(path: Path, limits: IngestSettings) -> _Description:
    """Return what ``dataset.json`` says, the file name and nothing else where there is none."""
    file = path / DESCRIPTION
    if not path.is_dir() or not file.is_file():
        return _Description(path.stem if path.is_file() else path.name)
    try:
        record = json.loads(read_text(file, limits))
    except (ValueError, RecursionError) as exc:
        raise InvalidTableError(f"{file.name}: not valid JSON ({exc}): correct it") from exc
    fields = record if isinstance(record, dict) else {}
    name, release, simulated, use = (
        fields.get(key) for key in ("name", "release", "simulated", "use")
    )
    if (
        not isinstance(record, dict)
        or not isinstance(name or "", str)
        or not isinstance(release or "", str)
        or not isinstance(simulated, bool | None)
        or use not in (None, *get_args(Use))
    ):
        raise InvalidTableError(
            f"{file.name}: expected an object with name and release (text), simulated (true or "
            "false) and use (any or test), each of which may be left out: correct it"
        )
    return _Description(name or path.name, release, simulated, use or "any")
