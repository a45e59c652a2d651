import pytest
import torch

from common.numbers import N_NUMBER_FEATURES
from encoders.alignment import SENTENCE_NORM, Alignment
from encoders.config import TrainingConfig

CONFIG = TrainingConfig(hidden=16, shared=8, members=3, text_components=6)
OF_TEXT = torch.tensor([[0, 1, -1], [2, -1, -1], [3, 4, 0]])


@pytest.fixture
def alignment():
    torch.manual_seed(0)
    return Alignment(10, CONFIG).eval()


def numbers(n):
    return torch.zeros(n, N_NUMBER_FEATURES)


def test_alignment_gives_unit_vectors_of_the_shared_width(alignment):
    spectra = alignment.spectra(torch.randn(3, 64))
    texts = alignment.texts(torch.randn(5, 10), numbers(5), OF_TEXT)
    for vectors in (spectra, texts):
        assert vectors.shape == (3, 8)
        assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5)


def test_fit_inputs_standardises_latents_and_whitens_sentences(alignment):
    latents = 3 + torch.logspace(-1, 1, 64) * torch.randn(4000, 64)
    embeddings = torch.randn(4000, 10) * torch.linspace(0.5, 5, 10)
    alignment.fit_inputs(latents, embeddings)
    prepared = alignment.prepare_latents(latents)
    assert torch.allclose(prepared.mean(0), torch.zeros(64), atol=0.02)
    assert torch.allclose(prepared.std(0), torch.ones(64), atol=0.03)
    white = (embeddings - alignment.text_mean) @ alignment.text_components
    assert torch.allclose(white.T.cov(), torch.eye(6), atol=0.05)


def test_sentences_have_one_length_however_unusual_they_are(alignment):
    alignment.fit_inputs(torch.randn(50, 64), torch.randn(50, 10))
    embeddings = torch.stack([torch.randn(10), 1e3 * torch.ones(10)])
    prepared = alignment.prepare_sentences(embeddings, numbers(2))
    assert prepared.shape == (2, 6 + N_NUMBER_FEATURES)
    assert torch.allclose(prepared.norm(dim=-1), torch.full((2,), SENTENCE_NORM), atol=1e-4)


def test_a_text_is_the_set_of_its_sentences(alignment):
    embeddings, of_text = torch.randn(5, 10), torch.tensor([[0, 3, 2], [2, 0, 3], [2, 0, 4]])
    texts = alignment.texts(embeddings, numbers(5), of_text)
    assert torch.allclose(texts[0], texts[1], atol=1e-6)
    assert not torch.allclose(texts[0], texts[2], atol=1e-3)


def test_numbers_of_a_sentence_move_its_text(alignment):
    embeddings, alone = torch.randn(1, 10).expand(2, 10), torch.tensor([[0], [1]])
    described = numbers(2)
    described[1] = 1
    one, other = alignment.texts(embeddings, described, alone)
    assert not torch.allclose(one, other, atol=1e-3)


def test_merged_vectors_keep_the_mean_cosine_of_members_that_agree(alignment):
    first = alignment.pairs[0]
    for pair in alignment.pairs[1:]:
        pair.load_state_dict(first.state_dict())
    latents, embeddings = torch.randn(60, 64), torch.randn(80, 10)
    of_text = torch.randint(80, (60, 4))
    alignment.fit_inputs(latents, embeddings)
    prepared = alignment.prepare_latents(latents)
    sentences = alignment.prepare_sentences(embeddings, numbers(80))
    alignment.fit_merge(prepared, sentences, of_text)
    merged = alignment.spectra(latents) @ alignment.texts(embeddings, numbers(80), of_text).T
    apart = first.spectrum(prepared) @ first.text(sentences, of_text).T
    assert torch.allclose(merged, apart, atol=1e-4)
