"""BibTeX with abstracts, as ADS exports it -> records with the field names of ADS."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from bibtexparser import model
from bibtexparser.entrypoint import parse_string
from bibtexparser.library import Library
from bibtexparser.middlewares import LatexDecodingMiddleware

from common.errors import InvalidPaperError

Record = dict[str, Any]

BIBCODE = re.compile(r"\d{4}[!-~]{15}")  # may hold & and dots, never blanks

# A bare % would hide the rest of its line, and the decoder drops these macros.
_LATEX_REPAIRS = (
    (re.compile(r"(?<!\\)%"), r"\\%"),
    (re.compile(r"\\raisebox\{[^{}]*\}\s*\\textasciitilde"), r"{\\textasciitilde}"),
    (re.compile(r"\\textless\b"), r"\\ensuremath{<}"),
    (re.compile(r"\\textgreater\b"), r"\\ensuremath{>}"),
)

# Macros of AASTeX that ADS writes for journals.
JOURNALS = {
    "aap": "Astronomy and Astrophysics",
    "aapr": "Astronomy and Astrophysics Reviews",
    "aaps": "Astronomy and Astrophysics Supplement Series",
    "actaa": "Acta Astronomica",
    "aj": "The Astronomical Journal",
    "apj": "The Astrophysical Journal",
    "apjl": "The Astrophysical Journal Letters",
    "apjs": "The Astrophysical Journal Supplement Series",
    "aplett": "Astrophysical Letters",
    "apss": "Astrophysics and Space Science",
    "araa": "Annual Review of Astronomy and Astrophysics",
    "baas": "Bulletin of the American Astronomical Society",
    "iaucirc": "IAU Circulars",
    "icarus": "Icarus",
    "jcap": "Journal of Cosmology and Astroparticle Physics",
    "memras": "Memoirs of the Royal Astronomical Society",
    "memsai": "Memorie della Societa Astronomica Italiana",
    "mnras": "Monthly Notices of the Royal Astronomical Society",
    "na": "New Astronomy",
    "nar": "New Astronomy Reviews",
    "nat": "Nature",
    "pasa": "Publications of the Astronomical Society of Australia",
    "pasj": "Publications of the Astronomical Society of Japan",
    "pasp": "Publications of the Astronomical Society of the Pacific",
    "physrep": "Physics Reports",
    "prd": "Physical Review D",
    "prl": "Physical Review Letters",
    "procspie": "Proceedings of SPIE",
    "qjras": "Quarterly Journal of the Royal Astronomical Society",
    "rmxaa": "Revista Mexicana de Astronomia y Astrofisica",
    "skytel": "Sky and Telescope",
    "solphys": "Solar Physics",
    "sovast": "Soviet Astronomy",
    "ssr": "Space Science Reviews",
    "zap": "Zeitschrift fuer Astrophysik",
}


def read_bibtex(name: str, text: str) -> Iterator[tuple[str, Record | str]]:
    """Yield the line of each entry with its fields, or with why it cannot be read."""
    for pattern, replacement in _LATEX_REPAIRS:
        text = pattern.sub(replacement, text)
    library = parse_string(text)
    decoder = LatexDecodingMiddleware()
    if not library.entries and not library.failed_blocks:
        raise InvalidPaperError(f"{name}: no BibTeX entries: export them with abstracts")
    for block in library.blocks:
        place = f"line {(block.start_line or 0) + 1}"
        entry: model.Block = block
        if isinstance(block, model.DuplicateBlockKeyBlock):
            # Its content decides, as in the other formats; the parser leaves such entries raw.
            entry = parse_string(block.raw or "").blocks[0]
        if isinstance(entry, model.Entry):
            yield place, _record(entry, decoder)
        elif isinstance(entry, model.DuplicateFieldKeyBlock):
            yield place, "a field is given twice: keep one of the two"
        elif isinstance(entry, model.ParsingFailedBlock):
            yield place, "not valid BibTeX (a brace, quote or comma missing?): correct the entry"


def _record(entry: model.Entry, decoder: LatexDecodingMiddleware) -> Record | str:
    raw = {field.key.lower(): str(field.value) for field in entry.fields}
    decoded = decoder.transform_entry(entry, Library())
    if not isinstance(decoded, model.Entry):
        return "LaTeX that cannot be decoded: correct the entry"
    plain = {field.key.lower(): str(field.value) for field in decoded.fields}
    journal = JOURNALS.get(raw.get("journal", "").strip("{}\\ "))
    return {
        "bibcode": _bibcode(entry.key, raw) or entry.key,
        "title": plain.get("title"),
        "abstract": plain.get("abstract"),
        "author": " ".join(plain.get("author", "").split()).split(" and "),
        "year": plain.get("year"),
        "keyword": plain.get("keywords", "").split(","),
        "pub": journal or plain.get("journal") or plain.get("booktitle"),
    }


def _bibcode(key: str, fields: dict[str, str]) -> str | None:
    """Return the bibcode that ADS puts in ``adsurl`` and, as a default, in the entry key."""
    url = unquote(fields.get("adsurl", "").replace("\\", ""))
    candidates = (fields.get("bibcode", ""), *url.split("/"), key)
    return next((part for part in candidates if BIBCODE.fullmatch(part)), None)
