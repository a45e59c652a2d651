"""A store filled by a weak model, and rounds of learning small enough for a test."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
from two_models import NoSummarizer
from word_embedder import WordEmbedder

from encoders.bundle import load
from encoders.config import TextConceptsConfig, TrainingConfig
from encoders.training import train
from ingest import simulate as simulation
from search.settings import SearchSettings
from search.store.embedded import EmbeddedStore
from workers.learning.round import Round
from workers.pipeline import Pipeline

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
BETTER = replace(SMALL, autoencoder_epochs=6, alignment_epochs=25)


@lru_cache
def simulated(n=420, seed=5):
    return simulation.simulate(n, seed)


def shuffled(dataset):
    """Give each source the texts of another."""
    other = np.random.default_rng(0).permutation(dataset.n_sources)
    texts = [replace(text, source=int(other[text.source])) for text in dataset.texts]
    return replace(dataset, texts=sorted(texts, key=lambda text: text.source))


@lru_cache
def weak_bundle():
    return train(simulated(120, 9), WordEmbedder(), WEAK)


def fill(data_dir, dataset):
    """Ingest a dataset by the weak model, whose bundle is kept there; return the settings."""
    bundle = weak_bundle()
    bundle.save(data_dir / "weak")
    settings = SearchSettings(data_dir=data_dir, bundle=data_dir / "weak", qdrant_url=None)
    with EmbeddedStore(data_dir / "store") as store:
        for outcome in Pipeline(store, bundle, NoSummarizer()).ingest_dataset(dataset):
            assert outcome.status == "ingested"
    return settings


def load_small(folder):
    return load(folder, WordEmbedder())


def small_round(settings, config=BETTER):
    return Round(
        settings.data_dir, load_small, lambda _old, plan: replace(config, seed=plan.wish.seed)
    )
