"""Train a model bundle on pairs of spectra and texts, after arXiv:2603.04516."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.dataset import Dataset
from common.errors import BundleError
from common.ports import FloatArray, Progress, TextEmbedder, no_progress
from encoders.bundle import ModelBundle
from encoders.concept_bridge import beyond_expectation, fit_spectrum_concepts
from encoders.config import BRIDGE_SHARES, Profile, RecipeName, TrainingConfig, config_of
from encoders.fitting.checkpoint import Checkpoints
from encoders.fitting.fit_alignment import Pairs, fit_alignment, mean_recall_of
from encoders.fitting.fit_autoencoder import (
    Spectra,
    encode,
    fit_autoencoder,
    reconstruction_error,
    thin,
)
from encoders.fitting.temperature import calibrated_temperature
from encoders.manifest import Manifest
from encoders.model import SpectrumTextModel
from encoders.recipes.known import recipe_of
from encoders.shared_space import choose_share
from encoders.spectral_targets import spectral_targets
from encoders.training.fit_reading import (
    Read,
    kept_reader,
    mean_told,
    read_texts,
    text_concepts_for,
)
from encoders.training.training_data import (
    IntArray,
    Parts,
    TrainingTexts,
    identity_of,
    summaries_of,
    summary_methods,
)

__all__ = ["Prepared", "TrainingConfig", "TrainingTexts", "prepare", "train"]

_ARCHITECTURE = (
    "recipe",
    "patch",
    "width",
    "encoder_layers",
    "decoder_layers",
    "attention_heads",
    "latent",
    "most_counts",
    "concept_hidden",
    "concept_members",
)


def train(
    dataset: Dataset,
    embedder: TextEmbedder,
    config: TrainingConfig | None = None,
    progress: Progress = no_progress,
    *,
    start: ModelBundle | None = None,
    checkpoints: Path | None = None,
    words: TrainingTexts | None = None,
) -> ModelBundle:
    """Train the autoencoder, then the alignment; equal seeds give equal models on one machine.

    Parameters
    ----------
    dataset : Dataset
        Pairs; sources without a text take part in the autoencoder only.
    embedder : TextEmbedder
        Text model, which the bundle is tied to.
    config : TrainingConfig or None
        Hyperparameters.
    progress : callable
        Told what is being done and how far it is.
    start : ModelBundle or None
        Bundle whose autoencoder and concepts training begins with, instead of random weights.
    checkpoints : Path or None
        Folder to keep finished parts in: an interrupted training, called again, goes on from them
        and gives the same bundle. Remove it when the bundle is saved.
    words : TrainingTexts or None
        Real texts to learn words and the topic from. Without them what ``start`` has learnt is
        kept; without that, too, words are those of the dataset and of templates, and the topic of
        a text is not known.

    Returns
    -------
    ModelBundle
        The trained model; its manifest holds the retrieval reached on the validation split.

    Raises
    ------
    InputError
        If the dataset is for tests only.
    InvalidTableError
        If the dataset has too few sources with texts to train on or to validate with.
    BundleError
        If the autoencoder of ``start`` is built otherwise than ``config`` says.
    """
    config = config or TrainingConfig()
    if (reader := kept_reader(start, words, embedder)) is not None:
        config = replace(config, text_concepts=reader.manifest.config.text_concepts)
    kept = Checkpoints(checkpoints, identity_of(dataset, embedder, config, start, words))
    recipe = recipe_of(config)
    # Training must neither depend on nor change the random state of the program around it.
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        prepared = prepare(
            dataset, embedder, config, progress, start=start, checkpoints=kept, words=words
        )
        model, pairs = prepared.model, prepared.pairs
        fit_alignment(
            model.alignment,
            pairs["training"],
            pairs["validation"],
            config,
            kept,
            progress,
            heads=recipe.heads,
            fit=recipe.fitting(pairs),
        )
        _join(model, prepared, config)
        held_out = "calibration" if "calibration" in pairs else "validation"
        spectra, texts = prepared.vectors(held_out)
        temperature = calibrated_temperature(
            spectra,
            texts[pairs[held_out].first_texts],
            pairs[held_out].source,
            symmetric=config.symmetric,
        )
    parts = prepared.parts
    manifest = Manifest(
        text_model=embedder.name,
        section_width=embedder.width,
        config=config,
        dataset=dataset.name,
        simulated=dataset.simulated,
        summary_methods=summary_methods(dataset, parts.paired["training"]),
        temperature=temperature,
        started_from=start.model_id if start else None,
        corpus=_corpus_of(words, start, embedder),
        split_sizes=parts.sizes(),
        metrics={
            f"{part}_{what}": value
            for part in ("training", "validation")
            for what, value in _metrics(prepared, dataset, part).items()
        },
    )
    return ModelBundle(manifest, model, embedder)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """All that the alignment is trained on, and the model that it completes.

    Attributes
    ----------
    model : SpectrumTextModel
        With a trained autoencoder and concepts, and heads of random weights.
    parts : Parts
        Sources and detections.
    pairs : mapping of str to Pairs
        Those of each part that have a text.
    counts : mapping of str to ndarray of float64, shape (n, 400)
        Their spectra.
    texts : mapping of str to Read
        Their texts.
    """

    model: SpectrumTextModel
    parts: Parts
    pairs: Mapping[str, Pairs]
    counts: Mapping[str, FloatArray]
    texts: Mapping[str, Read]

    def vectors(self, part: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the vectors of the spectra and texts of a part in the shared space."""
        spectra, texts = self.aligned(part)
        if self.model.joint is None:
            return spectra, texts
        shown, said = self.bridge(part)
        with torch.no_grad():
            return self.model.joint(shown, spectra), self.model.joint(said, texts)

    def aligned(self, part: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the vectors of spectra and texts after alignment."""
        pairs, alignment = self.pairs[part], self.model.alignment
        with torch.no_grad():
            return (
                alignment.place(pairs.latents[0]),
                alignment.read(pairs.sentences, pairs.of_text),
            )

    def bridge(self, part: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what spectra show and texts say beyond expectation."""
        concepts, device = self.model.spectrum_concepts, self.pairs[part].latents.device
        shown = torch.from_numpy(concepts.probabilities(self.counts[part])).to(device)
        told = torch.from_numpy(self.texts[part].told).to(device)
        return beyond_expectation(shown, concepts.prior), self.model.said(told)


def prepare(
    dataset: Dataset,
    embedder: TextEmbedder,
    config: TrainingConfig,
    progress: Progress = no_progress,
    *,
    start: ModelBundle | None = None,
    checkpoints: Checkpoints | None = None,
    words: TrainingTexts | None = None,
) -> Prepared:
    """Do all of `train`, whose parameters these are, up to the alignment."""
    dataset.check_may_be_learnt_from()
    if start is not None:
        _check_architecture(start.manifest.config, config)
    parts = Parts.of(dataset, config)
    rows, paired = parts.rows, parts.paired
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = SpectrumTextModel(embedder.width, config)
    model.text_concepts = text_concepts_for(
        dataset, parts, embedder, config, start, words, progress
    )
    if start is not None:
        model.autoencoder.load_state_dict(start.weights("autoencoder"))
        model.spectrum_concepts.load_state_dict(start.weights("spectrum_concepts"))
    model.to(device)
    texts = {
        part: read_texts(model, embedder, summaries_of(dataset, of_part), config, progress)
        for part, of_part in paired.items()
    }
    fit_autoencoder(
        model.autoencoder,
        Spectra.of(dataset, rows["training"], rows["training"]),
        Spectra.of(dataset, rows["validation"], rows["training"]),
        config,
        checkpoints or Checkpoints(None, ""),
        progress,
    )
    if model.joint is not None:
        learnt = rows["training"]
        targets = spectral_targets(
            dataset,
            mean_told(dataset, paired["training"], texts["training"].told),
            model.spectrum_concepts.probabilities(dataset.counts) if start else None,
        )
        fit_spectrum_concepts(
            model.spectrum_concepts, dataset.counts[learnt], targets[learnt], config, progress
        )
    latents = {
        part: _latents(
            model,
            dataset,
            of_part,
            config,
            config.thinned_copies if part == "training" else 0,
            progress,
        )
        for part, of_part in paired.items()
    }
    model.alignment.fit_inputs(
        latents["training"][0], torch.from_numpy(texts["training"].inputs.embeddings).to(device)
    )
    pairs = {
        part: _pairs(model, dataset, of_part, latents[part], texts[part])
        for part, of_part in paired.items()
    }
    counts = {part: dataset.counts[of_part] for part, of_part in paired.items()}
    return Prepared(model, parts, pairs, counts, texts)


def _join(model: SpectrumTextModel, prepared: Prepared, config: TrainingConfig) -> None:
    """Join bridge and aligned vectors, with the share that finds most of the validation pairs."""
    if model.joint is None:
        return
    aligned, bridge = prepared.aligned("training"), prepared.bridge("training")
    shown, said = prepared.bridge("validation")
    spectra, texts = prepared.aligned("validation")
    validation, joint = prepared.pairs["validation"], model.joint
    choose_share(
        joint,
        BRIDGE_SHARES if config.bridge_share is None else (config.bridge_share,),
        (torch.cat(bridge), torch.cat(aligned)),
        lambda: mean_recall_of(validation, joint(shown, spectra), joint(said, texts)),
    )


def config_like(
    start: TrainingConfig,
    profile: Profile,
    **changes: Any,  # noqa: ANN401
) -> TrainingConfig:
    """Return the hyperparameters of a profile for what is taken over from another bundle."""
    kept = {name: getattr(start, name) for name in (*_ARCHITECTURE, "text_concepts")}
    return config_of(RecipeName(kept.pop("recipe")), profile, **{**kept, **changes})


def _check_architecture(start: TrainingConfig, config: TrainingConfig) -> None:
    other = {
        name: getattr(start, name)
        for name in _ARCHITECTURE
        if getattr(start, name) != getattr(config, name)
    }
    if other:
        raise BundleError(
            f"the bundle to start from was built with {other}, this training asks for "
            "something else: start from none, or keep these settings"
        )


def _corpus_of(
    words: TrainingTexts | None, start: ModelBundle | None, embedder: TextEmbedder
) -> dict[str, int]:
    """Return how many texts of which corpus the model has read."""
    if words is not None:
        return dict(words.sizes)
    kept = kept_reader(start, words, embedder)
    return {} if kept is None else dict(kept.manifest.corpus)


def _latents(
    model: SpectrumTextModel,
    dataset: Dataset,
    rows: IntArray,
    config: TrainingConfig,
    n_copies: int,
    progress: Progress,
) -> torch.Tensor:
    """Return latents of spectra and of thinned copies of them, shape (1 + n_copies, n, latent)."""
    rng = np.random.default_rng([config.seed, 2])
    latents = []
    for copy in range(1 + n_copies):
        counts = dataset.counts[rows]
        seen = thin(counts, config, rng) if copy else counts
        latents.append(encode(model.autoencoder, seen).clone())
        progress("encoding spectra", copy + 1, 1 + n_copies)
    return torch.stack(latents)


def _pairs(
    model: SpectrumTextModel, dataset: Dataset, rows: IntArray, latents: torch.Tensor, texts: Read
) -> Pairs:
    device = latents.device
    sources, own = np.unique(dataset.source[rows], return_inverse=True)
    n_texts = [len(dataset.texts_of(source)) for source in sources.tolist()]
    with torch.no_grad():
        latents = model.alignment.prepare_latents(latents)
        sentences = model.alignment.prepare_sentences(
            torch.from_numpy(texts.inputs.embeddings).to(device),
            torch.from_numpy(texts.inputs.numbers).to(device),
        )
    return Pairs(
        latents=latents,
        sentences=sentences,
        of_text=torch.from_numpy(texts.inputs.of_text).to(device),
        source=own,
        about=None if set(n_texts) == {1} else np.repeat(np.arange(len(sources)), n_texts),
    )


def _metrics(
    prepared: Prepared, dataset: Dataset, part: str
) -> dict[str, float | dict[str, float]]:
    """Return how well spectra are drawn again and pairs are found."""
    found = prepared.pairs[part].retrieval(*prepared.vectors(part))
    counts = dataset.counts[prepared.parts.rows[part]]
    return {
        "autoencoder_mae": reconstruction_error(prepared.model.autoencoder, counts),
        **{direction: result.to_dict() for direction, result in found.items()},
    }
