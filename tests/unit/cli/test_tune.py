import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from cli.main import app
from common.errors import InputError, NotFoundError, UnavailableError
from encoders.bundle import SHIPPED_BUNDLE
from encoders.tuning import tune as tuning
from encoders.tuning.tune import SPACE, Tuned, read_settings
from ingest.dataset.dataset import write_dataset
from ingest.simulation.simulate import simulate

SETTINGS = {
    "alignment_learning_rate": 2e-3,
    "shared": 64,
    "dropout": 0.2,
    "hidden": 512,
    "temperature": 0.05,
    "dropped_sentences": 0.1,
}
FOUND = Tuned(SETTINGS, 0.375, trial=7, complete=15, pruned=5, study="0123456789abcdef")

GRID = {"alignment_learning_rate": 5e-4, "shared": 64, "dropout": 0.2, "hidden": 512}
OF_PAPER = replace(FOUND, settings=GRID, recipe="paper")


@pytest.fixture(scope="module")
def dataset(module_folder):
    folder = module_folder("simulated")
    write_dataset(simulate(60, 0), folder)
    return folder


@pytest.fixture
def asked(monkeypatch):
    """A search that takes no time; what it was asked for."""
    asked = {}

    def tune(dataset, embedder, path, trials, config, *, better, progress, **more):
        asked.update(more, name=embedder.name, path=path, trials=trials, seed=config.seed)
        asked["config"] = config
        progress("trials", trials, trials)
        found = OF_PAPER if config.recipe == "paper" else FOUND
        better(found)
        return found

    monkeypatch.setattr(tuning, "tune", tune)
    monkeypatch.setattr("encoders.bundle.load", lambda folder: f"bundle in {folder}")
    return asked


def run(*arguments):
    return CliRunner().invoke(app, ["tune", *map(str, arguments)], catch_exceptions=False)


def test_tune_prints_the_best_settings_as_a_table(dataset, asked, tmp_path):
    result = run(dataset, "--study", tmp_path / "s", "--trials", 20)
    assert result.exit_code == 0
    assert "Best of 20 trials, 5 of them pruned" in result.stdout
    assert "37.50%" in result.stdout
    assert all(name in result.stdout for name in SPACE)
    assert "trial 7: 37.50%, the best so far" in result.stderr


def test_tune_passes_on_what_it_was_asked_for(dataset, asked, tmp_path):
    options = "--trials", 20, "--jobs", 3, "--start", "none", "--seed", 5
    assert run(dataset, "--study", tmp_path / "s", *options).exit_code == 0
    assert asked["path"] == tmp_path / "s"
    assert (asked["trials"], asked["jobs"], asked["start"], asked["seed"]) == (20, 3, None, 5)


def test_tune_begins_with_the_shipped_autoencoder_on_both_cores(dataset, asked, tmp_path):
    run(dataset, "--study", tmp_path / "s", "--trials", 20)
    assert asked["start"] == f"bundle in {SHIPPED_BUNDLE}"
    assert asked["jobs"] == 2


def test_the_json_answer_and_the_file_can_both_be_given_to_training(dataset, asked, tmp_path):
    out = tmp_path / "new" / "settings.json"
    result = run(dataset, "--study", tmp_path / "s", "--trials", 20, "--out", out, "--json")
    answer = tmp_path / "answer.json"
    answer.write_text(result.stdout)
    assert read_settings(answer) == read_settings(out) == SETTINGS


def test_an_extended_search_writes_over_its_settings_but_over_nothing_else(
    dataset, asked, tmp_path
):
    out = tmp_path / "settings.json"
    command = dataset, "--study", tmp_path / "s", "--trials", 20, "--out", out
    run(*command)
    assert run(*command).exit_code == 0
    out.write_text("my thesis")
    asked.clear()
    with pytest.raises(InputError, match="cannot be read as JSON"):
        run(*command)
    assert out.read_text() == "my thesis"
    assert not asked


def test_settings_that_cannot_be_written_are_reported(dataset, asked, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UnavailableError, match="give another --out; the search is kept"):
        run(dataset, "--study", tmp_path / "s", "--trials", 20, "--out", tmp_path / "file" / "s")


@pytest.mark.parametrize("options", [("--trials", 0), ("--trials", 1, "--jobs", 0), ()])
def test_wrong_use_is_refused(dataset, asked, tmp_path, options):
    assert run(dataset, "--study", tmp_path / "s", *options).exit_code == 2
    assert not asked


def test_a_dataset_that_is_not_there_is_named(asked, tmp_path):
    with pytest.raises(NotFoundError, match="nowhere"):
        run(tmp_path / "nowhere", "--study", tmp_path / "s", "--trials", 1)


def test_json_is_one_document(dataset, asked, tmp_path):
    result = run(dataset, "--study", tmp_path / "s", "--trials", 20, "--json")
    assert json.loads(result.stdout) == FOUND.to_dict()


def test_the_recipe_of_the_paper_is_searched_in_the_grid_of_the_paper(dataset, asked, tmp_path):
    out = tmp_path / "settings.json"
    command = dataset, "--study", tmp_path / "s", "--trials", 20, "--recipe", "paper"
    result = run(*command, "--out", out)
    assert asked["config"].recipe == "paper"
    assert asked["start"] is None
    assert "0.0001 to 0.001" in result.stdout
    assert "dropped_sentences" not in result.stdout
    assert read_settings(out, "paper") == GRID
