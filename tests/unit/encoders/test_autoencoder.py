from dataclasses import replace

import numpy as np
import pytest
import torch

from common.binning import N_BINS
from common.ports import no_progress
from encoders.autoencoder import SpectrumAutoencoder, bounded, shapes
from encoders.config import TrainingConfig
from encoders.fitting.checkpoint import Checkpoints
from encoders.fitting.fit_autoencoder import (
    Spectra,
    encode,
    fit_autoencoder,
    reconstruction_error,
    thin,
)

SMALL = TrainingConfig(width=16, encoder_layers=1, autoencoder_epochs=20, autoencoder_batch=8)


@pytest.fixture
def spectra():
    return np.random.default_rng(0).poisson(2.0, size=(40, N_BINS)).astype(float)


def fit(model, training, validation, config=SMALL):
    fit_autoencoder(model, training, validation, config, Checkpoints(None, ""), no_progress)


def test_autoencoder_turns_spectra_into_unit_latents_and_back():
    model = SpectrumAutoencoder(TrainingConfig()).eval()
    counts = torch.randint(0, 9, (7, N_BINS)).float()
    latent = model.encode(counts)
    assert latent.shape == (7, 64)
    assert torch.allclose(latent.norm(dim=1), torch.ones(7), atol=1e-6)
    assert model.decode(latent).shape == (7, N_BINS)
    assert model.variables(latent).shape == (7, 20)


def test_latent_tells_many_counts_from_few_of_the_same_shape():
    model = SpectrumAutoencoder(TrainingConfig()).eval()
    counts = torch.randint(0, 9, (1, N_BINS)).float()
    assert torch.equal(shapes(counts), shapes(8 * counts))
    assert not torch.allclose(model.encode(counts), model.encode(8 * counts), atol=1e-3)


def test_a_latent_is_the_same_whatever_the_counts_beyond_most():
    config = TrainingConfig()
    model = SpectrumAutoencoder(config).eval()
    counts = torch.randint(4, 20, (3, N_BINS)).float()
    assert (counts.sum(1) > config.most_counts).all()
    bright, brighter = model.encode(counts), model.encode(100 * counts)
    assert torch.allclose(bright, brighter, atol=1e-5)


def test_bounded_scales_bright_spectra_alone():
    counts = torch.tensor([[1.0, 3.0], [30.0, 10.0], [0.0, 7.0]])
    expected = torch.tensor([[1.0, 3.0], [7.5, 2.5], [0.0, 7.0]])
    assert torch.allclose(bounded(counts, 10.0), expected)


def test_autoencoder_refuses_patches_that_do_not_divide_the_bins():
    with pytest.raises(ValueError, match="divide 400"):
        SpectrumAutoencoder(TrainingConfig(patch=7))


def test_fit_autoencoder_reduces_the_reconstruction_error(spectra):
    torch.manual_seed(0)
    model = SpectrumAutoencoder(SMALL)
    before = reconstruction_error(model, spectra)
    part = Spectra(spectra, torch.full((40, 20), torch.nan))
    fit(model, part, part)
    assert reconstruction_error(model, spectra) < 0.7 * before


def test_fit_autoencoder_makes_variables_readable_from_the_latent():
    rng = np.random.default_rng(0)
    hard = rng.uniform(-1, 1, 200)
    counts = rng.poisson(3 + 2 * hard[:, None] * np.linspace(-1, 1, N_BINS)).astype(float)
    variables = torch.full((200, 20), torch.nan)
    variables[:, 4] = torch.from_numpy(hard)
    parts = [Spectra(counts[rows], variables[rows]) for rows in (slice(150), slice(150, 200))]
    torch.manual_seed(0)
    model = SpectrumAutoencoder(SMALL)
    fit(model, *parts)
    with torch.no_grad():
        read = model.variables(encode(model, parts[1].counts))[:, 4]
    assert np.corrcoef(read, hard[150:])[0, 1] > 0.8


def test_fit_autoencoder_without_epochs_leaves_the_weights(spectra):
    model = SpectrumAutoencoder(SMALL)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    part = Spectra(spectra, torch.full((40, 20), torch.nan))
    fit(model, part, part, TrainingConfig(autoencoder_epochs=0))
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())


def test_a_large_training_set_is_passed_through_less_often(spectra):
    told = []
    config = replace(SMALL, autoencoder_steps=14)  # of 5 batches: 3 epochs of 20
    part = Spectra(spectra, torch.full((40, 20), torch.nan))
    fit_autoencoder(
        SpectrumAutoencoder(config),
        part,
        part,
        config,
        Checkpoints(None, ""),
        lambda *step: told.append(step),
    )
    assert told[-1][1:] == (15, 15)


def test_spectra_standardise_variables_by_the_training_rows(dataset):
    rows = np.arange(len(dataset))
    variables = Spectra.of(dataset, rows, rows[:60]).variables
    known = variables[:, variables.isfinite().any(dim=0)]
    assert known.shape == (len(dataset), 1)  # hard_hs alone has values
    assert known.abs().max() <= 4
    assert abs(known[:60].median().item()) < 0.1


def thinned_by(counts, least_kept, thinned_to=np.inf):
    config = replace(SMALL, least_kept=least_kept, thinned_to=thinned_to)
    return thin(counts, config, np.random.default_rng(0))


def test_thin_keeps_a_part_of_the_counts_within_its_bounds(spectra):
    many = 1000 * spectra
    thinned = thinned_by(many, 0.4)
    assert np.all(thinned <= many)
    kept = thinned.sum(axis=1) / many.sum(axis=1)
    assert 0.39 < kept.min() < 0.5
    assert 0.9 < kept.max() < 1


def test_thin_leaves_a_spectrum_that_would_lose_its_shape():
    single = np.zeros((200, N_BINS))
    single[:, 7] = 1
    assert np.array_equal(thinned_by(single, 1e-9), single)


def test_thin_takes_bright_spectra_down_to_as_many_counts_as_it_is_told(spectra):
    many = 1000 * spectra
    kept = thinned_by(many, 0.4, thinned_to=1000.0).sum(axis=1)
    assert 900 < kept.min() < 3000
    assert kept.max() > 0.4 * many.sum(axis=1).min()


def test_thin_leaves_spectra_alone_where_all_counts_are_to_be_kept(spectra):
    assert thinned_by(spectra, 1.0, thinned_to=10.0) is spectra
