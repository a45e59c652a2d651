import dataclasses

import numpy as np
import pytest
import torch

from common.dataset import detections_of, split_by_source
from common.errors import InvalidTableError
from encoders.training import train


def test_train_learns_which_texts_and_spectra_belong_together(dataset, bundle):
    rows = detections_of(dataset, split_by_source(dataset.n_sources)["test"])
    spectra = bundle.encode_spectra(dataset.counts[rows], dataset.exposure_s[rows]).shared
    questions = ["a soft source", "the spectrum is hard", "absorbed"]
    texts = np.vstack([bundle.encode_question(question).shared for question in questions])
    right = (spectra @ texts.T).argmax(axis=1) == dataset.source[rows] % 3
    assert right.mean() > 0.7


def test_train_saves_what_it_did_in_the_manifest(bundle, config):
    manifest = bundle.manifest
    assert manifest.config == config
    assert (manifest.dataset, manifest.simulated) == ("three kinds", True)
    assert (
        manifest.split_sizes["training_detections"] == 2 * manifest.split_sizes["training_sources"]
    )
    found = manifest.metrics["validation_spectrum_to_text"]
    assert found["candidates"] == manifest.split_sizes["validation_sources"]
    assert 0 < manifest.metrics["validation_autoencoder_mae"] < 0.2


def quick(config, **changes):
    return dataclasses.replace(config, autoencoder_epochs=1, alignment_epochs=1, **changes)


def test_train_repeats_for_one_seed_and_differs_for_another(dataset, config, embedder):
    ids = [train(dataset, embedder, quick(config, seed=s)).model_id for s in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]


def test_train_leaves_the_random_state_of_the_program_alone(dataset, config, embedder):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(dataset, embedder, quick(config))
    assert torch.equal(torch.rand(3), expected)


def test_train_on_all_uses_everything_but_validation(dataset, config, embedder):
    sizes = train(dataset, embedder, quick(config, train_on="all")).manifest.split_sizes
    validation = len(split_by_source(dataset.n_sources)["validation"])
    assert sizes["training_sources"] == dataset.n_sources - validation
    assert sizes["validation_sources"] == validation


def test_train_uses_spectra_without_summary_for_the_autoencoder_only(dataset, config, embedder):
    some = [s if i % 2 else None for i, s in enumerate(dataset.summaries)]
    bundle = train(dataclasses.replace(dataset, summaries=some), embedder, quick(config))
    sizes, metrics = bundle.manifest.split_sizes, bundle.manifest.metrics
    assert metrics["training_spectrum_to_text"]["candidates"] < sizes["training_sources"]


def test_train_reports_progress_of_every_stage_to_its_end(dataset, config, embedder):
    last = {}
    train(
        dataset,
        embedder,
        quick(config),
        lambda stage, done, total: last.update({stage: (done, total)}),
    )
    assert list(last) == ["embedding texts", "training the autoencoder", "training the alignment"]
    assert all(done == total for done, total in last.values())


def test_train_refuses_a_dataset_without_summaries(dataset, config, embedder):
    none = dataclasses.replace(dataset, summaries=[None] * dataset.n_sources)
    with pytest.raises(
        InvalidTableError, match="three kinds: 0 sources with a spectrum and a summ"
    ):
        train(none, embedder, config)
    assert embedder.asked == 0
