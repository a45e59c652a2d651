"""A server on this machine that answers like an archive, also when the archive has a bad day.

A subclass answers `respond`. Faults come before that: those of a list one after the other, or by
chance with a seed. Everything that was asked is on record with the time at which it came.
"""

import random
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    """A request as it came: time of `time.monotonic`, and uploads by name."""

    at_s: float
    method: str
    path: str
    params: dict
    headers: dict
    body: bytes = b""
    files: dict = field(default_factory=dict)

    def __iter__(self):
        return iter((self.at_s, self.method, self.path, self.params))


@dataclass(frozen=True)
class Answer:
    """What is answered; `chunked`, its length is not announced."""

    body: bytes = b""
    status: int = 200
    headers: dict = field(default_factory=dict)
    chunked: bool = False


@dataclass(frozen=True)
class Fault:
    """What goes wrong with an answer; `part` of the body is sent before it breaks off."""

    kind: str  # "status", "hang", "garbage", "truncated", "cut", or "none"
    status: int = 500
    headers: dict = field(default_factory=dict)
    seconds: float = 0.0
    part: float = 0.5


def too_many(retry_after=None):
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Fault("status", 429, headers)


def status(code, **headers):
    return Fault("status", code, headers)


def hang(seconds):
    """The answer comes late."""
    return Fault("hang", seconds=seconds)


BROKEN = Fault("status", 500)
GARBAGE = Fault("garbage")
TRUNCATED = Fault("truncated")
"""Half of the body, though the length of all of it was announced."""
CUT = Fault("cut")
"""The connection is closed without an answer."""
FINE = Fault("none")
BY_CHANCE = (BROKEN, too_many(0), GARBAGE, TRUNCATED, CUT)


class ArchiveServer:
    """A server for a test: ``with ArchiveServer() as server: … server.url``.

    Attributes
    ----------
    requests : list of Request
        Everything asked so far.
    faults : deque of Fault
        For the next requests, one each.
    """

    def __init__(self, faults=(), rate=0.0, seed=0, kinds=BY_CHANCE):
        self.faults = deque(faults)
        self.requests = []
        self.rate = rate
        self._kinds = kinds
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._http = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        # `shutdown` waits for the next poll, by default half a second.
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def respond(self, request):
        """Return the Answer to a request; to be overridden."""
        return Answer(b"ok")

    @property
    def connections(self):
        """How many connections are open."""
        return len(self._http.connections)

    def paths(self):
        return [request.path for request in self.requests]

    def times(self):
        return [request.at_s for request in self.requests]

    def take(self, request):
        """Record a request and return the fault it meets."""
        with self._lock:
            self.requests.append(request)
            if self.faults:
                return self.faults.popleft()
            if self._random.random() < self.rate:
                return self._random.choice(self._kinds)
        return FINE


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # one may hang

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.connections = set()

    def process_request(self, request, client_address):
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        """Say nothing: clients that give up are part of the tests."""


def _handler(server):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self):
            self._answer()

        def do_POST(self):
            self._answer()

        def _answer(self):
            request = self._read()
            fault = server.take(request)
            if fault.kind == "cut":
                self.close_connection = True
                return
            if fault.kind == "hang":
                time.sleep(fault.seconds)
            if fault.kind == "status":
                answer = Answer(b"Sorry.", fault.status, fault.headers)
            elif fault.kind == "garbage":
                answer = Answer(b"<html><p>Down for maintenance<br></html>", headers=fault.headers)
            else:
                answer = server.respond(request)
            body = answer.body
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.chunked:
                self.send_header("Transfer-Encoding", "chunked")
                body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            else:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if fault.kind == "truncated":
                body = body[: int(len(body) * fault.part)]
                self.close_connection = True
            self.wfile.write(body)

        def _read(self):
            at_s = time.monotonic()
            url = urlsplit(self.path)
            params = dict(parse_qsl(url.query, keep_blank_values=True))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind, files = self.headers.get("Content-Type", ""), {}
            if kind.startswith("application/x-www-form-urlencoded"):
                params |= parse_qsl(body.decode(), keep_blank_values=True)
            elif kind.startswith("multipart/form-data"):
                fields, files = _parts(kind, body)
                params |= fields
            return Request(at_s, self.command, url.path, params, dict(self.headers), body, files)

        def log_message(self, *args):
            """Say nothing."""

    return Handler


def _parts(kind, body):
    """Return the fields and the files of a form of several parts."""
    fields, files = {}, {}
    form = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    for part in form.get_payload():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if part.get_filename() is None:
            fields[name] = content.decode()
        else:
            files[name] = content
    return fields, files
