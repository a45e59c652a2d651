"""`calibrate --bundle --on`: real values calibrate a bundle that knows simulations only."""

import dataclasses
import json

import numpy as np
import pytest
from fake_encoder import FakeEncoder

from cli.calibration import calibrate_bundle
from common.binning import N_BINS
from common.calibration import CALIBRATION, read_calibration
from common.dataset import Dataset
from common.ports import no_progress
from common.records import Detection
from ingest.dataset.dataset import write_dataset


def made(name, n, seed, *, simulated, drawn=False, shift=0.0):
    """Spectra that are hard or soft, two detections a source, with a hardness of some noise."""
    rng = np.random.default_rng(seed)
    slope = rng.uniform(-3, 1, n)
    shapes = np.linspace(0.5, 8, N_BINS) ** slope[:, None]
    values = slope / 4 + shift + rng.normal(0, 0.02 if simulated else 0.1, n)
    return Dataset(
        name=name,
        counts=rng.poisson(2000 * shapes / shapes.sum(axis=1, keepdims=True)).astype(float),
        exposure_s=np.full(n, 1e4),
        source=np.arange(n) // 2,
        variables={"hard_hs": np.clip(values, -1, 1)}
        | ({"apec_kt": rng.uniform(1, 9, n)} if simulated and not drawn else {}),
        detections=[
            Detection(
                f"{name}/{row}", "CHANDRA", "ACIS", simulated=simulated,
                catalogue={"drawn_from": "powlaw"} if drawn else {},
            )
            for row in range(n)
        ],
        texts=(),
        simulated=simulated,
    )  # fmt: skip


@pytest.fixture(scope="module")
def written(module_folder):
    """Write datasets and return where they are, by name."""
    folder = module_folder("datasets")
    drawn = made("drawn", 200, 3, simulated=True, drawn=True)
    datasets = [
        made("simulations", 800, 1, simulated=True),
        made("observed", 200, 2, simulated=False, shift=0.1),
        drawn,
        made("few", 60, 4, simulated=False),
        dataclasses.replace(made("judged", 200, 5, simulated=False), use="test"),
    ]
    for one in datasets:
        write_dataset(one, folder / one.name)
    return {one.name: folder / one.name for one in datasets}


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A folder of a bundle that loads at once."""
    encoder = FakeEncoder()
    encoder.embedder = None
    monkeypatch.setattr("encoders.bundle.load", lambda *_: encoder)
    return tmp_path / "bundle"


def test_a_bundle_is_calibrated_on_real_values_without_training(ask, written, bundle):
    printed = ask(
        "calibrate", "--bundle", bundle, "--on", written["observed"],
        "--beside", written["simulations"], "--json",
    )  # fmt: skip
    found = read_calibration(bundle / CALIBRATION, FakeEncoder.model_id)
    assert json.loads(printed.out) == found.model_dump(mode="json")
    rules = found.spectrum_only.variables
    assert {name: rule.simulated for name, rule in rules.items()} == {
        "hard_hs": False,
        "apec_kt": True,
    }
    assert rules["hard_hs"].n == 200
    assert min(found.widened.values()) > 1
    assert not found.origins[0].drawn


def test_spectra_drawn_from_published_fits_are_real_values(ask, written, bundle):
    printed = ask(
        "calibrate", "--bundle", bundle, "--on", written["drawn"],
        "--beside", written["simulations"],
    )  # fmt: skip
    assert "observed" in printed.out
    assert "widened by" in printed.out
    assert "values observed, spectra drawn from them" in " ".join(printed.err.split())


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        (("--on", "observed"), "both"),
        (("--bundle",), "both"),
        (("--beside", "simulations"), "--beside is for"),
        (("--bundle", "--on", "nowhere"), "nowhere"),
        (("--bundle", "--on", "few"), "60 of 60 detections have real values"),
        (("--bundle", "--on", "simulations"), "0 of 800 detections have real values"),
        (("--bundle", "--on", "judged"), "for tests only"),
        (("--bundle", "--on", "observed", "--beside", "observed"), "observed is observed"),
        (("--bundle", "--on", "observed", "--beside", "few"), "few is observed"),
        (("--bundle", "--on", "observed", "--beside", "drawn"), "fewer than 100 detections"),
    ],
)
def test_what_cannot_be_calibrated_exits_2_with_the_cure(ask, written, bundle, options, cure):
    arguments = []
    for option in options:
        arguments.append(written.get(option, option))
        if option == "--bundle":
            arguments.append(bundle)
    printed = ask("calibrate", *arguments, code=2)
    assert cure in " ".join(printed.err.split())
    assert "Traceback" not in printed.err
    assert not (bundle / CALIBRATION).exists()


def test_without_real_values_the_whole_validation_split_is_calibrated_on():
    dataset = made("simulations", 4000, 6, simulated=True)
    found = calibrate_bundle(FakeEncoder(), dataset, None, no_progress)
    (origin,) = found.origins
    assert origin.n_sources == len(dataset.split()["validation"])
