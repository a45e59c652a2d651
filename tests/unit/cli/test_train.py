import json

import pytest
from typer.testing import CliRunner

from cli.main import app
from common.errors import BundleError, InputError, NotFoundError
from encoders.bundle import MANIFEST, SHIPPED_BUNDLE, ModelBundle, load
from ingest.dataset import write_dataset
from ingest.simulate import simulate


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
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
