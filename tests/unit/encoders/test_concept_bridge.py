from dataclasses import replace

import numpy as np
import pytest
import torch

from common.binning import N_BINS
from common.concepts import N_CONCEPTS
from common.ports import no_progress
from encoders.concept_bridge import (
    SMALLEST_PRIOR,
    SpectrumConcepts,
    beyond_expectation,
    fit_spectrum_concepts,
)
from encoders.config import TrainingConfig

CONFIG = TrainingConfig(
    concept_hidden=16,
    concept_members=2,
    concept_copies=2,
    concept_epochs=12,
    concept_batch=32,
    concept_learning_rate=1e-2,
)
EVEN = np.arange(N_CONCEPTS) % 2 == 0


def spectra(n, total=2000.0, seed=0):
    """Soft and hard spectra by turns."""
    energy = np.linspace(0.5, 8.0, N_BINS)
    shapes = np.stack([energy**-2.5, energy**0.5])
    shapes *= total / shapes.sum(axis=1, keepdims=True)
    return np.random.default_rng(seed).poisson(shapes[np.arange(n) % 2]).astype(float)


def targets(n):
    """Half of the concepts hold of soft spectra, the others of hard ones."""
    return np.where((np.arange(n) % 2 == 0)[:, None], EVEN, ~EVEN).astype(np.float32)


def fit(counts, wanted, config=CONFIG):
    torch.manual_seed(0)
    concepts = SpectrumConcepts(config)
    fit_spectrum_concepts(concepts, counts, wanted, config, no_progress)
    return concepts


@pytest.fixture(scope="module")
def fitted():
    return fit(spectra(160), targets(160))


def test_what_is_beyond_expectation_is_measured_in_deviations():
    prior = torch.tensor([0.1, 0.5, 0.9])
    found = beyond_expectation(torch.tensor([[1.0, 1.0, 0.9], [0.1, 0.0, 0.9]]), prior)
    expected = torch.tensor([[3 / 10**0.5, 1 / 10**0.5, 0.0], [0.0, -1.0, 0.0]])
    torch.testing.assert_close(found, expected)


def test_what_is_beyond_expectation_has_unit_length_also_where_nothing_is_ever_expected():
    prior = torch.cat([torch.zeros(1), torch.ones(1), torch.full((N_CONCEPTS - 2,), 0.3)])
    found = beyond_expectation(torch.rand(7, N_CONCEPTS), prior)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(7))
    rare = beyond_expectation(torch.tensor([[1.0, 1.0]]), torch.tensor([0.0, SMALLEST_PRIOR]))
    assert rare[0, 0] == rare[0, 1]  # nothing is rarer than that


def test_concepts_of_spectra_are_learnt(fitted):
    told = fitted.probabilities(spectra(40, seed=1))
    assert told.shape == (40, N_CONCEPTS)
    assert told.dtype == np.float32
    assert np.abs(told - targets(40)).mean() < 0.1
    torch.testing.assert_close(fitted.prior, torch.full((N_CONCEPTS,), 0.5))


def test_a_source_is_placed_alike_whatever_its_counts(fitted):
    faint, bright, brightest = (
        torch.from_numpy(fitted.probabilities(spectra(2, total, seed=2)))
        for total in (1e3, 1e5, 1e7)
    )
    for one in (faint, bright):
        cosine = torch.cosine_similarity(
            beyond_expectation(one, fitted.prior), beyond_expectation(brightest, fitted.prior)
        )
        assert cosine.min() > 0.97


def test_what_nobody_knows_is_not_learnt_and_hides_nothing_else():
    counts, wanted = spectra(160), targets(160)
    wanted[:, 0] = np.nan  # never known
    wanted[np.random.default_rng(0).random(wanted.shape) < 0.5] = np.nan
    concepts = fit(counts, wanted)
    assert concepts.prior[0] == 0.5
    told = concepts.probabilities(spectra(40, seed=1))
    assert np.abs(told - targets(40))[:, 1:].mean() < 0.15


def test_a_batch_of_which_nothing_is_known_does_no_harm():
    counts, wanted = spectra(80), np.full((80, N_CONCEPTS), np.nan, dtype=np.float32)
    wanted[:4] = targets(4)
    told = fit(counts, wanted, replace(CONFIG, concept_batch=4)).probabilities(counts[:4])
    assert np.isfinite(told).all()
    assert np.abs(told - targets(4)).mean() < 0.4


@pytest.mark.parametrize(
    ("wanted", "config"),
    [
        (np.full((20, N_CONCEPTS), np.nan, dtype=np.float32), CONFIG),
        (targets(20), replace(CONFIG, concept_epochs=0)),
    ],
)
def test_without_targets_or_epochs_the_weights_stay(wanted, config):
    torch.manual_seed(0)
    expected = SpectrumConcepts(config).state_dict()
    found = fit(spectra(20), wanted, config).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_equal_seeds_give_equal_concepts():
    few = replace(CONFIG, concept_epochs=1)
    one, same, other = (
        fit(spectra(20), targets(20), replace(few, seed=seed)).probabilities(spectra(4))
        for seed in (0, 0, 1)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
