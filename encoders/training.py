"""Train a model bundle on pairs of spectra and summaries, after arXiv:2603.04516."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from common.dataset import Dataset, detections_of, split_by_source
from common.errors import BundleError, InvalidTableError
from common.ports import Progress, TextEmbedder, no_progress
from common.records import Summary, content_hash
from encoders.bundle import Manifest, ModelBundle, SpectrumTextModel
from encoders.calibration import calibrated_temperature
from encoders.checkpoint import Checkpoints
from encoders.config import TrainingConfig
from encoders.fit_alignment import Pairs, fit_alignment
from encoders.fit_autoencoder import (
    Spectra,
    encode,
    fit_autoencoder,
    reconstruction_error,
    thin,
)
from encoders.recipes.known import recipe_of
from encoders.sentences import SentenceSets

__all__ = ["Prepared", "TrainingConfig", "prepare", "train"]

IntArray = npt.NDArray[np.int64]

FEWEST_SOURCES = {"training": 8, "validation": 2}
FEWEST_TO_CALIBRATE = 8  # with fewer, the validation split tells the temperature better
_ARCHITECTURE = (
    "recipe",
    "patch",
    "width",
    "encoder_layers",
    "decoder_layers",
    "attention_heads",
    "latent",
)


def train(
    dataset: Dataset,
    embedder: TextEmbedder,
    config: TrainingConfig | None = None,
    progress: Progress = no_progress,
    *,
    start: ModelBundle | None = None,
    checkpoints: Path | None = None,
) -> ModelBundle:
    """Train the autoencoder, then the alignment; equal seeds give equal models on one machine.

    Parameters
    ----------
    dataset : Dataset
        Pairs; sources without a summary take part in the autoencoder only.
    embedder : TextEmbedder
        Text model, which the bundle is tied to.
    config : TrainingConfig or None
        Hyperparameters.
    progress : callable
        Told what is being done and how far it is.
    start : ModelBundle or None
        Bundle whose autoencoder training begins with, instead of random weights.
    checkpoints : Path or None
        Folder to keep finished parts in: an interrupted training, called again, goes on from them
        and gives the same bundle. Remove it when the bundle is saved.

    Returns
    -------
    ModelBundle
        The trained model; its manifest holds the retrieval reached on the validation split.

    Raises
    ------
    InvalidTableError
        If the dataset has too few sources with summaries to train on or to validate with.
    BundleError
        If the autoencoder of ``start`` is built otherwise than ``config`` says.
    """
    config = config or TrainingConfig()
    kept = Checkpoints(checkpoints, identity_of(dataset, embedder, config, start))
    recipe = recipe_of(config)
    # Training must neither depend on nor change the random state of the program around it.
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        prepared = prepare(dataset, embedder, config, progress, start=start, checkpoints=kept)
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
        held_out = pairs.get("calibration", pairs["validation"])
        temperature = calibrated_temperature(
            *_vectors(model, held_out), held_out.source, symmetric=config.symmetric
        )
    sources, rows = prepared.sources, prepared.rows
    manifest = Manifest(
        text_model=embedder.name,
        section_width=embedder.width,
        config=config,
        dataset=dataset.name,
        simulated=dataset.simulated,
        summary_methods=_summary_methods(dataset, rows["training"]),
        temperature=temperature,
        started_from=start.model_id if start else None,
        split_sizes={
            **{f"{part}_sources": len(of_part) for part, of_part in sources.items()},
            **{f"{part}_detections": len(of_part) for part, of_part in rows.items()},
        },
        metrics={
            f"{part}_{what}": value
            for part in ("training", "validation")
            for what, value in _metrics(model, dataset, rows[part], pairs[part]).items()
        },
    )
    return ModelBundle(manifest, model, embedder)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """All that the alignment is trained on, and the model that it completes.

    Attributes
    ----------
    model : SpectrumTextModel
        With a trained autoencoder and heads of random weights.
    sources, rows : mapping of str to ndarray of int64
        Sources and detections of ``training``, ``validation`` and, when it is kept apart,
        ``calibration``.
    pairs : mapping of str to Pairs
        Those of them that have a summary; too few to calibrate with are left out.
    """

    model: SpectrumTextModel
    sources: Mapping[str, IntArray]
    rows: Mapping[str, IntArray]
    pairs: Mapping[str, Pairs]


def prepare(
    dataset: Dataset,
    embedder: TextEmbedder,
    config: TrainingConfig,
    progress: Progress = no_progress,
    *,
    start: ModelBundle | None = None,
    checkpoints: Checkpoints | None = None,
) -> Prepared:
    """Do all of `train`, whose parameters these are, up to the alignment."""
    if start is not None:
        _check_architecture(start.manifest.config, config)
    sources = _sources(dataset.n_sources, config)
    rows = {part: detections_of(dataset, of_part) for part, of_part in sources.items()}
    paired = {part: _with_summary(dataset, of_part) for part, of_part in rows.items()}
    _check_enough(dataset, paired)
    if _n_sources(dataset, paired.get("calibration")) < FEWEST_TO_CALIBRATE:
        paired.pop("calibration", None)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = SpectrumTextModel(embedder.width, config)
    if start is not None:
        model.autoencoder.load_state_dict(start.autoencoder_weights())
    model.to(device)
    texts = {
        part: recipe_of(config).text_inputs(embedder, _summaries(dataset, of_part), progress)
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
        latents["training"][0], torch.from_numpy(texts["training"].embeddings).to(device)
    )
    pairs = {
        part: _pairs(model, dataset.source[of_part], latents[part], texts[part])
        for part, of_part in paired.items()
    }
    return Prepared(model, sources, rows, pairs)


def _check_architecture(start: TrainingConfig, config: TrainingConfig) -> None:
    other = {
        name: getattr(start, name)
        for name in _ARCHITECTURE
        if getattr(start, name) != getattr(config, name)
    }
    if other:
        raise BundleError(
            f"the bundle to start from has an autoencoder with {other}, this training asks for "
            "another one: start from none, or keep these settings"
        )


def _sources(n_sources: int, config: TrainingConfig) -> dict[str, IntArray]:
    split = split_by_source(n_sources)
    validation = split["validation"]
    if config.train_on == "split":
        return {
            "training": split["train"],
            "validation": validation,
            "calibration": split["calibration"],
        }
    return {"training": np.setdiff1d(np.arange(n_sources), validation), "validation": validation}


def _with_summary(dataset: Dataset, rows: IntArray) -> IntArray:
    has_summary = np.array([summary is not None for summary in dataset.summaries], dtype=np.bool_)
    return rows[has_summary[dataset.source[rows]]]


def _summaries(dataset: Dataset, rows: IntArray) -> list[Summary]:
    summaries = [dataset.summaries[source] for source in np.unique(dataset.source[rows])]
    return [summary for summary in summaries if summary is not None]


def _summary_methods(dataset: Dataset, rows: IntArray) -> dict[str, int]:
    paired = _with_summary(dataset, rows)
    return dict(Counter(summary.method for summary in _summaries(dataset, paired)))


def _check_enough(dataset: Dataset, paired: dict[str, IntArray]) -> None:
    found = {part: _n_sources(dataset, paired[part]) for part in FEWEST_SOURCES}
    if any(found[part] < fewest for part, fewest in FEWEST_SOURCES.items()):
        raise InvalidTableError(
            f"dataset {dataset.name}: {found['training']} sources with a spectrum and a summary to "
            f"train on and {found['validation']} to validate with, at least "
            f"{FEWEST_SOURCES['training']} and {FEWEST_SOURCES['validation']} are needed: give a "
            "dataset of about 20 such sources or more"
        )


def _n_sources(dataset: Dataset, rows: IntArray | None) -> int:
    return 0 if rows is None else len(np.unique(dataset.source[rows]))


def identity_of(
    dataset: Dataset, embedder: TextEmbedder, config: TrainingConfig, start: ModelBundle | None
) -> str:
    """Return a hash over all that decides the result."""
    return content_hash(
        repr(dataclasses.asdict(config)),
        f"{embedder.name} {embedder.width} {start.model_id if start else None}",
        dataset.counts,
        dataset.source,
        *(values for _, values in sorted(dataset.variables.items())),
        *("" if summary is None else summary.hash() for summary in dataset.summaries),
    )


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
        seen = thin(counts, config.least_kept, rng) if copy else counts
        latents.append(encode(model.autoencoder, seen).clone())
        progress("encoding spectra", copy + 1, 1 + n_copies)
    return torch.stack(latents)


def _pairs(
    model: SpectrumTextModel, source: IntArray, latents: torch.Tensor, texts: SentenceSets
) -> Pairs:
    device = latents.device
    with torch.no_grad():
        latents = model.alignment.prepare_latents(latents)
        sentences = model.alignment.prepare_sentences(
            torch.from_numpy(texts.embeddings).to(device),
            torch.from_numpy(texts.numbers).to(device),
        )
    return Pairs(
        latents=latents,
        sentences=sentences,
        of_text=torch.from_numpy(texts.of_text).to(device),
        source=np.unique(source, return_inverse=True)[1],
    )


def _metrics(
    model: SpectrumTextModel, dataset: Dataset, rows: IntArray, pairs: Pairs
) -> dict[str, float | dict[str, float]]:
    """Return how well spectra are drawn again and pairs are found."""
    found = pairs.retrieval(*_vectors(model, pairs))
    return {
        "autoencoder_mae": reconstruction_error(model.autoencoder, dataset.counts[rows]),
        **{direction: result.to_dict() for direction, result in found.items()},
    }


def _vectors(model: SpectrumTextModel, pairs: Pairs) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the vectors of spectra and texts in the shared space."""
    with torch.no_grad():
        return (
            model.alignment.place(pairs.latents[0]),
            model.alignment.read(pairs.sentences, pairs.of_text),
        )
