import errno
import json
from dataclasses import replace

import pytest
from learning import KnowingEncoder, fill, open_round, pairs, shuffled, text_of, use_fakes

from common.errors import InputError, InvalidTableError, StoreLockedError, UnavailableError
from ingest.simulation.mixing import DEFAULT_SHARE
from search.collections.schema import model_of
from search.store.embedded import EmbeddedStore
from workers.learning.plan import Wish
from workers.maintenance.reindex import roll_back
from workers.writing.dual_write import read_state


@pytest.fixture(autouse=True)
def _fakes(monkeypatch):
    use_fakes(monkeypatch)


@pytest.fixture
def settings(to_learn):
    return to_learn


@pytest.fixture
def store(store_to_learn_from):
    return store_to_learn_from


def learn(settings, store, **options):
    with open_round(settings) as one:
        one.begin(store, settings)
        one.work.run()
        return one.end(store, settings, **options)


def test_a_round_that_is_better_switches_and_keeps_the_old_model(scored, store):
    report = learn(scored, store)
    assert (report["decision"], report["better"]) == ("switched", True)
    assert 0 < report["low"] < report["difference"]
    assert (report["old"]["model_id"], report["new"]["model_id"]) == ("fake0", "knows")
    assert model_of(store) == "knows"
    (filed,) = (scored.data_dir / "learning" / "reports").glob("*.json")
    assert json.loads(filed.read_text())["new"]["mean_recall"] == 1
    assert not (scored.data_dir / "learning" / "round").exists()
    assert roll_back(store).old == "fake0" == model_of(store)


def test_a_round_that_learns_nothing_true_does_not_switch(tmp_path):
    settings = fill(tmp_path, shuffled(pairs()))
    with EmbeddedStore(tmp_path / "store") as store:
        report = learn(settings, store)
        assert (report["decision"], report["better"]) == ("kept the old one", False)
        assert (model_of(store), read_state(store)) == ("fake0", None)


def test_a_better_model_can_be_left_aside(scored, store):
    report = learn(scored, store, switch=False)
    assert report["decision"] == "better, not switched"
    assert model_of(store) == "fake0"
    assert (scored.data_dir / "bundles" / "knows" / "model.json").exists()


def test_a_change_of_an_earlier_round_is_ended_by_the_next(scored, store, monkeypatch):
    learn(scored, store)

    class NextEncoder(KnowingEncoder):
        model_id = "next"

    monkeypatch.setattr("learning.KnowingEncoder", NextEncoder)
    monkeypatch.setattr("workers.learning.round.keep_current_bundle", lambda *_: "knows")
    with open_round(scored) as one:
        assert one.begin(store, scored).old == "knows"
        report = one.work.run() | {"better": True}
        (one.work.folder / "report.json").write_text(json.dumps(report))
        one.end(store, scored)
    assert (read_state(store).old, model_of(store)) == ("knows", "next")
    assert "detections@fake0" not in store.collections()


def _interrupt(*_, **__):
    raise KeyboardInterrupt


def test_a_round_goes_on_where_it_was_broken_off(settings, store, monkeypatch):
    with open_round(settings, train=_interrupt) as one:
        plan = one.begin(store, settings)
        with pytest.raises(KeyboardInterrupt):
            one.work.run()
    with open_round(settings) as one, monkeypatch.context() as broken:
        assert one.begin(store, settings) == plan
        broken.setattr("encoders.evaluation.comparison.compare", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            one.work.run()
    with open_round(settings, train=_interrupt) as one:  # it is trained
        one.begin(store, settings)
        found = one.work.run()
    with open_round(settings) as one, monkeypatch.context() as done:
        one.begin(store, settings)
        done.setattr(one.work, "_load", _interrupt)  # and scored
        assert one.work.run() == found


def test_a_round_killed_while_the_store_changes_is_completed(scored, store, monkeypatch):
    with open_round(scored) as one, monkeypatch.context() as broken:
        one.begin(store, scored)
        broken.setattr("workers.maintenance.reindex.Reindex.check", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            one.end(store, scored)
    assert read_state(store).phase == "filling"
    assert learn(scored, store)["decision"] == "switched"
    assert model_of(store) == "knows"


def test_a_full_disk_leaves_nothing_half_done(settings, store, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with open_round(settings) as one:
        with monkeypatch.context() as patched:
            patched.setattr("workers.learning.round.write_dataset", full)
            with pytest.raises(UnavailableError, match=r"No space left.*make room and repeat"):
                one.begin(store, settings)
        assert not one.work.folder.exists()
        one.begin(store, settings)
        with monkeypatch.context() as patched:
            patched.setattr(KnowingEncoder, "save", full)
            with pytest.raises(UnavailableError, match="No space left"):
                one.work.run()
        assert not one.work.bundle.exists()
        one.work.run()
        with monkeypatch.context() as patched:
            patched.setattr("workers.learning.round.write_text", full)
            with pytest.raises(UnavailableError, match="No space left"):
                one.end(store, settings, switch=False)
        assert one.end(store, settings)["decision"] == "switched"


def test_two_rounds_at_once_are_refused_by_name(tmp_path, store):
    with (
        open_round(type("Settings", (), {"data_dir": tmp_path})) as _,
        pytest.raises(StoreLockedError, match=r"a round of learning is under way.*process \d+"),
    ):
        open_round(type("Settings", (), {"data_dir": tmp_path}))


def test_a_broken_off_round_is_not_gone_on_with_by_other_wishes(settings, store):
    with open_round(settings) as one:
        one.begin(store, settings, Wish(seed=1))
        with pytest.raises(InputError, match="repeat its command to complete it, or remove"):
            one.begin(store, settings, Wish(seed=2))
        assert one.begin(store, settings).wish.seed == 1


def test_a_round_of_a_store_that_has_changed_its_model_begins_anew(settings, store):
    with open_round(settings) as one:
        one.begin(store, settings)
        plan = json.loads((one.work.folder / "plan.json").read_text()) | {"old": "another"}
        (one.work.folder / "plan.json").write_text(json.dumps(plan))
        assert one.begin(store, settings).old == "fake0"


def test_too_few_pairs_are_counted(tmp_path):
    settings = fill(tmp_path, pairs(40))
    with EmbeddedStore(tmp_path / "store") as store, open_round(settings) as one:
        with pytest.raises(InvalidTableError, match=r"40 of them with a text.*of 60 for train"):
            one.begin(store, settings)
        assert not one.work.folder.exists()


def test_one_text_for_all_is_nothing_to_learn_from(tmp_path):
    given = pairs()
    same = replace(given, texts=[text_of(i, 0) for i in range(given.n_sources)])
    settings = fill(tmp_path, same)
    with (
        EmbeddedStore(tmp_path / "store") as store,
        open_round(settings) as one,
        pytest.raises(InvalidTableError, match=r"0 of 60 for train.*1 texts about more than 20"),
    ):
        one.begin(store, settings)


def test_simulation_is_mixed_in_unless_the_store_is_simulated_itself(settings, store, tmp_path):
    with open_round(settings) as one:
        plan = one.begin(store, settings)
    assert (plan.simulated_share, plan.notes) == (DEFAULT_SHARE, ())
    given = pairs()
    simulated = replace(
        given, simulated=True, detections=[replace(d, simulated=True) for d in given.detections]
    )
    other = fill(tmp_path / "other", simulated)
    with EmbeddedStore(tmp_path / "other" / "store") as store, open_round(other) as one:
        plan = one.begin(store, other)
    assert plan.simulated_share == 0
    assert "all spectra of the store are simulated" in plan.notes[-1]
