"""Embeddings kept on disk by the content of their texts, so that no text is embedded twice."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import cast

import numpy as np

from common.disk_cache import DiskCache
from common.errors import InputError
from common.ports import Float32Array, Progress, TextEmbedder, no_progress

CHUNK = 1024

UNIT_TOLERANCE = 1e-3

Batches = Callable[[Sequence[str]], Iterable[Sequence[str]]]


def chunks_by_length(texts: Sequence[str]) -> list[list[str]]:
    """Return the texts in chunks, the longest first: a local model embeds alike lengths faster."""
    ordered = sorted(texts, key=lambda text: (-len(text), text))
    return [ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK)]


class CachedEmbedder:
    """Any text embedder, asked only for what the cache does not hold.

    Parameters
    ----------
    embedder : TextEmbedder
        Who is asked.
    cache : DiskCache
        Where embeddings are kept.
    key : str or None
        What the model's embeddings are kept under; its name by default.
    batches : callable
        Splits texts into what is embedded, and then kept, at a time.
    """

    def __init__(
        self,
        embedder: TextEmbedder,
        cache: DiskCache,
        key: str | None = None,
        batches: Batches = chunks_by_length,
    ) -> None:
        self.name = embedder.name
        self._embedder = embedder
        self._cache = cache
        self._space = f"embedding {key or embedder.name}"
        self._batches = batches
        self._width: int | None = None

    def _model_width(self) -> int:
        if self._width is None:
            kept = self._cache.first(self._space)
            row = _row(kept) if kept is not None else None
            self._width = self._embedder.width if row is None else row.size
        return self._width

    # The port has a plain attribute, which to a type checker a computed one is not.
    width: int = cast("int", property(_model_width))
    """Length of an embedding; one that is kept tells it without the model being loaded."""

    def embed(self, texts: Sequence[str], progress: Progress = no_progress) -> Float32Array:
        """Embed texts; equal texts, and those kept, are embedded once.

        Parameters
        ----------
        texts : sequence of str, length n
            In any order, repeated or not.
        progress : callable
            Told how many of the texts that are not kept yet are done.

        Returns
        -------
        ndarray of float32, shape (n, width)
            Embeddings of unit L2 norm.

        Raises
        ------
        InputError
            If the model is another than the one whose embeddings are kept.
        """
        keys = {text: _digest(text) for text in texts}
        kept = self._cache.get(self._space, list(keys.values()))
        known = {
            text: row
            for text, key in keys.items()
            if key in kept and (row := _row(kept[key])) is not None and row.size == self.width
        }
        missing = [text for text in keys if text not in known]
        done = 0
        for batch in self._batches(missing):
            rows = self._embedder.embed(batch)
            if rows.shape[1] != self.width:
                raise InputError(
                    f"text model {self.name!r} gives {rows.shape[1]:,} numbers, the cache has "
                    f"{self.width:,} under its name: it is another model now; rename it, or delete "
                    f"{self._cache.path}"
                )
            self._cache.put(
                self._space,
                {
                    keys[text]: row.astype("<f4").tobytes()
                    for text, row in zip(batch, rows, strict=True)
                },
            )
            known |= dict(zip(batch, rows, strict=True))
            done += len(batch)
            progress("embedding texts", done, len(missing))
        result = np.empty((len(texts), self.width), dtype=np.float32)
        for number, text in enumerate(texts):
            result[number] = known[text]
        return result


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _row(value: bytes) -> Float32Array | None:
    """Return the embedding of a cached value, or None if it can be none."""
    if not value or len(value) % 4:
        return None
    row = np.frombuffer(value, dtype="<f4")
    with np.errstate(over="ignore", invalid="ignore"):
        sound = abs(float(np.linalg.norm(row)) - 1.0) < UNIT_TOLERANCE  # false for NaN
    return row if sound else None
