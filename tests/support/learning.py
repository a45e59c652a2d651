"""Rounds of learning without training: the new model knows which text belongs to which spectrum."""

import json
import re
import shutil
from dataclasses import replace
from functools import lru_cache

import numpy as np
from fake_encoder import FakeEncoder
from two_models import NoSummarizer

from common.binning import N_BINS
from common.dataset import Dataset, Text
from common.ports import TextVectors, Vectors, no_progress
from common.records import Detection, Summary
from search.settings import SearchSettings
from search.store.embedded import EmbeddedStore
from workers.learning.round import Round
from workers.maintenance.reindex import Reindex
from workers.writing.pipeline import Pipeline

N_SOURCES = 220


class KnowingEncoder(FakeEncoder):
    """Tell a source by the brightest bin of its spectrum, and by the number in its text."""

    model_id = "knows"
    shared_width = 16

    def __init__(self):
        super().__init__()
        rows = np.random.default_rng(7).normal(size=(N_BINS, self.shared_width))
        self._place = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def encode_spectra(self, counts, exposure_s, progress=no_progress):
        own = super().encode_spectra(counts, exposure_s).own
        return Vectors(own, self._place[counts.argmax(axis=1)])

    def encode_summaries(self, summaries, progress=no_progress):
        numbers = [int(re.search(r"number (\d+)", s.nature)[1]) for s in summaries]
        own = super().encode_summaries(summaries).own
        return TextVectors(own, self._place[numbers], np.ones(len(summaries), dtype=np.float32))

    def save(self, folder):
        folder.mkdir()
        (folder / "model.json").write_text(json.dumps({"model_id": self.model_id}))


@lru_cache
def pairs(n=N_SOURCES):
    """Sources of which each has a spectrum and a text of its own."""
    counts = np.full((n, N_BINS), 5.0)
    counts[np.arange(n), np.arange(n)] = 900.0
    values = np.random.default_rng(2).uniform(-1, 1, n)
    return Dataset(
        name="numbered",
        counts=counts,
        exposure_s=np.full(n, 1e4),
        source=np.arange(n),
        variables={"hard_hs": values},
        detections=[
            Detection(
                f"file/{i}", "CHANDRA", "ACIS", source_name=f"2CXO J{i:06d}.0+000000",
                variables={"hard_hs": float(values[i])},
            )
            for i in range(n)
        ],
        texts=[text_of(i, i) for i in range(n)],
        simulated=False,
    )  # fmt: skip


def text_of(source, number):
    words = f"This is number {number}."
    return Text(source, f"2020test.{source:04d}", Summary(words, words, words, "given"))


def shuffled(dataset):
    """Give each source the text of another."""
    n = dataset.n_sources
    return replace(dataset, texts=[text_of(i, (i + 7) % n) for i in range(n)])


def fill(data_dir, dataset):
    """Ingest a dataset by the model that knows nothing, and return the settings."""
    with EmbeddedStore(data_dir / "store") as store:
        for outcome in Pipeline(store, FakeEncoder(), NoSummarizer()).ingest_dataset(dataset):
            assert outcome.status == "ingested"
    return settings_of(data_dir)


def settings_of(data_dir):
    return SearchSettings(data_dir=data_dir, qdrant_url=None)


def copied(folder, to):
    shutil.copytree(folder, to, dirs_exist_ok=True)
    return settings_of(to)


def load(folder):
    return KnowingEncoder() if (folder / "model.json").exists() else FakeEncoder()


def train(_dataset, _old, _plan, _checkpoints, _progress):
    return KnowingEncoder()


def open_round(settings, train=train):
    return Round(settings.data_dir, load, train)


def use_fakes(patch):
    """Let the store's model and the change to the new one be of these fakes."""
    patch.setattr("workers.learning.round.keep_current_bundle", lambda *_: "fake0")
    patch.setattr(
        "workers.learning.round.open_reindex",
        lambda store, *_: Reindex(store, KnowingEncoder(), lambda _s: None),
    )
