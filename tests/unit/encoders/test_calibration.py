import numpy as np
import pytest
import torch
from torch.nn import functional

from encoders.fitting.temperature import calibrated_temperature


@pytest.mark.parametrize("temperature", [0.03, 0.1, 0.4])
def test_calibration_finds_the_temperature_pairs_were_drawn_with(temperature):
    rng = np.random.default_rng(0)
    spectra = functional.normalize(torch.randn(300, 4, generator=torch.manual_seed(0)), dim=1)
    candidates = functional.normalize(torch.randn(400, 4), dim=1)
    chance = ((spectra @ candidates.T) / temperature).softmax(dim=1).numpy().astype(float)
    texts = candidates[[rng.choice(400, p=row / row.sum()) for row in chance]]
    found = calibrated_temperature(spectra, texts, np.arange(300))
    assert found == pytest.approx(temperature, rel=0.4)


def test_calibration_takes_one_detection_of_each_source():
    texts = torch.eye(3)
    once = calibrated_temperature(texts, texts, np.arange(3))
    repeated = calibrated_temperature(texts[[0, 0, 1, 1, 2]], texts, np.array([0, 0, 1, 1, 2]))
    assert once == repeated


def test_calibration_of_one_direction_asks_each_text_for_its_spectrum():
    # Both spectra are unlike one another, but the second text is like neither: only text to
    # spectrum, which has nothing to tell there, wants cosines to count little.
    spectra = torch.eye(3)[:2]
    texts = functional.normalize(torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.5, 1.0]]), dim=1)
    both = calibrated_temperature(spectra, texts, np.arange(2))
    one_way = calibrated_temperature(spectra, texts, np.arange(2), symmetric=False)
    assert one_way > both
