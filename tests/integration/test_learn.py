"""A round of learning by the commands a user types: minutes, so marked slow."""

import json
import signal
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from command import COMMAND, answer, run

from ingest.dataset.dataset import write_dataset
from ingest.simulation.simulate import simulate

pytestmark = [pytest.mark.integration, pytest.mark.slow]

N = 3000
MINUTES = 60.0


@pytest.fixture(scope="module")
def dataset():
    return simulate(N, 77)


@pytest.fixture(scope="module")
def weak(module_folder, embedded_once):
    """A bundle that has hardly learnt to align."""
    folder = module_folder("weak")
    write_dataset(simulate(40, 78), folder / "few")
    run("train", folder / "few", "--profile", "quick", "--out", folder / "bundle", timeout=900)
    return folder / "bundle"


def stored(folder, dataset, weak):
    """Ingest a dataset as users do, and return the data folder."""
    write_dataset(dataset, folder / "dataset")
    data_dir = folder / "data"
    run("ingest", "dataset", folder / "dataset", "--bundle", weak, data_dir=data_dir, timeout=1800)
    return data_dir


def hear_interruptions():
    """Undo what a shell does to commands in its background: Ctrl-C is not for them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def model_in_use(data_dir):
    return answer("reindex", "--status", data_dir=data_dir)["model_id"]


def test_learning_improves_on_a_weak_bundle_and_switches(dataset, weak, tmp_path):
    data_dir = stored(tmp_path, dataset, weak)
    old = model_in_use(data_dir)
    learn = ["learn", "--bundle", weak, "--yes", "--profile", "quick"]
    # Broken off in the middle of training, the same command goes on.
    process = subprocess.Popen(
        [*COMMAND, *map(str, learn), "--data-dir", str(data_dir)],
        preexec_fn=hear_interruptions,
    )
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait(MINUTES)
    report = answer(*learn, "--out", tmp_path / "out", data_dir=data_dir, timeout=3600)
    assert (report["decision"], report["better"]) == ("switched", True)
    assert report["new"]["mean_recall"] > report["old"]["mean_recall"] + 0.1
    assert model_in_use(data_dir) == report["new"]["model_id"] != old
    found = answer("search", "text", "an obscured active nucleus", data_dir=data_dir)
    assert found["answers"]
    assert (tmp_path / "out" / "calibration.json").exists()
    run("reindex", "--rollback", data_dir=data_dir)
    assert model_in_use(data_dir) == old


def test_learning_from_shuffled_texts_does_not_switch(dataset, weak, tmp_path):
    other = np.random.default_rng(0).permutation(dataset.n_sources)
    texts = [replace(text, source=int(other[text.source])) for text in dataset.texts]
    detections = [replace(one, bibcodes=()) for one in dataset.detections]
    wrong = replace(dataset, texts=texts, detections=detections)
    data_dir = stored(tmp_path, wrong, weak)
    old = model_in_use(data_dir)
    learn = ["learn", "--bundle", weak, "--yes", "--profile", "quick", "--json"]
    told = run(*learn, data_dir=data_dir, code=5, timeout=3600)
    assert json.loads(told.stdout)["decision"] == "kept the old one"
    assert model_in_use(data_dir) == old


def test_too_small_a_store_says_what_it_lacks(weak, tmp_path):
    data_dir = stored(tmp_path, simulate(60, 79), weak)
    told = run("learn", "--bundle", weak, data_dir=data_dir, code=2).stderr
    assert "has too few pairs to learn from" in told
    told = run("train", data_dir, "--out", tmp_path / "bundle", code=2).stderr
    assert "of 60 for train" in told
