"""Rows of a catalogue table -> detections, with the column names of the Chandra Source Catalog."""

import difflib
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from common.errors import InvalidTableError
from common.records import Detection, Refusal, catalogue_key
from common.source_class import normalise_or_none
from common.variables import VARIABLE_NAMES, VARIABLES
from ingest.catalogue.tables import TableFile, numbers

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

logger = logging.getLogger(__name__)

TELESCOPE: Final = "CHANDRA"  # as TELESCOP in the headers of its files
KEY_COLUMNS: Final = ("obsid", "obi", "region_id")
DEFAULT_RELEASE: Final = "2.1"
UNKNOWN: Final = "unknown"  # instrument

UNITS: Final[Mapping[str, str]] = {
    "ra": "deg",
    "dec": "deg",
    "livetime": "s",
    **{
        variable.name + suffix: variable.unit
        for variable in VARIABLES
        for suffix in ("", "_lolim", "_hilim")
    },
}
_CLASS_COLUMNS: Final = ("source_class", "main_type", "otype")
_RELEASE_COLUMNS: Final = ("release", "catalog")
_BIBCODE_COLUMNS: Final = ("bibcodes", "bibcode")
_NAMED: Final = (*KEY_COLUMNS, *_RELEASE_COLUMNS, *_BIBCODE_COLUMNS, *VARIABLE_NAMES)
_NOTHING: Final = "nothing"
_SENTINELS: Final = (-99.0, -999.0, -9999.0, -99999.0)


def rows_of(table: TableFile, release: str | None) -> tuple[list[Detection], list[Refusal]]:
    """Turn the rows of a table into detections; those of a table of sources have an empty key.

    A row that cannot be used is refused, and so is every row of a detection whose rows contradict
    one another; rows that are equal in every column are taken once.
    """
    rows = rows_in_place(table, release)
    return (
        [row for row in rows if isinstance(row, Detection)],
        [row for row in rows if isinstance(row, Refusal)],
    )


def rows_in_place(table: TableFile, release: str | None) -> list[Detection | Refusal | None]:
    """Do the same as `rows_of`, row by row; None is a row that repeats another."""
    keyed = _check_columns(table)
    names = _texts(table, "name")
    ra, dec = _numbers(table, "ra"), _numbers(table, "dec")
    located = _given(table, "ra") | _given(table, "dec")
    wrong = _wrong_positions(table, located & ~((ra >= 0) & (ra <= 360) & (np.abs(dec) <= 90)))
    releases: list[str | None] = [None] * table.n_rows
    keys = [""] * table.n_rows
    ids = {name: _numbers(table, name) for name in KEY_COLUMNS}
    if keyed:
        releases = _releases(table, release)
        wrong |= _wrong_ids(table, ids, releases)
        for i in (i for i in range(table.n_rows) if i not in wrong):
            key = (int(ids[name][i]) for name in KEY_COLUMNS)
            keys[i] = catalogue_key(str(releases[i]), *key)
    else:
        nowhere = ~located & ~_given(table, "name")
        wrong |= {
            i: "neither name nor position: fill one in" for i in np.flatnonzero(nowhere).tolist()
        }
    contradicting, repeated = _repeated(table, keys, names)
    wrong |= contradicting

    classes, class_column = _classes(table)
    used = {"name", "ra", "dec", "livetime", "gti_obs", "instrument", class_column, *_NAMED}
    instruments, times, livetimes = _instruments(table), _times(table), _numbers(table, "livetime")
    bibcodes, variables, others = _bibcodes(table), _variables(table), _others(table, used)

    def convert(i: int) -> Detection | Refusal | None:
        if i in wrong:
            told = f" ({keys[i]})" if keys[i] else ""
            return Refusal(f"{table.name} row {i + 1}{told}", wrong[i])
        if i in repeated:
            return None
        return Detection(
            key=keys[i],
            telescope=TELESCOPE,
            instrument=instruments[i],
            obsid=int(ids["obsid"][i]) if keyed else None,
            obi=int(ids["obi"][i]) if keyed else None,
            region_id=int(ids["region_id"][i]) if keyed else None,
            release=releases[i],
            source_name=names[i],
            ra_deg=float(ra[i]) % 360.0 if located[i] else None,
            dec_deg=float(dec[i]) if located[i] else None,
            observed_at=times[i],
            exposure_s=float(livetimes[i]) if livetimes[i] > 0 else None,
            source_class=classes[i],
            variables=variables[i],
            catalogue=others[i],
            bibcodes=bibcodes[i],
        )

    return [convert(i) for i in range(table.n_rows)]


def _check_columns(table: TableFile) -> bool:
    """Return whether the rows are detections; raise if the columns do for no purpose."""
    found = table.columns.keys()
    lacking = [name for name in KEY_COLUMNS if name not in found]
    if 0 < len(lacking) < len(KEY_COLUMNS):
        raise InvalidTableError(
            missing_columns(table, lacking) + ", or drop the other ids to join by name or position"
        )
    if "name" not in found and not {"ra", "dec"} <= found:
        raise InvalidTableError(missing_columns(table, ["name", "ra", "dec"]) + ": name, or both")
    return not lacking


def missing_columns(table: TableFile, lacking: Sequence[str]) -> str:
    """Say which columns a table lacks, which it has, and which of these may be meant."""
    found = list(table.columns)
    near = {name: difflib.get_close_matches(name, found, n=1) for name in lacking}
    hints = [f"{other[0]} for {name}" for name, other in near.items() if other]
    shown = ", ".join(found[:20]) + (", …" if len(found) > 20 else "")
    return (
        f"{table.name}: no column {', '.join(lacking)} (found: {shown}"
        + (f"; nearest: {', '.join(hints)}" if hints else "")
        + "): add or rename columns"
    )


def parse_release(text: str) -> str | None:
    """Return a catalogue release as ``2.0`` or ``2.1`` from ``csc20``, ``rel2.1``, ``2.1.1``."""
    match = re.fullmatch(
        r"(?:csc|rel(?:ease)?)?[\s_.-]*(\d)(?:[._]?(\d))?(?:\.\d+)?", text.strip().lower()
    )
    return f"{match[1]}.{match[2] or 0}" if match else None


def _releases(table: TableFile, given: str | None) -> list[str | None]:
    default = parse_release(given) if given is not None else None
    if given is not None and default is None:
        raise InvalidTableError(f"release {given!r} is not known: give 2.0 or 2.1")
    column = next((name for name in _RELEASE_COLUMNS if name in table.columns), None)
    texts = _texts(table, column) if column else [None] * table.n_rows
    if default is None and None in texts:
        named = re.search(r"csc[\s_.-]*(\d)[._]?(\d)(?!\d)", table.name.lower())
        default = f"{named[1]}.{named[2]}" if named else DEFAULT_RELEASE
        if not named:
            logger.warning(
                "%s: neither a column nor the file name tells the catalogue release: taken as %s; "
                "add a column 'release' if it is another",
                table.name,
                DEFAULT_RELEASE,
            )
    known = {text: parse_release(text) for text in set(texts) if text is not None}
    return [default if text is None else known[text] for text in texts]


def _wrong_positions(table: TableFile, rows: BoolArray) -> dict[int, str]:
    def shown(name: str, row: int) -> str:
        return _shown(table.columns[name][row]) if name in table.columns else "missing"

    return {
        i: f"ra {shown('ra', i)}, dec {shown('dec', i)} is no position: give ICRS degrees, "
        "ra 0 to 360 and dec -90 to 90"
        for i in np.flatnonzero(rows).tolist()
    }


def _wrong_ids(
    table: TableFile,
    ids: Mapping[str, FloatArray],
    releases: Sequence[str | None],
) -> dict[int, str]:
    wrong = {
        i: "its release is not known: give 2.0 or 2.1"
        for i, release in enumerate(releases)
        if release is None
    }
    for name, lowest in (("region_id", 0), ("obi", 0), ("obsid", 1)):
        values = ids[name]
        fits = (values >= lowest) & (values < 2**31) & (values == np.floor(values))
        for i in np.flatnonzero(~fits):
            shown = _shown(table.columns[name][i])
            wrong[int(i)] = f"{name} is {shown}: give a whole number from {lowest} up"
    return wrong


def _repeated(
    table: TableFile, keys: Sequence[str], names: Sequence[str | None]
) -> tuple[dict[int, str], set[int]]:
    """Return rows of one detection that contradict one another, and those that repeat another."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        if key:
            groups[key].append(i)
    contradicting: dict[int, str] = {}
    repeated: set[int] = set()
    for group in (group for group in groups.values() if len(group) > 1):
        differing = [
            name
            for name, values in table.columns.items()
            if len({_shown(values[i]) for i in group}) > 1
        ]
        if not differing:
            repeated.update(group[1:])
            continue
        rows = ", ".join(str(i + 1) for i in group[:5]) + (", …" if len(group) > 5 else "")
        sources = len({names[i] for i in group})
        reason = (
            f"{len(group)} rows ({rows}) give this detection to {sources} different sources, it is "
            "matched ambiguously: keep only rows whose match_type is 'u'"
            if sources > 1
            else f"{len(group)} rows ({rows}) differ in {', '.join(differing[:5])} for this "
            "detection: keep one of them"
        )
        contradicting |= dict.fromkeys(group, reason)
    return contradicting, repeated


def _numbers(table: TableFile, column: str) -> FloatArray:
    values = table.columns.get(column)
    return np.full(table.n_rows, np.nan) if values is None else numbers(values)


def _given(table: TableFile, column: str) -> BoolArray:
    values = table.columns.get(column)
    if values is None:
        return np.zeros(table.n_rows, dtype=np.bool_)
    return np.array([_shown(value) != _NOTHING for value in values], dtype=np.bool_)


def _shown(value: object) -> str:
    absent = value is None or (isinstance(value, float) and np.isnan(value))
    return _NOTHING if absent else repr(value) if isinstance(value, str) else str(value)


def _texts(table: TableFile, column: str) -> list[str | None]:
    values = table.columns.get(column)
    if values is None:
        return [None] * table.n_rows
    if values.dtype == np.object_:
        return [None if value is None else str(value) for value in values]
    return [None if np.isnan(value) else f"{value:.15g}" for value in values]


def _instruments(table: TableFile) -> list[str]:
    column = "instrument" if "instrument" in table.columns else "detector"
    return [
        UNKNOWN if text is None else text.split("-")[0].upper() for text in _texts(table, column)
    ]


def _times(table: TableFile) -> list[datetime | None]:
    def parse(text: str | None) -> datetime | None:
        try:
            time = datetime.fromisoformat(text) if text else None
        except ValueError:
            return None
        return time.replace(tzinfo=UTC) if time and time.tzinfo is None else time

    return [parse(text) for text in _texts(table, "gti_obs")]


def _classes(table: TableFile) -> tuple[list[tuple[str, ...]], str]:
    column = next((name for name in _CLASS_COLUMNS if name in table.columns), "")
    texts = _texts(table, column)
    paths = {text: normalise_or_none(text) for text in set(texts) if text is not None}
    unknown = sorted(text for text, path in paths.items() if path is None)
    if unknown:
        logger.warning(
            "%s: no such source class, left empty: %s; see SIMBAD's object types",
            table.name,
            ", ".join(unknown[:10]),
        )
    return [() if text is None else paths[text] or () for text in texts], column


def _bibcodes(table: TableFile) -> list[tuple[str, ...]]:
    column = next((name for name in _BIBCODE_COLUMNS if name in table.columns), "")
    return [
        tuple(part.strip() for part in re.split(r"[|;,\s]+", text or "") if len(part) == 19)
        for text in _texts(table, column)
    ]


def _variables(table: TableFile) -> list[dict[str, float]]:
    variables: list[dict[str, float]] = [{} for _ in range(table.n_rows)]
    dropped: Counter[str] = Counter()
    for variable in VARIABLES:
        values = _numbers(table, variable.name)
        fits = (values >= variable.valid_min) & (values <= variable.valid_max)
        dropped[variable.name] = int(np.count_nonzero(np.isfinite(values) & ~fits))
        for i in np.flatnonzero(fits).tolist():
            variables[i][variable.name] = float(values[i])
    if dropped.total():
        counts = ", ".join(f"{name} {count}" for name, count in dropped.items() if count)
        logger.warning("%s: values outside the valid range left out: %s", table.name, counts)
    return variables


def _others(table: TableFile, used: Container[str]) -> list[dict[str, float | str | bool]]:
    others: list[dict[str, float | str | bool]] = [{} for _ in range(table.n_rows)]
    for name, values in table.columns.items():
        if name in used:
            continue
        if values.dtype == np.object_:
            present = [i for i, value in enumerate(values) if value is not None]
        else:
            present = np.flatnonzero(np.isfinite(values) & ~np.isin(values, _SENTINELS)).tolist()
        plain = values.tolist()
        for i in present:
            others[i][name] = plain[i]
    return others
