"""Model bundles: one folder holding all that turns spectra and texts into vectors.

``model.json`` says what the model is and how it came about, ``weights.safetensors`` holds its
tensors; ``model_id`` is a content hash over both, so an altered bundle is found out on loading.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from common.binning import N_BINS
from common.errors import BundleError, InvalidSpectrumError, UnavailableError
from common.ports import (
    Float32Array,
    Progress,
    TextEmbedder,
    TextVectors,
    Vectors,
    no_progress,
)
from common.records import Summary, content_hash
from encoders.manifest import MANIFEST, Manifest, canonical, read_file, read_manifest
from encoders.model import SpectrumTextModel
from encoders.recipes.known import recipe_of
from encoders.text.embedders import open_embedder
from encoders.text.sentences import embed_sentences

FloatArray = npt.NDArray[np.float64]
WEIGHTS: Final = "weights.safetensors"
SHIPPED_BUNDLE: Final = Path(__file__).parent / "bundles" / "simulated"
"""Trained on simulated spectra, so that the first run needs no training."""

N_SECTIONS: Final = 3

_BATCH = 256


@dataclass(frozen=True, slots=True, eq=False)
class PlacedTexts:
    """Where texts stand in the shared space, and what the model thinks of their subject.

    Attributes
    ----------
    shared : ndarray of float32, shape (n, d_shared)
        Rows of unit L2 norm.
    topic_probability : ndarray of float32, shape (n,)
        As in `common.ports.TextVectors`.
    """

    shared: Float32Array
    topic_probability: Float32Array


class ModelBundle:
    """Encode spectra and texts with one trained model; implements `common.ports.Encoder`.

    Parameters
    ----------
    manifest : Manifest
        What the model is.
    model : SpectrumTextModel
        Its weights; put into evaluation mode, on a GPU when there is one.
    embedder : TextEmbedder
        The text model named in the manifest.
    described : str or None
        Canonical JSON of the manifest as it was saved: what an earlier version has written lacks
        settings that were added since, and is the same model nevertheless.
    """

    def __init__(
        self,
        manifest: Manifest,
        model: SpectrumTextModel,
        embedder: TextEmbedder,
        described: str | None = None,
    ) -> None:
        self.manifest = manifest
        self._described = described or manifest.to_json()
        self._weights = save_tensors({k: v.cpu() for k, v in model.state_dict().items()})
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model.to(self._device).eval()
        self.embedder = embedder
        self.model_id = content_hash(self._described, self._weights)
        self.text_model = manifest.text_model
        self.spectrum_width = manifest.config.latent
        self.text_width = N_SECTIONS * manifest.section_width
        self._recipe = recipe_of(manifest.config)
        self.shared_width = self._recipe.shared_width(manifest.config)

    def encode_spectra(
        self, counts: FloatArray, exposure_s: FloatArray, progress: Progress = no_progress
    ) -> Vectors:
        """Encode counts on the 400 bins.

        Parameters
        ----------
        counts : ndarray of float64, shape (n, 400)
            Counts per bin of 0.5-8 keV.
        exposure_s : ndarray of float64, shape (n,)
            Exposures in seconds.
        progress : callable
            Told how many spectra are done.

        Returns
        -------
        Vectors
            ``own`` are the autoencoder's latents.

        Raises
        ------
        InvalidSpectrumError
            If counts or exposures are not what a spectrum has, or a spectrum has no shape.
        """
        _check_spectra(counts, exposure_s)
        own = np.empty((len(counts), self.spectrum_width), dtype=np.float32)
        shared = np.empty((len(counts), self.shared_width), dtype=np.float32)
        for start in range(0, len(counts), _BATCH):
            rows = slice(start, start + _BATCH)
            with torch.inference_mode():
                seen = self._tensor(counts[rows])
                latent = self._model.autoencoder.encode(seen)
                own[rows] = latent.cpu().numpy()
                shared[rows] = self._model.place(seen, latent).cpu().numpy()
            progress("encoding spectra", min(start + _BATCH, len(counts)), len(counts))
        if not (np.isfinite(own).all() and np.isfinite(shared).all()):
            raise InvalidSpectrumError(
                "counts are too large or too small to be encoded: give counts per bin"
            )
        return Vectors(own, shared)

    def reconstruct(self, counts: FloatArray, exposure_s: FloatArray) -> Float32Array:
        """Draw the min-max normalised shapes of spectra again, (n, 400), (n,) -> (n, 400)."""
        _check_spectra(counts, exposure_s)
        with torch.inference_mode():
            autoencoder = self._model.autoencoder
            drawn = autoencoder.decode(autoencoder.encode(self._tensor(counts)))
        return np.asarray(drawn.cpu().numpy(), dtype=np.float32)

    def weights(
        self, part: Literal["autoencoder", "spectrum_concepts", "text_concepts"]
    ) -> Mapping[str, Tensor]:
        """Return the weights of a part, which another training may begin with."""
        return cast("nn.Module", getattr(self._model, part)).state_dict()

    def concepts_of_spectra(self, counts: FloatArray) -> Float32Array:
        """Return the probabilities of the concepts, shape (n, 400) -> (n, N_CONCEPTS)."""
        return self._model.spectrum_concepts.probabilities(counts)

    def encode_summaries(
        self, summaries: Sequence[Summary], progress: Progress = no_progress
    ) -> TextVectors:
        """Encode three-section summaries.

        Parameters
        ----------
        summaries : sequence of Summary, length n
            Texts.
        progress : callable
            Told how many sections and sentences are embedded.

        Returns
        -------
        TextVectors
            ``own`` are the embeddings of the three sections side by side.
        """
        own = self._embed_sections(summaries, progress)
        placed = self._place(summaries, lambda: own, progress)
        normed = (own / N_SECTIONS**0.5).astype(np.float32)
        return TextVectors(normed, placed.shared, placed.topic_probability)

    def place_summaries(
        self, summaries: Sequence[Summary], progress: Progress = no_progress
    ) -> PlacedTexts:
        """Give the places of summaries in the shared space, and their topics.

        The whole sections are embedded only where the recipe reads them: it takes most of the time.

        Parameters
        ----------
        summaries : sequence of Summary, length n
            Texts.
        progress : callable
            Told how many sentences are embedded.

        Returns
        -------
        PlacedTexts
            What `encode_summaries` gives, without the embeddings of the sections.
        """
        return self._place(summaries, lambda: self._embed_sections(summaries, progress), progress)

    def _embed_sections(self, summaries: Sequence[Summary], progress: Progress) -> Float32Array:
        if not summaries:  # nothing to do is no reason to load the text model
            return np.empty((0, self.text_width), np.float32)
        self._check_text_width()
        sections = [section for summary in summaries for section in summary.sections()]
        return self.embedder.embed(sections, progress).reshape(len(summaries), self.text_width)

    def _place(
        self, summaries: Sequence[Summary], own: Callable[[], Float32Array], progress: Progress
    ) -> PlacedTexts:
        if not summaries:
            return PlacedTexts(
                np.empty((0, self.shared_width), np.float32), np.empty(0, np.float32)
            )
        self._check_text_width()
        sentences = embed_sentences(self.embedder, summaries, progress)
        told, topic_probability = self._model.text_concepts.probabilities(summaries, sentences)
        inputs = self._recipe.text_inputs(sentences, own)
        with torch.inference_mode():
            aligned = self._model.alignment.texts(
                self._tensor(inputs.embeddings),
                self._tensor(inputs.numbers),
                torch.from_numpy(inputs.of_text).to(self._device),
            )
            shared = self._model.read(self._tensor(told), aligned)
        return PlacedTexts(shared.cpu().numpy(), topic_probability)

    def encode_question(self, question: str) -> TextVectors:
        """Encode free text as a summary whose three sections are the question (n = 1)."""
        return self.encode_summaries([Summary(question, question, question, "given")])

    def save(self, folder: Path) -> None:
        """Write the bundle into a folder, which is created.

        Raises
        ------
        UnavailableError
            If it cannot be written.
        """
        content = json.loads(self._described)
        content |= {"model_id": self.model_id, "weights_bytes": len(self._weights)}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / WEIGHTS).write_bytes(self._weights)
            (folder / MANIFEST).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
        except OSError as exc:
            raise UnavailableError(
                f"bundle {folder} cannot be written ({exc.strerror}): make room or give another "
                "folder"
            ) from exc

    def _tensor(self, array: npt.NDArray[np.floating[Any]]) -> Tensor:
        with np.errstate(over="ignore"):  # vectors of what overflows are refused
            return torch.from_numpy(array.astype(np.float32)).to(self._device)

    def _check_text_width(self) -> None:
        if self.embedder.width != self.manifest.section_width:
            raise BundleError(
                f"model {self.model_id} is made for text embeddings of "
                f"{self.manifest.section_width} numbers, but {self.embedder.name} gives "
                f"{self.embedder.width}: use the text model it was trained with, or train anew"
            )


def load(folder: Path, embedder: TextEmbedder | None = None) -> ModelBundle:
    """Load a bundle from its folder.

    Parameters
    ----------
    folder : Path
        Where ``model.json`` and ``weights.safetensors`` are.
    embedder : TextEmbedder or None
        The text model to use; by default that of the manifest, loaded when first needed.

    Returns
    -------
    ModelBundle
        The model, checked against its content hash.

    Raises
    ------
    BundleError
        If it is altered, incomplete, of a newer format, or made for another text model.
    """
    content = read_manifest(folder)
    weights = read_file(folder / WEIGHTS)
    if len(weights) != content.get("weights_bytes"):
        raise BundleError(
            f"{folder / WEIGHTS} has {len(weights)} bytes, its manifest says "
            f"{content.get('weights_bytes')}: it is incomplete, copy or train the bundle again"
        )
    model_id = content.get("model_id")
    about = {k: v for k, v in content.items() if k not in ("model_id", "weights_bytes")}
    try:
        manifest = Manifest.from_dict(about)
        described = canonical(about)
        found = content_hash(described, weights)
    except (KeyError, TypeError, ValueError) as exc:
        raise BundleError(
            f"{folder / MANIFEST} does not describe a model ({exc}): copy or train the bundle again"
        ) from exc
    if found != model_id:
        raise BundleError(
            f"{folder} was altered after training: its content hash is {found}, its manifest says "
            f"{model_id}; copy or train it again"
        )
    if embedder is not None and embedder.name != manifest.text_model:
        raise BundleError(
            f"model {model_id} in {folder} is made for text model {manifest.text_model!r}, not "
            f"{embedder.name!r}: use that one, or train a bundle for this"
        )
    try:
        # On the meta device: shapes are compared before memory is taken for them.
        with torch.device("meta"):
            model = SpectrumTextModel(manifest.section_width, manifest.config)
        model.load_state_dict(load_tensors(weights), assign=True)
    except (TypeError, ValueError, RuntimeError, SafetensorError) as exc:
        raise BundleError(
            f"{folder / WEIGHTS} does not fit its manifest ({exc}): train the bundle again"
        ) from exc
    embedder = embedder or open_embedder(manifest.text_model)
    return ModelBundle(manifest, model, embedder, described)


def _check_spectra(counts: FloatArray, exposure_s: FloatArray) -> None:
    if counts.ndim != 2 or counts.shape[1] != N_BINS or exposure_s.shape != counts.shape[:1]:
        raise InvalidSpectrumError(
            f"counts of shape {counts.shape} with exposures of shape {exposure_s.shape}: "
            f"give (n, {N_BINS}) and (n,)"
        )
    wrong = {
        "counts that are NaN or infinite": ~np.isfinite(counts).all(axis=1),
        "negative counts": (counts < 0).any(axis=1),
        "no positive, finite exposure": ~(np.isfinite(exposure_s) & (exposure_s > 0)),
        "the same counts in all 400 bins, hence no shape": np.ptp(counts, axis=1) == 0,
    }
    for what, rows in wrong.items():
        if rows.any():
            raise InvalidSpectrumError(
                f"spectrum {int(np.flatnonzero(rows)[0])} of {len(counts)} has {what}: "
                "leave it out or correct it"
            )
