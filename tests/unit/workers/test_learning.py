import errno
import json
from dataclasses import replace

import pytest
from learning import BETTER, fill, load_small, shuffled, simulated, small_round, weak_bundle

from common.errors import InputError, InvalidTableError, StoreLockedError, UnavailableError
from encoders import training
from search import app
from search.schema import model_of
from search.store.embedded import EmbeddedStore
from workers.carrying import read_state
from workers.learning.plan import Wish
from workers.reindex import roll_back

QUICK = replace(BETTER, autoencoder_epochs=1, alignment_epochs=2)


@pytest.fixture(autouse=True)
def _bundles_of_words(monkeypatch):
    """Let bundles be loaded with the text model of these tests."""
    monkeypatch.setattr("encoders.bundle.load", load_small)


@pytest.fixture
def settings(to_learn):
    return to_learn


@pytest.fixture
def store(store_to_learn_from):
    return store_to_learn_from


def learn(settings, store, **options):
    with small_round(settings) as one:
        one.begin(store, settings)
        one.work.run()
        return one.end(store, settings, **options)


def test_a_round_that_is_better_switches_and_keeps_the_old_model(scored, store):
    old = model_of(store)
    report = learn(scored, store)
    new = report["new"]["model_id"]
    assert (report["decision"], report["better"]) == ("switched", True)
    assert report["low"] > 0
    assert model_of(store) == new != old == report["old"]["model_id"] == weak_bundle().model_id
    assert app.load_model(scored, new).manifest.started_from == old
    (filed,) = (scored.data_dir / "learning" / "reports").glob("*.json")
    filed = json.loads(filed.read_text())
    assert filed["new"]["mean_recall"] > filed["old"]["mean_recall"]
    assert not (scored.data_dir / "learning" / "round").exists()
    roll_back(store)
    assert model_of(store) == old


def test_a_round_that_learns_nothing_true_does_not_switch(tmp_path):
    settings = fill(tmp_path, shuffled(simulated()))
    with EmbeddedStore(tmp_path / "store") as store:
        old = model_of(store)
        report = learn(settings, store)
        assert (report["decision"], report["better"]) == ("kept the old one", False)
        assert (model_of(store), read_state(store)) == (old, None)
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == [old]


def test_a_better_model_can_be_left_aside(scored, store):
    old = model_of(store)
    report = learn(scored, store, switch=False)
    assert report["decision"] == "better, not switched"
    assert model_of(store) == old
    assert load_small(scored.data_dir / "bundles" / report["new"]["model_id"])


def test_a_second_round_ends_the_change_of_the_first(scored, store):
    first = learn(scored, store)["new"]["model_id"]
    with small_round(scored, replace(BETTER, hidden=32)) as one:
        assert one.begin(store, scored).old == first
        one.work.run()
        report = one.work.report() | {"better": True}
        (one.work.folder / "report.json").write_text(json.dumps(report))
        one.end(store, scored)
    assert read_state(store).old == first
    assert f"detections@{weak_bundle().model_id}" not in store.collections()


def test_a_round_goes_on_where_it_was_broken_off(settings, store, monkeypatch):
    with small_round(settings, QUICK) as one:
        plan = one.begin(store, settings)
        with monkeypatch.context() as broken:
            broken.setattr(training, "fit_alignment", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                one.work.run()
    with small_round(settings, QUICK) as one:
        assert one.begin(store, settings) == plan
        with monkeypatch.context() as broken:
            broken.setattr("encoders.evaluation.comparison.compare", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                one.work.run()
    with small_round(settings, QUICK) as one, monkeypatch.context() as done:
        one.begin(store, settings)
        done.setattr(training, "train", _interrupt)  # it is trained
        scored = one.work.run()
    with small_round(settings, QUICK) as one, monkeypatch.context() as done:
        one.begin(store, settings)
        done.setattr(one.work, "_load", _interrupt)
        assert one.work.run() == scored


def _interrupt(*_, **__):
    raise KeyboardInterrupt


def test_a_round_killed_while_the_store_changes_is_completed(scored, store, monkeypatch):
    with small_round(scored) as one:
        one.begin(store, scored)
        one.work.run()
        with monkeypatch.context() as broken:
            broken.setattr("workers.reindex.Reindex.check", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                one.end(store, scored)
    assert read_state(store).phase == "filling"
    with small_round(scored) as one:
        one.begin(store, scored)
        one.work.run()
        report = one.end(store, scored)
    assert model_of(store) == report["new"]["model_id"]


def test_a_full_disk_leaves_nothing_half_done(settings, store, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = settings.data_dir / "learning" / "round"
    with small_round(settings, QUICK) as one:
        with monkeypatch.context() as patched:
            patched.setattr("workers.learning.round.write_dataset", full)
            with pytest.raises(UnavailableError, match=r"No space left.*make room and repeat"):
                one.begin(store, settings)
        assert not folder.exists()
        one.begin(store, settings)
        with monkeypatch.context() as patched:
            patched.setattr("encoders.bundle.ModelBundle.save", full)
            with pytest.raises(UnavailableError, match="No space left"):
                one.work.run()
        assert not (folder / "bundle").exists()
        one.work.run()
        with monkeypatch.context() as patched:
            patched.setattr("workers.learning.round.write_text", full)
            with pytest.raises(UnavailableError, match="No space left"):
                one.end(store, settings, switch=False)
        assert one.end(store, settings)["decision"]


def test_two_rounds_at_once_are_refused_by_name(settings):
    with (
        small_round(settings),
        pytest.raises(StoreLockedError, match="a round of learning"),
    ):
        small_round(settings)


def test_a_broken_off_round_is_not_gone_on_with_by_other_wishes(settings, store):
    with small_round(settings) as one:
        one.begin(store, settings, Wish(seed=1))
        with pytest.raises(InputError, match="repeat its command to complete it, or remove"):
            one.begin(store, settings, Wish(seed=2))
        assert one.begin(store, settings).wish.seed == 1


def test_a_round_of_a_store_that_has_changed_its_model_begins_anew(settings, store):
    with small_round(settings) as one:
        first = one.begin(store, settings)
        plan = json.loads((one.work.folder / "plan.json").read_text()) | {"old": "another"}
        (one.work.folder / "plan.json").write_text(json.dumps(plan))
        assert one.begin(store, settings).old == first.old


def test_too_few_pairs_are_counted(tmp_path):
    settings = fill(tmp_path, simulated(60, 3))
    with EmbeddedStore(tmp_path / "store") as store, small_round(settings) as one:
        with pytest.raises(InvalidTableError, match=r"of 60 for train.*of 20 for test.*about 150"):
            one.begin(store, settings)
        assert not one.work.folder.exists()


def test_one_text_for_all_is_nothing_to_learn_from(tmp_path):
    given = simulated()
    same = replace(given, texts=[replace(t, summary=given.texts[0].summary) for t in given.texts])
    settings = fill(tmp_path, same)
    with (
        EmbeddedStore(tmp_path / "store") as store,
        small_round(settings) as one,
        pytest.raises(InvalidTableError, match=r"0 of 60 for train.*1 texts about more than 20"),
    ):
        one.begin(store, settings)


def test_a_simulated_store_says_so_and_gets_no_further_simulation(settings, store):
    with small_round(settings) as one:
        plan = one.begin(store, settings)
    assert plan.simulated_share == 0
    assert "all spectra of the store are simulated" in plan.notes[-1]
