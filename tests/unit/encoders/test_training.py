import dataclasses

import numpy as np
import pytest
import torch

from common.dataset import detections_of
from common.errors import BundleError, InputError, InvalidTableError, UnavailableError
from common.ports import no_progress
from encoders.fitting.checkpoint import Checkpoints
from encoders.fitting.fit_alignment import fit_alignment
from encoders.training.train import prepare, train


def test_train_learns_which_texts_and_spectra_belong_together(dataset, bundle):
    rows = detections_of(dataset, dataset.split()["test"])
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
    assert 0.005 <= manifest.temperature <= 1
    assert manifest.summary_methods == {"simulated": manifest.split_sizes["training_sources"]}


def quick(config, **changes):
    few = {"autoencoder_epochs": 1, "concept_epochs": 1, "alignment_epochs": 1}
    return dataclasses.replace(config, **{**few, **changes})


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
    validation = len(dataset.split()["validation"])
    assert sizes["training_sources"] == dataset.n_sources - validation
    assert sizes["validation_sources"] == validation


def test_train_uses_spectra_without_summary_for_the_autoencoder_only(dataset, config, embedder):
    some = [text for text in dataset.texts if text.source % 2]
    bundle = train(dataclasses.replace(dataset, texts=some), embedder, quick(config))
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
    assert list(last) == [
        "embedding texts",
        "training text concepts",
        "training the autoencoder",
        "training the concepts of spectra",
        "encoding spectra",
        "training the alignment",
    ]
    assert all(done == total for done, total in last.values())


def test_train_refuses_a_dataset_without_summaries(dataset, config, embedder):
    none = dataclasses.replace(dataset, texts=())
    with pytest.raises(
        InvalidTableError, match="three kinds: 0 sources with a spectrum and a summ"
    ):
        train(none, embedder, config)
    assert embedder.asked == 0


def test_the_best_candidates_on_validation_are_the_ensemble(dataset, config, embedder, tmp_path):
    config = quick(config, members=1, candidates=4)
    kept = Checkpoints(tmp_path, "")
    prepared = prepare(dataset, embedder, config)
    alignment, validation = prepared.model.alignment, prepared.pairs["validation"]
    fit_alignment(alignment, prepared.pairs["training"], validation, config, kept, no_progress)

    def score(pair):
        with torch.no_grad():
            found = validation.retrieval(
                pair.spectrum(validation.latents[0]),
                pair.text(validation.sentences, validation.of_text),
            )
        return sum(one.recall_at(k) for one in found.values() for k in (1, 5, 10))

    chosen = alignment.pairs[0]
    reached = score(chosen)
    others = []
    for number in range(4):
        chosen.load_state_dict(kept.load(f"candidate-{number}"))
        others.append(score(chosen))
    assert reached == max(others) > min(others)


def test_more_members_than_candidates_make_no_sense(config):
    with pytest.raises(ValueError, match="3 members of 2 candidates"):
        dataclasses.replace(config, members=3)


class InterruptedTrainingError(Exception):
    pass


def interrupt_at(stage, done):
    def progress(found_stage, found_done, _total):
        if (found_stage, found_done) == (stage, done):
            raise InterruptedTrainingError

    return progress


@pytest.mark.parametrize(
    ("stage", "done"), [("training the autoencoder", 20), ("training the alignment", 25)]
)
def test_an_interrupted_training_goes_on_to_the_same_bundle(
    dataset, config, embedder, bundle, tmp_path, stage, done
):
    folder = tmp_path / "checkpoints"
    with pytest.raises(InterruptedTrainingError):
        train(dataset, embedder, config, interrupt_at(stage, done), checkpoints=folder)
    first = []
    again = train(
        dataset, embedder, config, lambda s, d, t: first.append((s, d, t)), checkpoints=folder
    )
    assert again.model_id == bundle.model_id
    assert min(d for s, d, _ in first if s == stage) > 1


def test_an_interrupted_training_of_other_data_is_not_continued(
    dataset, config, embedder, tmp_path
):
    with pytest.raises(InterruptedTrainingError):
        train(
            dataset,
            embedder,
            config,
            interrupt_at("training the alignment", 1),
            checkpoints=tmp_path,
        )
    other = dataclasses.replace(dataset, counts=dataset.counts + 1)
    with pytest.raises(InputError, match="other data or settings"):
        train(other, embedder, config, checkpoints=tmp_path)


def test_a_damaged_checkpoint_says_what_to_remove(dataset, config, embedder, tmp_path):
    (tmp_path / "autoencoder.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"remove .* to train from the beginning"):
        train(dataset, embedder, config, checkpoints=tmp_path)


def test_a_folder_that_cannot_be_written_is_reported(dataset, config, embedder, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UnavailableError, match="cannot be written"):
        train(dataset, embedder, quick(config), checkpoints=tmp_path / "file" / "folder")


def test_training_may_start_from_the_autoencoder_of_another_bundle(
    dataset, config, embedder, bundle
):
    kept = dataclasses.replace(config, autoencoder_epochs=0, alignment_epochs=1)
    again = train(dataset, embedder, kept, start=bundle)
    assert again.manifest.started_from == bundle.model_id
    spectra = dataset.counts[:5], dataset.exposure_s[:5]
    assert np.allclose(
        again.encode_spectra(*spectra).own, bundle.encode_spectra(*spectra).own, atol=1e-6
    )


@pytest.mark.parametrize(
    ("changes", "what"), [({"width": 32}, "'width': 16"), ({"concept_hidden": 8}, "hidden': 32")]
)
def test_training_from_what_is_built_otherwise_is_refused(
    dataset, config, embedder, bundle, changes, what
):
    with pytest.raises(BundleError, match=what):
        train(dataset, embedder, dataclasses.replace(config, **changes), start=bundle)


def test_all_texts_of_a_source_are_learnt_from_and_right_answers(dataset, config, embedder):
    also = [
        dataclasses.replace(text, bibcode=f"2021{text.bibcode[4:]}", summary=_in_other_words(text))
        for text in dataset.texts[::2]
    ]
    several = dataclasses.replace(dataset, texts=[*dataset.texts, *also])
    manifest = train(several, embedder, quick(config, alignment_epochs=8)).manifest
    sources = manifest.split_sizes["training_sources"]
    assert sources < manifest.summary_methods["simulated"] < 2 * sources
    # Each source has one place in a ranking of texts, that of the best of its own.
    found = manifest.metrics["validation_spectrum_to_text"]
    assert found["candidates"] >= manifest.split_sizes["validation_sources"]
    assert found["median_rank"] < found["candidates"] / 2


def _in_other_words(text):
    return dataclasses.replace(text.summary, nature=f"again, {text.summary.sections()[0]}")


def test_train_refuses_a_dataset_for_tests(dataset, config, embedder):
    with pytest.raises(InputError, match="three kinds is for tests only"):
        train(dataclasses.replace(dataset, use="test"), embedder, config)
