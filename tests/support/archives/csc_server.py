"""The Chandra Source Catalog: its TAP service and its data products."""

import json
import re

from archives.http_server import Answer, ArchiveServer
from archives.universe import etag_of
from archives.votable import error, votable

from ingest.archives.settings import ArchiveSettings

_ASKED = re.compile(
    r"SELECT TOP (\d+) (.+) FROM (csc2|csc21)\.master_source m, .* WHERE a\.match_type = 'u' AND "
    r".* ORDER BY o\.obsid, o\.obi, o\.region_id"
)
_BEYOND = re.compile(
    r"AND \(o\.obsid > (-?\d+) OR \(o\.obsid = \1 AND \(o\.obi > (-?\d+) "
    r"OR \(o\.obi = \2 AND o\.region_id > (-?\d+)\)\)\)\)"
)
_WHOLE = ("obsid", "obi", "region_id")
_TEXT = ("name", "instrument", "detector", "gti_obs")


class CSCServer(ArchiveServer):
    """A catalogue over a universe.

    Attributes
    ----------
    max_rows : int or None
        Rows of an answer at most; the service says so, unless it is `silent`.
    tags : bool
        Whether files are sent with an ETag.
    """

    def __init__(self, universe, *args, max_rows=None, silent=False, **options):
        super().__init__(*args, **options)
        self.universe = universe
        self.max_rows = max_rows
        self.silent = silent
        self.tags = True
        self.replaced = {}

    def settings(self, **options):
        """Return settings of a client that waits for nothing."""
        return ArchiveSettings(
            **{
                "csc_tap_url": f"{self.url}/csc21tap",
                "csccli_url": f"{self.url}/csccli",
                "archive_backoff_s": 0,
                "archive_timeout_s": 5,
            }
            | options
        )

    def respond(self, request):
        if request.path == "/csc21tap/sync":
            return self._tap(request)
        if request.path == "/csccli/browse":
            return self._browse(request.params["packageset"])
        if request.path == "/csccli/retrieveFile":
            return self._file(request)
        return Answer(b"no such page", 404)

    def _tap(self, request):
        adql = request.params["QUERY"]
        asked = _ASKED.fullmatch(adql)
        if not asked:
            return Answer(error(f"cannot parse {adql}"), 400)
        rows = self.universe.rows()
        if beyond := _BEYOND.search(adql):
            after = tuple(map(int, beyond.groups()))
            rows = [row for row in rows if tuple(row[name] for name in _WHOLE) > after]
        rows = rows[: int(asked[1])]
        limits = [int(request.params.get("MAXREC", 10**9)), self.max_rows or 10**9]
        overflow = len(rows) > min(limits)
        names = [name.split(".")[1] for name in asked[2].split(", ")]
        columns = {name: _kind(name) for name in names}
        said = overflow and not self.silent
        return Answer(votable(columns, rows[: min(limits)], said))

    def _browse(self, packageset):
        found = []
        for package in packageset.split(","):
            place, kind, _band = package.split("/")
            files = self.universe.files(*map(int, place.split(".")))
            ending = {"spectrum": "pha3", "arf": "arf3", "rmf": "rmf3"}.get(kind, kind)
            found += [{"filename": name} for name in files if f"_{ending}." in name]
        return Answer(json.dumps(found).encode(), headers={"Content-Type": "application/json"})

    def _file(self, request):
        name = request.params["filename"]
        place = re.search(r"f(\d+)_(\d+)N\d+_r(\d+)", name)
        files = self.universe.files(*map(int, place.groups())) if place else {}
        content = self.replaced.get(name, files.get(name))
        if content is None:
            return Answer(b"no such file", 404)
        return send(request, content, self.tags)


def send(request, content, tags=True):
    """Return a file as a server does that knows ranges and conditions (RFC 9110)."""
    tag = etag_of(content)
    headers = {"ETag": tag} if tags else {}
    if tags and request.headers.get("If-None-Match") == tag:
        return Answer(status=304, headers=headers)
    asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    if not asked or (tags and request.headers.get("If-Range", tag) != tag):
        return Answer(content, headers=headers)
    start = int(asked[1])
    if start >= len(content):
        return Answer(b"", 416, {"Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return Answer(content[start:], 206, headers)


def _kind(name):
    return int if name in _WHOLE else str if name in _TEXT or name.endswith("_flag") else float
