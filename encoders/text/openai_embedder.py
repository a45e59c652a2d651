"""Text embeddings from OpenAI, or from any service with the same interface."""

import base64
import logging
from collections.abc import Iterator, Sequence
from typing import Final, cast

import numpy as np
from pydantic import BaseModel, ValidationError

from common.errors import InputError, UnavailableError
from common.openai_api import OpenAIService
from common.ports import Float32Array, Progress, no_progress
from encoders.settings import EncoderSettings

logger = logging.getLogger(__name__)

PREFIX: Final = "openai:"
"""Before the name of a text model: it is asked for at a service."""

KNOWN_WIDTHS: Final = {
    "text-embedding-ada-002": 1536,
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
}

# The tokenizer has to be downloaded, so tokens are estimated. English has 4 bytes to a token,
# formulae and tables of numbers come near 2, and there are never less than 1.
BYTES_PER_TOKEN: Final = 2


class _Item(BaseModel):
    index: int
    embedding: str | list[float]


class _Answer(BaseModel):
    data: list[_Item]


class OpenAIEmbedder:
    """Embed texts by requests to a service, which is first spoken to when there is a text.

    Parameters
    ----------
    model : str
        Name of the model at the service.
    service : OpenAIService
        Who is asked.
    settings : EncoderSettings
        Limits of one request.
    """

    def __init__(self, model: str, service: OpenAIService, settings: EncoderSettings) -> None:
        self.name = PREFIX + model
        self._model = model
        self._service = service
        self._settings = settings
        self._width = KNOWN_WIDTHS.get(model)

    def _model_width(self) -> int:
        if self._width is None:
            self._ask(["X-ray"])
        return cast("int", self._width)

    # The port has a plain attribute, which to a type checker a computed one is not.
    width: int = cast("int", property(_model_width))
    """Length of an embedding; of a model not known here the first answer, else a word, tells it."""

    def embed(self, texts: Sequence[str], progress: Progress = no_progress) -> Float32Array:
        """Embed texts, one request after the other.

        Parameters
        ----------
        texts : sequence of str, length n
            What exceeds the longest input is cut off, with a warning.
        progress : callable
            Told how many of the texts are done.

        Returns
        -------
        ndarray of float32, shape (n, width)
            Embeddings of unit L2 norm.

        Raises
        ------
        InputError
            If a text is empty, or key, model or address are wrong.
        UnavailableError
            If the service does not answer, or not with embeddings.
        """
        rows = []
        done = 0
        for batch in self.batches(texts):
            rows.append(self._ask(batch))
            done += len(batch)
            progress("embedding texts", done, len(texts))
        return np.concatenate(rows) if rows else np.empty((0, self.width), dtype=np.float32)

    def batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        """Yield the texts of each request, in order."""
        batch: list[str] = []
        size = 0
        most = self._settings.embedding_request_tokens * BYTES_PER_TOKEN
        for text in texts:
            length = len(_utf8(text))
            if batch and (len(batch) == self._settings.embedding_batch or size + length > most):
                yield batch
                batch, size = [], 0
            batch.append(text)
            size += length
        if batch:
            yield batch

    def _ask(self, texts: Sequence[str]) -> Float32Array:
        """Return the embeddings of one request's texts."""
        given = [self._fitted(text) for text in texts]
        answer = self._service.ask(
            f"text model {self.name!r}",
            lambda client: client.embeddings.with_raw_response.create(
                input=given, model=self._model, encoding_format="base64"
            ),
        )
        try:
            rows = _embeddings(answer, len(given))
        except ValueError as exc:
            reason = "it is no such answer" if isinstance(exc, ValidationError) else exc
            raise UnavailableError(
                f"text model {self.name!r}: what {self._service.base_url} answered is of no use "
                f"({reason}): try again later, or another service"
            ) from exc
        self._width = self._width or rows.shape[1]
        if rows.shape[1] != self._width:
            raise InputError(
                f"text model {self.name!r} gives {rows.shape[1]:,} numbers where {self._width:,} "
                f"are expected: is it the right one at {self._service.base_url}?"
            )
        return rows

    def _fitted(self, text: str) -> str:
        if not text.strip():
            raise InputError(f"text model {self.name!r} takes no empty text: leave it out")
        data = _utf8(text)
        most = self._settings.embedding_text_tokens * BYTES_PER_TOKEN
        if len(data) > most:
            logger.warning(
                "text %.40r… has %d bytes: the first %d are embedded (about %d tokens, see "
                "CHANDRA_EMBEDDING_TEXT_TOKENS)",
                text, len(data), most, self._settings.embedding_text_tokens,
            )  # fmt: skip
        return data[:most].decode(errors="ignore")


def _utf8(text: str) -> bytes:
    return text.encode(errors="replace")  # half a surrogate pair cannot be sent


def _embeddings(answer: str, n: int) -> Float32Array:
    """Return the rows of an answer in the order of what was asked, of unit norm."""
    items = sorted(_Answer.model_validate_json(answer).data, key=lambda item: item.index)
    if [item.index for item in items] != list(range(n)):
        raise ValueError(f"{len(items)} embeddings, not one for each of {n} texts")
    rows = [
        np.frombuffer(base64.b64decode(item.embedding, validate=True), dtype="<f4")
        if isinstance(item.embedding, str)
        else np.array(item.embedding)
        for item in items
    ]
    if len({row.size for row in rows}) != 1:
        raise ValueError("embeddings of different lengths")
    embeddings = np.stack(rows).astype(np.float64)  # (n, width)
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        raise ValueError("embeddings that are zero or not finite")
    unit: Float32Array = (embeddings / norms).astype(np.float32)
    return unit
