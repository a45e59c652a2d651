import asyncio
import json
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from search.api.errors import add_error_handlers
from search.api.middleware import add_safety
from search.api.rate_limit import address_of, rate_check
from search.api.size_limits import MAX_HEADER_BYTES, MAX_JSON_DEPTH, MAX_URL_BYTES
from search.settings import SearchSettings


def application(**settings):
    api = FastAPI()

    @api.get("/v1/echo/{name}")
    def echo(name):
        return name

    @api.post("/v1/echo")
    def echo_body(body: dict):
        return body

    add_error_handlers(api)
    add_safety(api, SearchSettings(**settings))
    return api


def client(**settings):
    return TestClient(application(**settings), raise_server_exceptions=False)


CLIENT = client()


@pytest.fixture
def clock(monkeypatch):
    """Stand still in the middle of a minute, until it is moved on."""
    clock = SimpleNamespace(now=1_800_000_030.0)
    monkeypatch.setattr("time.time", lambda: clock.now)
    return clock


def test_callers_are_forgotten_after_their_time(clock):
    check = rate_check(SearchSettings(rate_limit="2/minute"))
    storage = check._limiter.storage
    for number in range(500):
        check({"path": "/v1/status", "client": (f"10.0.{number % 2}.{number // 2}", 1)})
    assert len(storage.storage) == 500

    clock.now += 1000
    storage.timer.join()
    check({"path": "/v1/status", "client": ("10.1.1.1", 1)})
    storage.timer.join()

    assert len(storage.storage) + len(storage.events) == 1


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("z" * 10_000, "z" * 45),
    ],
)
def test_addresses_of_one_client_count_together(host, counted):
    assert address_of({"client": (host, 1)}) == counted


def test_a_long_url_and_large_headers_are_refused():
    limited = client()

    assert limited.get("/v1/echo/x", params={"q": "x" * MAX_URL_BYTES}).status_code == 414
    assert limited.get("/v1/echo/x", headers={"x": "x" * MAX_HEADER_BYTES}).status_code == 431
    assert limited.get("/v1/echo/x", params={"q": "x" * 1000}).status_code == 200


def nested(depth):
    return '{"a":' * depth + "1" + "}" * depth


@pytest.mark.parametrize("depth", [MAX_JSON_DEPTH + 1, 100_000])
@pytest.mark.parametrize("opening", ['{"a":', "["])
def test_json_nested_too_deeply_is_refused(depth, opening):
    answer = client().post(
        "/v1/echo", content=opening * depth, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 400
    assert "nested more than 32 levels" in answer.json()["detail"]


@given(
    st.recursive(
        st.text() | st.integers(),
        lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
        max_leaves=20,
    ),
    st.integers(0, 40),
)
def test_json_is_refused_by_its_depth_and_nothing_else(document, around):
    def depth(part):
        inside = part.values() if isinstance(part, dict) else part
        return 0 if isinstance(part, str | int) else 1 + max(map(depth, inside), default=0)

    for _ in range(around):
        document = [document, "]}"]
    body = {"document": document}

    answer = CLIENT.post("/v1/echo", json=body)

    assert answer.status_code == (200 if depth(body) <= MAX_JSON_DEPTH else 400)


@pytest.mark.parametrize(
    "body", ['"' + '\\"' * 200_000, '"' + '\\"' * 200_000 + "\\", "[]," * 200_000]
)
def test_json_that_is_hostile_to_whom_looks_for_brackets_is_looked_at_once(body):
    answer = client().post("/v1/echo", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 400
    assert "nested" not in answer.json()["detail"]


def exchange(api, *messages, headers=()):
    """Send a request by its ASGI messages, the last one of which never comes to an end."""
    scope = {
        "type": "http", "method": "POST", "path": "/v1/echo", "query_string": b"",
        "headers": [(b"content-type", b"application/json"), *headers], "client": ("192.0.2.7", 1),
    }  # fmt: skip
    left, answered = [*messages], []

    async def receive():
        return left.pop(0) if left else await asyncio.Event().wait()

    async def send(message):
        answered.append(message)

    asyncio.run(api(scope, receive, send))
    start, body = answered
    return start["status"], dict(start["headers"]), json.loads(body["body"])


def test_a_body_that_does_not_come_is_not_waited_for():
    first = {"type": "http.request", "body": b'{"q":', "more_body": True}

    status, headers, problem = exchange(application(max_upload_s=0.05), first)

    assert status == 408
    assert headers[b"connection"] == b"close"
    assert "longer than 0.05 s" in problem["detail"]


def test_a_body_of_two_lengths_is_refused_and_its_connection_closed():
    lengths = [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")]
    whole = {"type": "http.request", "body": b"{}"}

    status, headers, problem = exchange(application(), whole, headers=lengths)

    assert status == 400
    assert headers[b"connection"] == b"close"
    assert "leave one out" in problem["detail"]


def test_brackets_in_strings_do_not_nest():
    body = {"q": '[{"' * 100 + "\\", "deep": json.loads(nested(MAX_JSON_DEPTH - 1))}

    assert client().post("/v1/echo", json=body).json() == body


def test_json_is_limited_more_tightly_than_files():
    large = client(max_upload_mb=64).post("/v1/echo", json={"q": "x" * 5 * 2**20})

    assert large.status_code == 413
    assert "larger than 4 MiB" in large.json()["detail"]
