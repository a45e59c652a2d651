import json

import pytest
from typer.testing import CliRunner

from cli.main import app
from common.errors import BundleError, InputError, NotFoundError
from encoders.bundle import SHIPPED_BUNDLE, ModelBundle, load
from encoders.config import Profile, RecipeName, config_of
from encoders.manifest import MANIFEST
from encoders.training import train as training
from ingest.dataset.dataset import write_dataset
from ingest.simulation.simulate import simulate


@pytest.fixture(scope="module")
def dataset(module_folder):
    folder = module_folder("simulated")
    write_dataset(simulate(60, 0), folder)
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["train", *map(str, arguments)], catch_exceptions=False)


def test_train_writes_a_bundle_that_names_where_it_began(dataset, tmp_path):
    result = run(dataset, "--out", tmp_path / "bundle", "--profile", "quick", "--json")
    answer = json.loads(result.stdout)
    assert load(tmp_path / "bundle").model_id == answer["model_id"]
    manifest = json.loads((tmp_path / "bundle" / MANIFEST).read_text())
    shipped = json.loads((SHIPPED_BUNDLE / MANIFEST).read_text())
    assert manifest["started_from"] == shipped["model_id"]
    assert (manifest["config"]["members"], manifest["config"]["autoencoder_epochs"]) == (1, 0)
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == [
        MANIFEST,
        "weights.safetensors",
    ]


def test_train_keeps_what_it_did_when_the_bundle_cannot_be_saved(dataset, tmp_path, monkeypatch):
    out = tmp_path / "bundle"

    def fail(_bundle, _folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ModelBundle, "save", fail)
        run(dataset, "--out", out, "--profile", "quick")
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["candidate-0.safetensors"]
    assert run(dataset, "--out", out, "--profile", "quick").exit_code == 0
    assert not (out / "checkpoints").exists()


def test_train_takes_settings_that_were_searched_for(dataset, tmp_path):
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"settings": {"hidden": 32, "temperature": 0.1}}))
    run(dataset, "--out", tmp_path / "bundle", "--profile", "quick", "--settings", settings)
    config = json.loads((tmp_path / "bundle" / MANIFEST).read_text())["config"]
    assert (config["hidden"], config["temperature"]) == (32, 0.1)


def test_train_refuses_a_folder_with_other_files(dataset, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        run(dataset, "--out", tmp_path)


def test_quick_training_from_nothing_is_refused(dataset, tmp_path):
    with pytest.raises(InputError, match="give a bundle as --start"):
        run(dataset, "--out", tmp_path / "bundle", "--profile", "quick", "--start", "none")


@pytest.mark.parametrize(
    ("option", "error"), [("--start", BundleError), ("--settings", NotFoundError)]
)
def test_what_is_not_there_is_named(dataset, tmp_path, option, error):
    with pytest.raises(error, match="nowhere"):
        run(dataset, "--out", tmp_path / "bundle", option, tmp_path / "nowhere")


def test_the_profile_that_was_called_paper_names_the_recipe(dataset, tmp_path):
    result = run(dataset, "--out", tmp_path / "bundle", "--profile", "paper")
    assert result.exit_code == 2
    said = " ".join(result.stderr.replace("│", " ").split())
    assert "'paper' is called 'standard' now" in said
    assert "--recipe paper" in said


def test_an_unknown_profile_is_refused_with_those_there_are(dataset, tmp_path):
    result = run(dataset, "--out", tmp_path / "bundle", "--profile", "fast")
    assert result.exit_code == 2
    assert "quick, standard, best" in result.stderr


@pytest.fixture
def asked(monkeypatch):
    """A training that takes no time; what it was asked for."""
    asked = {}

    class NeverTrainedError(Exception):
        pass

    def train(_dataset, _embedder, config, _progress, *, start, **_more):
        asked.update(config=config, start=start)
        raise NeverTrainedError

    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr("encoders.bundle.load", lambda folder: f"bundle in {folder}")

    def ask(*arguments):
        with pytest.raises(NeverTrainedError):
            run(*arguments)
        return asked

    return ask


def test_the_recipe_of_the_paper_begins_with_random_weights(dataset, tmp_path, asked):
    found = asked(dataset, "--out", tmp_path / "bundle", "--recipe", "paper", "--seed", 4)
    assert found["config"] == config_of(RecipeName.PAPER, seed=4)
    assert found["start"] is None


def test_our_recipe_begins_with_the_shipped_bundle(dataset, tmp_path, asked):
    found = asked(dataset, "--out", tmp_path / "bundle", "--profile", "best")
    assert found["config"] == config_of(profile=Profile.BEST)
    assert found["start"] == f"bundle in {SHIPPED_BUNDLE}"


def test_settings_of_one_recipe_are_not_those_of_another(dataset, tmp_path, asked):
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"settings": {"hidden": 32}, "recipe": "paper"}))
    of_paper = dataset, "--out", tmp_path / "bundle", "--settings", settings, "--recipe", "paper"
    assert asked(*of_paper)["config"].hidden == 32
    with pytest.raises(InputError, match="was found for --recipe paper"):
        run(dataset, "--out", tmp_path / "bundle", "--settings", settings)


@pytest.mark.slow
def test_the_recipe_of_the_paper_is_trained_and_evaluated(tmp_path, monkeypatch):
    short = {"autoencoder_epochs": 2, "alignment_epochs": 3, "candidates": 4}  # enough for a report
    monkeypatch.setattr("cli.models.config_of", lambda *a, **kw: config_of(*a, **kw, **short))
    dataset, out = tmp_path / "dataset", tmp_path / "bundle"
    write_dataset(simulate(600, 0), dataset)  # of fewer nothing is left to test estimates on
    assert run(dataset, "--out", out, "--recipe", "paper").exit_code == 0
    config = json.loads((out / MANIFEST).read_text())["config"]
    assert config["recipe"] == "paper"
    report = tmp_path / "report"
    command = ["evaluate", dataset, "--bundle", out, "--report", report]
    result = CliRunner().invoke(app, [str(part) for part in command], catch_exceptions=False)
    assert result.exit_code == 0
    page = (report / "report.html").read_text()
    known = ("Table 1", "Table 2", "Table 4 and Fig. 4", "Fig. 2", "Fig. 3")
    assert all(f"{one} of the paper" in page for one in known)
