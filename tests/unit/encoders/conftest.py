import numpy as np
import pytest
import torch
from word_embedder import WordEmbedder

from common.binning import N_BINS
from common.dataset import Dataset, Text
from common.records import Detection, Summary
from encoders.config import RecipeName, TextConceptsConfig, TrainingConfig, config_of
from encoders.training.train import train

KINDS = ("soft", "hard", "absorbed")


def make_dataset(n_sources):
    """Sources of three kinds, two detections each; the text names the kind."""
    rng = np.random.default_rng(3)
    energy = np.linspace(0.5, 8.0, N_BINS)
    shapes = (energy**-3.0, energy**0.5, energy**-1.0 * np.exp(-5 / energy**2))
    source = np.repeat(np.arange(n_sources), 2)
    kind = source % len(KINDS)
    counts = np.array([rng.poisson(2000 * shapes[k] / shapes[k].sum()) for k in kind], float)
    return Dataset(
        name="three kinds",
        counts=counts,
        exposure_s=rng.uniform(5e3, 5e4, len(source)),
        source=source,
        variables={
            "hard_hs": kind + rng.normal(0, 0.01, len(source)),
            "bb_kt": np.full(len(source), np.nan),
        },
        detections=[Detection(f"file/{i}", "CHANDRA", "ACIS") for i in range(len(source))],
        texts=[
            Text(
                s,
                f"2020test.{s:04d}",
                Summary(
                    f"a {KINDS[s % 3]} source",
                    f"the spectrum is {KINDS[s % 3]}",
                    f"number {s} of the {KINDS[s % 3]} ones",
                    "simulated",
                ),
            )
            for s in range(n_sources)
        ],
        simulated=True,
    )


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    # Models this small lose more by waiting for other threads than they gain.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def dataset():
    return make_dataset(60)


@pytest.fixture(scope="session")
def config():
    return TrainingConfig(
        width=16,
        encoder_layers=1,
        autoencoder_epochs=15,
        autoencoder_batch=16,
        text_components=8,
        hidden=32,
        shared=8,
        members=2,
        candidates=2,
        alignment_epochs=20,
        alignment_batch=16,
        thinned_copies=1,
        text_concepts=TextConceptsConfig(
            components=8, hidden=16, topic_hidden=8, members=1, templates=300, epochs=2
        ),
        concept_hidden=32,
        concept_members=1,
        concept_copies=1,
        concept_epochs=5,
    )


@pytest.fixture(scope="session")
def make_embedder():
    return WordEmbedder


@pytest.fixture
def embedder():
    return WordEmbedder()


@pytest.fixture(scope="session")
def bundle(dataset, config):
    return train(dataset, WordEmbedder(), config)


@pytest.fixture(scope="session")
def printed():
    """The paper's recipe, small; from the shape alone an autoencoder learns more slowly."""
    return config_of(
        RecipeName.PAPER,
        width=16,
        encoder_layers=1,
        autoencoder_epochs=60,
        autoencoder_batch=16,
        autoencoder_learning_rate=3e-3,
        hidden=32,
        shared=8,
        members=2,
        candidates=3,
        dropout=0.1,
        alignment_epochs=40,
        alignment_batch=16,
        alignment_learning_rate=1e-2,
    )


@pytest.fixture(scope="session")
def printed_bundle(dataset, printed):
    return train(dataset, WordEmbedder(), printed)
