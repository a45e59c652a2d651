"""A key that goes to the server unencrypted: told once, with what to do, unless it is meant so."""

from functools import partial

import httpx
import pytest
from qdrant_client import QdrantClient

from search.app import open_store
from search.settings import SearchSettings
from search.store import server
from search.store.server import ServerStore


@pytest.fixture
def warned(monkeypatch, tmp_path, caplog):
    """Return what is said when a store is opened; nothing is sent."""
    for question in ("check_format", "_warn_of_replicas"):
        monkeypatch.setattr(f"search.app.{question}", lambda _store: None)

    def warned(**settings):
        caplog.clear()
        open_store(SearchSettings(data_dir=tmp_path, **settings)).close()
        return caplog.messages

    return warned


def test_a_key_in_the_open_is_told_with_advice(warned):
    (message,) = warned(qdrant_url="http://qdrant:6333", qdrant_api_key="secret")
    assert "http://qdrant:6333/ unencrypted" in message
    assert "CHANDRA_QDRANT_PRIVATE_NETWORK=true" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "settings",
    [
        {"qdrant_url": "http://qdrant:6333"},
        {"qdrant_url": "https://qdrant:6333", "qdrant_api_key": "secret"},
        {"qdrant_url": "http://127.0.0.1:6333", "qdrant_api_key": "secret"},
        {"qdrant_url": "http://localhost:6333", "qdrant_api_key": "secret"},
        {
            "qdrant_url": "http://qdrant:6333",
            "qdrant_api_key": "secret",
            "qdrant_private_network": True,
        },
    ],
)
def test_nothing_is_said_where_nobody_can_listen(warned, settings):
    assert warned(**settings) == []


def test_the_key_is_sent_all_the_same(monkeypatch):
    sent = []

    def answer(request):
        sent.append(request.headers.get("api-key"))
        return httpx.Response(200, json={"result": {"collections": []}, "status": "ok", "time": 0})

    client = partial(QdrantClient, transport=httpx.MockTransport(answer))
    monkeypatch.setattr(server, "QdrantClient", client)
    with ServerStore("http://qdrant:6333", "secret") as store:
        assert store.collections() == []
    assert sent == ["secret"]
