"""SIMBAD: positions and names -> objects with their class and the papers about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import isfinite
from typing import Any, Final

import numpy as np
from astropy.coordinates import angular_separation
from astropy.table import Table

from common.errors import ArchiveError
from common.source_class import ClassPath, normalise_or_none
from ingest.archives.http_session import PoliteSession
from ingest.archives.pacing import Courtesy
from ingest.archives.settings import ArchiveSettings
from ingest.archives.tap import query

CHUNK = 1000
"""Rows of an uploaded table."""
MOST_BIBCODES = 500
"""Papers kept of one object: M 31 has more than ten thousand."""
MOST_REFERENCES = 100_000
"""Papers asked for at a time, by what SIMBAD says of each object."""

# One row an object in all of these; alltypes and ids are lists, joined by |.
_SELECTED: Final = "t.n, b.oid, b.main_id, b.otype, b.ra, b.dec, b.nbref, a.otypes, s.ids"
_DETAILS: Final = (
    "LEFT JOIN alltypes AS a ON a.oidref = b.oid LEFT JOIN ids AS s ON s.oidref = b.oid"
)
_UNREADABLE: Final = (KeyError, ValueError, TypeError)
_NOT_READ: Final = "simbad answers a row that cannot be read"


@dataclass(frozen=True, slots=True)
class Position:
    """What is looked for: names that SIMBAD may know, and a place on the sky (ICRS)."""

    key: str
    ra_deg: float
    dec_deg: float
    radius_arcsec: float
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SimbadObject:
    """An object of SIMBAD.

    Attributes
    ----------
    oid : int
        SIMBAD's own number, which is not for keeping.
    otype : str
        Its main type as SIMBAD writes it; `otypes` are all of them.
    source_class : tuple of str
        The path of the main type, empty if it is unknown here.
    identifiers : tuple of str
        All of its names; `main_id` is the main one.
    ra_deg, dec_deg, separation_arcsec : float or None
        Its place (ICRS), and how far from the position asked for; some have none.
    n_references : int
        How many papers SIMBAD knows about it.
    bibcodes : tuple of str
        These papers, newest first, at most `MOST_BIBCODES`.
    """

    oid: int
    main_id: str
    otype: str
    otypes: tuple[str, ...]
    source_class: ClassPath
    identifiers: tuple[str, ...]
    ra_deg: float | None
    dec_deg: float | None
    separation_arcsec: float | None
    n_references: int
    bibcodes: tuple[str, ...] = ()


class SimbadArchive:
    """SIMBAD by tables of positions, so that few requests do for many sources.

    Parameters
    ----------
    settings : ArchiveSettings
        Where it is.
    courtesy : Courtesy
        Asked before each request, as ``simbad``.
    references : int
        Papers asked for at a time.
    """

    def __init__(
        self, settings: ArchiveSettings, courtesy: Courtesy, references: int = MOST_REFERENCES
    ) -> None:
        self._url = str(settings.simbad_tap_url)
        self._session = PoliteSession("simbad", settings, courtesy)
        self._references = references

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def match(self, positions: Sequence[Position]) -> dict[str, SimbadObject]:
        """Return the object of each position by its key, unknown ones left out.

        An object of that name counts before the nearest one within the radius.

        Parameters
        ----------
        positions : sequence of Position
            Any number; a thousand take three requests.

        Raises
        ------
        ArchiveError
            If SIMBAD does not answer, or what it answers cannot be used.
        """
        found: dict[str, SimbadObject] = {}
        for start in range(0, len(positions), CHUNK):
            part = positions[start : start + CHUNK]
            named = self._by_name(part)
            found |= named
            found |= self._by_position([one for one in part if one.key not in named])
        bibcodes = self._bibcodes({one.oid: one.n_references for one in found.values()})
        return {key: replace(one, bibcodes=bibcodes.get(one.oid, ())) for key, one in found.items()}

    def _by_name(self, positions: Sequence[Position]) -> dict[str, SimbadObject]:
        pairs = [(one, name) for one in positions for name in _spellings(one.names)]
        if not pairs:
            return {}
        rows = self._ask(
            f"SELECT {_SELECTED} FROM TAP_UPLOAD.asked AS t JOIN ident AS i ON i.id = t.name "
            f"JOIN basic AS b ON b.oid = i.oidref {_DETAILS}",
            Table({"n": np.arange(len(pairs)), "name": [name for _, name in pairs]}),
        )
        found: dict[str, SimbadObject] = {}
        asked = [position for position, _ in pairs]
        for n, one in sorted(_objects(rows, asked), key=lambda pair: pair[0]):
            found.setdefault(asked[n].key, one)  # the first name counts most
        return found

    def _by_position(self, positions: Sequence[Position]) -> dict[str, SimbadObject]:
        placed = [one for one in positions if isfinite(one.ra_deg) and abs(one.dec_deg) <= 90]
        if not placed:
            return {}
        rows = self._ask(
            f"SELECT {_SELECTED} FROM TAP_UPLOAD.asked AS t JOIN basic AS b ON "
            "CONTAINS(POINT('ICRS', b.ra, b.dec), CIRCLE('ICRS', t.ra, t.dec, t.radius)) = 1 "
            f"{_DETAILS}",
            Table(
                {
                    "n": np.arange(len(placed)),
                    "ra": [one.ra_deg % 360.0 for one in placed],
                    "dec": [one.dec_deg for one in placed],
                    "radius": [one.radius_arcsec / 3600.0 for one in placed],
                }
            ),
        )
        nearest: dict[str, SimbadObject] = {}
        pairs = [pair for pair in _objects(rows, placed) if pair[1].separation_arcsec is not None]
        for n, one in sorted(pairs, key=lambda pair: (pair[1].separation_arcsec, pair[1].oid)):
            nearest.setdefault(placed[n].key, one)
        return nearest

    def _bibcodes(self, counts: Mapping[int, int]) -> dict[int, tuple[str, ...]]:
        """Return the papers about objects, newest first."""
        found: dict[int, tuple[str, ...]] = {}
        for oids in _of_at_most(self._references, counts):
            rows = self._ask(
                "SELECT t.oid, r.bibcode FROM TAP_UPLOAD.asked AS t "
                "JOIN has_ref AS h ON h.oidref = t.oid JOIN ref AS r ON r.oidbib = h.oidbibref",
                Table({"oid": np.array(oids)}),
            )
            try:
                pairs = {(int(row["oid"]), str(row["bibcode"]).strip()) for row in rows}
            except _UNREADABLE as exc:
                raise ArchiveError(f"{_NOT_READ} ({exc})") from exc
            newest = sorted(pairs, reverse=True)  # a bibcode begins with its year
            for oid, own in groupby(newest, key=lambda pair: pair[0]):
                found[oid] = tuple(bibcode for _, bibcode in own)[:MOST_BIBCODES]
        return found

    def _ask(self, adql: str, table: Table) -> list[dict[str, Any]]:
        # Twice as many, as counts may lag behind: an answer cut short is an error.
        most = 2 * self._references
        answer = query(self._session, self._url, adql, uploads={"asked": table}, maxrec=most)
        names = [name.lower() for name in answer.colnames]
        columns = (answer[name].tolist() for name in answer.colnames)  # None where masked
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _of_at_most(references: int, counts: Mapping[int, int]) -> Iterator[list[int]]:
    """Yield objects so many at a time that the papers about them are not too many."""
    part: list[int] = []
    room = references
    for oid, count in sorted(counts.items()):
        if part and (count > room or len(part) == CHUNK):
            yield part
            part, room = [], references
        part.append(oid)
        room -= count
    if part:
        yield part


def _spellings(names: Sequence[str]) -> list[str]:
    """Return names as they are and with single blanks: SIMBAD writes ``M  31`` in columns."""
    spelled = (one for name in names for one in (name.strip(), " ".join(name.split())) if one)
    return [*dict.fromkeys(spelled)]


def _objects(
    rows: Sequence[Mapping[str, Any]], asked: Sequence[Position]
) -> Iterator[tuple[int, SimbadObject]]:
    """Yield the object of each row, and the place of the position that it answers."""
    positions = dict(enumerate(asked))  # unlike a list, it has nothing at -1
    for row in rows:
        try:
            n = int(row["n"])
            yield n, _object(row, positions[n])
        except _UNREADABLE as exc:
            raise ArchiveError(f"{_NOT_READ} ({exc})") from exc


def _object(row: Mapping[str, Any], position: Position) -> SimbadObject:
    ra_deg, dec_deg = _number(row["ra"]), _number(row["dec"])
    ends = [position.ra_deg, position.dec_deg, ra_deg, dec_deg]
    apart_deg = np.degrees(angular_separation(*np.radians(np.array(ends, dtype=float))))
    otype = str(row["otype"] or "").strip()
    return SimbadObject(
        oid=int(row["oid"]),
        main_id=" ".join(str(row["main_id"]).split()),
        otype=otype,
        otypes=_listed(row["otypes"]),
        source_class=(normalise_or_none(otype) or ()) if otype else (),
        identifiers=_listed(row["ids"]),
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        separation_arcsec=_number(3600.0 * apart_deg),
        n_references=int(row["nbref"] or 0),
    )


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(" ".join(one.split()) for one in (text or "").split("|") if one.strip())


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and isfinite(value) else None
