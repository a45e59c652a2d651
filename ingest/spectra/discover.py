"""Which files among many are spectra: decided by their headers, not by their names."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import InvalidSpectrumError, NotFoundError
from ingest.spectra.events import events_of
from ingest.spectra.fits_file import Header, peek_headers, read_fits
from ingest.spectra.ogip_headers import (
    Kind,
    ObservedSpectrum,
    file_named,
    instrument_of,
    kind_of_file,
    kind_of_hdu,
    obsid_of,
)
from ingest.spectra.pha import spectra_of

_FITS_SUFFIXES = (".pi", ".pha", ".fits", ".fit", ".fts", ".evt")
_BACKGROUND_NAME = re.compile(r"back|bkg|(?<![a-z])bg(?![a-z])")
_ENOUGH = frozenset(Kind) - {Kind.BACKGROUND, Kind.GTI, Kind.OTHER}


def find_spectra(paths: Iterable[Path]) -> list[Path]:
    """Find the files to read: those named, and in folders the source spectra and event lists.

    In a folder, responses, backgrounds and whatever is not FITS are passed over. Files named like
    FITS that cannot be opened are kept: reading them says what is wrong.

    Parameters
    ----------
    paths : iterable of Path
        Files and folders; folders are searched to any depth.

    Returns
    -------
    list of Path
        In the order given, sorted within a folder, each file once.

    Raises
    ------
    NotFoundError
        If a path does not exist.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise NotFoundError(f"{path}: there is no such file or folder: check the path")
        for file in _walk(path) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def read_observed(
    path: Path,
    *,
    rmf: Path | None = None,
    background: Path | None = None,
    max_mb: float | None = None,
) -> list[ObservedSpectrum]:
    """Read the spectra of a PHA file or an event list, whichever it is.

    Parameters
    ----------
    path : Path
        File, plain or gzipped; with a response or a background it must be a PHA file.
    rmf, background : Path, optional
        As of `ingest.spectra.pha.read_pha`.
    max_mb : float, optional
        Largest size in MiB after decompression.

    Returns
    -------
    list of ObservedSpectrum
        As from `ingest.spectra.pha.read_pha` or `ingest.spectra.events.read_events`.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InvalidSpectrumError
        If it holds no spectrum that can be used; the message says why and what to do.
    """
    hdus = read_fits(path, max_mb)
    given = rmf or background
    if not given and kind_of_file([hdu.header for hdu in hdus]) is Kind.EVENTS:
        return events_of(path, hdus)
    return spectra_of(path, hdus, rmf=rmf, background=background, max_mb=max_mb)


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A spectrum found in a folder, by its headers."""

    path: Path
    headers: Sequence[Header]

    def observation(self) -> tuple[tuple[str, str], int | None]:
        return instrument_of(self.headers), obsid_of(self.headers)

    def is_named_background(self) -> bool:
        return bool(_BACKGROUND_NAME.search(self.path.name.lower()))


def _walk(top: Path) -> Iterator[Path]:
    visited = set()
    for folder, subfolders, names in os.walk(top, followlinks=True):
        here = Path(folder)
        if here.resolve() in visited:  # a symbolic link back to a folder above
            subfolders.clear()
            continue
        visited.add(here.resolve())
        subfolders.sort()
        yield from _spectra_in(here / name for name in sorted(names))


def _spectra_in(files: Iterable[Path]) -> list[Path]:
    """Return those files of one folder that are to be read."""
    unreadable, candidates = [], []
    for path in files:
        try:
            headers = peek_headers(path, lambda header: kind_of_hdu(header) in _ENOUGH)
        except (InvalidSpectrumError, NotFoundError):
            if _looks_like_fits(path):
                unreadable.append(path)
            continue
        if kind_of_file(headers) in (Kind.SOURCE, Kind.EVENTS):
            candidates.append(_Candidate(path, headers))
    spectra = _without_backgrounds(candidates)
    return sorted([*unreadable, *(candidate.path for candidate in spectra)])


def _without_backgrounds(candidates: Sequence[_Candidate]) -> list[_Candidate]:
    backgrounds = {
        _plain(file_named(header, "BACKFILE"))
        for candidate in candidates
        for header in candidate.headers
        if _plain(file_named(header, "BACKFILE")) != _plain(candidate.path.name)
    }
    sources = {c.observation() for c in candidates if not c.is_named_background()}
    return [
        candidate
        for candidate in candidates
        if _plain(candidate.path.name) not in backgrounds
        and not (candidate.is_named_background() and candidate.observation() in sources)
    ]


def _plain(name: str) -> str:
    return name.removesuffix(".gz")


def _looks_like_fits(path: Path) -> bool:
    inner = Path(_plain(path.name.lower())).suffix
    return inner in _FITS_SUFFIXES or (inner == "" and path.suffix.lower() == ".gz")
