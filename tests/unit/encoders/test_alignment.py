import math

import pytest
import torch

from encoders.alignment import Alignment, spectrum_features
from encoders.config import TrainingConfig

CONFIG = TrainingConfig(hidden=16, shared=8, members=3, text_components=6)


@pytest.fixture
def alignment():
    torch.manual_seed(0)
    return Alignment(10, CONFIG).eval()


def test_spectrum_features_are_latent_coarse_fractions_and_all_counts():
    counts = torch.zeros(1, 400)
    counts[0, :10] = 1
    counts[0, 399] = 30
    features = spectrum_features(torch.full((1, 64), 0.125), counts)[0]
    assert features.shape == (64 + 40 + 1,)
    assert torch.all(features[:64] == 0.125)
    assert features[64].item() == pytest.approx(0.5)
    assert features[103].item() == pytest.approx(math.sqrt(0.75))
    assert features[104].item() == pytest.approx(math.log(40))


def test_alignment_gives_unit_vectors_of_the_shared_width(alignment):
    spectra = alignment.spectra(torch.randn(5, 105))
    texts = alignment.texts(torch.randn(5, 3, 10))
    for vectors in (spectra, texts):
        assert vectors.shape == (5, 8)
        assert torch.allclose(vectors.norm(dim=1), torch.ones(5), atol=1e-5)


def test_fit_inputs_standardises_spectra_and_whitens_sections(alignment):
    scales = torch.logspace(-1, 1, 105)
    features = 3 + scales * torch.randn(4000, 105)
    sections = torch.randn(4000, 10) * torch.linspace(0.5, 5, 10)
    alignment.fit_inputs(features, sections)
    prepared = alignment.prepare_spectra(features)
    assert torch.allclose(prepared.mean(0), torch.zeros(105), atol=0.02)
    assert torch.allclose(prepared.std(0), torch.ones(105), atol=0.03)
    white = (sections - alignment.text_mean) @ alignment.text_components
    assert torch.allclose(white.T.cov(), torch.eye(6), atol=0.03)


def test_whitened_sections_have_one_length_however_unusual_the_text(alignment):
    alignment.fit_inputs(torch.randn(50, 105), torch.randn(50, 10))
    prepared = alignment.prepare_sections(
        torch.stack([torch.randn(3, 10), 1e3 * torch.ones(3, 10)])
    )
    assert torch.allclose(prepared.norm(dim=-1), torch.full((2, 3), math.sqrt(6)), atol=1e-4)


def test_merged_vectors_keep_the_mean_cosine_of_members_that_agree(alignment):
    first = alignment.pairs[0]
    for pair in alignment.pairs[1:]:
        pair.load_state_dict(first.state_dict())
    features, sections = torch.randn(60, 105), torch.randn(60, 3, 10)
    alignment.fit_inputs(features, sections.flatten(0, 1))
    spectra = alignment.prepare_spectra(features)
    texts = alignment.prepare_sections(sections).flatten(1)
    alignment.fit_merge(spectra, texts)
    merged = alignment.spectra(features) @ alignment.texts(sections).T
    assert torch.allclose(merged, first.spectrum(spectra) @ first.text(texts).T, atol=1e-4)
