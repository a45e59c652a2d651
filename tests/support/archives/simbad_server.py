"""SIMBAD's TAP service over a list of objects: identifiers, positions, references."""

import io
import re

import numpy as np
from archives.http_server import Answer, ArchiveServer
from archives.votable import error, votable
from astropy.io.votable import parse_single_table

from ingest.archives.settings import ArchiveSettings

_OBJECTS = re.compile(
    r"SELECT (?P<columns>.+) FROM TAP_UPLOAD\.(?P<table>\w+) AS t "
    r"(?:(?P<names>JOIN ident AS i ON i\.id = t\.name JOIN basic AS b ON b\.oid = i\.oidref)"
    r"|JOIN basic AS b ON CONTAINS\(POINT\('ICRS', b\.ra, b\.dec\), "
    r"CIRCLE\('ICRS', t\.ra, t\.dec, t\.radius\)\) = 1) "
    r"LEFT JOIN alltypes AS a ON a\.oidref = b\.oid LEFT JOIN ids AS s ON s\.oidref = b\.oid"
)
_PAPERS = re.compile(
    r"SELECT t\.oid, r\.bibcode FROM TAP_UPLOAD\.(?P<table>\w+) AS t "
    r"JOIN has_ref AS h ON h\.oidref = t\.oid JOIN ref AS r ON r\.oidbib = h\.oidbibref"
)
_KINDS = {
    **{"t.n": int, "b.oid": int, "b.main_id": str, "b.otype": str, "b.ra": float, "b.dec": float},
    **{"b.nbref": int, "a.otypes": str, "s.ids": str},
}


class SimbadServer(ArchiveServer):
    """`objects` returns dicts with name, ra, dec, otype and perhaps bibcodes, aliases, otypes.

    Attributes
    ----------
    max_rows : int
        Rows of an answer at most.
    """

    def __init__(self, objects, *args, max_rows=50_000, **options):
        super().__init__(*args, **options)
        self.objects = objects
        self.max_rows = max_rows

    def settings(self, **options):
        """Return settings of a client that waits for nothing."""
        own = {"simbad_tap_url": f"{self.url}/sim-tap", "archive_backoff_s": 0}
        return ArchiveSettings(**own | {"archive_timeout_s": 5} | options)

    def respond(self, request):
        adql = request.params.get("QUERY", "")
        asked = _OBJECTS.fullmatch(adql) or _PAPERS.fullmatch(adql)
        if (request.method, request.path) != ("POST", "/sim-tap/sync") or not asked:
            return Answer(error(f"cannot parse {adql}"), 400)
        table = asked["table"]
        if request.params.get("UPLOAD") != f"{table},param:{table}":
            return Answer(error(f"no table {table}"), 400)
        uploaded = parse_single_table(io.BytesIO(request.files[table])).to_table()
        known = [_completed(100 + i, one) for i, one in enumerate(self.objects())]
        if asked.re is _PAPERS:
            columns, rows = {"oid": int, "bibcode": str}, _papers(known, uploaded)
        else:
            pairs = _by_name(known, uploaded) if asked["names"] else _by_place(known, uploaded)
            kinds = {name: _KINDS[name] for name in asked["columns"].split(", ")}
            columns = {name.split(".")[1]: kind for name, kind in kinds.items()}
            rows = [{"n": n, **one} for n, one in pairs]
        most = min(self.max_rows, int(request.params.get("MAXREC", self.max_rows)))
        return Answer(votable(columns, rows[:most], len(rows) > most))


def _completed(oid, one):
    """Return an object with what follows from the rest of it."""
    names = [one["name"], *one.get("aliases", ())]
    own = {"oid": oid, "main_id": one["name"], "nbref": len(one.get("bibcodes", ()))}
    lists = {"otypes": "|".join(one.get("otypes", [one["otype"]])), "ids": "|".join(names)}
    return {**own, **one, **lists, "names": names}


def _by_name(known, asked):
    by_name = {name: one for one in known for name in one["names"]}
    return [(int(row["n"]), by_name[row["name"]]) for row in asked if row["name"] in by_name]


def _by_place(known, asked):
    if not all(abs(row["dec"]) <= 90 and 0 <= row["ra"] < 360 for row in asked):
        raise ValueError("no point on the sky")
    placed = [one for one in known if one["ra"] is not None]
    if not placed:
        return []
    own = _unit(np.array([o["ra"] for o in placed]), np.array([o["dec"] for o in placed]))
    pairs = []
    for row in asked:
        chord = np.linalg.norm(own - _unit(row["ra"], row["dec"]), axis=-1)
        near = np.flatnonzero(np.degrees(2 * np.arcsin(chord / 2)) <= row["radius"])
        pairs += [(int(row["n"]), placed[place]) for place in near]
    return pairs


def _papers(known, asked):
    by_oid = {one["oid"]: one for one in known}
    return [
        {"oid": int(oid), "bibcode": bibcode}
        for oid in asked["oid"]
        for bibcode in by_oid[int(oid)].get("bibcodes", ())
    ]


def _unit(ra, dec):
    ra, dec = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
