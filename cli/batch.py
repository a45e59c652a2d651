"""``chandra-search search batch``: many questions of one file, answered together."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from cli.console import track
from cli.options.answer import Answering, opened
from cli.options.groups import Place, grouped
from cli.options.spectrum_input import Reading
from common.errors import ChandraSearchError, InputError, InvalidQueryError, NotFoundError
from search.api.request_models import BatchQuestion, ExamplesQuestion, TextQuestion
from search.queries.questions import MAX_QUESTIONS, Question
from search.rendering import json_documents as documents
from search.rendering.formats import Format, render
from search.results import Page

_LINE: TypeAdapter[BatchQuestion] = TypeAdapter(BatchQuestion)


@dataclass(frozen=True)
class Asked:
    """A question and what it is called in answers."""

    title: str
    question: Question


@grouped
def batch(
    path: Annotated[Path, typer.Argument(help="JSON lines, one question each.")],
    how: Answering,
    place: Place,
) -> None:
    """Answer many questions at once, each of them a line of JSON as POST /v1/search/batch has it.

    Example: chandra-search search batch questions.jsonl --output answers.json

    Lines: {"kind": "text", "question": "iron line", "to": "papers", "year_from": 2010, "limit": 5}
    or {"kind": "examples", "positive": ["csc2.0/1575/1/475"], "class": ["AGN"]}
    or {"kind": "spectrum", "file": "source.pi"}
    """
    if how.format not in ("table", "json") or how.samp:
        raise InputError(
            "a batch has an answer for each question and is no single table: use --format json or "
            "table, without --samp"
        )
    asked = [_asked(text, f"{path}, line {number}") for number, text in _lines(path)]
    chunks = [asked[i : i + MAX_QUESTIONS] for i in range(0, len(asked), MAX_QUESTIONS)]
    with opened(place.settings()) as services:
        pages = [
            page
            for chunk in track(chunks, "questions", len(chunks))
            for page in services.search.batch([one.question for one in chunk])
        ]
    how.give(path.name, lambda fmt, console: _rendered(asked, pages, fmt, console))


def _rendered(asked: list[Asked], pages: list[Page], fmt: Format, console: Console | None) -> str:
    pairs = zip(asked, pages, strict=True)
    if fmt == "table":
        return "\n".join(
            render(
                page.hits,
                fmt,
                title=one.title,
                to=one.question.to,
                off_topic=page.off_topic,
                console=console,
            )
            for one, page in pairs
        )
    answers = [{"question": one.title, **documents.of_page(page)} for one, page in pairs]
    return json.dumps(answers, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that say something, with their numbers."""
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as exc:
        raise NotFoundError(f"{path}: there is no such file: check the path") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{path} cannot be read as text ({exc}): give JSON lines") from exc
    found = [(number, text) for number, text in enumerate(texts, start=1) if text.strip()]
    if not found:
        raise InputError(f"{path} has no lines: give one question a line")
    yield from found


def _asked(text: str, where: str) -> Asked:
    """Return the question of a line, its file read."""
    try:
        line = json.loads(text)
        if not isinstance(line, dict):
            raise InvalidQueryError('it is no object: write {"kind": "text", "question": "…"}')
        file = line.pop("file", None) if line.get("kind") == "spectrum" else None
        if file is not None:
            line |= _numbers(str(file))
        asked = _LINE.validate_python(line)
        return Asked(_title(asked, file), asked.as_question())
    except ValidationError as exc:
        said = (
            ": ".join(filter(None, (".".join(map(str, e["loc"])), e["msg"]))) for e in exc.errors()
        )
        raise InvalidQueryError(f"{where}: {'; '.join(said)}") from exc
    except ChandraSearchError as exc:
        raise type(exc)(f"{where}: {exc}") from exc
    except ValueError as exc:
        raise InvalidQueryError(f"{where} is no JSON: {exc}") from exc


def _numbers(file: str) -> dict[str, Any]:
    spectrum = Reading().spectrum(Path(file))
    return {"counts": spectrum.binned_counts().tolist(), "exposure_s": spectrum.exposure_s}


def _title(asked: BatchQuestion, file: str | None) -> str:
    if isinstance(asked, TextQuestion):
        return asked.question
    if isinstance(asked, ExamplesQuestion):
        unlike = f", unlike {', '.join(asked.negative)}" if asked.negative else ""
        return f"like {', '.join(asked.positive)}{unlike}"
    return file or "the spectrum given"
