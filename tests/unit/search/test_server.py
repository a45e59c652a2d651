"""What the server store makes of refusals and failures; the rest is in `tests/contract`."""

import json
import socket
from functools import partial

import httpx
import pytest
from qdrant_client import QdrantClient

from common.errors import InputError, InvalidQueryError, NotFoundError, UnavailableError
from search.store import server
from search.store.base import CollectionSchema, NearestQuery, VectorField
from search.store.server import ServerStore

URL = "http://qdrant.test:6333"
SCHEMA = CollectionSchema({"own": VectorField(3)})


@pytest.fixture
def store_over(monkeypatch):
    """Return a store whose server is a function from request to response."""

    def store_over(answer):
        client = partial(QdrantClient, transport=httpx.MockTransport(answer))
        monkeypatch.setattr(server, "QdrantClient", client)
        return ServerStore(URL, timeout_s=1)

    return store_over


def refusal(status, error):
    return httpx.Response(status, json={"status": {"error": error}, "time": 0.0})


def result(value):
    return httpx.Response(200, json={"result": value, "status": "ok", "time": 0.0})


@pytest.mark.parametrize(
    ("answer", "expected", "message"),
    [
        (refusal(404, "Collection `x` doesn't exist!"), NotFoundError, "`x` doesn't exist"),
        (refusal(400, "Index required"), InvalidQueryError, "refuses: Index required"),
        (refusal(422, "Validation error"), InvalidQueryError, "Validation error"),
        (httpx.Response(401, text="Must provide an API key"), InputError, "CHANDRA_QDRANT_API_KEY"),
        (refusal(403, "Forbidden"), InputError, "CHANDRA_QDRANT_API_KEY"),
        (refusal(500, "Service internal error"), UnavailableError, r"failed \(500\): Service"),
        (httpx.Response(502, text="<html>Bad Gateway</html>"), UnavailableError, "Bad Gateway"),
        (
            httpx.Response(429, json={"status": {"error": "slow"}}, headers={"Retry-After": "1"}),
            UnavailableError,
            "slow",
        ),
        (httpx.Response(200, text="<html>a login page</html>"), UnavailableError, URL),
    ],
)
def test_answer_of_the_server_becomes_one_of_our_errors(store_over, answer, expected, message):
    with pytest.raises(expected, match=message):
        store_over(lambda _request: answer).count("x")


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.ReadError("gone")]
)
def test_server_that_does_not_answer_is_unavailable(store_over, failure):
    def answer(_request):
        raise failure

    with pytest.raises(UnavailableError, match=f"{URL} does not answer .*CHANDRA_QDRANT_URL"):
        store_over(answer).collections()


def test_server_that_never_answers_is_given_up_after_the_time_out():
    with socket.create_server(("127.0.0.1", 0)) as listener:  # connects, then says nothing
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (
            ServerStore(url, timeout_s=0.5) as store,
            pytest.raises(UnavailableError, match=f"{url} does not answer .*timed out"),
        ):
            store.query("x", [1, 0, 0], "own")


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.retrieve("x", [1]),
        lambda store: store.query_batch("x", [NearestQuery([1, 0, 0], "own")]),
        lambda store: store.count("x"),
        lambda store: store.facet("x", "obsid"),
        lambda store: store.scroll("x"),
    ],
)
def test_server_is_told_how_long_we_wait(store_over, ask):
    asked = []

    def answer(request):
        asked.append(request)
        return refusal(400, "enough")

    with pytest.raises(InvalidQueryError, match="enough"):
        ask(store_over(answer))
    assert asked[0].url.params["timeout"] == "1"
    assert set(asked[0].extensions["timeout"].values()) == {1}


def test_refused_write_is_no_query_error(store_over):
    with pytest.raises(InputError) as caught:
        store_over(lambda _request: refusal(400, "Wrong input")).upsert("x", [])
    assert not isinstance(caught.value, InvalidQueryError)


def test_collection_made_by_another_process_meanwhile_is_taken(store_over):
    asked = []
    info = {
        "status": "green",
        "optimizer_status": "ok",
        "segments_count": 1,
        "payload_schema": {},
        "config": {
            "params": {"vectors": {"own": {"size": 3, "distance": "Cosine"}}},
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
            "optimizer_config": {"default_segment_number": 0, "flush_interval_sec": 5},
        },
    }

    def answer(request):
        asked.append((request.method, request.url.path))
        return {
            ("GET", "/aliases"): result({"aliases": []}),
            ("GET", "/collections/x/exists"): result({"exists": False}),
            ("PUT", "/collections/x"): refusal(409, "Collection `x` already exists!"),
            ("GET", "/collections/x"): result(info),
        }[asked[-1]]

    store_over(answer).create_collection("x", SCHEMA)
    assert ("PUT", "/collections/x") in asked


def test_new_collection_refuses_filters_without_index(store_over):
    bodies = []

    def answer(request):
        if request.method == "PUT":
            bodies.append(json.loads(request.content))
            return refusal(400, "enough")
        return result({"aliases": []} if request.url.path == "/aliases" else {"exists": False})

    with pytest.raises(InputError, match="enough"):
        store_over(answer).create_collection("x", SCHEMA)
    strict = {k: v for k, v in bodies[0]["strict_mode_config"].items() if v is not None}
    assert strict == {"enabled": True, "unindexed_filtering_retrieve": False}
