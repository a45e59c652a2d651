"""Texts of a dataset: summaries, abstracts and questions, as JSON lines."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from common.dataset import Dataset, Question, Text
from common.errors import InvalidTableError
from common.ports import Progress, Summarizer, no_progress
from common.records import SUMMARY_METHODS, WRITTEN_BY, Paper, Summary, SummaryMethod
from ingest.dataset.arrays import MIB
from ingest.settings import IngestSettings, get_settings

Source = int | str
Record = dict[str, Any]

SUMMARIES: Final = "summaries.jsonl"
ABSTRACTS: Final = "texts.jsonl"
QUESTIONS: Final = "questions.jsonl"
SECTIONS: Final = ("nature", "xray", "interpretation")


def read_summaries(
    path: Path, name: str, sources: Mapping[Source, int], simulated: bool, limits: IngestSettings
) -> list[Text]:
    """Read ``summaries.jsonl``: one line or more for a source, and lines that belong to none.

    Parameters
    ----------
    path : Path
        The dataset; a file alone has no texts.
    name : str
        What the dataset is called: part of the bibcodes that are not given.
    sources : mapping of int or str to int
        Index of each source, by what the file calls it.
    simulated : bool
        Whether texts that do not say how they were made are simulated.
    limits : IngestSettings
        Largest file and longest section.

    Returns
    -------
    list of Text
        In the order of their sources, those of none at the end.
    """
    file = path / SUMMARIES
    if not path.is_dir() or not file.is_file():
        return []
    texts: list[Text] = []
    lines: dict[tuple[int | None, str], int] = {}
    for number, where, record in read_lines(file, limits):
        label = record.get("source")
        known = isinstance(label, int | str) and not isinstance(label, bool) and label in sources
        if label is not None and not known:
            raise InvalidTableError(
                f"{where}: source {label!r:.60} is in no row of detections.npz: correct or remove "
                "it, or write null for a text that belongs to no detection"
            )
        summary = _summary(where, record, simulated, limits.max_text_characters)
        bibcode = _string(where, record, "bibcode")
        if not bibcode and label is None:
            raise InvalidTableError(
                f"{where}: a text that belongs to no source needs a bibcode: give it one"
            )
        text = Text(
            source=None if label is None else sources[label],
            bibcode=bibcode or f"{name}:{label}",
            summary=summary,
            title=_string(where, record, "title"),
            abstract=_string(where, record, "abstract", limits.max_text_characters),
            year=_year(where, record),
            object=_string(where, record, "object") or None,
        )
        first = lines.setdefault((text.source, text.bibcode), number)
        if first != number:
            raise InvalidTableError(
                f"{where}: source {label!r:.60} has a summary in line {first} under the same "
                f"bibcode {text.bibcode}: keep one, or give each a bibcode of its own"
            )
        texts.append(text)
    _check_bibcodes(name, texts)
    return sorted(texts, key=lambda text: (text.source is None, text.source or 0))


def read_abstracts(path: Path, limits: IngestSettings | None = None) -> list[Paper]:
    """Read ``texts.jsonl`` of a dataset: titles and abstracts, each about an object or none.

    Parameters
    ----------
    path : Path
        The dataset; a file alone has no texts.
    limits : IngestSettings or None
        Largest file and longest abstract; from the environment when None.

    Returns
    -------
    list of Paper
        ``source_names`` holds the name of the object; empty where there is no such file.

    Raises
    ------
    InvalidTableError
        If a line cannot be used or an id occurs twice; the line is named.
    """
    limits = limits or get_settings()
    file = path / ABSTRACTS
    if not path.is_dir() or not file.is_file():
        return []
    papers: list[Paper] = []
    lines: dict[str, int] = {}
    for number, where, record in read_lines(file, limits):
        bibcode = _string(where, record, "id")
        title = _string(where, record, "title", limits.max_text_characters)
        abstract = _string(where, record, "abstract", limits.max_text_characters)
        if not bibcode or not (title.strip() or abstract.strip()):
            raise InvalidTableError(
                f"{where}: {'no title and no abstract' if bibcode else 'no id'}: fill it in"
            )
        first = lines.setdefault(bibcode, number)
        if first != number:
            raise InvalidTableError(f"{where}: id {bibcode} is that of line {first}: keep one")
        about = _string(where, record, "object")
        papers.append(
            Paper(
                bibcode,
                title,
                abstract,
                _year(where, record),
                source_names=(about,) if about else (),
            )
        )
    return papers


def with_abstracts(
    dataset: Dataset,
    papers: Sequence[Paper],
    summarizer: Summarizer,
    progress: Progress = no_progress,
) -> Dataset:
    """Return a dataset with papers among its texts, summarised, each with the source it is about.

    Parameters
    ----------
    dataset : Dataset
        Where the texts belong.
    papers : sequence of Paper
        What `read_abstracts` has read. One whose object is the name of a source belongs to it.
    summarizer : Summarizer
        Gives their three sections.
    progress : callable
        Told how many sentences are read.

    Raises
    ------
    InvalidTableError
        If a paper is among the texts already.
    """
    if not papers:
        return dataset
    known = {text.bibcode for text in dataset.texts}
    for paper in papers:
        if paper.bibcode in known:
            raise InvalidTableError(
                f"dataset {dataset.name}: {paper.bibcode} is in {SUMMARIES} and in {ABSTRACTS}: "
                "keep one of them"
            )
    source_of: dict[str, int] = {}
    for detection, source in zip(dataset.detections, dataset.source.tolist(), strict=True):
        if detection.source_name:
            source_of.setdefault(detection.source_name, source)
    summaries = summarizer.summarize([(p.title, p.abstract) for p in papers], progress)
    texts = [*dataset.texts]
    for paper, summary in zip(papers, summaries, strict=True):
        name = next(iter(paper.source_names), None)
        texts.append(
            Text(
                source=source_of.get(name) if name else None,
                bibcode=paper.bibcode,
                summary=summary,
                title=paper.title,
                abstract=paper.abstract,
                year=paper.year,
                object=name,
            )
        )
    texts.sort(key=lambda text: (text.source is None, text.source or 0))
    with_texts = replace(dataset, texts=texts)
    return replace(
        with_texts,
        detections=[
            replace(detection, bibcodes=tuple(t.bibcode for t in with_texts.texts_of(source)))
            for detection, source in zip(dataset.detections, dataset.source.tolist(), strict=True)
        ],
    )


def read_questions(path: Path, limits: IngestSettings | None = None) -> list[Question]:
    """Read ``questions.jsonl`` of a dataset; empty where there is none."""
    limits = limits or get_settings()
    file = path / QUESTIONS
    if not path.is_dir() or not file.is_file():
        return []
    questions = []
    for _, where, record in read_lines(file, limits):
        source_class = _string(where, record, "class")
        question = _string(where, record, "question", limits.max_text_characters)
        if not source_class.strip() or not question.strip():
            raise InvalidTableError(f"{where}: class or question is missing: fill it in")
        questions.append(Question(source_class, question))
    return questions


def line_of(text: Text) -> Record:
    """Return the line of ``summaries.jsonl`` that holds a text."""
    published = {
        "title": text.title,
        "abstract": text.abstract,
        "year": text.year,
        "object": text.object,
    }
    return {
        "source": text.source,
        **dict(zip(SECTIONS, text.summary.sections(), strict=True)),
        "method": text.summary.method,
        "bibcode": text.bibcode,
        **{name: value for name, value in published.items() if value},
    }


def read_text(file: Path, limits: IngestSettings) -> str:
    """Return the content of a text file, its size checked before."""
    if file.stat().st_size > limits.max_file_mb * MIB:
        raise InvalidTableError(
            f"{file.name} is larger than {limits.max_file_mb:g} MiB: split the dataset, or raise "
            "CHANDRA_MAX_FILE_MB"
        )
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidTableError(f"{file.name} cannot be read ({exc}): write it as UTF-8") from exc


def read_lines(file: Path, limits: IngestSettings) -> Iterator[tuple[int, str, Record]]:
    """Yield number, place and object of each line that is not empty."""
    for number, line in enumerate(read_text(file, limits).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{file.name} line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise InvalidTableError(f"{where}: not valid JSON ({exc}): correct it") from exc
        if not isinstance(record, dict):
            raise InvalidTableError(f"{where}: no JSON object: correct it")
        yield number, where, record


def _summary(where: str, record: Record, simulated: bool, limit: int) -> Summary:
    for name in SECTIONS:
        text = record.get(name)
        if not isinstance(text, str) or not text.strip():
            raise InvalidTableError(f"{where}: section {name} is missing or empty: fill it in")
        _check_length(where, f"section {name}", text, limit)
    method: SummaryMethod = record.get("method") or ("simulated" if simulated else "given")
    if method not in SUMMARY_METHODS and not str(method).startswith(WRITTEN_BY):
        raise InvalidTableError(
            f"{where}: method {method!r:.60} is not known: leave it out, or give one of "
            + ", ".join((*SUMMARY_METHODS, f"{WRITTEN_BY}MODEL"))
        )
    nature, xray, interpretation = (record[name] for name in SECTIONS)
    return Summary(nature, xray, interpretation, method)


def _string(where: str, record: Record, name: str, limit: int | None = None) -> str:
    """Return a text field, empty where it is missing."""
    value = record.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidTableError(f"{where}: {name} {value!r:.60} is no text: correct it")
    if limit is not None:
        _check_length(where, name, value, limit)
    return value


def _year(where: str, record: Record) -> int | None:
    value = record.get("year")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidTableError(f"{where}: year {value!r:.60} is no whole number: correct it")
    return value


def _check_length(where: str, what: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise InvalidTableError(
            f"{where}: {what} has {len(text):,} characters, more than {limit:,}: "
            "shorten it, or raise CHANDRA_MAX_TEXT_CHARACTERS"
        )


def _check_bibcodes(name: str, texts: Sequence[Text]) -> None:
    """Refuse different summaries under one bibcode: one would replace the other in the store."""
    first: dict[str, Text] = {}
    for text in texts:
        other = first.setdefault(text.bibcode, text)
        if other.summary != text.summary:
            raise InvalidTableError(
                f"dataset {name}: sources {other.source} and {text.source} have different "
                f"summaries under bibcode {text.bibcode}: give each its own, or leave bibcode out"
            )
