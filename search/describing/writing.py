"""Descriptions written by a language model, from evidence that it is handed and nothing else."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from typing import Final, Literal, Protocol, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.disk_cache import DiskCache
from common.errors import UnavailableError
from common.openai_api import OpenAIService
from common.records import WRITTEN_BY, content_hash
from search.results import Reference, Statement

Topic = Literal["identity", "spectrum", "variability", "likeness", "literature"]
TOPICS: Final[tuple[Topic, ...]] = get_args(Topic)

DEFAULT_MODEL: Final = "gpt-4o-mini"
MAX_TOKENS: Final = 1000
ATTEMPTS: Final = 2


class Writer(Protocol):
    """Words evidence as statements; what it writes is checked by whoever asked."""

    name: str
    """Who it is, as it appears in `Description.written_by`."""

    def write(
        self, subject: str, topics: Sequence[Topic], evidence: Sequence[Reference]
    ) -> Mapping[Topic, Statement]:
        """Return a statement for each topic or for some; an ``UnavailableError`` if for none."""
        ...


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    topic: Topic
    text: str
    references: list[str]


class _Statements(BaseModel):
    """What the model is asked for, and what is kept."""

    model_config = ConfigDict(extra="forbid")

    statements: list[_Written] = Field(min_length=1, max_length=20)


SCHEMA: Final = {
    "type": "object",
    "properties": {
        "statements": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "topic": {"type": "string", "enum": list(TOPICS)},
                    "text": {"type": "string"},
                    "references": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["topic", "text", "references"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["statements"],
    "additionalProperties": False,
}


class OpenAIWriter:
    """Let a language model word the evidence.

    Parameters
    ----------
    service : OpenAIService
        Who is asked.
    model : str
        Which model.
    cache : DiskCache or None
        Where usable answers are kept.
    """

    def __init__(
        self, service: OpenAIService, model: str = DEFAULT_MODEL, cache: DiskCache | None = None
    ) -> None:
        self.name = WRITTEN_BY + model
        self._service = service
        self._model = model
        self._cache = cache
        self._space = f"description {service.model_key(model)}"

    def write(
        self, subject: str, topics: Sequence[Topic], evidence: Sequence[Reference]
    ) -> Mapping[Topic, Statement]:
        """Return what the model says of each topic; of several statements on one, the first.

        Raises
        ------
        UnavailableError
            If the service does not answer, or the model with nothing that can be used.
        InputError
            If there is no key, or it or the model's name is refused.
        """
        question = json.dumps(
            {
                "subject": subject,
                "topics": list(topics),
                "evidence": [
                    {"label": one.label, "kind": one.kind, "text": one.text} for one in evidence
                ],
            },
            ensure_ascii=False,
        )
        key = content_hash(self._prompt, question)
        kept = self._cache.get(self._space, [key]).get(key) if self._cache else None
        written = _parsed(kept) if kept else None
        reason = ""
        for attempt in range(1, ATTEMPTS + 1):
            if written is not None:
                break
            content, reason = self._ask(question, attempt)
            written = _parsed(content)
            if written is not None and self._cache:
                self._cache.put(self._space, {key: content.encode()})
        if written is None:
            raise UnavailableError(f"{self._model} wrote no description: {reason}: ask again later")
        found: dict[Topic, Statement] = {}
        for one in written.statements:
            if one.topic in topics:
                found.setdefault(one.topic, Statement(one.text, tuple(one.references)))
        return found

    def _ask(self, question: str, attempt: int) -> tuple[str, str]:
        """Return the model's answer, and what would be wrong with it if it cannot be used."""
        answer = self._service.write(
            f"description by {self._model}",
            self._model,
            self._prompt,
            question,
            ("description", SCHEMA),
            # More room where the first answer may have been cut off for want of it.
            max_tokens=attempt * MAX_TOKENS,
            temperature=0,
        )
        return answer.content, answer.problem or "its answer is not the JSON asked for"

    @cached_property
    def _prompt(self) -> str:
        return (
            files("search.describing")
            .joinpath("prompts/description.md")
            .read_text(encoding="utf-8")
        )


def _parsed(content: str | bytes) -> _Statements | None:
    try:
        return _Statements.model_validate_json(content)
    except ValidationError:
        return None
