import json

import pytest
from small_store import SmallStore
from two_models import BetterEncoder
from typer.testing import CliRunner

from cli import reindex as command
from cli.main import app
from common.errors import InputError
from search.store.embedded import EmbeddedStore
from workers.maintenance.reindex import Reindex


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    SmallStore(tmp_path / "store").store.close()
    monkeypatch.setattr(
        command, "open_reindex", lambda store, *_: Reindex(store, BetterEncoder(), lambda _s: None)
    )
    return tmp_path


def run(data_dir, *options):
    arguments = ["reindex", *options, "--data-dir", str(data_dir), "--json"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_reindex_and_back(data_dir, tmp_path):
    assert run(data_dir, "--status")["phase"] is None
    told = run(data_dir, "--bundle", str(tmp_path))
    assert (told["model_id"], told["phase"]) == ("fake1", "switched")
    assert len(told["incomplete"]) == 4  # they were stored before spectra were kept
    told = run(data_dir, "--rollback")
    assert (told["model_id"], told["phase"]) == ("fake0", "rolled back")
    with EmbeddedStore(data_dir / "store") as store:
        assert store.aliases() == {"detections": "detections@fake0", "papers": "papers@fake0"}


@pytest.mark.parametrize("options", [(), ("--status", "--rollback")])
def test_reindex_wants_one_thing_at_a_time(data_dir, options):
    with pytest.raises(InputError, match="give one of"):
        run(data_dir, *options)
