import json

import pytest
from fake_encoder import FakeEncoder
from known_neighbours import KnownNeighbours

from cli.options import answer as answering
from common.calibration import CALIBRATION, read_calibration
from search.app import build_services, load_calibration
from search.store.embedded import EmbeddedStore


def open_calibrated(settings):
    """Open a store as the command does, with an encoder that loads at once."""
    encoder = FakeEncoder()
    calibration = load_calibration(settings, encoder.model_id)
    store = EmbeddedStore(settings.data_dir / "store")
    return build_services(store, encoder, settings, calibration)


@pytest.fixture(scope="module")
def large_dir(module_folder):
    data_dir = module_folder("large")
    with KnownNeighbours(data_dir / "store").store:
        return data_dir


@pytest.fixture
def calibrated(ask, large_dir):
    return json.loads(ask("calibrate", "--data-dir", large_dir, "--json").out)


def test_calibrate_writes_what_it_prints_as_json(calibrated, large_dir):
    written = read_calibration(large_dir / CALIBRATION, FakeEncoder.model_id)
    assert written.model_dump(mode="json") == calibrated
    assert set(calibrated["spectrum_only"]["variables"]) == {"hard_hs", "apec_z"}


def test_calibrate_prints_what_the_intervals_cover(ask, large_dir):
    printed = ask("calibrate", "--data-dir", large_dir)
    assert "Estimates of spectra alone" in printed.out
    assert "hard_hs" in printed.out
    assert CALIBRATION in printed.err


def test_estimates_say_which_store_they_were_calibrated_on(ask, calibrated, large_dir, monkeypatch):
    monkeypatch.setattr(answering, "open_services", open_calibrated)
    printed = ask("estimate", "file/7", "--data-dir", large_dir, "--json")
    (estimates,) = json.loads(printed.out)
    assert "the store" in estimates["calibrated_on"]
    assert f"{calibrated['origins'][0]['n_detections']:,} " in estimates["calibrated_on"]
    one = estimates["estimates"]["hard_hs"]
    assert one["low_68"] < one["value"] < one["high_68"]


def test_calibrate_refuses_a_store_with_too_few_detections(ask, small_dir):
    printed = ask("calibrate", code=2)
    assert "at least 100 of each are needed" in " ".join(printed.err.split())
    assert not (small_dir / CALIBRATION).exists()


@pytest.mark.parametrize("text", ["{}", "no JSON", '{"format_version": 3}'])
def test_wrong_calibration_in_the_data_folder_exits_2_with_the_cure(
    ask, large_dir, monkeypatch, text
):
    monkeypatch.setattr(answering, "open_services", open_calibrated)
    path = large_dir / CALIBRATION
    kept = path.read_text() if path.exists() else None
    path.write_text(text)
    try:
        printed = ask("estimate", "file/7", "--data-dir", large_dir, code=2)
    finally:
        path.unlink() if kept is None else path.write_text(kept)
    assert "is no calibration" in printed.err
    assert "chandra-search calibrate" in printed.err
    assert "Traceback" not in printed.err
