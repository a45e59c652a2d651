import numpy as np
import pytest
import torch

from common.binning import BIN_EDGES_KEV, N_BINS
from encoders.spectral_features import (
    LINES_KEV,
    MOST_COUNTS,
    N_FEATURES,
    QUANTILES,
    spectral_features,
)

N_LINES = len(LINES_KEV)
N_FINE = 100  # bins of 75 eV come last


def flat(total=40_000.0):
    return torch.full((1, N_BINS), total / N_BINS)


def excesses(counts):
    """What stands out at each line, by how many deviations, as a signed logarithm."""
    return spectral_features(counts)[0, -2 * N_LINES - N_FINE : -N_LINES - N_FINE]


def quantiles(counts):
    end = N_FEATURES - N_FINE - 2 * N_LINES - 1
    return spectral_features(counts)[0, end - len(QUANTILES) : end].numpy()


def test_each_spectrum_has_as_many_features_whatever_others_are_beside_it():
    counts = torch.from_numpy(np.random.default_rng(0).poisson(3.0, (5, N_BINS))).float()
    features = spectral_features(counts)
    assert features.shape == (5, N_FEATURES)
    assert features.dtype == torch.float32
    torch.testing.assert_close(spectral_features(counts[2:3]), features[2:3])


@pytest.mark.parametrize("times", [10, 1000])
def test_features_of_bright_spectra_do_not_depend_on_brightness(times):
    counts = torch.from_numpy(np.random.default_rng(0).poisson(20.0, (1, N_BINS))).float()
    assert counts.sum() > MOST_COUNTS
    torch.testing.assert_close(
        spectral_features(times * counts), spectral_features(counts), atol=2e-3, rtol=0
    )


def test_brightness_is_told_apart_where_it_changes_what_can_be_seen():
    faint, bright = spectral_features(flat(40)), spectral_features(flat(2000))
    assert (faint - bright).abs().max() > 1


@pytest.mark.parametrize("energy_kev", [1.85, 6.4])
def test_a_line_stands_out_at_its_energy_and_nowhere_far_from_it(energy_kev):
    counts = flat()
    inner = slice(1, -1)  # beside the first and the last line the spectrum ends
    assert excesses(counts)[inner].abs().max() < 0.1
    counts[0, np.searchsorted(BIN_EDGES_KEV, energy_kev) - 1] += 2000
    after = excesses(counts)
    line = LINES_KEV.tolist().index(energy_kev)
    assert after[line] > 1
    far = np.abs(LINES_KEV - energy_kev)[inner] > 0.8
    assert after[inner][far].abs().max() < 0.1


def test_an_absorption_line_is_the_opposite_of_an_emission_line():
    counts = flat()
    at = (BIN_EDGES_KEV[1:] > 6.3) & (BIN_EDGES_KEV[:-1] < 6.5)
    counts[0, at] = 0
    assert excesses(counts)[LINES_KEV.tolist().index(6.4)] < -1


def test_quantiles_of_a_flat_spectrum_lie_where_they_must():
    np.testing.assert_allclose(quantiles(flat()), 0.5 + 7.5 * np.array(QUANTILES), atol=1e-4)


def test_quantiles_of_one_bin_lie_within_it():
    counts = torch.zeros((1, N_BINS))
    counts[0, 123] = 1000
    expected = BIN_EDGES_KEV[123] + np.array(QUANTILES) * np.diff(BIN_EDGES_KEV)[123]
    np.testing.assert_allclose(quantiles(counts), expected, atol=1e-4)


@pytest.mark.parametrize("position", [0, 57, N_BINS - 1])
@pytest.mark.parametrize("total", [1.0, 1e7])
def test_a_spectrum_of_one_bin_has_finite_features(position, total):
    counts = torch.zeros((1, N_BINS))
    counts[0, position] = total
    assert spectral_features(counts).isfinite().all()
