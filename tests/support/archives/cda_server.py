"""The Chandra Data Archive: its TAP service of observations."""

import re
from datetime import UTC, datetime

from archives.http_server import Answer, ArchiveServer
from archives.votable import error, votable

from ingest.archives.settings import ArchiveSettings

_TIME = r"'([\d: .-]+)'"
_ASKED = re.compile(
    r"SELECT TOP (\d+) (.+) FROM cxc\.observation WHERE status = 'archived' "
    rf"AND public_avail < {_TIME} AND \((?:public_avail >= {_TIME}|"
    rf"public_avail > {_TIME} OR \(public_avail = '\5' AND obsid > (\d+)\))\) "
    r"ORDER BY public_avail, obsid"
)
_KINDS = {"obsid": int, "ra": float, "dec": float, "exposure_time": float}


class CDAServer(ArchiveServer):
    def __init__(self, universe, *args, **options):
        super().__init__(*args, **options)
        self.universe = universe

    def settings(self, **options):
        """Return settings of a client that waits for nothing."""
        return ArchiveSettings(
            **{
                "cda_tap_url": f"{self.url}/cxctap",
                "archive_backoff_s": 0,
                "archive_timeout_s": 5,
            }
            | options
        )

    def respond(self, request):
        adql = request.params.get("QUERY", "")
        asked = _ASKED.fullmatch(adql)
        if request.path != "/cxctap/sync" or not asked:
            return Answer(error(f"cannot parse {adql}"), 400)
        top, columns, until, since, after, obsid = asked.groups()
        rows = sorted(
            self.universe.observations(), key=lambda row: (row["public_avail"], row["obsid"])
        )
        rows = [row for row in rows if row["public_avail"] < _read(until)]
        if since:
            rows = [row for row in rows if row["public_avail"] >= _read(since)]
        else:
            place = (_read(after), int(obsid))
            rows = [row for row in rows if (row["public_avail"], row["obsid"]) > place]
        kinds = {name: _KINDS.get(name, str) for name in columns.split(", ")}
        return Answer(votable(kinds, rows[: int(top)]))


def _read(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
