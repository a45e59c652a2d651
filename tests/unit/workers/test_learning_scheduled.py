import threading

import pytest
from learning import use_fakes

from common.errors import UnavailableError
from search.collections.schema import model_of
from search.settings import SearchSettings
from search.store.embedded import EmbeddedStore
from workers.learning import scheduled
from workers.learning.scheduled import ScheduledLearning


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(scheduled, "LOOK_EVERY_S", 0.05)


@pytest.fixture(autouse=True)
def _fakes(monkeypatch):
    use_fakes(monkeypatch)


def test_a_scheduled_round_computes_in_a_child_and_changes_the_store(scored, store_to_learn_from):
    old, beats = model_of(store_to_learn_from), []
    learning = ScheduledLearning(store_to_learn_from, scored, threading.Event())
    assert learning(lambda stage, _done, _total: beats.append(stage)) == 1
    assert model_of(store_to_learn_from) != old
    assert "learning" in beats  # it is known to be alive
    assert len([*(scored.data_dir / "learning" / "reports").iterdir()]) == 1


def test_what_goes_wrong_in_the_child_is_said_and_gone_on_with(to_learn, store_to_learn_from):
    learning = ScheduledLearning(store_to_learn_from, to_learn, threading.Event())
    with pytest.raises(UnavailableError, match=r"exit code 1.*fake0.*it goes on from there"):
        learning(lambda *_: None)
    assert (to_learn.data_dir / "learning" / "round" / "dataset").is_dir()


def test_the_end_of_the_process_breaks_a_round_off(to_learn, store_to_learn_from):
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(UnavailableError, match="broken off by the end of this process"):
        ScheduledLearning(store_to_learn_from, to_learn, stopping)(lambda *_: None)
    assert not (to_learn.data_dir / "learning" / "round" / "report.json").exists()


def test_a_store_with_too_little_is_no_error_of_the_schedule(tmp_path):
    with EmbeddedStore(tmp_path / "store") as store:
        settings = SearchSettings(data_dir=tmp_path, qdrant_url=None)
        assert ScheduledLearning(store, settings, threading.Event())(lambda *_: None) == 0
