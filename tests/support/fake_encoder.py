import hashlib

import numpy as np

from common.binning import N_BINS, count_rate, min_max
from common.ports import TextVectors, Vectors, no_progress

SECTION_WIDTH = 4

OFF_TOPIC = "weather"
"""The word by which the fake tells that a text is not about X-ray sources."""
OFF_TOPIC_PROBABILITY = 0.02
ON_TOPIC_PROBABILITY = 0.98


class FakeEncoder:
    """An Encoder without a model: fixed projections, so that equal inputs give equal vectors."""

    model_id = "fake0"
    text_model = "hashed-words"
    spectrum_width = 8
    text_width = 3 * SECTION_WIDTH
    shared_width = 6

    def __init__(self):
        rng = np.random.default_rng(1)
        self._spectrum = rng.normal(size=(N_BINS, self.spectrum_width))
        self._shared_spectrum = rng.normal(size=(self.spectrum_width, self.shared_width))
        self._shared_text = rng.normal(size=(self.text_width, self.shared_width))

    def encode_spectra(self, counts, exposure_s, progress=no_progress):
        shapes = min_max(count_rate(counts, exposure_s))
        progress("spectra", len(counts), len(counts))
        own = _unit(shapes @ self._spectrum)
        return _vectors(own, own @ self._shared_spectrum)

    def encode_summaries(self, summaries, progress=no_progress):
        own = np.array(
            [np.concatenate([_hashed(section) for section in s.sections()]) for s in summaries]
        ).reshape(-1, self.text_width)
        progress("summaries", len(summaries), len(summaries))
        vectors = _vectors(own, own @ self._shared_text)
        return _about(vectors, [" ".join(s.sections()) for s in summaries])

    def encode_question(self, question):
        own = np.tile(_hashed(question), 3)[None, :]
        return _about(_vectors(own, own @ self._shared_text), [question])


def _hashed(text):
    """Return the sum of one fixed vector per word: texts that share words are alike."""
    words = text.lower().split() or [""]
    seeds = [int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big") for word in words]
    return np.sum(
        [np.random.default_rng(seed).normal(size=SECTION_WIDTH) for seed in seeds], axis=0
    )


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _about(vectors, texts):
    """Return the vectors with what the fake thinks of the texts' subject."""
    probability = [
        OFF_TOPIC_PROBABILITY if OFF_TOPIC in text.lower() else ON_TOPIC_PROBABILITY
        for text in texts
    ]
    return TextVectors(vectors.own, vectors.shared, np.array(probability, dtype=np.float32))


def _vectors(own, shared):
    return Vectors(_unit(own).astype(np.float32), _unit(shared).astype(np.float32))
