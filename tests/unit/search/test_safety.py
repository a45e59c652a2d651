import json
import logging
import re
from types import SimpleNamespace

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from small_services import small_services

from common.errors import InputError, InvalidQueryError, UnavailableError
from search.api import create_api
from search.api.errors import add_error_handlers
from search.api.keys import (
    READING,
    Role,
    needed_role,
    read_keys,
    require_keys_beyond_this_machine,
)
from search.api.logs import log_as_json
from search.api.middleware import add_safety, read_origins
from search.api.rate_limit import rate_check
from search.settings import SearchSettings

READ, INGEST, ADMIN = "r" * 20, "i" * 20, "a" * 20
KEYS = {"api_keys_read": f"{'x' * 20}, {READ}", "api_keys_ingest": INGEST, "api_keys_admin": ADMIN}
MODEL = "0123456789abcdef"


class FakeStore:
    engine = "embedded"

    def __init__(self):
        self.model = MODEL
        self.broken = False

    def resolve(self, alias):
        self._answer()
        return f"{alias}@{self.model}"

    def count(self, collection, query_filter=None):
        self._answer()
        return {"detections": 5, "papers": 2}[collection]

    def _answer(self):
        if self.broken:
            raise UnavailableError("the engine does not answer: start it")


def application(store=None, **settings):
    api = FastAPI()
    store = store or FakeStore()
    search = SimpleNamespace(store=store, encoder=SimpleNamespace(model_id=MODEL))
    api.state.services = SimpleNamespace(store=store, search=search)

    @api.get("/v1/echo/{name}")
    def echo(name, request: Request):
        logging.getLogger("search.test").warning("inside the route")
        return {"name": name, "caller": request.scope["caller"]}

    @api.post("/v1/echo")
    def echo_body(body: dict):
        return body

    @api.post("/v1/ingest/file")
    def ingest():
        return "ingested"

    @api.get("/v1/input")
    def wrong_input():
        raise InvalidQueryError("limit is 0: give more")

    @api.get("/v1/down")
    def down():
        raise UnavailableError("the engine does not answer: start it")

    @api.get("/v1/bug")
    def bug():
        raise RuntimeError("secret detail")

    add_error_handlers(api)
    add_safety(api, SearchSettings(**settings))
    return api


def client(store=None, **settings):
    return TestClient(application(store, **settings), raise_server_exceptions=False)


def figures(response):
    families = text_string_to_metric_families(response.text)
    return {(s.name, *sorted(s.labels.values())): s.value for f in families for s in f.samples}


def test_without_keys_everything_is_open():
    open_client = client()

    assert open_client.get("/v1/echo/x").status_code == 200
    assert open_client.post("/v1/ingest/file").status_code == 200
    assert open_client.get("/metrics").status_code == 200


@pytest.mark.parametrize(
    ("key", "statuses"),
    [
        (None, (401, 401, 401)),
        ("w" * 20, (401, 401, 401)),
        (READ, (200, 403, 403)),
        (INGEST, (200, 200, 403)),
        (ADMIN, (200, 200, 200)),
    ],
)
@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
def test_a_key_opens_what_its_role_may(key, statuses, header):
    value = f"Bearer {key}" if header == "Authorization" else key
    keyed = client(**KEYS)
    headers = {header: value} if key else {}

    answers = [
        keyed.get("/v1/echo/x", headers=headers),
        keyed.post("/v1/ingest/file", headers=headers),
        keyed.get("/metrics", headers=headers),
    ]

    assert tuple(answer.status_code for answer in answers) == statuses
    for answer in answers:
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert (key or "API key") not in answer.text.replace("API key", "")
        if answer.status_code == 401:
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/readyz"])
def test_documentation_and_health_need_no_key(path):
    assert client(**KEYS).get(path).status_code == 200


def test_the_description_tells_how_to_send_a_key_where_there_are_keys():
    document = client(**KEYS).get("/openapi.json").json()

    assert document["components"]["securitySchemes"]["header"]["name"] == "X-API-Key"
    assert document["security"] == [{"header": []}, {"bearer": []}]
    assert "security" not in client().get("/openapi.json").json()


def test_open_lets_everybody_read_and_nothing_more():
    keyed = client(**KEYS, open=True)

    assert keyed.get("/v1/echo/x").status_code == 200
    assert keyed.post("/v1/ingest/file").status_code == 401
    assert keyed.get("/v1/echo/x", headers={"X-API-Key": READ}).json()["caller"] == "read-2"


@given(path=st.text(st.characters(codec="ascii")))
def test_an_unknown_path_is_never_open(path):
    assert needed_role("GET", f"/v1/{path}") >= Role.READ
    assert needed_role("GET", f"/vo/{path}") == Role.READ
    assert needed_role("POST", f"/vo/{path}") == Role.ADMIN


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
@pytest.mark.parametrize("path", ["/", "/docs", "/v1/detections", "/v1/searching", "/v1/new"])
def test_what_may_write_and_is_not_named_is_for_admins(method, path):
    assert needed_role(method, path) == Role.ADMIN


def test_every_route_that_is_not_only_read_is_named_with_its_role(small):
    paths = create_api(small_services(small), SearchSettings()).openapi()["paths"]
    routes = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    needed = {path: needed_role(method, path) for method, path in routes if method not in READING}
    assert {path for path, role in needed.items() if role == Role.ADMIN} == set()
    assert {path for path, role in needed.items() if role == Role.INGEST} == {
        "/v1/ingest/spectra", "/v1/ingest/catalog", "/v1/ingest/papers",
    }  # fmt: skip
    assert needed_role("GET", "/v1/jobs/x") == Role.INGEST


def test_every_key_is_compared_whichever_fits(monkeypatch):
    compared = []

    def watched(given, known):
        compared.append(known)
        return given == known

    monkeypatch.setattr("search.api.keys.hmac.compare_digest", watched)
    keyed = client(**KEYS)
    for key in (READ, "w" * 20):
        compared.clear()
        keyed.get("/v1/echo/x", headers={"X-API-Key": key})
        assert len(compared) == 4


def test_a_short_key_stops_the_start():
    with pytest.raises(InputError, match="CHANDRA_API_KEYS_READ has 5 characters"):
        application(api_keys_read="short")


def test_keys_are_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("CHANDRA_API_KEYS_ADMIN", f" {ADMIN} ,")

    assert read_keys(SearchSettings()) == [(Role.ADMIN, "admin-1", ADMIN)]
    assert ADMIN not in repr(SearchSettings())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_needs_no_keys(host):
    require_keys_beyond_this_machine(SearchSettings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_other_machines_need_keys_or_a_word_that_all_is_open(host):
    with pytest.raises(InputError, match="CHANDRA_OPEN=1"):
        require_keys_beyond_this_machine(SearchSettings(host=host))
    require_keys_beyond_this_machine(SearchSettings(host=host, open=True))
    require_keys_beyond_this_machine(SearchSettings(host=host, api_keys_read=READ))


@pytest.fixture
def clock(monkeypatch):
    """Stand still in the middle of a minute, until it is moved on."""
    clock = SimpleNamespace(now=1_800_000_030.0)
    monkeypatch.setattr("time.time", lambda: clock.now)
    return clock


@pytest.mark.usefixtures("clock")
def test_too_many_requests_are_told_when_to_come_back():
    limited = client(rate_limit="2/minute", **KEYS)
    first, second = {"X-API-Key": READ}, {"X-API-Key": ADMIN}

    assert [limited.get("/v1/echo/x", headers=first).status_code for _ in range(3)] == [
        200, 200, 429,
    ]  # fmt: skip
    refused = limited.get("/v1/echo/x", headers=first)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["detail"].startswith("more than 2 per 1 minute: ask again in ")
    assert limited.get("/v1/echo/x", headers=second).status_code == 200
    assert limited.get("/readyz").status_code == 200


def test_who_has_waited_may_ask_again(clock):
    limited = client(rate_limit="2/minute", **KEYS)
    headers = {"X-API-Key": READ}
    for _ in range(3):
        refused = limited.get("/v1/echo/x", headers=headers)

    clock.now += int(refused.headers["retry-after"])

    assert refused.status_code == 429
    assert limited.get("/v1/echo/x", headers=headers).status_code == 200


@pytest.mark.usefixtures("clock")
def test_who_guesses_keys_is_limited_too():
    limited = client(rate_limit="2/minute", **KEYS)

    answers = [limited.get("/v1/echo/x", headers={"X-API-Key": f"{i}" * 20}) for i in range(3)]

    assert [answer.status_code for answer in answers] == [401, 401, 429]


def test_the_rate_is_limited_once_there_are_keys_unless_switched_off():
    assert rate_check(SearchSettings()) is None
    assert rate_check(SearchSettings(**KEYS)) is not None
    assert rate_check(SearchSettings(**KEYS, rate_limit="")) is None


@pytest.mark.parametrize("rate", ["600", "x/minute", "-1/minute", "0/minute", "5/minute;1/second"])
def test_a_rate_that_cannot_be_understood_stops_the_start(rate):
    with pytest.raises(InputError, match="CHANDRA_RATE_LIMIT"):
        application(rate_limit=rate)


def test_more_questions_at_once_than_allowed_are_told_to_come_again():
    api = application(max_concurrent=1)
    seen = []

    @api.get("/v1/outer")
    def outer():
        with TestClient(api) as inner:
            seen.append(inner.get("/v1/echo/x"))
            seen.append(inner.get("/readyz"))
        return "done"

    with TestClient(api) as busy:
        assert busy.get("/v1/outer").status_code == 200
        assert busy.get("/v1/echo/x").status_code == 200
    assert [answer.status_code for answer in seen] == [503, 200]
    assert seen[0].headers["retry-after"] == "1"


def test_a_well_formed_request_id_is_kept_and_any_other_replaced():
    plain = client()

    given = plain.get("/v1/echo/x", headers={"X-Request-ID": "trace-0001"})
    assert given.headers["x-request-id"] == "trace-0001"
    for wrong in ("", "short", "x" * 129, "with blank 00", 'inject"ed-000'):
        answer = plain.get("/v1/echo/x", headers={"X-Request-ID": wrong})
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/input", 422), ("/v1/down", 503), ("/v1/bug", 500), ("/none", 404)]
)
def test_every_problem_names_its_request(path, status):
    answer = client().get(path, headers={"X-Request-ID": "trace-0001"})

    assert answer.status_code == status
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "trace-0001"
    assert "secret" not in answer.text


def test_logs_are_json_lines_with_the_request_id_and_without_keys_or_questions(capfd):
    before = logging.getLogger().handlers[:]
    log_as_json()
    try:
        client(**KEYS).get(
            "/v1/echo/private?q=hidden",
            headers={"X-API-Key": READ, "X-Request-ID": "trace-0001"},
        )
        client(**KEYS).get("/v1/down", headers={"X-API-Key": ADMIN})
    finally:
        logging.getLogger().handlers = before
    text = capfd.readouterr().err
    lines = [json.loads(line) for line in text.splitlines()]

    inside, request, down = lines
    assert (inside["event"], inside["request_id"]) == ("inside the route", "trace-0001")
    assert request["request_id"] == "trace-0001"
    assert (request["method"], request["route"], request["status"], request["caller"]) == (
        "GET", "/v1/echo/{name}", 200, "read-2",
    )  # fmt: skip
    assert request["duration_ms"] >= 0
    assert (down["status"], down["error"]) == (503, "UnavailableError")
    for secret in (READ, ADMIN, "private", "hidden"):
        assert secret not in text


def test_metrics_count_requests_by_template_and_errors_of_the_engine():
    counted = client()
    for path in ("/v1/echo/a", "/v1/echo/b", "/v1/down", "/none/1", "/none/2"):
        counted.get(path)

    found = figures(counted.get("/metrics"))

    assert found["chandra_requests_total", "/v1/echo/{name}", "200", "GET"] == 2
    assert found["chandra_requests_total", "404", "GET", "unknown"] == 2
    assert found["chandra_request_seconds_count", "/v1/echo/{name}", "GET"] == 2
    assert found["chandra_engine_errors_total",] == 1
    assert found["chandra_requests_running",] == 1
    assert found["chandra_points", "detections"] == 5
    assert found["chandra_points", "papers"] == 2
    assert found["chandra_engine_up",] == 1


def test_metrics_of_two_applications_are_apart():
    one, other = client(), client()
    one.get("/v1/echo/a")

    assert "/v1/echo/{name}" not in other.get("/metrics").text


def test_metrics_say_that_the_engine_is_down():
    store = FakeStore()
    store.broken = True

    found = figures(client(store).get("/metrics"))

    assert found["chandra_engine_up",] == 0
    assert not any(name == "chandra_points" for name, *_ in found)


def test_readiness_tells_engine_and_model():
    assert client().get("/readyz").json() == {
        "status": "ready",
        "engine": "embedded",
        "model_id": MODEL,
    }


def test_readiness_fails_when_the_engine_is_down_or_another_model_filled_the_store():
    store = FakeStore()
    ready = client(store)

    store.model = "another"
    assert ready.get("/readyz").status_code == 503
    assert "detections@another" in ready.get("/readyz").json()["detail"]
    store.model, store.broken = MODEL, True
    assert ready.get("/readyz").status_code == 503


def test_cors_is_off_unless_origins_are_named():
    ask = {"Origin": "https://example.org"}

    assert "access-control-allow-origin" not in client().get("/v1/echo/x", headers=ask).headers
    named = client(cors_origins="https://example.org, https://other.org", **KEYS)
    preflight = named.options(
        "/v1/echo/x",
        headers={
            **ask,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "x-api-key",
        },
    )
    assert preflight.headers["access-control-allow-origin"] == "https://example.org"
    refused = named.get("/v1/echo/x", headers={"Origin": "https://evil.org"})
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("origins", ["*", "example.org", "https://*.org"])
def test_origins_that_are_not_whole_stop_the_start(origins):
    with pytest.raises(InputError, match="CHANDRA_CORS_ORIGINS"):
        read_origins(SearchSettings(cors_origins=origins))


@pytest.mark.parametrize("path", ["/v1/echo/x", "/v1/input", "/none"])
def test_answers_are_neither_sniffed_nor_framed(path):
    headers = client().get(path).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
