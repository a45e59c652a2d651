import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_encoder import FakeEncoder
from small_evaluation import small_evaluation
from typer.testing import CliRunner

from cli.evaluation import is_store, print_evaluation, represent_store, seen_in_training
from cli.main import app
from common.binning import count_rate, min_max
from common.errors import InputError, NotFoundError
from common.ports import no_progress
from common.records import Summary
from ingest.dataset.dataset import write_dataset
from ingest.simulation.simulate import simulate
from search.store.embedded import EmbeddedStore
from workers.writing.pipeline import Pipeline


class NoSummarizer:
    def summarize(self, texts, progress=no_progress):
        return [Summary(title, abstract, abstract, "extractive") for title, abstract in texts]


@pytest.fixture(scope="module")
def data_dir(module_folder):
    data_dir = module_folder("data")
    store = EmbeddedStore(data_dir / "store")
    with Pipeline(store, FakeEncoder(), NoSummarizer()) as pipeline:
        outcomes = list(pipeline.ingest_dataset(simulate(150, 0)))
    assert {one.status for one in outcomes} == {"ingested"}
    return data_dir


@pytest.fixture
def evaluation():
    return small_evaluation()


@pytest.fixture
def load_fake(monkeypatch):
    def load():
        bundle = FakeBundle()
        monkeypatch.setattr("encoders.bundle.load", lambda _folder: bundle)
        return bundle

    return load


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], catch_exceptions=False)


def test_a_store_is_known_by_its_data_folder_and_by_its_own(data_dir, tmp_path):
    assert is_store(data_dir)
    assert is_store(data_dir / "store")
    assert not is_store(tmp_path)
    assert not is_store(tmp_path / "missing")


def test_asking_whether_a_folder_is_a_store_makes_none(tmp_path):
    is_store(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_store_gives_its_vectors_and_says_how_it_was_split(data_dir):
    vectors = represent_store(data_dir / "store", None, no_progress)
    assert vectors.model_id == "fake0"
    assert vectors.text_model == "not recorded"
    assert vectors.simulated
    assert len(vectors.names) == 150
    assert set(vectors.vectors) == {"spectrum", "text", "shared_spectrum", "shared_text", "both"}
    assert "split by a hash of their names" in vectors.notes[-1]


def test_a_bundle_that_filled_the_store_tells_the_text_model(data_dir, load_fake):
    load_fake()
    vectors = represent_store(data_dir, Path("bundle"), no_progress)
    assert vectors.text_model == "hashed-words"


def test_a_store_of_another_model_than_the_bundle_is_refused(data_dir, load_fake):
    load_fake().model_id = "other"
    with pytest.raises(InputError, match=r"model fake0, bundle is other: leave --bundle out"):
        represent_store(data_dir, Path("bundle"), no_progress)


def test_a_store_is_evaluated_and_reported(data_dir, tmp_path):
    result = run(data_dir, "--report", tmp_path / "report", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["model_id"] == "fake0"
    assert any("split by a hash of their names" in note for note in document["notes"])
    assert json.loads((tmp_path / "report" / "evaluation.json").read_text()) == document
    page = (tmp_path / "report" / "report.html").read_text()
    assert "simulated spectra" in page
    assert "<svg" in page


@pytest.mark.parametrize("summaries", [True, False])
def test_a_dataset_is_evaluated_with_a_bundle(tmp_path, load_fake, summaries):
    load_fake()
    dataset = simulate(150, 0)
    if not summaries:
        dataset = replace(dataset, texts=())
    write_dataset(dataset, tmp_path / "pairs")
    result = run(tmp_path / "pairs", "--bundle", tmp_path, "--report", tmp_path / "report")
    assert result.exit_code == 0
    assert ("spectrum → text" in result.stdout) is summaries
    assert "hard_hs" in result.stdout
    page = (tmp_path / "report" / "report.html").read_text()
    assert 'id="reconstructions"' in page


@pytest.mark.parametrize("name", ["thesis.tex", "figures/photo.png"])
def test_a_report_is_refused_before_any_work(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name}, which is no part of a report"):
        run(tmp_path / "no dataset", "--report", tmp_path)


def test_a_dataset_that_is_not_there_is_named(tmp_path, load_fake):
    load_fake()
    with pytest.raises(NotFoundError, match="nowhere"):
        run(tmp_path / "nowhere", "--bundle", "bundle")


def test_tables_show_both_directions_and_every_variable(evaluation, capsys):
    print_evaluation(evaluation)
    out, err = capsys.readouterr()
    assert "simulated spectra" in out
    assert "spectrum → text" in out
    assert "text → spectrum" in out
    assert all(name in out for name in evaluation.regression)
    assert "both +25.0%, MoE +50.0%, refined +55.3%" in out
    assert "more than its interval: apec_z" in out
    assert "note: bb_kt has no values" in err


def test_tables_of_what_is_missing_are_left_out(evaluation, capsys):
    print_evaluation(
        replace(evaluation, spectrum_to_text=None, text_to_spectrum=None, regression={})
    )
    out, err = capsys.readouterr()
    assert out == ""
    assert "note: bb_kt has no values" in err


@pytest.mark.parametrize(
    ("train_on", "trained_with", "warned"),
    [("all", "pairs", True), ("split", "pairs", False), ("all", "others", False)],
)
def test_a_model_that_has_seen_the_test_split_is_not_believed(train_on, trained_with, warned):
    dataset = replace(simulate(20, 0), name="pairs")
    notes = seen_in_training(dataset, FakeBundle(train_on, trained_with))
    assert bool(notes) is warned
    assert all("has seen the test split" in note for note in notes)


class FakeBundle(FakeEncoder):
    """A bundle as far as an evaluation asks: vectors, shapes, and what it was trained on."""

    embedder = None

    def __init__(self, train_on="split", dataset="elsewhere"):
        super().__init__()
        self.manifest = SimpleNamespace(dataset=dataset, config=SimpleNamespace(train_on=train_on))

    def reconstruct(self, counts, exposure_s):
        return min_max(count_rate(counts, exposure_s))
