"""The columns of detections and papers, and of what the search adds to them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.variables import BY_NAME, VARIABLES
from search.collections.schema import TOPIC_PROBABILITY
from search.rendering.table import Cell, Column, clean
from search.results import Hit, Target

SIMULATED = "simulated, not observed"
UNRANKED = "no spectrum yet, they fit the filter and are not ranked"

ID = Column("id", str, "meta.id;meta.main", "point id in the store")
SCORE = Column(
    "score",
    float,
    "stat.value",
    "higher is better: cosine similarity to the question, or the fused rank score of a hybrid "
    "search; none: nothing to compare",
)
SEPARATION = Column(
    "separation_arcsec",
    float,
    "pos.angDistance",
    "great-circle distance from the centre of the cone",
    "arcsec",
)
_OCCASIONAL = (
    Column("compared", str, "meta.code", "named vectors that the question was compared with"),
    Column("cosine", float, "stat.value", "cosine similarity of the dense vector"),
    Column("keyword_score", float, "stat.value", "BM25 score of the keywords"),
    SEPARATION,
    Column("n_detections", int, "meta.number", "detections of this source that were found"),
    Column("highlights", str, "meta.note", "sentences that fit the question best, best first"),
)
"""Shown where some row has a value."""

_CLASS = (
    Column("class", str, "src.class", "source class after SIMBAD"),
    Column("class_path", str, "src.class", "source class with its ancestors, widest first"),
)
_LAST = (Column("simulated", bool, "meta.code", f"true: {SIMULATED}"),)

DETECTION_COLUMNS = (
    Column("key", str, "meta.id", "natural key of the detection"),
    Column("source_name", str, "meta.id;src", "name of the source in the catalogue"),
    Column("release", str, "meta.version", "release of the Chandra Source Catalog"),
    Column("telescope", str, "instr.tel", "telescope"),
    Column("instrument", str, "meta.id;instr", "instrument"),
    Column("obsid", int, "meta.id;obs", "observation id"),
    Column("obi", int, "meta.id;obs", "observation interval"),
    Column("region_id", int, "meta.id;src", "source region in the observation"),
    Column("ra_deg", float, "pos.eq.ra;meta.main", "right ascension, ICRS", "deg"),
    Column("dec_deg", float, "pos.eq.dec;meta.main", "declination, ICRS", "deg"),
    Column("observed_at", str, "time.start;obs", "start of the observation", xtype="timestamp"),
    Column("exposure_s", float, "time.duration;obs.exposure", "exposure time", "s"),
    Column("counts", float, "phot.count;em.X-ray", "counts in 0.5-8 keV with background", "ct"),
    Column(
        "background_counts", float, "phot.count;em.X-ray", "counts of the background region", "ct"
    ),
    Column(
        "background_scaling", float, "arith.factor", "takes background_counts to the source region"
    ),
    *_CLASS,
    *(Column(v.name, float, v.ucd, v.description, v.unit) for v in VARIABLES),
    Column("bibcodes", str, "meta.bib.bibcode", "papers about the source"),
    Column("has_spectrum", bool, "meta.code", "whether a spectrum is stored"),
    Column("matched_by", str, "meta.code", "how catalogue values were joined to the spectrum"),
    Column("energy_source", str, "meta.note", "where the energies of the channels come from"),
    Column("warnings", str, "meta.note", "what to know about how the spectrum was read"),
    *_LAST,
)
PAPER_COLUMNS = (
    Column("bibcode", str, "meta.bib.bibcode", "bibcode of the paper"),
    Column("title", str, "meta.title", "title"),
    Column("authors", str, "meta.bib.author", "authors"),
    Column("year", int, "time.publiYear", "year of publication", "yr"),
    Column("journal", str, "meta.bib.journal", "journal"),
    Column(
        TOPIC_PROBABILITY,
        float,
        "stat.probability",
        "calibrated probability that the paper is about X-ray sources",
    ),
    *_CLASS,
    Column("source_names", str, "meta.id;src", "sources the paper is about"),
    Column("abstract", str, "meta.abstract", "abstract"),
    Column("nature", str, "meta.note", "summary: nature of the source"),
    Column("xray", str, "meta.note", "summary: X-ray spectral and timing properties"),
    Column("interpretation", str, "meta.note", "summary: interpretation and environment"),
    Column("summary_method", str, "meta.code", "how the summary was made"),
    *_LAST,
)
_STANDING = frozenset(
    column.name for column in (ID, SCORE, *_OCCASIONAL, *DETECTION_COLUMNS, *PAPER_COLUMNS)
)
_LIMIT = re.compile("(.+)_(lolim|hilim)")


def row_of(hit: Hit) -> dict[str, Any]:
    """Return everything a hit says under one flat set of names, those of the columns."""
    payload = hit.payload
    path = payload.get("class_path") or []
    return {
        **{_shown_name(name): value for name, value in payload.get("catalogue", {}).items()},
        **{name: value for name, value in payload.items() if name in _STANDING},
        **payload.get("summary", {}),
        **{column.name: getattr(hit, column.name) for column in (SCORE, *_OCCASIONAL)},
        "id": str(hit.id),
        "highlights": hit.highlights or None,
        "observed_at": payload.get("observed_at", "").replace("+00:00", "Z"),
        "class": path[-1] if path else None,
        "class_path": " > ".join(path),
    }


def kind_of(hits: Sequence[Hit]) -> Target:
    """Return what hits are, told from the first."""
    return "papers" if hits and "bibcode" in hits[0].payload else "detections"


def columns_of(hits: Sequence[Hit], rows: Sequence[Mapping[str, Any]], to: Target) -> list[Column]:
    """Return the standing columns, and those that only some answers have."""
    occasional = (c for c in _OCCASIONAL if any(row[c.name] is not None for row in rows))
    standing = DETECTION_COLUMNS if to == "detections" else PAPER_COLUMNS
    return [ID, SCORE, *occasional, *standing, *catalogue_columns(hits)]


def catalogue_columns(hits: Iterable[Hit]) -> list[Column]:
    """Return the columns of the catalogue that some detection has, in alphabetical order."""
    found: dict[str, list[Cell]] = {}
    for hit in hits:
        for name, value in hit.payload.get("catalogue", {}).items():
            found.setdefault(_shown_name(name), []).append(value)
    return [_catalogue_column(name, found[name]) for name in sorted(found)]


def _shown_name(name: str) -> str:
    """Return the name of a catalogue column, apart from the columns that there are anyway."""
    return f"catalogue_{name}" if name in _STANDING else name


def bound(name: str, of: str, end: str, description: str) -> Column:
    """Return the column of one end of an interval around a variable; ``end`` is min or max."""
    variable = BY_NAME[of]
    return Column(name, float, f"{variable.ucd};stat.{end}", description, variable.unit)


def _catalogue_column(name: str, values: Iterable[Cell]) -> Column:
    kinds = {type(value) for value in values}
    kind = bool if kinds == {bool} else float if kinds <= {int, float} else str
    limit = _LIMIT.fullmatch(name)
    if limit and limit[1] in BY_NAME:
        end, word = ("min", "lower") if limit[2] == "lolim" else ("max", "upper")
        return bound(name, limit[1], end, f"{word} 68% limit of {limit[1]}")
    return Column(name, kind, "", f"{clean(name)} as in the catalogue")


def remark_on_topic(off_topic: int) -> str:
    """Return what to say of papers left out for their topic, in every interface's words."""
    if not off_topic:
        return ""
    were = "paper that fits is" if off_topic == 1 else "papers that fit are"
    return (
        f"{off_topic:,} {were} left out as not about X-ray sources: --any-topic (any_topic=true) "
        "shows them"
    )


def remarks_on(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what a reader of these rows should know: what is simulated, what is not ranked."""
    n_simulated = sum(bool(row.get("simulated")) for row in rows)
    n_unranked = sum(
        row["score"] is None
        and row.get("separation_arcsec") is None
        and not row.get("has_spectrum", "bibcode" in row)
        for row in rows
    )
    return {
        "simulated": f"{n_simulated} of {len(rows)} rows: {SIMULATED}" if n_simulated else "",
        "unranked": f"{n_unranked} of {len(rows)} rows: {UNRANKED}" if n_unranked else "",
    }
