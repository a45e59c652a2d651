"""Datasets on disk: arrays of counts with their table, and a summary of each source.

The format is described in docs/reference/dataset-format.md.
"""

import json
import logging
import tempfile
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from common.concepts import format_concepts
from common.dataset import Dataset
from common.errors import InvalidTableError, NotFoundError
from common.records import SUMMARY_METHODS, WRITTEN_BY, Refusal, Summary, SummaryMethod
from ingest.arrays import MIB, read_arrays
from ingest.dataset_rows import (
    ATTRIBUTES,
    KINDS,
    Arrays,
    ambiguous_rows,
    check_values,
    concepts_of,
    detections_of,
    keys_of,
    releases_of,
    simulated_rows,
    some,
    variables_of,
)
from ingest.settings import IngestSettings, get_settings

Source = int | str
Record = dict[str, Any]

ARRAYS: Final = "detections.npz"
SUMMARIES: Final = "summaries.jsonl"
DESCRIPTION: Final = "dataset.json"
SECTIONS: Final = ("nature", "xray", "interpretation")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Description:
    """What ``dataset.json`` says of the whole."""

    name: str
    release: str | None = None
    simulated: bool | None = None


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
        Counts of shape (n, 400), exposures in seconds, variables, detections and summaries.
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
    summaries: dict[Source, Summary] = {}
    bibcodes: dict[Source, str] = {}
    for label, summary, bibcode in _read_summaries(path, known, simulated, limits):
        summaries[label] = summary
        bibcodes[label] = bibcode or _derived_bibcode(description.name, label)
    _check_bibcodes(description.name, summaries, bibcodes)
    variables = variables_of(arrays)
    dataset = Dataset(
        name=description.name,
        counts=arrays["counts"].astype(np.float64),
        exposure_s=arrays["exposure"].astype(np.float64),
        source=source.astype(np.int64),
        variables=variables,
        detections=detections_of(file, arrays, variables, bibcodes),
        summaries=[summaries.get(label) for label in labels.tolist()],
        bibcodes=[
            bibcodes.get(label, _derived_bibcode(description.name, label))
            for label in labels.tolist()
        ],
        simulated=simulated,
        concepts=concepts_of(file, arrays),
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
    lines = [
        {"source": i, **dict(zip(SECTIONS, summary.sections(), strict=True))}
        | {"method": summary.method, "bibcode": bibcode}
        for i, (summary, bibcode) in enumerate(
            zip(dataset.summaries, dataset.bibcodes, strict=True)
        )
        if summary is not None
    ]
    description = {"name": dataset.name, "simulated": dataset.simulated}
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


def _derived_bibcode(name: str, source: Source) -> str:
    return f"{name}:{source}"


def _read_description(path: Path, limits: IngestSettings) -> _Description:
    """Return what ``dataset.json`` says, the file name and nothing else where there is none."""
    file = path / DESCRIPTION
    if not path.is_dir() or not file.is_file():
        return _Description(path.stem if path.is_file() else path.name)
    try:
        record = json.loads(_read_text(file, limits))
    except (ValueError, RecursionError) as exc:
        raise InvalidTableError(f"{file.name}: not valid JSON ({exc}): correct it") from exc
    name, release, simulated = (
        record.get(key) if isinstance(record, dict) else record
        for key in ("name", "release", "simulated")
    )
    if (
        not isinstance(name or "", str)
        or not isinstance(release or "", str)
        or not isinstance(simulated, bool | None)
    ):
        raise InvalidTableError(
            f"{file.name}: expected an object with name and release (text) and simulated "
            "(true or false), each of which may be left out: correct it"
        )
    return _Description(name or path.name, release, simulated)


def _read_summaries(
    path: Path, known: Set[Source], simulated: bool, limits: IngestSettings
) -> Iterator[tuple[Source, Summary, str]]:
    """Yield source, summary and bibcode (empty where there is none) of each line."""
    file = path / SUMMARIES
    if not path.is_dir() or not file.is_file():
        return
    seen: dict[Source, int] = {}
    for number, line in enumerate(_read_text(file, limits).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{file.name} line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise InvalidTableError(f"{where}: not valid JSON ({exc}): correct it") from exc
        source = record.get("source") if isinstance(record, dict) else None
        if isinstance(source, bool) or not isinstance(source, int | str) or source not in known:
            raise InvalidTableError(
                f"{where}: source {source!r:.60} is in no row of {ARRAYS}: correct or remove it"
            )
        first = seen.setdefault(source, number)
        if first != number:
            raise InvalidTableError(
                f"{where}: source {source!r:.60} has a summary in line {first}: keep one"
            )
        yield source, *_summary(where, record, simulated, limits.max_text_characters)


def _summary(where: str, record: Record, simulated: bool, limit: int) -> tuple[Summary, str]:
    for name in SECTIONS:
        text = record.get(name)
        if not isinstance(text, str) or not text.strip():
            raise InvalidTableError(f"{where}: section {name} is missing or empty: fill it in")
        if len(text) > limit:
            raise InvalidTableError(
                f"{where}: section {name} has {len(text):,} characters, more than {limit:,}: "
                "shorten it, or raise CHANDRA_MAX_TEXT_CHARACTERS"
            )
    method: SummaryMethod = record.get("method") or ("simulated" if simulated else "given")
    if method not in SUMMARY_METHODS and not str(method).startswith(WRITTEN_BY):
        raise InvalidTableError(
            f"{where}: method {method!r:.60} is not known: leave it out, or give one of "
            + ", ".join((*SUMMARY_METHODS, f"{WRITTEN_BY}MODEL"))
        )
    bibcode = record.get("bibcode") or ""
    if not isinstance(bibcode, str):
        raise InvalidTableError(f"{where}: bibcode {bibcode!r:.60} is no text: correct it")
    nature, xray, interpretation = (record[name] for name in SECTIONS)
    return Summary(nature, xray, interpretation, method), bibcode


def _check_bibcodes(
    name: str, summaries: dict[Source, Summary], bibcodes: dict[Source, str]
) -> None:
    """Refuse different summaries under one bibcode: one would replace the other in the store."""
    first: dict[str, Source] = {}
    for source, bibcode in bibcodes.items():
        other = first.setdefault(bibcode, source)
        if summaries[other] != summaries[source]:
            raise InvalidTableError(
                f"dataset {name}: sources {other} and {source} have different summaries under "
                f"bibcode {bibcode}: give each its own, or leave bibcode out"
            )


def _read_text(file: Path, limits: IngestSettings) -> str:
    if file.stat().st_size > limits.max_file_mb * MIB:
        raise InvalidTableError(
            f"{file.name} is larger than {limits.max_file_mb:g} MiB: split the dataset, or raise "
            "CHANDRA_MAX_FILE_MB"
        )
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidTableError(f"{file.name} cannot be read ({exc}): write it as UTF-8") from exc
