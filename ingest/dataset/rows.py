"""Rows of a dataset's arrays -> detections: checks, keys, releases, classes, times."""

import logging
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from common.binning import N_BINS
from common.concepts import parse_concepts
from common.dataset import USE, BoolArray, FloatArray, IntArray, Text, Use
from common.errors import InvalidTableError
from common.records import Detection, Refusal, catalogue_key
from common.source_class import ClassPath, normalise_or_none
from common.variables import VARIABLE_NAMES, VARIABLES
from ingest.catalogue.rows import DEFAULT_RELEASE, KEY_COLUMNS, TELESCOPE, parse_release
from ingest.dataset.arrays import Array

Arrays = dict[str, Array]

INSTRUMENT: Final = "ACIS"
_ROWS_NAMED: Final = 10

# Array -> attribute of Detection it holds, and the value that stands for none.
ATTRIBUTES: Final[Mapping[str, tuple[str, str | int | float]]] = {
    "key": ("key", ""),
    "name": ("source_name", ""),
    "release": ("release", ""),
    "telescope": ("telescope", ""),
    "instrument": ("instrument", ""),
    "obsid": ("obsid", -1),
    "obi": ("obi", -1),
    "region_id": ("region_id", -1),
    "ra": ("ra_deg", math.nan),
    "dec": ("dec_deg", math.nan),
}
# Array -> entry of a detection's other catalogue values, and the value that needs no entry.
CATALOGUE: Final[Mapping[str, str | bool]] = {
    "exposure_known": True,
    "origin": "",
    "drawn_from": "",
}
_NUMBER: Final = "iuf"
_KIND_OF_NONE: Final = {str: "U", int: "iu", float: _NUMBER}
KINDS: Final[Mapping[str, str]] = {
    "counts": _NUMBER,
    "exposure": _NUMBER,
    "source": "iuU",
    "source_class": "U",
    "observed_at": "U",
    "drawn_from": "U",
    "simulated": "b",
    "concepts": "U",
    "exposure_known": "b",
    "origin": "U",
    "part": "U",
    **{name: _KIND_OF_NONE[type(none)] for name, (_, none) in ATTRIBUTES.items()},
    **dict.fromkeys(VARIABLE_NAMES, _NUMBER),
}

logger = logging.getLogger(__name__)


def check_values(file: str, arrays: Arrays) -> None:
    """Refuse arrays that are missing, of another shape, or hold what cannot be a measurement."""
    missing = [name for name in ("counts", "exposure") if name not in arrays]
    if "source" not in arrays and "name" not in arrays:
        missing.append("source (or name)")
    if missing:
        raise InvalidTableError(f"{file}: no array {', '.join(missing)}: add what is missing")
    counts, exposure = arrays["counts"], arrays["exposure"]
    n = len(counts) if counts.ndim else 0
    shapes = {name: (n, N_BINS) if name == "counts" else (n,) for name in arrays}
    wrong = [
        f"{name} {values.shape} instead of {shapes[name]}"
        for name, values in arrays.items()
        if values.shape != shapes[name]
    ]
    if wrong or n == 0:
        raise InvalidTableError(
            f"{file}: wrong shape of {'; '.join(wrong) or 'counts: no rows'}; counts has a row of "
            f"{N_BINS} bins for each detection, every other array one value"
        )
    ra, dec = (arrays.get(name, np.full(n, np.nan)) for name in ("ra", "dec"))
    wrong_rows = {
        "counts are negative or not finite": ~np.all(np.isfinite(counts) & (counts >= 0), axis=1),
        "counts are the same in all bins (no shape)": counts.max(axis=1) == counts.min(axis=1),
        "exposure is not positive": ~(np.isfinite(exposure) & (exposure > 0)),
        "ra or dec is no ICRS position in degrees": (ra < 0) | (ra > 360) | (np.abs(dec) > 90),
        "source is empty": arrays["source" if "source" in arrays else "name"] == "",
    }
    for problem, rows in wrong_rows.items():
        if np.any(rows):
            raise InvalidTableError(
                f"{file}: {problem} in rows {some(np.flatnonzero(rows))} (the first row is 0): "
                "correct or remove them"
            )


def concepts_of(file: str, arrays: Arrays) -> BoolArray | None:
    """Return which concepts hold of each row, shape (n, N_CONCEPTS), None where nothing is said."""
    if "concepts" not in arrays:
        return None
    try:
        return np.array([parse_concepts(text) for text in arrays["concepts"].tolist()])
    except InvalidTableError as exc:
        raise InvalidTableError(f"{file}: {exc}") from exc


def releases_of(file: str, arrays: Arrays, given: str | None) -> Array:
    """Return the catalogue release of each row, empty where there is no catalogue detection."""
    n = len(arrays["counts"])
    if "release" in arrays:
        texts = np.unique(arrays["release"]).tolist()
    elif given is not None:
        texts = [given]
    elif "key" not in arrays and all(name in arrays for name in KEY_COLUMNS):
        named = re.search(r"csc[\s_.-]*(\d)[._]?(\d)(?!\d)", file.lower())
        texts = [f"{named[1]}.{named[2]}" if named else DEFAULT_RELEASE]
        if not named:
            logger.warning(
                "%s: nothing tells the catalogue release: taken as %s; add an array 'release' if "
                "it is another",
                file,
                DEFAULT_RELEASE,
            )
    else:
        texts = [""]
    known = {text: parse_release(text) if text else "" for text in texts}
    unknown = [text for text, release in known.items() if release is None]
    if unknown:
        raise InvalidTableError(f"{file}: release {unknown[0]!r} is not known: give 2.0 or 2.1")
    return np.array([known[text] for text in arrays.get("release", np.repeat(texts, n)).tolist()])


def simulated_rows(arrays: Arrays, described: bool | None) -> BoolArray:
    """Return which spectra are simulated; ``described`` is what ``dataset.json`` says."""
    n = len(arrays["counts"])
    if "simulated" in arrays:
        return arrays["simulated"]
    if described is not None:
        return np.full(n, described)
    if "drawn_from" in arrays:  # counts drawn from a published fit are no observation either
        return np.asarray(arrays["drawn_from"] != "", dtype=np.bool_)
    # What names neither observation nor source cannot be traced to the sky.
    return np.full(n, "obsid" not in arrays and "name" not in arrays)


def keys_of(arrays: Arrays, name: str) -> Array:
    """Return the natural key of each row: given, of the catalogue, or of the dataset."""
    keys = []
    given = arrays.get("key", np.full(len(arrays["counts"]), "")).tolist()
    ids = [arrays.get(column, np.full(len(given), -1)).tolist() for column in KEY_COLUMNS]
    for row, (key, release, *row_ids) in enumerate(
        zip(given, arrays["release"].tolist(), *ids, strict=True)
    ):
        if key:
            keys.append(key)
        elif release and min(row_ids) >= 0:
            keys.append(catalogue_key(release, *row_ids))
        else:
            keys.append(f"dataset/{name}/{row}")
    return np.array(keys)


def ambiguous_rows(file: str, arrays: Arrays) -> dict[int, Refusal]:
    """Return the rows whose detection is given to several sources; raise for plain repetition."""
    rows_of: defaultdict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(arrays["key"].tolist()):
        rows_of[key].append(row)
    source = arrays["source"].tolist()
    ambiguous: dict[int, Refusal] = {}
    for key, rows in rows_of.items():
        sources = len({source[row] for row in rows})
        if sources < len(rows):
            raise InvalidTableError(
                f"{file}: rows {some(rows)} (the first row is 0) are the same detection {key}: "
                "keep one of them"
            )
        if sources > 1:
            reason = (
                f"{sources} rows give this detection to {sources} different sources, it is "
                "matched ambiguously: keep only rows whose match_type is 'u'"
            )
            ambiguous |= {row: Refusal(f"{file} row {row} ({key})", reason) for row in rows}
    return dict(sorted(ambiguous.items()))


def variables_of(arrays: Arrays) -> dict[str, FloatArray]:
    """Return the 20 variables, NaN where missing or outside the valid range."""
    n = len(arrays["counts"])
    variables = {}
    for variable in VARIABLES:
        values = arrays.get(variable.name, np.full(n, np.nan)).astype(np.float64)
        valid = (values >= variable.valid_min) & (values <= variable.valid_max)
        variables[variable.name] = np.where(valid, values, np.nan)
    return variables


def detections_of(
    file: str,
    arrays: Arrays,
    source: IntArray,
    variables: Mapping[str, FloatArray],
    texts: Sequence[Text],
    use: Use,
) -> list[Detection]:
    """Return one detection for each row, with the bibcodes of the texts about its source.

    Each says so itself where nothing may be learnt from it: a store must not forget it.
    """
    n = len(arrays["counts"])
    columns: dict[str, Sequence[Any]] = {
        attribute: [None if _is_absent(value, none) else value for value in arrays[name].tolist()]
        for name, (attribute, none) in ATTRIBUTES.items()
        if name in arrays
    }
    for attribute, default in (("telescope", TELESCOPE), ("instrument", INSTRUMENT)):
        columns[attribute] = [x or default for x in columns.get(attribute, [None] * n)]
    columns["exposure_s"] = arrays["exposure"].astype(np.float64).tolist()
    columns["simulated"] = arrays["simulated"].tolist()
    columns["source_class"] = _classes(file, arrays)
    columns["observed_at"] = _times(file, arrays)
    bibcodes: defaultdict[int | None, tuple[str, ...]] = defaultdict(tuple)
    for text in texts:
        bibcodes[text.source] += (text.bibcode,)
    columns["bibcodes"] = [bibcodes[index] for index in source.tolist()]
    given = {name: arrays[name].tolist() for name in CATALOGUE if name in arrays}
    always: dict[str, str | bool] = {} if use == "any" else {USE: use}
    columns["catalogue"] = [
        always
        | {name: values[row] for name, values in given.items() if values[row] != CATALOGUE[name]}
        for row in range(n)
    ]
    names = list(variables)
    columns["variables"] = [
        {name: x for name, x in zip(names, values, strict=True) if not math.isnan(x)}
        for values in np.column_stack(list(variables.values())).tolist()
    ]
    rows = zip(*columns.values(), strict=True)
    return [Detection(**dict(zip(columns, row, strict=True))) for row in rows]


def parts_of(file: str, arrays: Arrays, source: IntArray) -> list[str] | None:
    """Return the part of the split that each source is in, None where the arrays do not say."""
    if "part" not in arrays:
        return None
    parts = arrays["part"][np.unique(source, return_index=True)[1]]  # (n_source,)
    wrong = np.flatnonzero(arrays["part"] != parts[source])
    if len(wrong):
        raise InvalidTableError(
            f"{file}: part of rows {some(wrong)} (the first row is 0) is another than that of "
            "other detections of the source: give them one part"
        )
    return [str(part) for part in parts.tolist()]


def _is_absent(value: str | float, none: str | float) -> bool:
    return value == none or (isinstance(value, float) and math.isnan(value))


def _classes(file: str, arrays: Arrays) -> list[ClassPath]:
    texts = arrays.get("source_class", np.full(len(arrays["counts"]), "")).tolist()
    paths = {text: normalise_or_none(text) for text in sorted(set(texts)) if text}
    unknown = [text for text, path in paths.items() if path is None]
    if unknown:
        logger.warning(
            "%s: no such source class, left empty: %s; see SIMBAD's object types",
            file,
            ", ".join(unknown[:_ROWS_NAMED]),
        )
    return [paths.get(text) or () for text in texts]


def _times(file: str, arrays: Arrays) -> list[datetime | None]:
    """Return times of observation, UTC where they do not say."""
    times: list[datetime | None] = [None] * len(arrays["counts"])
    for row, text in enumerate(arrays.get("observed_at", np.empty(0)).tolist()):
        try:
            time = datetime.fromisoformat(text) if text else None
        except ValueError as exc:
            raise InvalidTableError(
                f"{file}: observed_at {text[:40]!r} is no time: write it as 2003-05-14T10:20:30"
            ) from exc
        times[row] = time.replace(tzinfo=UTC) if time and time.tzinfo is None else time
    return times


def some(numbers: Sequence[int] | Array) -> str:
    """Name the first of these numbers."""
    shown = ", ".join(str(number) for number in numbers[:_ROWS_NAMED])
    return shown + (f" … ({len(numbers)} in all)" if len(numbers) > _ROWS_NAMED else "")
