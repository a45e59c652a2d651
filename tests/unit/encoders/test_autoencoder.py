import numpy as np
import pytest
import torch

from common.binning import N_BINS
from common.ports import no_progress
from encoders.autoencoder import SpectrumAutoencoder
from encoders.config import TrainingConfig
from encoders.fit_autoencoder import fit_autoencoder, reconstruction_error, thin


@pytest.fixture
def spectra():
    return np.random.default_rng(0).poisson(2.0, size=(40, N_BINS)).astype(float)


def test_autoencoder_has_about_half_a_million_parameters():
    n = sum(p.numel() for p in SpectrumAutoencoder().parameters())
    assert n == pytest.approx(0.54e6, rel=0.01)


def test_autoencoder_turns_spectra_into_unit_latents_and_back():
    model = SpectrumAutoencoder().eval()
    shapes = torch.rand(7, N_BINS)
    latent = model.encode(shapes)
    assert latent.shape == (7, 64)
    assert torch.allclose(latent.norm(dim=1), torch.ones(7), atol=1e-6)
    assert model(shapes).shape == (7, N_BINS)


def test_autoencoder_refuses_patches_that_do_not_divide_the_bins():
    with pytest.raises(ValueError, match="divide 400"):
        SpectrumAutoencoder(patch=7)


def test_fit_autoencoder_reduces_the_reconstruction_error(spectra):
    torch.manual_seed(0)
    model = SpectrumAutoencoder(width=16, layers=1)
    before = reconstruction_error(model, spectra)
    config = TrainingConfig(autoencoder_epochs=5, autoencoder_batch=8)
    fit_autoencoder(model, spectra, config, np.random.default_rng(0), no_progress)
    assert reconstruction_error(model, spectra) < 0.7 * before


def test_thin_keeps_a_part_of_the_counts_within_its_bounds(spectra):
    many = 1000 * spectra
    thinned = thin(many, 0.4, np.random.default_rng(0))
    assert np.all(thinned <= many)
    kept = thinned.sum(axis=1) / many.sum(axis=1)
    assert 0.39 < kept.min() < 0.5
    assert 0.9 < kept.max() < 1


def test_thin_leaves_a_spectrum_that_would_lose_its_shape():
    single = np.zeros((200, N_BINS))
    single[:, 7] = 1
    thinned = thin(single, 0.0, np.random.default_rng(0))
    assert np.array_equal(thinned, single)
