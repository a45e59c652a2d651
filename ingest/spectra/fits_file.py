"""FITS files from strangers, opened safely: sizes are checked before anything is read.

Every header is scanned here first, because a header is a claim: what it declares must fit into
the bytes really there, and those into the limit. Only the cards that describe a table, and the
bytes of that table, are then given to astropy. That leaves out the hundreds of history cards on
which astropy spends most of its time, and what is non-standard in them.
"""

import gzip
import io
import math
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from common.errors import InvalidSpectrumError, NotFoundError
from ingest.settings import get_settings

Buffer = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]
Header = Mapping[str, str | int | float | bool]

BLOCK = 2880
CARD = 80
CHUNK = 1 << 18
MIB = 1 << 20
MAX_HEADER_BLOCKS = 1_000
MAX_HDUS = 1_000

_MAGIC = b"SIMPLE  ="
_GZIP_MAGIC = b"\x1f\x8b"
_VALUE = re.compile(r"\s*(?:'((?:[^']|'')*)'|([^/]*))")
_TABLE_CARD = re.compile(
    rb"(?:XTENSION|BITPIX|NAXIS|PCOUNT|GCOUNT|TFIELDS|TTYPE|TFORM|TUNIT|TSCAL|TZERO|TDIM|THEAP)"
)
_READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    zlib.error,
    fits.VerifyError,
)


@dataclass(frozen=True, slots=True, eq=False)
class Hdu:
    """One header and, unread, its data."""

    path: Path
    header: Header
    cards: bytes
    data: Buffer

    def column_names(self) -> tuple[str, ...]:
        """Return the names of the table's columns in upper case, none if it is no table."""
        if self.header.get("XTENSION") != "BINTABLE":
            return ()
        fields = range(1, integer(self.header, "TFIELDS", 0) + 1)
        return tuple(str(self.header.get(f"TTYPE{n}", "")).upper() for n in fields)

    def unit(self, name: str) -> str:
        """Return the unit of a column, empty if there is none."""
        number = self.column_names().index(name) + 1
        return str(self.header.get(f"TUNIT{number}", ""))

    def columns(self, *names: str) -> dict[str, FloatArray]:
        """Read numeric columns of a binary table.

        Parameters
        ----------
        *names : str
            Names in upper case; those the table does not have are left out.

        Returns
        -------
        dict of str to ndarray of float64
            Shape (n_row,), or (n_row, n) where a cell holds a vector.

        Raises
        ------
        InvalidSpectrumError
            If astropy cannot read the table, or a column is not of numbers.
        """
        present = [name for name in names if name in self.column_names()]
        for name in present:
            number = self.column_names().index(name) + 1
            if re.match(r"\d*[PQAXCM]", str(self.header.get(f"TFORM{number}", ""))):
                raise InvalidSpectrumError(
                    f"{self.path.name}: column {name} is not of plain numbers "
                    f"(TFORM{number}={self.header.get(f'TFORM{number}')}): rewrite the table"
                )
        if not present:
            return {}
        cards = [self.cards[at : at + CARD] for at in range(0, len(self.cards), CARD)]
        table_cards = b"".join(card for card in cards if _TABLE_CARD.match(card))
        header = table_cards + b"END".ljust(CARD)
        with _translated(self.path), warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            table = fits.BinTableHDU.fromstring(
                header.ljust(-(-len(header) // BLOCK) * BLOCK) + self.data.tobytes()
            ).data
            return {name: np.array(table[name], dtype=np.float64) for name in present}


def read_fits(path: Path, max_mb: float | None = None) -> list[Hdu]:
    """Open a FITS file, plain or gzipped, and check every HDU; data stays unread.

    Parameters
    ----------
    path : Path
        File; gzip is recognised by content, whatever the name.
    max_mb : float, optional
        Largest size in MiB after decompression; by default ``CHANDRA_MAX_FILE_MB``.

    Returns
    -------
    list of Hdu
        The primary HDU first.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InvalidSpectrumError
        If it is no FITS file, truncated, or larger than the limit, or says it is.
    """
    limit = _limit(max_mb)
    with _translated(path):
        stream: io.BufferedIOBase
        if _is_gzip(path, limit):
            stream = _decompress(path, limit)
            buffer: Buffer = np.frombuffer(stream.getvalue(), np.uint8)
        else:
            stream = path.open("rb")
            buffer = np.memmap(path, np.uint8, "r")
        with stream:
            return [
                Hdu(path, scanned.header, scanned.cards, buffer[scanned.start : scanned.end])
                for scanned in _scan(path, stream, len(buffer), limit)
            ]


def peek_headers(path: Path, enough: Callable[[Header], bool]) -> list[Header]:
    """Return the headers up to the first that is enough, reading as little as that takes.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InvalidSpectrumError
        If it is no FITS file, or damaged before a header that is enough.
    """
    limit = _limit(None)
    headers = []
    with _translated(path):
        compressed = _is_gzip(path, limit)
        with gzip.open(path) if compressed else path.open("rb") as stream:
            size = limit if compressed else path.stat().st_size
            for scanned in _scan(path, stream, size, limit):
                headers.append(scanned.header)
                if enough(scanned.header):
                    break
    return headers


def integer(header: Header, keyword: str, default: int | None = None) -> int:
    """Return an integer keyword, or the default if it is absent."""
    value = header.get(keyword, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidSpectrumError(f"{keyword} is {value}, not an integer: the header is damaged")
    return value


@dataclass(frozen=True, slots=True)
class _Scanned:
    """Where an HDU lies in its file."""

    header: Header
    cards: bytes
    start: int
    end: int


def _scan(path: Path, stream: io.BufferedIOBase, size: int, limit: int) -> Iterator[_Scanned]:
    """Yield HDU after HDU, having checked that what each declares is there."""
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise InvalidSpectrumError(
            f"{path.name}: not a FITS file (it does not begin with SIMPLE): give the FITS file"
        )
    position = 0
    for number in range(MAX_HDUS):
        stream.seek(position)
        first = stream.read(BLOCK)
        if number and not first.startswith(b"XTENSION"):
            return  # FITS allows anything after the last HDU
        cards = _read_cards(path, number, first, stream)
        start = position + len(cards)
        header = _parse(cards)
        declared = _data_size(path, number, header)
        if start + declared > min(size, limit):
            raise InvalidSpectrumError(
                f"{path.name}: HDU {number} declares {declared:,} bytes of data from byte "
                f"{start:,}, the file {f'has {size:,}' if size <= limit else _allowance(limit)}: "
                "truncated, damaged or hostile; get it again"
            )
        yield _Scanned(header, cards, start, start + declared)
        position = start + -(-declared // BLOCK) * BLOCK
    raise InvalidSpectrumError(f"{path.name}: more than {MAX_HDUS} HDUs: split the file")


def _read_cards(path: Path, number: int, first: bytes, stream: io.BufferedIOBase) -> bytes:
    blocks = [first]
    while len(blocks[-1]) == BLOCK and len(blocks) <= MAX_HEADER_BLOCKS:
        if any(blocks[-1][at : at + CARD].rstrip() == b"END" for at in range(0, BLOCK, CARD)):
            return b"".join(blocks)
        blocks.append(stream.read(BLOCK))
    raise InvalidSpectrumError(
        f"{path.name}: the header of HDU {number} has no END: truncated or damaged; get it again"
    )


def _parse(cards: bytes) -> dict[str, str | int | float | bool]:
    """Return the keywords of a header with their values; the first of a repeated one counts."""
    header: dict[str, str | int | float | bool] = {}
    keyword = ""
    text = cards.decode("latin-1")
    for at in range(0, len(text), CARD):
        if text[at + 8 : at + 10] == "= ":
            keyword = text[at : at + 8].rstrip()
            header.setdefault(keyword, _parse_value(text[at + 10 : at + CARD]))
        elif text.startswith("CONTINUE", at):
            so_far = str(header.get(keyword, ""))
            if so_far.endswith("&"):
                header[keyword] = so_far[:-1] + str(_parse_value(text[at + 8 : at + CARD]))
    return header


def _parse_value(text: str) -> str | int | float | bool:
    match = _VALUE.match(text)
    if match is None:
        return ""
    if match[1] is not None:
        return match[1].replace("''", "'").rstrip()
    word = match[2].strip()
    if word in ("T", "F"):
        return word == "T"
    for number in (int, float):
        try:
            return number(word.replace("D", "E"))
        except ValueError:
            continue
    return word


def _data_size(path: Path, number: int, header: Header) -> int:
    """Return the bytes of data that a header declares (FITS 4.0, equations 1 and 2)."""
    try:
        axes = [integer(header, f"NAXIS{n}") for n in range(1, integer(header, "NAXIS") + 1)]
        bits, groups = abs(integer(header, "BITPIX")), integer(header, "GCOUNT", 1)
        parameters = integer(header, "PCOUNT", 0)
    except InvalidSpectrumError as exc:
        raise InvalidSpectrumError(f"{path.name}: HDU {number}: {exc}; get it again") from exc
    if min([*axes, groups, parameters], default=0) < 0:
        raise InvalidSpectrumError(f"{path.name}: HDU {number} declares a negative size: damaged")
    return bits // 8 * groups * (parameters + math.prod(axes)) if axes else 0


def _limit(max_mb: float | None) -> int:
    return int((get_settings().max_file_mb if max_mb is None else max_mb) * MIB)


def _allowance(limit: int) -> str:
    return f"may have {limit:,} (CHANDRA_MAX_FILE_MB)"


def _is_gzip(path: Path, limit: int) -> bool:
    with path.open("rb") as stream:
        magic = stream.read(len(_GZIP_MAGIC))
    if path.stat().st_size > limit:
        raise InvalidSpectrumError(
            f"{path.name}: {path.stat().st_size:,} bytes, it {_allowance(limit)}: "
            "raise the limit if you trust the file"
        )
    if not magic:
        raise InvalidSpectrumError(f"{path.name}: empty file: get it again")
    return magic == _GZIP_MAGIC


def _decompress(path: Path, limit: int) -> io.BytesIO:
    data = io.BytesIO()
    with gzip.open(path) as stream:
        while chunk := stream.read(CHUNK):
            data.write(chunk)
            if data.tell() > limit:
                raise InvalidSpectrumError(
                    f"{path.name}: more than {limit:,} bytes when decompressed, it "
                    f"{_allowance(limit)}: raise the limit if you trust the file"
                )
    data.seek(0)
    return data


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what the operating system, zlib and astropy raise into our errors."""
    try:
        yield
    except FileNotFoundError as exc:
        raise NotFoundError(f"{path}: there is no such file: check the path") from exc
    except _READ_ERRORS as exc:
        raise InvalidSpectrumError(
            f"{path.name}: cannot be read as FITS ({exc}): truncated or damaged; get it again"
        ) from exc
