import json
import sys

import pytest
from fake_encoder import FakeEncoder
from small_store import SmallStore

from cli import main
from cli.options import answer as answering
from search.app import build_services
from search.store.embedded import EmbeddedStore


def open_small(settings):
    """Open a store that `SmallStore` filled, without the shipped bundle."""
    store = EmbeddedStore(settings.data_dir / "store")
    return build_services(store, FakeEncoder(), settings)


@pytest.fixture(scope="module")
def small_dir(module_folder):
    """The data folder of a small store that no process holds."""
    data_dir = module_folder("small")
    with SmallStore(data_dir / "store").store:
        return data_dir


@pytest.fixture
def ask(small_dir, monkeypatch, capsys):
    """Run the command as a shell does, in this process; return what it printed."""
    monkeypatch.setattr(answering, "open_services", open_small)
    monkeypatch.setenv("CHANDRA_DATA_DIR", str(small_dir))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["chandra-search", *map(str, arguments)])
        with pytest.raises(SystemExit) as raised:
            main.run()
        printed = capsys.readouterr()
        assert (raised.value.code or 0) == code, printed.err + printed.out
        return printed

    return run


@pytest.fixture
def answer(ask):
    """Run the command with ``--json`` and return its document."""

    def run(*arguments):
        return json.loads(ask(*arguments, "--json").out)

    return run
