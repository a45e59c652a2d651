"""Table files of any format -> plain columns: CSV, ECSV, FITS, VOTable, each also gzipped.

The format is told by content, not by name. What is absent in a file, as a mask, NaN, an empty
string or the word ``NULL``, is absent here in one way for each kind of column.
"""

import gzip
import io
import logging
import re
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.parsers.expat import ExpatError

import numpy as np
import numpy.typing as npt
from astropy import units as u
from astropy.io import ascii as ascii_tables
from astropy.io import fits
from astropy.io.votable import parse as parse_votable
from astropy.table import Column, Table
from astropy.utils.exceptions import AstropyWarning
from numpy.ma.core import MaskedConstant

from common.errors import InvalidTableError, NotFoundError
from ingest.settings import get_settings

logger = logging.getLogger(__name__)

Values = npt.NDArray[np.float64] | npt.NDArray[np.object_]
"""Numbers with NaN for absent, or an object array of str or bool with None for absent."""

_ABSENT: Final = {"", "nan", "null", "none", "n/a", "--"}
_BOOLEAN: Final = {"true": True, "t": True, "false": False, "f": False}
_READ_ERRORS: Final = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    EOFError,
    ExpatError,
    MemoryError,
    zlib.error,
    fits.VerifyError,
)


@dataclass(frozen=True, slots=True, eq=False)
class TableFile:
    """Columns of a table file.

    Attributes
    ----------
    name : str
        File name, for messages.
    columns : mapping of str to ndarray, shape (n_rows,)
        By lower-case name, in the units asked for.
    n_rows : int
        Number of rows, at least one.
    """

    name: str
    columns: Mapping[str, Values]
    n_rows: int


def read_table(path: Path, units: Mapping[str, str]) -> TableFile:
    """Read a table file.

    Parameters
    ----------
    path : Path
        CSV, ECSV, FITS or VOTable, gzipped or not.
    units : mapping of str to str
        Unit in which a column is wanted, by lower-case name. A column without a unit, or with one
        that cannot be read, is taken to be in it already.

    Returns
    -------
    TableFile
        The columns that hold one value a row.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InvalidTableError
        If the file is too large, cut short, of no known format or empty, or a unit does not fit.
    """
    data = _read_bytes(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)  # oddities of others' files, not ours
            table = columns_of(path.name, _parse(path.name, data), units)
    except _READ_ERRORS as exc:
        raise InvalidTableError(
            f"{path.name}: cannot be read as CSV, ECSV, FITS or VOTable ({exc}): "
            "check that it is complete and a table"
        ) from exc
    if not table.columns or not table.n_rows:
        raise InvalidTableError(f"{path.name}: holds no rows: give a table with a header and rows")
    return table


def columns_of(name: str, table: Table, units: Mapping[str, str]) -> TableFile:
    """Return the columns of an astropy table that hold one value a row, as `read_table` does.

    Raises
    ------
    InvalidTableError
        If a unit does not fit.
    """
    columns = {
        column_name.lower(): _convert(name, column_name, column, units.get(column_name.lower()))
        for column_name, column in reversed(table.columns.items())  # of NAME and name, the first
        if _holds_one_value_a_row(column)
    }
    return TableFile(name, dict(reversed(columns.items())), len(table))


def numbers(values: Values) -> npt.NDArray[np.float64]:
    """Return a column as float64, NaN where it holds no finite number."""
    plain = [_number(value) for value in values] if values.dtype == np.object_ else values
    read = np.array(plain, dtype=np.float64)
    return np.where(np.isfinite(read), read, np.nan)


def _number(value: object) -> float:
    try:
        return float(value) if isinstance(value, str) else np.nan
    except ValueError:
        return np.nan


def _read_bytes(path: Path) -> bytes:
    limit = int(get_settings().max_file_mb * 2**20)
    try:
        with path.open("rb") as raw:
            gzipped = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if gzipped else path.open("rb") as file:
            data: bytes = file.read(limit + 1)  # bounded: a gzip bomb is not unpacked
    except FileNotFoundError as exc:
        raise NotFoundError(f"{path}: no such file: check the path") from exc
    except (OSError, EOFError, zlib.error) as exc:
        raise InvalidTableError(f"{path}: cannot be read ({exc}): check the file") from exc
    if len(data) > limit:
        raise InvalidTableError(
            f"{path.name}: larger than {limit / 2**20:g} MiB: "
            "split it, or raise CHANDRA_MAX_FILE_MB if you trust it"
        )
    return data


def _parse(name: str, data: bytes) -> Table:
    start = data[:4096].lstrip()
    if data.startswith(b"SIMPLE  ="):
        return _parse_fits(name, data)
    if start.startswith(b"<?xml") or start[:8].upper() == b"<VOTABLE":
        return _parse_votable(name, data)
    text = data.decode("utf-8-sig")
    if "\0" in text:
        raise InvalidTableError(f"{name}: is binary, but neither FITS nor gzip: give a table")
    if not text.strip():
        raise InvalidTableError(f"{name}: is empty: give a table with a header and rows")
    if start.startswith(b"# %ECSV"):
        return Table.read(text, format="ascii.ecsv")
    return ascii_tables.read(text, format="csv", guess=False)


def _parse_fits(name: str, data: bytes) -> Table:
    with fits.open(io.BytesIO(data), memmap=False) as hdus:
        for number, hdu in enumerate(hdus):
            header = hdu.header
            if not isinstance(hdu, fits.BinTableHDU | fits.TableHDU):
                continue
            declared = int(header["NAXIS1"]) * int(header["NAXIS2"]) + int(header.get("PCOUNT", 0))
            if not 0 <= declared <= len(data):  # before anything of that size is allocated
                raise InvalidTableError(
                    f"{name}: its header declares {declared} bytes of table, the file has "
                    f"{len(data)}: it is cut short or damaged, fetch it again"
                )
            return Table.read(hdus, format="fits", hdu=number, character_as_bytes=False)
    raise InvalidTableError(f"{name}: FITS without a table extension: give a table")


def _parse_votable(name: str, data: bytes) -> Table:
    if re.search(rb"<STREAM[^>]*\bhref", data):  # would be fetched from wherever it points to
        raise InvalidTableError(f"{name}: refers to data elsewhere: save it with its data inside")
    declared = map(int, re.findall(rb"""\b(?:nrows|arraysize)\s*=\s*["'](\d+)""", data))
    if (most := max(declared, default=0)) > len(data):  # would be allocated
        raise InvalidTableError(
            f"{name}: declares {most} rows or characters, the file has {len(data)} bytes: "
            "it is damaged, fetch it again"
        )
    votable = parse_votable(io.BytesIO(data), verify="ignore")
    for resource in votable.resources:
        if any(info.name == "QUERY_STATUS" and info.value == "OVERFLOW" for info in resource.infos):
            raise InvalidTableError(
                f"{name}: the service cut its answer short (QUERY_STATUS OVERFLOW): "
                "ask for fewer rows at a time, or raise MAXREC"
            )
    return votable.get_first_table().to_table(use_names_over_ids=True)


def _holds_one_value_a_row(column: Column) -> bool:
    if getattr(column, "ndim", 0) != 1:
        return False
    if column.dtype.kind == "O":  # text of any length, or arrays of any length
        present = np.asarray(column)[~np.ma.getmaskarray(column)]
        return all(isinstance(value, str | bytes | None | MaskedConstant) for value in present)
    return column.dtype.kind in "biufSU"


def _convert(file: str, name: str, column: Column, wanted: str | None) -> Values:
    absent = np.array(getattr(column, "mask", False)) | np.zeros(len(column), dtype=bool)
    plain = np.asarray(getattr(column, "filled", lambda: column)())
    if plain.dtype.kind in "SUO":
        return _text(plain, absent)
    if plain.dtype.kind == "b":
        flags = plain.astype(object)
        flags[absent] = None
        return flags
    values = np.where(absent, np.nan, plain.astype(np.float64))
    unit = getattr(column, "unit", None)
    if wanted is None or unit is None or unit == u.dimensionless_unscaled:
        return values
    if isinstance(unit, u.UnrecognizedUnit):
        logger.warning("%s: unit %s of column %s taken as %s", file, unit, name, wanted or "none")
        return values
    try:
        converted = u.Quantity(values, unit).to_value(wanted, u.temperature_energy())
    except u.UnitConversionError as exc:
        raise InvalidTableError(
            f"{file}: column {name} is in {unit}, expected {wanted or 'no unit'}: correct its unit"
        ) from exc
    return np.asarray(converted, dtype=np.float64)


def _text(plain: npt.NDArray[Any], absent: npt.NDArray[np.bool_]) -> Values:
    texts = [
        (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()
        for value in plain
    ]
    kept = [
        None if gone or text.casefold() in _ABSENT else text
        for text, gone in zip(texts, absent.tolist(), strict=True)
    ]
    spellings = {text.casefold() for text in kept if text is not None}
    if spellings and spellings <= _BOOLEAN.keys():
        return np.array(
            [None if text is None else _BOOLEAN[text.casefold()] for text in kept], dtype=object
        )
    return np.array(kept, dtype=object)
