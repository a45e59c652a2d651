"""The API of ADS over a list of papers: searches, objects, big queries, tokens, allowances."""

import json
import re
import time
from datetime import UTC, datetime

from archives.http_server import Answer, ArchiveServer

from ingest.archives.settings import ArchiveSettings

TOKEN = "a-token-of-an-account"
OURS = 'abs:"Chandra"'
_ENTERED = re.compile(r"\((.+)\) entdate:\[(\S+) TO (\S+)\]")
_INDEXED = re.compile(r'\((.+)\) indexstamp:\["(\S+)" TO "(\S+)"\]')
_ABOUT = re.compile(r"simbid:(\d+)")
_OBJECT = re.compile(r'object:"([^"]+)"')


class ADSServer(ArchiveServer):
    """`papers` returns dicts with the fields of ADS, ``entered_at`` and perhaps ``indexed_at``.

    Attributes
    ----------
    granted : int
        Requests granted until `reset`.
    numbers : dict
        Numbers of SIMBAD by name of the object; papers list theirs as ``objects``.
    """

    def __init__(self, papers, *args, granted=5000, rows=2000, **options):
        super().__init__(*args, **options)
        self.papers = papers
        self.granted = granted
        self.rows = rows
        self.reset = int(time.time()) + 3600
        self.numbers = {}

    def settings(self, **options):
        """Return settings of a client that waits for nothing."""
        own = {"ads_url": f"{self.url}/v1", "ads_token": TOKEN, "ads_query": OURS}
        return ArchiveSettings(**own | {"archive_backoff_s": 0, "archive_timeout_s": 5} | options)

    def respond(self, request):
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _json({"error": "Unauthorized"}, 401)
        self.granted -= 1
        allowance = {
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": str(max(0, self.granted)),
            "X-RateLimit-Reset": str(self.reset),
        }
        if self.granted < 0:
            return _json({"error": "Too many requests"}, 429, allowance)
        return self._answer(request, allowance)

    def _answer(self, request, headers):
        if request.path == "/v1/objects/query":
            return _json(self._translated(json.loads(request.body)["query"][0]), headers=headers)
        if request.path == "/v1/search/bigquery":
            head, *wanted = request.body.decode().split("\n")
            assert (head, request.headers["Content-Type"]) == ("bibcode", "big-query/csv")
            found = [one for one in self.papers() if {*_names(one)} & {*wanted}]
        elif request.path == "/v1/search/query":
            found = self._found(request.params["q"])
        else:
            return _json({"error": "no such page"}, 404, headers)
        start = int(request.params.get("start", 0))
        rows = min(int(request.params["rows"]), self.rows, 2000)
        docs = [_fields(one, request.params["fl"]) for one in found[start : start + rows]]
        return _json({"response": {"numFound": len(found), "docs": docs}}, headers=headers)

    def _translated(self, question):
        """Return a question as ADS translates it, and what it says when it cannot, with 200."""
        name = _OBJECT.fullmatch(question)[1]
        if name not in self.numbers:
            return {"Error": "Unable to get results!", "Error Info": "No objects found"}
        number = self.numbers[name]
        about = f'((abs:"{name}" OR simbid:{number} OR nedid:0) database:astronomy)'
        return {"query": about}

    def _found(self, question):
        papers = sorted(self.papers(), key=lambda one: one["bibcode"])
        if asked := _ENTERED.fullmatch(question):
            first, last = asked[2], asked[3]
            day = "%Y-%m-%d"
            found = [p for p in papers if first <= p["entered_at"].strftime(day) <= last]
        elif asked := _INDEXED.fullmatch(question):
            since, until = (datetime.fromisoformat(text) for text in asked.groups()[1:])
            found = [p for p in papers if since <= p.get("indexed_at", p["entered_at"]) <= until]
        elif asked := _ABOUT.search(question):
            found = [p for p in papers if int(asked[1]) in p.get("objects", ())]
        else:
            found = [p for p in papers if question in "".join(p["title"])]
        if asked and len(asked.groups()) == 3:
            assert asked[1] == OURS
        return found


def entered(bibcode, at=datetime(2026, 1, 1, tzinfo=UTC), **fields):
    """Return a paper."""
    own = {"title": [f"On {bibcode}"], "abstract": f"We report on {bibcode} with Chandra."}
    return {"bibcode": bibcode, "entered_at": at, **own, **fields}


def _names(paper):
    return (paper["bibcode"], *paper.get("alternate_bibcode", ()))


def _fields(paper, wanted):
    return {name: paper[name] for name in wanted.split(",") if name in paper}


def _json(content, status=200, headers=None):
    return Answer(json.dumps(content).encode(), status, headers or {})
