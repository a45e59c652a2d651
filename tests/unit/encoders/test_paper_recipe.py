"""The model of arXiv:2603.04516 as printed: what it sees, how it is trained, that it works."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from common.binning import min_max
from common.errors import BundleError
from encoders.autoencoder import ShapeAutoencoder
from encoders.bundle import load
from encoders.config import Profile, RecipeName, TrainingConfig, config_of
from encoders.evaluation.evaluate import evaluate
from encoders.evaluation.representations import represent
from encoders.fitting.fit_alignment import Pairs
from encoders.manifest import FORMAT_VERSION, MANIFEST
from encoders.recipes import paper_fit
from encoders.recipes.known import RECIPES, recipe_of
from encoders.recipes.paper import FullyConnected, PaperRecipe, SectionHeads, SideBySide
from encoders.text.sentences import embed_sentences
from encoders.training.train import train

ADA_002 = 1536


def summaries_of(dataset):
    return [text.summary for text in dataset.texts]


def test_both_recipes_are_known_and_any_other_is_not():
    assert set(RECIPES) == set(RecipeName)
    with pytest.raises(ValueError, match="known are ours, paper"):
        recipe_of(dataclasses.replace(TrainingConfig(), recipe="yours"))


def test_our_recipe_is_the_default():
    assert config_of() == TrainingConfig()
    assert config_of(seed=3).text_concepts.seed == 3  # another seed is another reader, too
    assert TrainingConfig().recipe == "ours"


@pytest.mark.parametrize("profile", list(Profile))
def test_the_settings_say_what_the_paper_does_without(profile):
    config = config_of(RecipeName.PAPER, profile)
    assert config.recipe == "paper"
    assert not config.symmetric
    assert config.latent == 64
    nothing = (config.variable_weight, config.text_components, config.dropped_sentences)
    assert nothing == (0, 0, 0)
    assert (config.brief_texts, config.weight_decay, config.thinned_copies) == (0, 0, 0)
    assert config.least_kept == 1


def test_the_defaults_are_within_the_grid_of_the_paper():
    config = config_of(RecipeName.PAPER)
    assert 1e-4 <= config.alignment_learning_rate <= 1e-3
    assert 16 <= config.shared <= 128
    assert 0.1 <= config.dropout <= 0.5
    assert 16 <= config.hidden <= 1024


def test_the_autoencoder_sees_the_shape_alone(printed):
    counts = torch.from_numpy(np.random.default_rng(0).poisson(3, (4, 400)).astype(np.float32))
    model = ShapeAutoencoder(printed).eval()
    assert torch.allclose(model.encode(counts), model.encode(7 * counts + 5), atol=1e-6)
    assert model.embed.in_features == printed.patch


def test_the_autoencoder_is_asked_for_no_catalogue_value(printed):
    model = ShapeAutoencoder(printed)
    loss = model.variable_loss(torch.randn(3, 64), torch.randn(3, 20))
    assert loss.item() == 0
    assert not any(name.startswith("measure") for name, _ in model.named_parameters())


def test_catalogue_values_change_nothing_that_is_learnt(dataset, printed, make_embedder):
    quick = dataclasses.replace(printed, autoencoder_epochs=2, alignment_epochs=1, candidates=2)
    other = {name: 1 - values for name, values in dataset.variables.items()}
    one = train(dataset, make_embedder(), quick)
    two = train(dataclasses.replace(dataset, variables=other), make_embedder(), quick)
    spectra = dataset.counts[:5], dataset.exposure_s[:5]
    assert np.array_equal(one.encode_spectra(*spectra).shared, two.encode_spectra(*spectra).shared)


def test_the_networks_have_two_layers_from_64_and_from_three_sections(printed):
    heads = SectionHeads(3 * ADA_002, printed)
    layers = [
        [layer for layer in network.layers if isinstance(layer, torch.nn.Linear)]
        for network in (heads.spectrum, heads.text)
    ]
    widths = [[(layer.in_features, layer.out_features) for layer in each] for each in layers]
    assert widths == [[(64, 32), (32, 8)], [(4608, 32), (32, 8)]]


def test_a_network_gives_unit_vectors(printed):
    network = FullyConnected(64, printed).eval()
    assert torch.allclose(network(torch.randn(5, 64)).norm(dim=1), torch.ones(5), atol=1e-6)


def test_texts_are_read_as_three_section_embeddings_side_by_side(dataset, embedder):
    summaries = summaries_of(dataset)[:2]
    sections = np.stack([embedder.embed(one.sections()).ravel() for one in summaries])
    inputs = PaperRecipe().text_inputs(embed_sentences(embedder, summaries), lambda: sections)
    assert np.array_equal(inputs.embeddings, sections)
    assert inputs.of_text.tolist() == [[0], [1]]
    assert inputs.numbers.shape == (2, 0)


def test_the_cosine_of_the_ensemble_is_the_mean_of_its_members_cosines(printed):
    space = SideBySide(16, printed).eval()
    latents, texts, of_text = torch.randn(6, 64), torch.randn(6, 48), torch.arange(6)[:, None]
    cosines = [(pair.spectrum(latents) * pair.text(texts, of_text)).sum(1) for pair in space.pairs]
    spectra = space.spectra(latents)
    together = (spectra * space.texts(texts, torch.empty(6, 0), of_text)).sum(1)
    assert torch.allclose(together, torch.stack(cosines).mean(0), atol=1e-6)
    assert spectra.shape == (6, 2 * 8)


def random_pairs(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return Pairs(
        latents=functional.normalize(torch.randn(1, n, 64, generator=generator), dim=2),
        sentences=torch.randn(n, 48, generator=generator),
        of_text=torch.arange(n)[:, None],
        source=np.arange(n),
    )


def test_the_temperature_is_tuned_on_the_calibration_pairs_after_each_epoch(printed, monkeypatch):
    parts = {"training": 64, "validation": 20, "calibration": 12}
    pairs = {part: random_pairs(n, seed) for seed, (part, n) in enumerate(parts.items())}
    used, found = [], iter((0.2, 0.3, 0.4))

    class Loss(paper_fit.InfoNCELoss):
        def __init__(self, temperature, symmetric):
            used.append((temperature, symmetric))
            super().__init__(temperature, symmetric)

    def calibrated(spectra, texts, source, *, symmetric):
        assert len(spectra) == len(texts) == len(source) == 12
        assert not symmetric
        return next(found)

    monkeypatch.setattr(paper_fit, "InfoNCELoss", Loss)
    monkeypatch.setattr(paper_fit, "calibrated_temperature", calibrated)
    config = dataclasses.replace(printed, alignment_epochs=3, temperature=0.1)
    fit = PaperRecipe().fitting(pairs)
    heads = PaperRecipe().heads(48, config)
    assert len(list(fit(heads, pairs["training"], pairs["validation"], config, 0))) == 3
    assert used == [(0.1, False), (0.2, False), (0.3, False)]


def test_every_pair_of_an_epoch_is_seen_once_also_of_the_same_source(printed):
    training = dataclasses.replace(random_pairs(40, 0), source=np.repeat(np.arange(20), 2))
    seen = []

    class Spy(SectionHeads):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.spectrum.register_forward_hook(
                lambda module, given, _: seen.append(given[0]) if module.training else None
            )

    config = dataclasses.replace(printed, alignment_epochs=1)
    fit = PaperRecipe().fitting({"training": training, "validation": random_pairs(8, 1)})
    list(fit(Spy(48, config), training, random_pairs(8, 1), config, 0))
    rows = torch.cat(seen)
    assert sorted(rows[:, 0].tolist()) == sorted(training.latents[0, :, 0].tolist())


def test_a_text_finds_the_spectra_that_fit_which_is_what_eq_1_asks_for(dataset, printed_bundle):
    spectra = printed_bundle.encode_spectra(dataset.counts, dataset.exposure_s).shared
    texts = printed_bundle.encode_summaries(summaries_of(dataset)[:3]).shared
    kind = dataset.source % 3
    for of_kind, cosines in enumerate(texts @ spectra.T):
        nearest = np.argsort(-cosines)[: (kind == of_kind).sum()]
        assert (kind[nearest] == of_kind).mean() > 0.7


def test_it_draws_shapes_again(dataset, printed_bundle):
    counts = dataset.counts[:20]
    drawn = printed_bundle.reconstruct(counts, dataset.exposure_s[:20])
    assert np.abs(drawn - min_max(counts)).mean() < 0.2


def test_the_manifest_names_the_recipe(printed_bundle, printed, tmp_path):
    printed_bundle.save(tmp_path / "bundle")
    manifest = json.loads((tmp_path / "bundle" / MANIFEST).read_text())
    assert manifest["config"]["recipe"] == "paper"
    assert manifest["format_version"] == FORMAT_VERSION
    assert manifest["started_from"] is None
    assert printed_bundle.manifest.config == printed


def test_a_bundle_gives_equal_vectors_after_saving_and_loading(
    printed_bundle, dataset, embedder, tmp_path
):
    printed_bundle.save(tmp_path / "bundle")
    loaded = load(tmp_path / "bundle", embedder)
    spectra = dataset.counts[:9], dataset.exposure_s[:9]
    assert loaded.model_id == printed_bundle.model_id
    for one, other in (
        (printed_bundle.encode_spectra(*spectra), loaded.encode_spectra(*spectra)),
        (
            printed_bundle.encode_summaries(summaries_of(dataset)),
            loaded.encode_summaries(summaries_of(dataset)),
        ),
        (printed_bundle.encode_question("hard"), loaded.encode_question("hard")),
    ):
        assert np.array_equal(one.own, other.own)
        assert np.array_equal(one.shared, other.shared)
        assert one.shared.shape[1] == printed_bundle.shared_width == 2 * 8
        assert np.allclose(np.linalg.norm(one.shared, axis=1), 1, atol=1e-5)


class InterruptedTrainingError(Exception):
    pass


@pytest.mark.parametrize(
    ("stage", "done"), [("training the autoencoder", 20), ("training the alignment", 45)]
)
def test_an_interrupted_training_goes_on_to_the_same_bundle(
    dataset, printed, make_embedder, printed_bundle, tmp_path, stage, done
):
    def stop(found_stage, found_done, _total):
        if (found_stage, found_done) == (stage, done):
            raise InterruptedTrainingError

    with pytest.raises(InterruptedTrainingError):
        train(dataset, make_embedder(), printed, stop, checkpoints=tmp_path)
    again = train(dataset, make_embedder(), printed, checkpoints=tmp_path)
    assert again.model_id == printed_bundle.model_id


def test_it_does_not_begin_with_an_autoencoder_of_our_recipe(dataset, printed, embedder, bundle):
    with pytest.raises(BundleError, match="'recipe': 'ours'"):
        train(dataset, embedder, printed, start=bundle)


def test_it_is_evaluated_as_any_other_model(dataset, printed_bundle):
    rng = np.random.default_rng(0)
    known = {**dataset.variables, "powlaw_gamma": rng.normal(size=len(dataset))}
    representations = represent(dataclasses.replace(dataset, variables=known), printed_bundle)
    found = evaluate(representations, figures=False)
    assert found.spectrum_to_text.overall.candidates == 9
    assert set(found.mean_ratio) >= {"spectrum", "text", "shared_spectrum", "both", "moe"}
    assert found.mean_ratio["spectrum"].value < 2
    assert found.dimensions[0].representation == "spectrum"
