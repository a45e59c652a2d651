"""``chandra-search evaluate`` on a dataset that is there to judge by, with a corpus."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from typer.testing import CliRunner

from cli.main import app
from common.binning import count_rate, min_max
from common.errors import InputError
from common.ports import no_progress
from ingest.dataset.dataset import write_dataset
from ingest.simulation.simulate import simulate

PROSE = "We study the emission of this and find that it is well fitted by a model of the kind "


class Lengths:
    """A text model that sees how long a text is."""

    def embed(self, texts, progress=no_progress):
        return np.array([[1.0, len(text)] for text in texts], dtype=np.float32)


class FakeBundle(FakeEncoder):
    embedder = Lengths()

    def __init__(self):
        super().__init__()
        self.manifest = SimpleNamespace(
            dataset="elsewhere", config=SimpleNamespace(train_on="split")
        )

    def place_summaries(self, summaries, progress=no_progress):
        return self.encode_summaries(summaries, progress)

    def reconstruct(self, counts, exposure_s):
        return min_max(count_rate(counts, exposure_s))


@pytest.fixture(autouse=True)
def _fake_bundle(monkeypatch):
    monkeypatch.setattr("encoders.bundle.load", lambda _folder: FakeBundle())


@pytest.fixture(scope="module")
def simulated():
    return simulate(150, 0)


@pytest.fixture
def dataset(simulated):
    return replace(simulated, use="test")


@pytest.fixture
def judged(tmp_path, dataset):
    write_dataset(dataset, tmp_path / "judged")
    questions = [
        {"class": label, "question": f"a source of class {label}"}
        for label in sorted({one.source_class[-1] for one in dataset.detections})
    ]
    lines = "\n".join(map(json.dumps, [*questions, {"class": "TDE", "question": "a star torn"}]))
    (tmp_path / "judged" / "questions.jsonl").write_text(lines)
    return tmp_path / "judged"


@pytest.fixture
def corpus(tmp_path):
    records = [
        {
            "id": f"arXiv:{n}",
            "title": f"Paper {n}",
            "abstract": f"{PROSE * 2} number {n}.",
            "kind": ("xray-source", "other")[n % 2],
            "score": 9.5,
        }
        for n in range(200)
    ]
    for name, part in (("a.jsonl", records[:100]), ("b.jsonl", records[100:])):
        (tmp_path / name).write_text("\n".join(map(json.dumps, part)))
    return tmp_path / "a.jsonl", tmp_path / "b.jsonl"


def run(*arguments):
    command = ["evaluate", *map(str, arguments), "--bundle", "bundle"]
    return CliRunner().invoke(app, command, catch_exceptions=False, env={"COLUMNS": "200"})


def test_every_row_is_scored_and_every_figure_reported(judged, corpus, tmp_path, dataset):
    result = run(judged, "--corpus", *corpus, "--report", tmp_path / "report", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    real = document["real"]
    assert document["scheme"] == "every row, nothing learnt from it"
    assert document["regression"] == {}
    assert real["sizes"]["spectra"] == len(dataset)
    assert 0 <= real["topical_precision_at_10"] <= 1
    assert 0 < real["topical_prior"] < 1
    assert set(real["own_text_percentile"]) == {"mean", "median", "by_object"}
    assert set(real["question_auc"]) == {"mean", "by_question"}
    assert "a star torn" not in real["question_auc"]["by_question"]
    assert list(real["count_drift"]) == ["3000", "10000", "30000", "100000", "1000000"]
    assert real["coverage_68"] is None
    assert any("give --reference" in note for note in real["notes"])
    for name in ("topical_precision_at_10", "own_text_percentile_median", "question_auc_mean"):
        assert set(real["interval"][name]) == {"value", "error", "low", "high"}
    assert json.loads((tmp_path / "report" / "evaluation.json").read_text()) == document
    page = (tmp_path / "report" / "report.html").read_text()
    assert 'id="real"' in page
    assert "a source of class" in page
    assert (tmp_path / "report" / "figures" / "real.svg").is_file()


def test_the_tables_show_chance_objects_and_questions(judged, corpus):
    out = run(judged, "--corpus", *corpus).stdout
    for title in ("Real data, simulated", "topical among the 10 nearest", "Own texts, best first",
                  "Questions, best first"):  # fmt: skip
        assert title in out


def test_both_files_are_in_the_pool(judged, corpus):
    one, both = (
        json.loads(run(judged, "--corpus", *files, "--json").stdout)["real"]["sizes"]["texts"]
        for files in (corpus[:1], corpus)
    )
    assert both > one


def test_another_dataset_is_judged_on_its_test_split(tmp_path, corpus, simulated):
    write_dataset(simulated, tmp_path / "pairs")
    document = json.loads(run(tmp_path / "pairs", "--corpus", *corpus, "--json").stdout)
    assert document["scheme"] == "fixed split"
    assert document["real"]["sizes"]["spectra"] == document["sizes"]["test"]
    assert json.loads(run(tmp_path / "pairs", "--json").stdout)["real"] is None


def test_a_reference_for_tests_is_refused(judged, corpus):
    with pytest.raises(InputError, match="for tests only"):
        run(judged, "--corpus", *corpus, "--reference", judged)


def test_nothing_is_trained_on_what_judges(judged):
    command = ["train", str(judged), "--out", str(judged.parent / "bundle"), "--start", "none",
               "--profile", "best"]  # fmt: skip
    with pytest.raises(InputError, match="for tests only"):
        CliRunner().invoke(app, command, catch_exceptions=False)
