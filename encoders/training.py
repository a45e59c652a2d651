"""Train a model bundle on pairs of spectra and summaries, after arXiv:2603.04516."""

import numpy as np
import numpy.typing as npt
import torch

from common.dataset import Dataset, detections_of, split_by_source
from common.errors import InvalidTableError
from common.ports import Progress, TextEmbedder, no_progress
from encoders.alignment import spectrum_features
from encoders.bundle import Manifest, ModelBundle, SpectrumTextModel, embed_sections
from encoders.config import TrainingConfig
from encoders.fit_alignment import Pairs, fit_alignment
from encoders.fit_autoencoder import fit_autoencoder, reconstruction_error, shape_batches, thin

__all__ = ["TrainingConfig", "train"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FEWEST_SOURCES = {"training": 8, "validation": 2}


def train(
    dataset: Dataset,
    embedder: TextEmbedder,
    config: TrainingConfig | None = None,
    progress: Progress = no_progress,
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

    Returns
    -------
    ModelBundle
        The trained model; its manifest holds the retrieval reached on the validation split.

    Raises
    ------
    InvalidTableError
        If the dataset has too few sources with summaries to train on or to validate with.
    """
    config = config or TrainingConfig()
    sources = _sources(dataset.n_sources, config)
    rows = {part: detections_of(dataset, of_part) for part, of_part in sources.items()}
    paired = {part: _with_summary(dataset, of_part) for part, of_part in rows.items()}
    _check_enough(dataset, paired)
    # Training must neither depend on nor change the random state of the program around it.
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        rng = np.random.default_rng(config.seed)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        sections = {
            part: _sections(dataset, of_part, embedder, progress).to(device)
            for part, of_part in paired.items()
        }
        model = SpectrumTextModel(embedder.width, config).to(device)
        fit_autoencoder(model.autoencoder, dataset.counts[rows["training"]], config, rng, progress)
        spectra = {part: [dataset.counts[of_part]] for part, of_part in paired.items()}
        spectra["training"] += [
            thin(spectra["training"][0], config.least_kept, rng)
            for _ in range(config.thinned_copies)
        ]
        pairs = {
            part: Pairs(
                features=torch.stack([_features(model, counts) for counts in spectra[part]]),
                sections=sections[part],
                source=np.unique(dataset.source[paired[part]], return_inverse=True)[1],
            )
            for part in paired
        }
        fit_alignment(
            model.alignment, pairs["training"], pairs["validation"], config, rng, progress
        )
    manifest = Manifest(
        text_model=embedder.name,
        section_width=embedder.width,
        config=config,
        dataset=dataset.name,
        simulated=dataset.simulated,
        split_sizes={
            **{f"{part}_sources": len(of_part) for part, of_part in sources.items()},
            **{f"{part}_detections": len(of_part) for part, of_part in rows.items()},
        },
        metrics={
            f"{part}_{what}": value
            for part in ("training", "validation")
            for what, value in _metrics(model, dataset.counts[rows[part]], pairs[part]).items()
        },
    )
    return ModelBundle(manifest, model, embedder)


def _sources(n_sources: int, config: TrainingConfig) -> dict[str, IntArray]:
    split = split_by_source(n_sources)
    validation = split["validation"]
    if config.train_on == "split":
        return {"training": split["train"], "validation": validation}
    return {"training": np.setdiff1d(np.arange(n_sources), validation), "validation": validation}


def _with_summary(dataset: Dataset, rows: IntArray) -> IntArray:
    has_summary = np.array([summary is not None for summary in dataset.summaries], dtype=np.bool_)
    return rows[has_summary[dataset.source[rows]]]


def _check_enough(dataset: Dataset, paired: dict[str, IntArray]) -> None:
    found = {part: len(np.unique(dataset.source[rows])) for part, rows in paired.items()}
    if any(found[part] < fewest for part, fewest in FEWEST_SOURCES.items()):
        raise InvalidTableError(
            f"dataset {dataset.name}: {found['training']} sources with a spectrum and a summary to "
            f"train on and {found['validation']} to validate with, at least "
            f"{FEWEST_SOURCES['training']} and {FEWEST_SOURCES['validation']} are needed: give a "
            "dataset of about 20 such sources or more"
        )


def _sections(
    dataset: Dataset, rows: IntArray, embedder: TextEmbedder, progress: Progress
) -> torch.Tensor:
    summaries = [dataset.summaries[i] for i in np.unique(dataset.source[rows])]
    return torch.from_numpy(
        embed_sections(embedder, [s for s in summaries if s is not None], progress)
    )


def _features(model: SpectrumTextModel, counts: FloatArray) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat(
            [
                spectrum_features(model.autoencoder.encode(shapes), batch)
                for shapes, batch in shape_batches(model.autoencoder, counts)
            ]
        )


def _metrics(
    model: SpectrumTextModel, counts: FloatArray, pairs: Pairs
) -> dict[str, float | dict[str, float]]:
    """Return how well spectra are drawn again and pairs are found."""
    model.eval()
    with torch.no_grad():
        found = pairs.retrieval(
            model.alignment.spectra(pairs.features[0]), model.alignment.texts(pairs.sections)
        )
    return {
        "autoencoder_mae": reconstruction_error(model.autoencoder, counts),
        **{direction: result.to_dict() for direction, result in found.items()},
    }
