"""Three-section summaries written by a language model, GPT-4o-mini in arXiv:2603.04516.

A summary that was paid for is kept on disk and never asked for again. What the model refuses, or
leaves unusable twice, is summarised by extraction instead, and its method says so.
"""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.disk_cache import DiskCache
from common.errors import InvalidPaperError
from common.openai_api import OpenAIService
from common.ports import Progress, Summarizer, no_progress
from common.records import WRITTEN_BY, Summary, content_hash
from ingest.settings import IngestSettings

logger = logging.getLogger(__name__)

ATTEMPTS: Final = 2

PRICES: Final = {"gpt-4o-mini": (0.15, 0.60, "2026-11-23")}
"""US dollars for a million tokens read and written, and the day they were looked up."""


class _Sections(BaseModel):
    """What the model is asked for, and what is kept."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    nature: str = Field(min_length=1)
    xray: str = Field(min_length=1)
    interpretation: str = Field(min_length=1)


SCHEMA: Final = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in _Sections.model_fields},
    "required": list(_Sections.model_fields),
    "additionalProperties": False,
}


@dataclass(slots=True)
class Usage:
    """What summaries have taken so far."""

    model: str
    prices: tuple[float, float, str] | None
    written: int = 0
    kept: int = 0
    extracted: int = 0
    read_tokens: int = 0
    written_tokens: int = 0

    @property
    def cost_usd(self) -> float | None:
        """US dollars for the tokens, or None if the prices are not known."""
        if self.prices is None:
            return None
        read, written, _ = self.prices
        return (self.read_tokens * read + self.written_tokens * written) / 1e6

    def __str__(self) -> str:
        """Return one line for people."""
        cost = f", about ${self.cost_usd:.4f} at prices of {self.prices[2]}" if self.prices else ""
        return (
            f"summaries: {self.written:,} written by {self.model}, {self.kept:,} from the cache, "
            f"{self.extracted:,} extracted instead; {self.read_tokens:,} tokens read, "
            f"{self.written_tokens:,} written{cost}"
        )


class OpenAISummarizer:
    """Let a language model write the three sections.

    Parameters
    ----------
    service : OpenAIService
        Who is asked.
    fallback : Summarizer
        Summarises what the model does not.
    settings : IngestSettings
        Model, threads and prices.
    cache : DiskCache or None
        Where summaries are kept.
    """

    def __init__(
        self,
        service: OpenAIService,
        fallback: Summarizer,
        settings: IngestSettings,
        cache: DiskCache | None = None,
    ) -> None:
        self._service = service
        self._fallback = fallback
        self._settings = settings
        self._cache = cache
        self._model = settings.summary_model
        self._space = f"summary {service.model_key(self._model)}"
        self._lock = threading.Lock()
        self.usage = Usage(self._model, _prices(settings))

    def summarize(
        self, texts: Sequence[tuple[str, str]], progress: Progress = no_progress
    ) -> list[Summary]:
        """Return one summary for each ``(title, abstract)``, in order.

        When the service fails, what it has written until then is kept for the next run.
        """
        if any(not "".join(text).strip() for text in texts):
            raise InvalidPaperError("neither title nor abstract: give at least one of them")
        distinct = list(dict.fromkeys(texts))
        written: dict[tuple[str, str], Summary] = {}
        executor = ThreadPoolExecutor(self._settings.summary_threads)
        try:
            jobs = {executor.submit(self._summary, *text): text for text in distinct}
            for done, job in enumerate(as_completed(jobs), start=1):
                if (summary := job.result()) is not None:
                    written[jobs[job]] = summary
                progress("writing summaries", done, len(distinct))
        finally:
            executor.shutdown(cancel_futures=True)  # after an error, what is not asked for yet
        left = [text for text in distinct if text not in written]
        if left:
            self.usage.extracted += len(left)
            written |= dict(zip(left, self._fallback.summarize(left), strict=True))
        return [written[text] for text in texts]

    def _summary(self, title: str, abstract: str) -> Summary | None:
        """Return the summary kept or written, or None where the model gives none."""
        key = content_hash(self._prompt, f"{self._settings.summary_temperature}", title, abstract)
        kept = self._cache.get(self._space, [key]) if self._cache else {}
        if key in kept and (sections := _sections(kept[key])) is not None:
            with self._lock:
                self.usage.kept += 1
            return self._as_summary(sections)
        for attempt in range(1, ATTEMPTS + 1):
            sections, problem = self._ask(title, abstract, attempt)
            if sections is not None:
                if self._cache:
                    self._cache.put(self._space, {key: sections.model_dump_json().encode()})
                with self._lock:
                    self.usage.written += 1
                return self._as_summary(sections)
            logger.info("%s on %.60r, attempt %d: %s", self._model, title, attempt, problem)
        logger.warning(
            "%s gave no summary of %.60r (%s): sentences of its abstract are taken instead",
            self._model, title, problem,
        )  # fmt: skip
        return None

    def _ask(self, title: str, abstract: str, attempt: int) -> tuple[_Sections | None, str]:
        """Return the sections of one answer, or None and what is wrong with it."""
        answer = self._service.write(
            f"summaries by {self._model}",
            self._model,
            self._prompt,
            f"Title: {title}\n\nAbstract: {abstract}",
            ("summary", SCHEMA),
            # More room where the first answer may have been cut off for want of it.
            max_tokens=attempt * self._settings.summary_tokens,
            temperature=self._settings.summary_temperature,
        )
        with self._lock:
            self.usage.read_tokens += answer.read_tokens
            self.usage.written_tokens += answer.written_tokens
        if answer.problem:
            return None, answer.problem
        sections = _sections(answer.content)
        return sections, "" if sections else "a section is missing or empty"

    def _as_summary(self, sections: _Sections) -> Summary:
        return Summary(**sections.model_dump(), method=WRITTEN_BY + self._model)

    @cached_property
    def _prompt(self) -> str:
        return files("ingest.papers").joinpath("prompts/summary.md").read_text(encoding="utf-8")


def _sections(document: str | bytes) -> _Sections | None:
    try:
        return _Sections.model_validate_json(document)
    except ValidationError:
        return None


def _prices(settings: IngestSettings) -> tuple[float, float, str] | None:
    read, written = settings.summary_price_read, settings.summary_price_written
    if read is not None and written is not None:
        return read, written, "CHANDRA_SUMMARY_PRICE_*"
    return PRICES.get(settings.summary_model)
