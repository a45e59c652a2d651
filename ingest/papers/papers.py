"""Papers from JSON lines, answers of the ADS API (JSON) and BibTeX with abstracts.

Records of all three are brought to the field names of ADS and validated in one place. A record
that is no use is refused and named; the others are read.
"""

import gzip
import html
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from common.errors import InvalidPaperError, NotFoundError
from common.records import Paper, Refusal
from ingest.papers.bibtex import BIBCODE, Record, read_bibtex
from ingest.settings import IngestSettings, get_settings

# Only names of tags: <g-r> and <M BH > are averages.
_TAG = re.compile(
    r"</?(?:a|abbr|astrobj|b|bold|br|div|em|font|h[1-6]|i|img|inline-formula|italic|li|ol|p|pre"
    r"|small|span|strong|su[bp]|t[dhrt]|table|tex-math|u|ul|(?:mml|jats|xlink):[\w-]+)"
    r"(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_RAISED = re.compile(r"<(su[bp])(?:\s[^<>]*)?>(?=\S)", re.IGNORECASE)
_BREAK = re.compile(r"</?(?:br|p|div|li|h[1-6]|jats:\w+)\b[^<>]*>", re.IGNORECASE)
_UNPRINTABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")


def read_papers(
    path: Path, limits: IngestSettings | None = None
) -> tuple[list[Paper], list[Refusal]]:
    """Read papers from JSON lines, an ADS API answer or BibTeX, also gzipped.

    Parameters
    ----------
    path : Path
        File; ``.bib`` is BibTeX, otherwise the content decides.
    limits : IngestSettings or None
        Largest file and longest abstract; from the environment when None.

    Returns
    -------
    papers : list of Paper
        Usable records in file order, each bibcode once.
    refusals : list of Refusal
        The others, named by file, line (or record) and bibcode.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InvalidPaperError
        If the file as a whole is too large or in none of the three formats.
    """
    limits = limits or get_settings()
    papers: dict[str, tuple[Paper, str]] = {}
    refusals: list[Refusal] = []
    for place, record in _records(path, read_text(path, limits.max_file_mb)):
        where = f"{path.name} {place}"
        if isinstance(record, str):
            refusals.append(Refusal(where, record))
            continue
        bibcode = record.get("bibcode")
        if isinstance(bibcode, str) and bibcode:
            where = f"{where} ({bibcode[:40]})"
        try:
            paper = paper_of(record, limits.max_text_characters)
        except InvalidPaperError as exc:
            refusals.append(Refusal(where, str(exc)))
            continue
        first, first_place = papers.setdefault(paper.bibcode, (paper, place))
        if first != paper:
            reason = f"same bibcode as {first_place} with other content: keep one of the two"
            refusals.append(Refusal(where, reason))
    return [paper for paper, _ in papers.values()], refusals


def clean(text: str) -> str:
    """Return text without markup, entities, control characters and superfluous blanks.

    Raised and lowered text keeps its meaning: ``10<SUP>38</SUP>`` becomes ``10^38``.
    """
    text = _RAISED.sub(lambda tag: "^" if tag[1].lower() == "sup" else "_", text)
    text = _TAG.sub("", _BREAK.sub(" ", text))
    # Entities last: &lt;b is a comparison, not a tag.
    return " ".join(_UNPRINTABLE.sub("", html.unescape(text)).split())


def read_text(path: Path, max_mb: float) -> str:
    """Return the content of a text file, gzipped or not, its size checked while it is read."""
    limit = int(max_mb * 2**20)
    try:
        with path.open("rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if gzipped else path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError as exc:
        raise NotFoundError(f"no file {path}: check the path") from exc
    except IsADirectoryError as exc:
        raise InvalidPaperError(f"{path} is a folder: name the files in it") from exc
    except (OSError, EOFError, zlib.error) as exc:
        raise InvalidPaperError(f"{path.name} cannot be read ({exc}): fetch it again") from exc
    if len(data) > limit:
        raise InvalidPaperError(
            f"{path.name} holds more than {max_mb:g} MiB: split it, or raise CHANDRA_MAX_FILE_MB"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InvalidPaperError(f"{path.name} is not UTF-8 ({exc}): convert it") from exc


def _records(path: Path, text: str) -> Iterator[tuple[str, Record | str]]:
    """Yield the place of each record with its fields, or with why it cannot be read."""
    if ".bib" in path.suffixes or re.match(r"\s*[@%]", text):
        yield from read_bibtex(path.name, text)
        return
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        yield from _line_records(path, text)
        return
    if isinstance(document, dict) and isinstance(document.get("response"), dict):
        document = document["response"].get("docs")
    elif isinstance(document, dict):
        document = [document]
    if not isinstance(document, list):
        raise InvalidPaperError(
            f'{path.name}: JSON without papers; expected {{"response": {{"docs": […]}}}} as the '
            "ADS API answers, or one object per line"
        )
    for number, record in enumerate(document, start=1):
        yield f"record {number}", record if isinstance(record, dict) else "not a JSON object"


def _line_records(path: Path, text: str) -> Iterator[tuple[str, Record | str]]:
    records: list[tuple[str, Record | str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            record = value if isinstance(value, dict) else "not a JSON object: remove the line"
        except (ValueError, RecursionError) as exc:
            record = f"not valid JSON ({exc}): correct or remove the line"
        records.append((f"line {number}", record))
    if not any(isinstance(record, dict) for _, record in records):
        first = f"; {records[0][0]}: {records[0][1]}" if records else ": the file is empty"
        raise InvalidPaperError(
            f"{path.name}: neither JSON lines, an ADS API answer (whole) nor BibTeX{first[:300]}"
        )
    yield from records


def paper_of(record: Record, max_characters: int) -> Paper:
    """Return the paper of a record with the field names of ADS.

    Raises
    ------
    InvalidPaperError
        If it is no use; the message says why.
    """
    bibcode = record.get("bibcode")
    if not bibcode:
        raise InvalidPaperError("no bibcode: add the 19-character bibcode of ADS")
    if not isinstance(bibcode, str) or not BIBCODE.fullmatch(bibcode):
        raise InvalidPaperError(
            f"{str(bibcode)[:40]!r} is no bibcode (a year and 15 more characters, such as "
            "2003A&A...402..477M): add the bibcode of ADS"
        )
    title = _text(record, "title")
    abstract = _text(record, "abstract")
    if not abstract:
        raise InvalidPaperError("no abstract: add one, or leave the record out")
    for name, text in (("title", title), ("abstract", abstract)):
        if len(text) > max_characters:
            raise InvalidPaperError(
                f"{name} of {len(text):,} characters, more than {max_characters:,}: is it the "
                "whole paper? Give the abstract, or raise CHANDRA_MAX_TEXT_CHARACTERS"
            )
    alternates = _strings(record, "alternate_bibcode") + _strings(record, "identifier")
    return Paper(
        bibcode=bibcode,
        title=title,
        abstract=abstract,
        year=_year(record.get("year"), bibcode),
        authors=_strings(record, "author", "authors"),
        journal=_text(record, "pub", "journal") or None,
        keywords=_strings(record, "keyword", "keywords"),
        alternate_bibcodes=tuple(
            dict.fromkeys(x for x in alternates if x != bibcode and BIBCODE.fullmatch(x))
        ),
    )


def _strings(record: Record, *names: str) -> tuple[str, ...]:
    """Return the first of these fields that is there as cleaned strings; one string is a list."""
    name = next((name for name in names if record.get(name) is not None), names[0])
    value = record.get(name) or []
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
        raise InvalidPaperError(f"{name} is {type(value).__name__}: expected text or a list of it")
    return tuple(text for text in map(clean, values) if text)


def _text(record: Record, *names: str) -> str:
    return " ".join(_strings(record, *names))


def _year(value: object, bibcode: str) -> int:
    """Return the year of publication; a bibcode begins with it."""
    if value is None or value == "":
        return int(bibcode[:4])
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidPaperError(f"year is {type(value).__name__}: expected a number such as 2003")
    if not re.fullmatch(r"\s*[12]\d{3}\s*", str(value)):
        raise InvalidPaperError(f"year {str(value)[:20]!r} is no year: expected one such as 2003")
    return int(value)
