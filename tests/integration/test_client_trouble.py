"""The Python client against servers that refuse, stall, break off, or are something else."""

import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chandra_client import (
    BadAnswerError,
    ChandraError,
    Client,
    NotFoundError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)

pytestmark = pytest.mark.integration

PROBLEM = "application/problem+json"
ECSV = "text/x-ecsv"
TABLE = """\
# %ECSV 1.0
# ---
# datatype:
# - {name: id, datatype: string}
# schema: astropy-2.0
id
a
"""
HTML = "<html><title>502 Bad Gateway</title> nginx </html>"


def answered(status=200, body=TABLE, kind=ECSV, **headers):
    return status, {"Content-Type": kind, **headers}, body.encode()


def problem(status, detail, **headers):
    return answered(status, json.dumps({"status": status, "detail": detail}), PROBLEM, **headers)


class Scripted(ThreadingHTTPServer):
    """A server that answers what it was told, one answer after the other; the last one stays."""

    daemon_threads = True

    def __init__(self, *script):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = list(script)
        self.asked = []
        self.hanging = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.path, dict(self.headers), body))
        script = self.server.script
        step = script.pop(0) if len(script) > 1 else script[0]
        if step == "hang":
            self.server.hanging.wait(10)
            return
        status, headers, content = step
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *args):
        pass


@pytest.fixture
def scripted():
    running = []

    def start(*script):
        server = Scripted(*script)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.hanging.set()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [429, 503])
def test_client_asks_again_when_the_server_has_no_time(scripted, status):
    server = scripted(problem(status, "slow down", **{"Retry-After": "0"}), answered())
    with Client(server.url) as chandra:
        assert list(chandra.detections()["id"]) == ["a"]
    assert len(server.asked) == 2


def test_client_waits_as_long_as_the_server_says(scripted, monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    server = scripted(
        problem(429, "slow down", **{"Retry-After": "7"}),
        problem(429, "slow down", **{"Retry-After": later}),
        problem(429, "slow down"),
        answered(),
    )
    with Client(server.url) as chandra:
        chandra.detections()
    assert pauses[0] == 7
    assert 15 < pauses[1] <= 20
    assert pauses[2] == 2.0


def test_client_does_not_wait_longer_than_its_patience(scripted, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda pause: pytest.fail(f"slept {pause} s"))
    server = scripted(problem(429, "come back tomorrow", **{"Retry-After": "86400"}))
    with Client(server.url) as chandra, pytest.raises(UnavailableError, match="tomorrow") as raised:
        chandra.detections()
    assert raised.value.status == 429


def test_client_gives_up_after_its_retries_with_the_servers_words(scripted):
    server = scripted(problem(503, "the store is locked", **{"Retry-After": "0"}))
    with (
        Client(server.url, retries=2) as chandra,
        pytest.raises(UnavailableError, match="the store is locked"),
    ):
        chandra.search_text("x")
    assert len(server.asked) == 3
    assert [json.loads(body)["question"] for _, _, body in server.asked] == ["x"] * 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, UnauthorizedError),
        (403, UnauthorizedError),
        (404, NotFoundError),
        (413, RefusedError),
        (422, RefusedError),
        (500, BadAnswerError),
        (504, UnavailableError),
    ],
)
def test_client_raises_by_what_the_caller_can_do(scripted, status, kind):
    server = scripted(problem(status, f"detail of {status}"))
    with Client(server.url) as chandra, pytest.raises(kind, match=f"detail of {status}") as raised:
        chandra.status()
    assert type(raised.value) is kind
    assert raised.value.status == status


@pytest.mark.parametrize(
    ("step", "kind", "said"),
    [
        (answered(502, HTML, "text/html"), UnavailableError, "Bad Gateway"),
        (answered(404, HTML, "text/html"), BadAnswerError, "404"),
        (answered(200, HTML, "text/html"), BadAnswerError, "text/html"),
        (answered(200, "", ECSV, **{"Content-Length": "1000"}), BadAnswerError, "incomplete"),
        (answered(200, "", ECSV), BadAnswerError, "no complete ECSV"),
        (answered(200, "pyproject.toml", ECSV), BadAnswerError, "no complete ECSV"),
        (answered(200, TABLE[:30]), BadAnswerError, "no complete ECSV"),
        (answered(302, "", "text/html", Location="/login"), BadAnswerError, "302"),
        (answered(200, TABLE, ECSV, **{"Content-Encoding": "gzip"}), BadAnswerError, "damaged"),
    ],
)
def test_client_names_what_is_no_answer_of_ours(scripted, step, kind, said):
    server = scripted(step)
    with Client(server.url, retries=0) as chandra, pytest.raises(kind, match=said):
        chandra.detections()


def test_client_refuses_json_that_is_cut_off(scripted):
    server = scripted(answered(200, '{"detections": 1', "application/json"))
    with Client(server.url) as chandra, pytest.raises(BadAnswerError, match="no complete JSON"):
        chandra.status()


def test_client_gives_up_on_a_server_that_hangs(scripted):
    server = scripted("hang")
    with (
        Client(server.url, timeout_s=0.2) as chandra,
        pytest.raises(UnavailableError, match=r"within 0\.2 s"),
    ):
        chandra.status()


def test_client_says_when_nothing_listens():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with Client(url) as chandra, pytest.raises(UnavailableError, match="chandra-search serve"):
        chandra.status()


@pytest.mark.parametrize("url", ["", "no-scheme", "ftp://example.org", "http://[broken"])
def test_client_refuses_what_is_no_address(url):
    with pytest.raises(ChandraError):
        Client(url, retries=0).status()


def test_client_sends_its_key_and_escapes_identifiers(scripted):
    server = scripted(answered(200, "{}", "application/json"))
    with Client(server.url + "/", api_key="secret") as chandra:
        chandra.paper("2004A&A...426...11P")
        chandra.detection("../../admin?x=1#y")
    (path, headers, _), (other, _, _) = server.asked
    assert path == "/v1/papers/2004A%26A...426...11P"
    assert headers["X-API-Key"] == "secret"
    assert other.endswith("admin%3Fx%3D1%23y")


def test_client_goes_through_all_pages(scripted):
    server = scripted(
        answered(**{"X-Next-Cursor": "c1"}), answered(**{"X-Next-Cursor": "c2"}), answered()
    )
    with Client(server.url) as chandra:
        table = chandra.detections(classes=["AGN"], ranges={"hard_hs": (0.3, None)}, pages=True)
        assert len(table) == 3
        assert "cursor" not in table.meta
        assert chandra.detections().meta.get("cursor") is None
    paths = [path for path, _, _ in server.asked]
    assert all("class=AGN" in path and "range=hard_hs%3A0.3%3A" in path for path in paths[:3])
    assert ["cursor=c1" in path for path in paths] == [False, True, False, False]
    assert "cursor=c2" in paths[2]


def test_client_sends_counts_with_their_exposure_only(scripted):
    server = scripted(answered())
    with Client(server.url) as chandra:
        with pytest.raises(RefusedError, match="exposure_s"):
            chandra.search_spectrum([1.0] * 400)
        with pytest.raises(RefusedError, match="finite"):
            chandra.search_spectrum([float("nan")] * 400, exposure_s=1.0)
        with pytest.raises(RefusedError, match=r"no-such\.pi"):
            chandra.search_spectrum("no-such.pi")
        assert not server.asked
        chandra.search_spectrum([1.0] * 400, exposure_s=5.0, limit=3)
    path, _, body = server.asked[0]
    assert json.loads(body) == {"counts": [1.0] * 400, "exposure_s": 5.0}
    assert "limit=3" in path
