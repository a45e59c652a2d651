"""Commands that only look leave an empty store empty, so that it can still be restored into."""

import sys

import pytest
from fake_encoder import FakeEncoder
from qdrant_rest.process import running
from two_models import filled

from cli import main
from search import app
from search.collections.schema import DETECTIONS
from search.store.embedded import EmbeddedStore
from search.store.server import ServerStore
from workers.maintenance.backup import back_up

LOOKING = [
    ("status", "--json"),
    ("search", "text", "an iron line"),
    ("search", "papers", "an iron line"),
    ("search", "cone", "10 20 5arcmin"),
    ("search", "detections"),
    ("facets",),
    ("explain", "--class", "AGN"),
    ("outliers", "list"),
    ("reindex", "--status"),
    ("jobs", "status"),
    ("jobs", "failed"),
    ("jobs", "retry"),
    ("verify",),
    ("backup", "nowhere"),
]


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run the command in this process, with a model that needs no torch."""
    monkeypatch.setattr(app, "load_encoder", lambda _settings: FakeEncoder())
    monkeypatch.setattr(app, "load_calibration", lambda *_: None)
    monkeypatch.setenv("CHANDRA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["chandra-search", *map(str, arguments)])
        with pytest.raises(SystemExit) as raised:
            main.run()
        said = capsys.readouterr()
        return raised.value.code or 0, said.out + said.err

    return run


@pytest.mark.parametrize("arguments", LOOKING, ids=" ".join)
def test_who_only_looks_makes_no_collections(command, tmp_path, arguments):
    code, said = command(*arguments)
    assert code in (0, main.WRONG_USE), said
    with EmbeddedStore(tmp_path / "data" / "store") as store:
        assert store.collections() == []


def test_status_of_an_empty_store_counts_nothing(command):
    code, said = command("status", "--json")
    assert code == 0
    assert '"detections": 0' in said
    assert '"classes": {}' in said


def test_restore_is_not_refused_after_a_status(command, tmp_path, monkeypatch):
    with running(tmp_path / "one") as url, ServerStore(url, timeout_s=30) as store:
        filled(store)
        back_up(store, tmp_path, tmp_path / "one.tar")
    with running(tmp_path / "two") as url:
        monkeypatch.setenv("CHANDRA_QDRANT_URL", url)
        assert command("status")[0] == 0
        code, said = command("restore", tmp_path / "one.tar")
        assert code == 0, said
        with ServerStore(url, timeout_s=30) as store:
            assert store.count(DETECTIONS) == 40
