import json

import pytest
from fake_encoder import FakeEncoder
from two_models import NoSummarizer
from typer.testing import CliRunner

from cli import learn as command
from cli.main import app
from common.errors import InputError, InvalidTableError, StoreLockedError
from ingest.simulation.simulate import simulate
from search.store.embedded import EmbeddedStore
from workers.learning.round import Round
from workers.learning.work import Work
from workers.writing.pipeline import Pipeline


def figures(recall):
    return {f"recall_at_{k}_percent": recall for k in (1, 5, 10)} | {
        "median_rank": 4.0,
        "candidates": 30,
    }


def scores(name, recall):
    return {
        "model_id": name,
        "spectrum_to_text": figures(recall),
        "text_to_spectrum": figures(recall),
        "mean_recall": recall,
        "estimation": {"spectrum": 0.5, "refined": 0.4},
    }


def report(better):
    low = 0.01 if better else -0.02
    return {
        "plan": {"simulated": True},
        "old": scores("aaaa", 0.2),
        "new": scores("bbbb", 0.25),
        "difference": 0.05,
        "low": low,
        "high": 0.1,
        "n_sources": 30,
        "n_detections": 40,
        "n_texts": 35,
        "better": better,
    }


@pytest.fixture
def rounds(monkeypatch, tmp_path):
    """Rounds whose result is decided beforehand, and what was asked of them."""
    asked = {}

    def begin(_self, _store, _settings, wish, _progress):
        asked["wish"] = wish
        return type("Plan", (), {"notes": ("something was left out",)})

    def end(_self, _store, _settings, switch, _progress):
        asked["switch"] = switch
        found = report(asked["better"])
        better = "switched" if switch else "better, not switched"
        return found | {
            "decision": better if found["better"] else "kept the old one",
            "bundle": "data/bundles/bbbb",
            "report": "data/learning/reports/now.json",
        }

    monkeypatch.setattr(Round, "begin", begin)
    monkeypatch.setattr(Round, "end", end)
    monkeypatch.setattr(Work, "run", lambda _self, _progress: report(asked["better"]))

    def run(better, *options):
        asked["better"] = better
        arguments = ["learn", "--data-dir", str(tmp_path), *options]
        return CliRunner().invoke(app, arguments, catch_exceptions=False), asked

    return run


def test_learn_prints_both_models_side_by_side_and_what_was_decided(rounds):
    result, asked = rounds(True, "--yes", "--seed", "3", "--simulated-share", "0.5")
    assert result.exit_code == 0
    assert (asked["wish"].seed, asked["wish"].simulated_share, asked["switch"]) == (3, 0.5, True)
    assert "simulated spectra among them" in result.output
    assert "+5.0%, 95% interval +1.0% to +10.0%: better beyond chance" in result.output
    assert "30 sources, 40 detections, 35 texts" in " ".join(result.output.split())


def test_learn_that_finds_nothing_better_has_an_exit_code_of_its_own(rounds):
    result, _ = rounds(False, "--json")
    assert result.exit_code == command.NOT_BETTER == 5
    assert json.loads(result.stdout)["decision"] == "kept the old one"


def test_learn_can_leave_the_store_as_it_is(rounds):
    result, asked = rounds(True, "--no-switch", "--json")
    assert (result.exit_code, asked["switch"]) == (0, False)


def test_learn_names_the_process_that_has_the_store(tmp_path):
    with EmbeddedStore(tmp_path / "store"), pytest.raises(StoreLockedError, match="in use by"):
        CliRunner().invoke(app, ["learn", "--data-dir", str(tmp_path)], catch_exceptions=False)


def test_learn_writes_over_no_other_folder(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    arguments = ["learn", "--data-dir", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    with pytest.raises(InputError, match="not an empty folder"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


@pytest.fixture(scope="module")
def small_store(module_folder):
    """A store with a few pairs."""
    folder = module_folder("data")
    with EmbeddedStore(folder / "store") as store:
        pipeline = Pipeline(store, FakeEncoder(), NoSummarizer())
        list(pipeline.ingest_dataset(simulate(40, 2)))
    return folder


def test_train_says_what_a_store_lacks(small_store, tmp_path):
    with pytest.raises(InvalidTableError, match=r"too few pairs.*of 60 for train.*of 10 for valid"):
        CliRunner().invoke(
            app,
            ["train", str(small_store), "--out", str(tmp_path / "bundle")],
            catch_exceptions=False,
        )


def test_train_takes_a_store(small_store, tmp_path, monkeypatch):
    monkeypatch.setattr("workers.learning.plan.FEWEST", {"train": 8, "validation": 2, "test": 2})
    arguments = ["train", str(small_store), "--out", str(tmp_path / "bundle"), "--profile", "quick"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    manifest = json.loads((tmp_path / "bundle" / "model.json").read_text())
    assert manifest["dataset"] == "the store"
    assert manifest["simulated"] is True
