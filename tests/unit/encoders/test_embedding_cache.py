import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.disk_cache import DiskCache
from common.errors import InputError, UnavailableError
from encoders.text.embedding_cache import CHUNK, CachedEmbedder, chunks_by_length


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache.sqlite3"


@pytest.fixture
def open_cached(path, make_embedder):
    """Open the cache as a new run does."""

    def open_(name="words", width=16, **more):
        inner = make_embedder(name, width)
        return CachedEmbedder(inner, DiskCache(path), **more), inner

    return open_


TEXTS = ["a hot star", "an obscured nucleus", "a hot star", "bursts"]


def test_cached_embeddings_are_the_embedders_own(open_cached, embedder):
    cached, _ = open_cached()
    first = cached.embed(TEXTS)
    assert np.array_equal(first, embedder.embed(TEXTS))
    assert first.dtype == np.float32


def test_a_rerun_embeds_nothing(open_cached):
    first = open_cached()[0].embed(TEXTS)
    again, inner = open_cached()
    assert np.array_equal(again.embed(TEXTS[::-1]), first[::-1])
    assert inner.asked == 0


def test_only_distinct_texts_that_are_missing_are_embedded(open_cached):
    open_cached()[0].embed(TEXTS[:1])
    cached, inner = open_cached()
    told = []
    cached.embed(TEXTS, lambda *step: told.append(step))
    assert inner.asked == 2
    assert told == [("embedding texts", 2, 2)]


def test_models_do_not_share_embeddings(open_cached):
    open_cached("one")[0].embed(TEXTS)
    for other in (open_cached("two"), open_cached("one", key="one, changed")):
        other[0].embed(TEXTS)
        assert other[1].asked == 3


def test_width_is_known_from_the_cache_without_the_model(open_cached):
    open_cached(width=7)[0].embed(TEXTS)
    assert open_cached(width=9)[0].width == 7
    assert open_cached("another", width=9)[0].width == 9


def test_a_model_that_changed_its_width_under_its_name_is_an_error(open_cached):
    open_cached(width=7)[0].embed(TEXTS)
    with pytest.raises(InputError, match=r"gives 9 numbers, the cache has 7 .* delete"):
        open_cached(width=9)[0].embed(["new"])


def test_an_interrupted_run_keeps_the_batches_it_has_paid_for(open_cached):
    class Failing:
        name, width = "words", 16

        def embed(self, texts, _progress=None):
            if "three" in texts:
                raise UnavailableError("gone")
            return np.eye(16, dtype=np.float32)[: len(texts)]

    def in_twos(texts):
        return [texts[start : start + 2] for start in range(0, len(texts), 2)]

    cached, inner = open_cached(batches=in_twos)
    with pytest.raises(UnavailableError):
        CachedEmbedder(Failing(), cached._cache, batches=in_twos).embed(["one", "two", "three"])
    cached.embed(["one", "two", "three"])
    assert inner.asked == 1


@pytest.mark.parametrize(
    "spoilt",
    [b"", b"xyz", bytes(64), np.full(16, np.nan, "<f4").tobytes(), np.eye(5)[0].tobytes()],
    ids=["empty", "cut", "zero", "nan", "other width"],
)
def test_a_spoilt_entry_is_embedded_again(open_cached, spoilt):
    cached, _ = open_cached()
    first = cached.embed(TEXTS)
    key = hashlib.sha256(TEXTS[1].encode()).hexdigest()
    cached._cache.put("embedding words", {key: spoilt})
    again, inner = open_cached()
    assert np.array_equal(again.embed(TEXTS), first)
    assert inner.asked == 1
    assert np.array_equal(open_cached()[0].embed(TEXTS), first)


def test_a_cache_that_cannot_be_used_stops_nothing(tmp_path, embedder):
    (tmp_path / "file").write_text("")
    cached = CachedEmbedder(embedder, DiskCache(tmp_path / "file" / "cache"))
    assert np.array_equal(cached.embed(TEXTS), embedder.embed(TEXTS))


def test_no_texts_give_no_embeddings(open_cached):
    assert open_cached()[0].embed([]).shape == (0, 16)


@given(st.lists(st.text(), max_size=20))
def test_any_text_finds_its_embedding_again(tmp_path_factory, texts):
    class Numbers:
        name, width = "numbers", 2

        def embed(self, texts, _progress=None):
            angle = np.array([sum(map(ord, text)) for text in texts], float)
            return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)

    cached = CachedEmbedder(Numbers(), DiskCache(tmp_path_factory.mktemp("c") / "cache"))
    for _ in range(2):
        assert np.array_equal(cached.embed(texts), Numbers().embed(texts).reshape(-1, 2))


def test_chunks_hold_every_text_once_the_longest_first():
    texts = [str(number) for number in range(2 * CHUNK + 1)]
    chunks = chunks_by_length(texts)
    assert [len(chunk) for chunk in chunks] == [CHUNK, CHUNK, 1]
    joined = [text for chunk in chunks for text in chunk]
    assert sorted(joined) == sorted(texts)
    assert [len(text) for text in joined] == sorted(map(len, texts), reverse=True)
