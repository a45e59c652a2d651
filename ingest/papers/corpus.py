"""Corpora from JSON lines: one title and abstract a line, with its kind; gzipped or not.

What is no use is left out, counted and said; a file of which most is no use is refused.
"""

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from common.corpus import KINDS, Corpus, CorpusText
from common.errors import InvalidTableError
from ingest.dataset.dataset import read_dataset
from ingest.dataset.texts import read_abstracts
from ingest.papers.object_names import ObjectNames
from ingest.papers.papers import clean, read_text
from ingest.settings import IngestSettings, get_settings

Record = dict[str, Any]

_MOST: Final = 0.5
_NAMED: Final = 5  # line numbers, names
_FEWEST_WORDS: Final = 20  # of fewer, the language is not judged
_FEWEST_FUNCTION_WORDS: Final = 0.1  # 10,000 English abstracts have 0.13 and more
_FUNCTION_WORDS: Final = frozenset({
    "the", "of", "and", "to", "in", "is", "that", "for", "we", "with", "are", "by", "this", "on",
    "from", "as", "which", "be", "an", "it", "at", "or", "have", "has", "was", "were", "these",
    "not", "can", "between", "than", "our", "their", "its", "also", "but", "using",
})  # fmt: skip
_WORD: Final = re.compile(r"[^\W\d_]+")

logger = logging.getLogger(__name__)


class _UnusableError(Exception):
    """Why a line is left out."""


def read_corpus(
    files: Iterable[Path], exclude: Iterable[Path] = (), limits: IngestSettings | None = None
) -> Corpus:
    """Read texts to learn words from, or to judge among.

    Parameters
    ----------
    files : iterable of Path
        JSON lines with ``id``, ``title``, ``abstract``, ``kind``, and perhaps ``year``,
        ``classes`` and ``score``; gzipped or not.
    exclude : iterable of Path
        Datasets: a text that names one of their objects, or is one of their texts, is left out.
    limits : IngestSettings or None
        Largest file, unpacked, and longest abstract; from the environment when None.

    Returns
    -------
    Corpus
        Each id and each wording once; notes say what was left out.

    Raises
    ------
    NotFoundError
        If there is no such file or dataset.
    InvalidPaperError
        If a file cannot be read or is too large.
    InvalidTableError
        If most lines of a file are no use.
    """
    limits = limits or get_settings()
    names, known = _names_of(exclude, limits)
    texts: dict[str, CorpusText] = {}
    wordings: set[tuple[str, str]] = set()
    notes: list[str] = []
    read = []
    for path in files:
        read.append(path.name)
        left_out: Counter[str] = Counter()
        named: Counter[str] = Counter()
        for text in _texts(path, limits, notes):
            wording = _wording(text)
            if text.id in texts or wording in wordings:
                left_out["that are there already"] += 1
            elif text.id in known:
                left_out["that are texts of an excluded dataset"] += 1
            elif name := names.first_in(f"{text.title}\n{text.abstract}"):
                left_out["that name an excluded object"] += 1
                named[name] += 1
            else:
                texts[text.id] = text
                wordings.add(wording)
        for reason, n in left_out.items():
            what = f" ({_some(list(named))})" if reason.startswith("that name") else ""
            notes.append(f"{path.name}: {n:,} texts left out {reason}{what}")
    for note in notes:
        logger.info("%s", note)
    return Corpus(tuple(texts.values()), tuple(notes), tuple(read))


def _texts(path: Path, limits: IngestSettings, notes: list[str]) -> Iterator[CorpusText]:
    """Yield the usable lines of a file, then note which were not; raise where most are not."""
    unusable: dict[str, list[int]] = {}
    n_lines = 0
    for number, line in enumerate(read_text(path, limits.max_file_mb).split("\n"), start=1):
        if not line.strip():
            continue
        n_lines += 1
        try:
            yield _text(line, limits.max_text_characters)
        except _UnusableError as exc:
            unusable.setdefault(str(exc), []).append(number)
    n_unusable = sum(map(len, unusable.values()))
    reasons = [
        f"{len(numbers):,} lines {reason} (line {_some(numbers)})"
        for reason, numbers in unusable.items()
    ]
    if n_unusable > _MOST * n_lines or not n_lines:
        raise InvalidTableError(
            f"{path.name}: {n_unusable:,} of {n_lines:,} lines are no use: "
            f"{'; '.join(reasons) or 'it is empty'}; expected JSON objects with id, title, "
            f"abstract and kind ({', '.join(KINDS)}): correct the file"
        )
    for reason in reasons:
        notes.append(f"{path.name}: left out: {reason}")
        logger.warning("%s: left out: %s", path.name, reason)


def _text(line: str, longest: int) -> CorpusText:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise _UnusableError("that are no JSON") from exc
    if not isinstance(record, dict):
        raise _UnusableError("that are no JSON object")
    identifier, title, abstract, kind = (
        record.get(name) or "" for name in ("id", "title", "abstract", "kind")
    )
    if not all(isinstance(value, str) for value in (identifier, title, abstract)):
        raise _UnusableError("whose id, title or abstract is no text")
    title, abstract = clean(title), clean(abstract)
    if not identifier.strip():
        raise _UnusableError("without id")
    if not abstract:
        raise _UnusableError("without abstract")
    if len(title) + len(abstract) > longest:
        raise _UnusableError(f"with more than {longest:,} characters")
    if not kind:
        raise _UnusableError("without kind")
    if kind not in KINDS:
        raise _UnusableError(f"of a kind other than {', '.join(KINDS)}")
    if not _is_english(abstract):
        raise _UnusableError("in another language than English")
    return CorpusText(
        id=identifier,
        title=title,
        abstract=abstract,
        kind=kind,
        year=_year(record),
        classes=_classes(record),
        score=_score(record),
    )


def _year(record: Record) -> int | None:
    year = record.get("year")
    return year if isinstance(year, int) and not isinstance(year, bool) else None


def _classes(record: Record) -> tuple[str, ...]:
    classes = record.get("classes")
    if classes is None:
        return ()
    if not isinstance(classes, list) or not all(isinstance(one, str) for one in classes):
        raise _UnusableError("whose classes are no list of texts")
    return tuple(classes)


def _score(record: Record) -> float:
    score = record.get("score")
    if score is None:
        return 0.0
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise _UnusableError("whose score is no number")
    return float(score)


def _is_english(text: str) -> bool:
    """Return whether a text has the function words of English prose."""
    words = [word.lower() for word in _WORD.findall(text)]
    if len(words) < _FEWEST_WORDS:
        return 2 * sum(map(str.isascii, words)) >= len(words)
    return sum(word in _FUNCTION_WORDS for word in words) >= _FEWEST_FUNCTION_WORDS * len(words)


def _wording(text: CorpusText) -> tuple[str, str]:
    return text.title.casefold(), text.abstract.casefold()


def _names_of(
    datasets: Iterable[Path], limits: IngestSettings
) -> tuple[ObjectNames, frozenset[str]]:
    """Return the names of all objects of datasets, and the ids of their texts."""
    names: list[str] = []
    ids: set[str] = set()
    for path in datasets:
        dataset, papers = read_dataset(path, limits), read_abstracts(path, limits)
        names += [one.source_name for one in dataset.detections if one.source_name]
        names += [text.object for text in dataset.texts if text.object]
        names += [name for paper in papers for name in paper.source_names]
        ids |= {text.bibcode for text in dataset.texts} | {paper.bibcode for paper in papers}
    return ObjectNames(names), frozenset(ids)


def _some(things: Sequence[int | str]) -> str:
    shown = ", ".join(map(str, things[:_NAMED]))
    return f"{shown} …" if len(things) > _NAMED else shown
