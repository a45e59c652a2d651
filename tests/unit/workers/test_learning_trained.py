"""Rounds of learning with models that are trained, small ones."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from two_models import NoSummarizer
from word_embedder import WordEmbedder

from encoders.bundle import load
from encoders.config import TextConceptsConfig, TrainingConfig
from encoders.training.train import train
from ingest.simulation import simulate as simulation
from search.app import load_model
from search.collections.schema import model_of
from search.settings import SearchSettings
from search.store.embedded import EmbeddedStore
from workers.learning.round import Round
from workers.writing.pipeline import Pipeline

pytestmark = pytest.mark.slow

SMALL = TrainingConfig(
    width=16,
    encoder_layers=1,
    autoencoder_epochs=1,
    text_components=16,
    hidden=48,
    shared=16,
    members=1,
    candidates=1,
    alignment_epochs=1,
    alignment_batch=64,
    thinned_copies=1,
    concept_epochs=1,
    concept_copies=1,
    concept_members=1,
    bridge_share=0.0,
    text_concepts=TextConceptsConfig(members=1, templates=50, epochs=1),
)
WEAK = replace(SMALL, alignment_learning_rate=1e-6)
BETTER = replace(SMALL, autoencoder_epochs=6, alignment_epochs=40)


@lru_cache
def simulated(n=1500, seed=5):
    return simulation.simulate(n, seed, population="even")


def shuffled(dataset):
    """Give each source the texts of another."""
    other = np.random.default_rng(0).permutation(dataset.n_sources)
    texts = [replace(text, source=int(other[text.source])) for text in dataset.texts]
    return replace(dataset, texts=sorted(texts, key=lambda text: text.source))


@lru_cache
def weak_bundle():
    return train(simulated(120, 9), WordEmbedder(), WEAK)


@pytest.fixture(autouse=True)
def _bundles_of_words(monkeypatch):
    """Let bundles be loaded with the text model of these tests."""
    monkeypatch.setattr("encoders.bundle.load", load_small)


def load_small(folder):
    return load(folder, WordEmbedder())


def train_small(dataset, old, plan, checkpoints, progress):
    config = replace(BETTER, seed=plan.wish.seed)
    return train(dataset, old.embedder, config, progress, start=old, checkpoints=checkpoints)


def learn(data_dir, dataset):
    """Ingest by the weak model, learn, and return the report and the model in use."""
    bundle = weak_bundle()
    bundle.save(data_dir / "weak")
    settings = SearchSettings(data_dir=data_dir, bundle=data_dir / "weak", qdrant_url=None)
    with (
        EmbeddedStore(data_dir / "store") as store,
        Round(data_dir, load_small, train_small) as one,
    ):
        list(Pipeline(store, bundle, NoSummarizer()).ingest_dataset(dataset))
        one.begin(store, settings)
        one.work.run()
        report = one.end(store, settings)
        return report, load_model(settings, model_of(store))


def test_a_trained_model_that_is_better_is_used(tmp_path):
    report, used = learn(tmp_path, simulated())
    assert report["decision"] == "switched"
    assert used.model_id == report["new"]["model_id"]
    assert used.manifest.started_from == weak_bundle().model_id


def test_a_model_trained_on_shuffled_texts_is_not_used(tmp_path):
    report, used = learn(tmp_path, shuffled(simulated()))
    assert report["decision"] == "kept the old one"
    assert used.model_id == weak_bundle().model_id
