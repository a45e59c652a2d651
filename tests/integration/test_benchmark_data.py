"""The whole real catalogue, and the benchmark of the paper's size: minutes, so marked slow."""

import numpy as np
import pytest
from command import answer
from qdrant_client import models

from common.calibration import CALIBRATION, read_calibration
from common.records import point_id
from encoders.bundle import SHIPPED_BUNDLE, load
from encoders.evaluation.evaluate import evaluate
from encoders.evaluation.representations import represent
from ingest.dataset.dataset import read_dataset
from search.collections import schema
from search.inference.estimates import Estimator
from search.results import Subject
from search.store.embedded import EmbeddedStore

pytestmark = [pytest.mark.integration, pytest.mark.slow]

AMBIGUOUS_ROWS = 109  # 30 detections that the catalogue gives to several sources each


@pytest.fixture(scope="module")
def catalogue(shared_data):
    return shared_data / "csc" / "csc20_detections.csv.gz"


@pytest.fixture(scope="module")
def store(module_folder, catalogue, shared_data):
    """The real detections, those with published fits completed by spectra drawn from these."""
    data_dir = module_folder("real")
    answer("ingest", "catalog", catalogue, data_dir=data_dir, code=3)
    dataset = shared_data / "csc" / "csc20_fits.npz"
    answer("ingest", "dataset", dataset, data_dir=data_dir, code=3)
    return data_dir


def test_real_catalogue_is_ingested_and_read_again_changes_nothing(tmp_path, catalogue):
    first = answer("ingest", "catalog", catalogue, data_dir=tmp_path, code=3)
    assert (first["ingested"], len(first["refused"])) == (18_510 - AMBIGUOUS_ROWS, AMBIGUOUS_ROWS)
    again = answer("ingest", "catalog", catalogue, data_dir=tmp_path, code=3)
    assert (again["ingested"], again["unchanged"]) == (0, 18_510 - AMBIGUOUS_ROWS)


@pytest.mark.parametrize("name", ["AGN", "XB*", "CV*", "Star"])
def test_answers_are_of_the_class_asked_for_or_below_it(store, name):
    question = "obscured active nucleus with an iron line"
    found = answer("search", "text", question, "--class", name, "--limit", 50, data_dir=store)
    assert found["answers"]
    assert all(name in hit["payload"]["class_path"] for hit in found["answers"])


def test_where_is_kept_to(store):
    condition = "hard_hs > 0.3 and flux_significance_b >= 5"
    found = answer("search", "text", "hard", "--where", condition, "--limit", 100, data_dir=store)
    assert len(found["answers"]) == 100
    for hit in found["answers"]:
        assert hit["payload"]["hard_hs"] > 0.3
        assert hit["payload"]["flux_significance_b"] >= 5


@pytest.fixture(scope="module")
def trained(module_folder, shared_data, embedded_once):
    """A bundle trained on the benchmark, from the shipped one."""
    folder = module_folder("trained") / "bundle"
    answer("train", shared_data / "simbench", "--out", folder, timeout=3000)
    return folder


def test_benchmark_is_reached_on_the_test_split(trained, shared_data):
    """The floors are those the project promises, for one seed."""
    result = answer("evaluate", shared_data / "simbench", "--bundle", trained, timeout=3000)
    for direction in ("spectrum_to_text", "text_to_spectrum"):
        scores = result[direction]["overall"]
        assert scores["candidates"] == 1144
        assert scores["recall_at_1_percent"] >= 0.15
        assert scores["recall_at_5_percent"] >= 0.43
        assert scores["median_rank"] / scores["candidates"] <= 0.065
    assert len(result["regression"]) == 20
    assert result["mean_ratio"]["refined"]["value"] <= 0.42


@pytest.fixture(scope="module")
def encoded(trained, shared_data):
    """The benchmark's vectors, before and after alignment."""
    return represent(read_dataset(shared_data / "simbench"), load(trained))


@pytest.fixture(scope="module")
def estimates(trained, encoded, module_folder):
    """Estimates of the test split, from a store that holds the training split only."""
    bundle = load(trained)
    calibration = read_calibration(trained / CALIBRATION, bundle.model_id)
    vectors = {**encoded.vectors, "both": encoded.vectors["both"] / np.sqrt(2)}
    with EmbeddedStore(module_folder("benchmark") / "store") as store:
        schema.open_collections(store, bundle)
        points = [
            models.PointStruct(
                id=str(point_id("detection", str(row))),
                vector={name: x[row].tolist() for name, x in vectors.items()},
                payload={name: float(x[row]) for name, x in encoded.variables.items()},
            )
            for row in encoded.split["train"]
        ]
        for start in range(0, len(points), 1000):
            store.upsert(schema.DETECTIONS, points[start : start + 1000])
        estimator = Estimator(store, calibration)
        return [
            estimator.estimate(
                Subject(str(row), {name: x[row] for name, x in vectors.items()}, {})
            ).estimates
            for row in encoded.split["test"]
        ]


def test_estimates_through_the_store_are_as_good_as_the_evaluation_says(encoded, estimates):
    train, test = encoded.split["train"], encoded.split["test"]
    ratios = []
    for name, values in encoded.variables.items():
        estimate = np.array([one[name].value for one in estimates])
        baseline = np.abs(values[test] - values[train].mean()).mean()
        ratios.append(np.abs(estimate - values[test]).mean() / baseline)
    expected = evaluate(encoded, figures=False).mean_ratio["refined"].value
    assert np.mean(ratios) == pytest.approx(expected, abs=0.005)


def test_intervals_cover_what_they_promise_on_sources_never_seen(encoded, estimates):
    """Coverage differs from run to run by 2 points: 1,719 detections, calibrated on as many."""
    off = []
    for name, values in encoded.variables.items():
        truth = values[encoded.split["test"]]
        for level in ("68", "90"):
            low = np.array([getattr(one[name], f"low_{level}") for one in estimates])
            high = np.array([getattr(one[name], f"high_{level}") for one in estimates])
            covered = ((low <= truth) & (truth <= high)).mean()
            if (name, level) == ("bb_nh", "68"):
                # Two of three of its values are exactly 0, which the narrowest interval holds:
                # it may cover more than it promises, never less than the others may.
                covered = min(covered, 0.68)
            off.append(covered - int(level) / 100)
    assert np.abs(off).max() <= 0.06
    assert np.mean(np.abs(off) <= 0.03) >= 0.9
    assert abs(np.mean(off)) <= 0.015


def test_simulation_alone_estimates_published_variables_of_real_detections(shared_data):
    """The shipped bundle has seen no real source; neighbours are those of other real sources."""
    dataset = shared_data / "csc" / "csc20_fits.npz"
    result = answer("evaluate", dataset, "--bundle", SHIPPED_BUNDLE, timeout=600)
    assert result["scheme"] == "cross-validated by source"
    assert len(result["regression"]) >= 15
    for name, row in result["regression"].items():
        assert row["refined"]["value"] < row["mean_baseline"]["value"], name
