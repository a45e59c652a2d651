"""Train a model bundle on pairs of spectra and summaries, after arXiv:2603.04516."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from common.concepts import N_CONCEPTS
from common.dataset import Dataset, detections_of
from common.errors import BundleError, InvalidTableError
from common.ports import Float32Array, Progress, TextEmbedder, no_progress
from common.records import Summary, content_hash
from encoders.bundle import Manifest, ModelBundle, SpectrumTextModel
from encoders.calibration import calibrated_temperature
from encoders.checkpoint import Checkpoints
from encoders.concept_bridge import fit_spectrum_concepts
from encoders.config import TrainingConfig
from encoders.fit_alignment import Pairs, fit_alignment
from encoders.fit_autoencoder import (
    Spectra,
    encode,
    fit_autoencoder,
    reconstruction_error,
    thin,
)
from encoders.fit_text_concepts import ConceptText, fit_text_concepts
from encoders.sentences import SentenceSets, embed_sentences
from encoders.spectral_targets import spectral_targets
from encoders.text_concepts import TextConcepts

__all__ = ["Prepared", "TrainingConfig", "prepare", "train"]

IntArray = npt.NDArray[np.int64]

FEWEST_SOURCES = {"training": 8, "validation": 2}
FEWEST_TO_CALIBRATE = 8  # with fewer, the validation split tells the temperature better
MOST_SIMULATED_TEXTS = 6000  # wording repeats itself soon
_ARCHITECTURE = ("patch", "width", "encoder_layers", "decoder_layers", "attention_heads", "latent")


@dataclass(frozen=True, slots=True)
class Corpus:
    """Real texts to learn words from, and how many come from which file."""

    texts: Sequence[ConceptText]
    sizes: Mapping[str, int]


def train(
    dataset: Dataset,
    embedder: TextEmbedder,
    config: TrainingConfig | None = None,
    progress: Progress = no_progress,
    *,
    start: ModelBundle | None = None,
    checkpoints: Path | None = None,
    corpus: Corpus | None = None,
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
        Bundle whose autoencoder and concepts training begins with, instead of random weights.
    checkpoints : Path or None
        Folder to keep finished parts in: an interrupted training, called again, goes on from them
        and gives the same bundle. Remove it when the bundle is saved.
    corpus : Corpus or None
        Real texts to learn words and the topic from. Without them what ``start`` has learnt of
        them is kept; without that, too, words are those of the dataset and of templates, and the
        topic is unknown.

    Returns
    -------
    ModelBundle
        The trained model; its manifest holds the retrieval reached on the validation split.

    Raises
    ------
    InputError
        If the dataset is for tests only.
    InvalidTableError
        If the dataset has too few sources with summaries to train on or to validate with.
    BundleError
        If the autoencoder of ``start`` is built otherwise than ``config`` says.
    """
    config = config or TrainingConfig()
    kept = Checkpoints(checkpoints, identity_of(dataset, embedder, config, start, corpus))
    # Training must neither depend on nor change the random state of the program around it.
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        prepared = prepare(
            dataset, embedder, config, progress, start=start, checkpoints=kept, corpus=corpus
        )
        model, pairs = prepared.model, prepared.pairs
        fit_alignment(
            model.alignment, pairs["training"], pairs["validation"], config, kept, progress
        )
        held_out = pairs.get("calibration", pairs["validation"])
        temperature = calibrated_temperature(*_vectors(model, held_out), held_out.source)
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
        corpus=_corpus_of(corpus, start, embedder),
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
    corpus: Corpus | None = None,
) -> Prepared:
    """Do all of `train`, whose parameters these are, up to the alignment."""
    dataset.check_may_be_learnt_from()
    if start is not None:
        _check_architecture(start.manifest.config, config)
    sources = _sources(dataset, config)
    rows = {part: detections_of(dataset, of_part) for part, of_part in sources.items()}
    paired = {part: _with_summary(dataset, of_part) for part, of_part in rows.items()}
    _check_enough(dataset, paired)
    if _n_sources(dataset, paired.get("calibration")) < FEWEST_TO_CALIBRATE:
        paired.pop("calibration", None)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = SpectrumTextModel(embedder.width, config)
    kept = checkpoints or Checkpoints(None, "")
    model.text_concepts = _text_concepts(dataset, rows, embedder, config, start, corpus, progress)
    texts = {
        part: _read(model, embedder, _summaries(dataset, of_part), progress)
        for part, of_part in paired.items()
    }
    if start is not None:
        model.autoencoder.load_state_dict(start.weights("autoencoder"))
        model.alignment.concepts.load_state_dict(start.weights("concepts"))
    model.to(device)
    concepts = spectral_targets(
        dataset,
        _told(dataset, paired, texts),
        start.concept_probabilities(dataset.counts) if start else None,
    )
    fit_autoencoder(
        model.autoencoder,
        Spectra.of(dataset, concepts, rows["training"], rows["training"]),
        Spectra.of(dataset, concepts, rows["validation"], rows["training"]),
        config,
        kept,
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
        latents["training"][0], torch.from_numpy(texts["training"].sets.embeddings).to(device)
    )
    pairs = {
        part: _pairs(model, dataset.source[of_part], latents[part], texts[part])
        for part, of_part in paired.items()
    }
    fit_spectrum_concepts(
        model.alignment.concepts,
        pairs["training"].latents,
        torch.from_numpy(concepts[paired["training"]]).to(device),
        config,
        progress,
    )
    return Prepared(model, sources, rows, pairs)


@dataclass(frozen=True, slots=True, eq=False)
class _Texts:
    """Texts of a part as the heads read them, and as probabilities of concepts, (m, n_concept)."""

    sets: SentenceSets
    bridge: torch.Tensor
    told: Float32Array


def _read(
    model: SpectrumTextModel,
    embedder: TextEmbedder,
    summaries: Sequence[Summary],
    progress: Progress,
) -> _Texts:
    sets = embed_sentences(embedder, summaries, progress)
    told, _ = model.text_concepts.probabilities(summaries, sets)
    return _Texts(sets, model.bridge(told), told)


def _told(
    dataset: Dataset, paired: Mapping[str, IntArray], texts: Mapping[str, _Texts]
) -> Float32Array:
    """Return what the texts of each source say, (n_source, n_concept), NaN where it has none."""
    told = np.full((dataset.n_sources, N_CONCEPTS), np.nan, dtype=np.float32)
    for part, rows in paired.items():
        told[np.unique(dataset.source[rows])] = texts[part].told
    return told


def _text_concepts(
    dataset: Dataset,
    rows: Mapping[str, IntArray],
    embedder: TextEmbedder,
    config: TrainingConfig,
    start: ModelBundle | None,
    corpus: Corpus | None,
    progress: Progress,
) -> TextConcepts:
    """Return what reads texts: that of ``start``, or a new one where a corpus teaches more."""
    if corpus is None and start is not None and start.text_model == embedder.name:
        text_concepts = TextConcepts(embedder.width, config.text_concepts)
        text_concepts.load_state_dict(start.weights("text_concepts"))
        return text_concepts.eval()
    texts = corpus.texts if corpus else ()
    return fit_text_concepts(
        embedder, texts, config.text_concepts, _simulated_texts(dataset, rows), progress
    )


def _simulated_texts(dataset: Dataset, rows: Mapping[str, IntArray]) -> list[ConceptText]:
    """Return some summaries of training sources with the concepts that are known to hold."""
    if dataset.concepts is None:
        return []
    _, first = np.unique(dataset.source[rows["training"]], return_index=True)
    return [
        ConceptText(
            summary,
            dataset.concepts[row].astype(np.float32),
            np.ones(N_CONCEPTS, dtype=np.float32),
            topic=1.0,
        )
        for row in rows["training"][first][:MOST_SIMULATED_TEXTS].tolist()
        if (summary := dataset.summary_of(int(dataset.source[row]))) is not None
    ]


def _corpus_of(
    corpus: Corpus | None, start: ModelBundle | None, embedder: TextEmbedder
) -> dict[str, int]:
    """Return how many texts of which corpus the model has read."""
    if corpus is not None:
        return dict(corpus.sizes)
    if start is not None and start.text_model == embedder.name:
        return dict(start.manifest.corpus)
    return {}


def config_like(start: TrainingConfig, **changes: Any) -> TrainingConfig:  # noqa: ANN401
    """Return the default hyperparameters, changed, with the autoencoder of a bundle to start from."""
    return TrainingConfig(**{name: getattr(start, name) for name in _ARCHITECTURE}, **changes)


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


def _sources(dataset: Dataset, config: TrainingConfig) -> dict[str, IntArray]:
    split = dataset.split()
    validation = split["validation"]
    if config.train_on == "split":
        return {
            "training": split["train"],
            "validation": validation,
            "calibration": split["calibration"],
        }
    rest = np.setdiff1d(np.arange(dataset.n_sources), validation)
    return {"training": rest, "validation": validation}


def _with_summary(dataset: Dataset, rows: IntArray) -> IntArray:
    has_summary = np.array(
        [dataset.summary_of(source) is not None for source in range(dataset.n_sources)],
        dtype=np.bool_,
    )
    return rows[has_summary[dataset.source[rows]]]


def _summaries(dataset: Dataset, rows: IntArray) -> list[Summary]:
    summaries = [dataset.summary_of(source) for source in np.unique(dataset.source[rows]).tolist()]
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
    dataset: Dataset,
    embedder: TextEmbedder,
    config: TrainingConfig,
    start: ModelBundle | None,
    corpus: Corpus | None = None,
) -> str:
    """Return a hash over all that decides the result."""
    return content_hash(
        repr(dataclasses.asdict(config)),
        f"{embedder.name} {embedder.width} {start.model_id if start else None}",
        dataset.counts,
        dataset.source,
        *(text.summary.hash() for text in (corpus.texts if corpus else ())),
        *(values for _, values in sorted(dataset.variables.items())),
        *(
            "" if (summary := dataset.summary_of(source)) is None else summary.hash()
            for source in range(dataset.n_sources)
        ),
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
        seen = thin(counts, config, rng) if copy else counts
        latents.append(encode(model.autoencoder, seen).clone())
        progress("encoding spectra", copy + 1, 1 + n_copies)
    return torch.stack(latents)


def _pairs(
    model: SpectrumTextModel, source: IntArray, latents: torch.Tensor, texts: _Texts
) -> Pairs:
    device = latents.device
    with torch.no_grad():
        latents = model.alignment.prepare_latents(latents)
        sentences = model.alignment.prepare_sentences(
            torch.from_numpy(texts.sets.embeddings).to(device),
            torch.from_numpy(texts.sets.numbers).to(device),
        )
    return Pairs(
        latents=latents,
        sentences=sentences,
        of_text=torch.from_numpy(texts.sets.of_text).to(device),
        source=np.unique(source, return_inverse=True)[1],
        bridge=texts.bridge.to(device),
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
            model.alignment.read(pairs.sentences, pairs.of_text, pairs.bridge),
        )
