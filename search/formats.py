"""Answers as text: a table for people, JSON, and CSV, ECSV or VOTable with units and UCDs.

A value that is not known is null or masked, never NaN and never a sentinel. Whatever is simulated
says so.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import Any, Literal

from astropy.io import votable
from astropy.io.votable.tree import Info
from astropy.table import MaskedColumn, Table
from rich import box
from rich.console import Console
from rich.table import Table as TerminalTable
from rich.text import Text

from common.variables import BY_NAME, VARIABLES
from search.service import Hit, Target

Format = Literal["table", "json", "csv", "ecsv", "votable"]
Cell = str | int | float | bool | None

SIMULATED = "simulated, not observed"
UNRANKED = "no spectrum yet, they fit the filter and are not ranked"

_ILLEGAL = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 forbids or discourages; a terminal would obey some of it."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a table of answers; ``name`` is the payload field it shows."""

    name: str
    kind: type[str] | type[int] | type[float] | type[bool]
    ucd: str
    description: str
    unit: str = ""
    xtype: str = ""


_FIRST = (
    _Column("id", str, "meta.id;meta.main", "point id in the store"),
    _Column(
        "score",
        float,
        "stat.value",
        "cosine similarity to the question; none: no spectrum yet, fits the filter",
    ),
)
_CLASS = (
    _Column("class", str, "src.class", "source class after SIMBAD"),
    _Column("class_path", str, "src.class", "source class with its ancestors, widest first"),
)
_LAST = (_Column("simulated", bool, "meta.code", f"true: {SIMULATED}"),)

_DETECTION_COLUMNS = (
    *_FIRST,
    _Column("key", str, "meta.id", "natural key of the detection"),
    _Column("source_name", str, "meta.id;src", "name of the source in the catalogue"),
    _Column("release", str, "meta.version", "release of the Chandra Source Catalog"),
    _Column("telescope", str, "instr.tel", "telescope"),
    _Column("instrument", str, "meta.id;instr", "instrument"),
    _Column("obsid", int, "meta.id;obs", "observation id"),
    _Column("obi", int, "meta.id;obs", "observation interval"),
    _Column("region_id", int, "meta.id;src", "source region in the observation"),
    _Column("ra_deg", float, "pos.eq.ra;meta.main", "right ascension, ICRS", "deg"),
    _Column("dec_deg", float, "pos.eq.dec;meta.main", "declination, ICRS", "deg"),
    _Column("observed_at", str, "time.start;obs", "start of the observation", xtype="timestamp"),
    _Column("exposure_s", float, "time.duration;obs.exposure", "exposure time", "s"),
    _Column("counts", float, "phot.count;em.X-ray", "counts in 0.5-8 keV with background", "ct"),
    _Column(
        "background_counts", float, "phot.count;em.X-ray", "counts of the background region", "ct"
    ),
    _Column(
        "background_scaling", float, "arith.factor", "takes background_counts to the source region"
    ),
    *_CLASS,
    *(_Column(v.name, float, v.ucd, v.description, v.unit) for v in VARIABLES),
    _Column("bibcodes", str, "meta.bib.bibcode", "papers about the source"),
    _Column("has_spectrum", bool, "meta.code", "whether a spectrum is stored"),
    _Column("matched_by", str, "meta.code", "how catalogue values were joined to the spectrum"),
    _Column("energy_source", str, "meta.note", "where the energies of the channels come from"),
    _Column("warnings", str, "meta.note", "what to know about how the spectrum was read"),
    *_LAST,
)
_PAPER_COLUMNS = (
    *_FIRST,
    _Column("bibcode", str, "meta.bib.bibcode", "bibcode of the paper"),
    _Column("title", str, "meta.title", "title"),
    _Column("authors", str, "meta.bib.author", "authors"),
    _Column("year", int, "time.publiYear", "year of publication", "yr"),
    _Column("journal", str, "meta.bib.journal", "journal"),
    *_CLASS,
    _Column("source_names", str, "meta.id;src", "sources the paper is about"),
    _Column("abstract", str, "meta.abstract", "abstract"),
    _Column("nature", str, "meta.note", "summary: nature of the source"),
    _Column("xray", str, "meta.note", "summary: X-ray spectral and timing properties"),
    _Column("interpretation", str, "meta.note", "summary: interpretation and environment"),
    _Column("summary_method", str, "meta.code", "how the summary was made"),
    *_LAST,
)
_STANDING = frozenset(column.name for column in _DETECTION_COLUMNS + _PAPER_COLUMNS)
_SHOWN = {
    "detections": {
        "score": "{:.3f}",
        "source": "{}",
        "class": "{}",
        "instrument": "{}",
        "obsid": "{}",
        "counts": "{:.0f}",
        "hard_hs": "{:+.2f}",
    },
    "papers": {"score": "{:.3f}", "bibcode": "{}", "year": "{}", "title": "{}"},
}
"""Columns on a terminal, and how their values are written."""


def render(
    hits: Sequence[Hit],
    fmt: Format,
    *,
    truncated: bool = False,
    title: str = "",
    to: Target | None = None,
    console: Console | None = None,
) -> str:
    """Return answers as text in the format asked for.

    Parameters
    ----------
    hits : sequence of Hit
        Answers, best first.
    fmt : {"table", "json", "csv", "ecsv", "votable"}
        JSON is a list of ``{"id", "score", "payload"}``; the others are tables, of which only
        ECSV and VOTable carry units, UCDs and remarks.
    truncated : bool
        Whether the limit cut the list off; said in ``table``, ``ecsv`` and ``votable``.
    title : str
        What was asked.
    to : {"detections", "papers"}, optional
        What the hits are; by default told from the first hit. Give it where there may be none.
    console : rich.console.Console, optional
        Where ``table`` will be shown: its width, and whether it has colours. By default standard
        output.

    Returns
    -------
    str
        The whole document; an empty answer is a table without rows.
    """
    if fmt == "json":
        return _json(hits)
    kind: Target = to or ("papers" if hits and "bibcode" in hits[0].payload else "detections")
    rows = [_cells(hit) for hit in hits]
    n_simulated = sum(bool(row.get("simulated")) for row in rows)
    n_unranked = sum(row["score"] is None for row in rows)
    remarks = {
        "title": _clean(title),
        "simulated": f"{n_simulated} of {len(rows)} rows: {SIMULATED}" if n_simulated else "",
        "unranked": f"{n_unranked} of {len(rows)} rows: {UNRANKED}" if n_unranked else "",
        "overflow": f"cut off at {len(rows)} rows, more may match" if truncated else "",
    }
    remarks = {name: text for name, text in remarks.items() if text}
    if fmt == "table":
        return _terminal(rows, kind, remarks, console or Console(highlight=False))
    table = _astropy_table(rows, kind, remarks)
    if fmt == "votable":
        return _votable(table)
    out = StringIO()
    table.write(out, format=f"ascii.{fmt}")
    return out.getvalue()


def _json(hits: Sequence[Hit]) -> str:
    answers = [{"id": str(h.id), "score": h.score, "payload": dict(h.payload)} for h in hits]
    return json.dumps(answers, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _clean(text: str) -> str:
    """Return text on one line, without characters that XML or a terminal would trip over."""
    return " ".join(_ILLEGAL.sub(" ", text).split())


def _cells(hit: Hit) -> dict[str, Any]:
    """Return everything a hit says under one flat set of names, those of the columns."""
    payload = hit.payload
    path = payload.get("class_path") or []
    return {
        **payload.get("summary", {}),
        **payload,
        "id": str(hit.id),
        "score": hit.score,
        "source": payload.get("source_name") or payload.get("key"),
        "observed_at": payload.get("observed_at", "").replace("+00:00", "Z"),
        "class": path[-1] if path else None,
        "class_path": " > ".join(path),
        "catalogue": {
            f"catalogue_{name}" if name in _STANDING else name: value
            for name, value in payload.get("catalogue", {}).items()
        },
    }


def _cell(value: Any, kind: type) -> Cell:  # noqa: ANN401
    """Return a value as its column holds it, None where it is missing."""
    if isinstance(value, list | tuple):
        value = "; ".join(map(str, value))
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return (_clean(str(value)) or None) if kind is str else kind(value)


def _columns(rows: Sequence[Mapping[str, Any]], to: Target) -> list[_Column]:
    """Return the standing columns, then those of the catalogue that some row has."""
    found: dict[str, list[Cell]] = {}
    for row in rows:
        for name, value in row["catalogue"].items():
            found.setdefault(name, []).append(value)
    standing = _DETECTION_COLUMNS if to == "detections" else _PAPER_COLUMNS
    return [*standing, *(_catalogue_column(name, found[name]) for name in sorted(found))]


def _catalogue_column(name: str, values: Iterable[Cell]) -> _Column:
    kinds = {type(value) for value in values}
    kind = bool if kinds == {bool} else float if kinds <= {int, float} else str
    base, _, limit = name.rpartition("_")
    if limit in ("lolim", "hilim") and base in BY_NAME:
        end = "lower" if limit == "lolim" else "upper"
        ucd = f"{BY_NAME[base].ucd};stat.{'min' if limit == 'lolim' else 'max'}"
        return _Column(name, kind, ucd, f"{end} 68% limit of {base}", BY_NAME[base].unit)
    return _Column(name, kind, "", f"{_clean(name)} as in the catalogue")


def _astropy_table(
    rows: Sequence[Mapping[str, Any]], to: Target, remarks: Mapping[str, str]
) -> Table:
    table = Table(meta=dict(remarks))
    for column in _columns(rows, to):
        values = (row["catalogue"].get(column.name, row.get(column.name)) for row in rows)
        cells = [_cell(value, column.kind) for value in values]
        meta = {"ucd": column.ucd, "xtype": column.xtype}
        table[_clean(column.name)] = MaskedColumn(
            [column.kind() if cell is None else cell for cell in cells],
            mask=[cell is None for cell in cells],
            dtype=column.kind,
            unit=column.unit or None,
            description=column.description,
            meta={name: value for name, value in meta.items() if value},
        )
    return table


def _votable(table: Table) -> str:
    document = votable.from_table(table)
    resource = document.resources[0]
    resource.type = "results"
    status = "OVERFLOW" if "overflow" in table.meta else "OK"
    resource.infos.append(Info(name="QUERY_STATUS", value=status))
    resource.infos.extend(Info(name=name, value=text) for name, text in table.meta.items())
    out = BytesIO()
    document.to_xml(out)
    return out.getvalue().decode()


def _terminal(
    rows: Sequence[Mapping[str, Any]], to: Target, remarks: Mapping[str, str], console: Console
) -> str:
    shown = dict(_SHOWN[to])
    if "simulated" in remarks:
        shown["sim."] = "{}"
    table = TerminalTable(
        title=Text(remarks.get("title", "")),
        caption=Text("\n".join(text for name, text in remarks.items() if name != "title")),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for name, form in shown.items():
        number = form != "{}" or name in ("obsid", "year")
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        cells = {**row, "sim.": "yes" if row.get("simulated") else None}
        table.add_row(
            *(
                Text("" if cells.get(name) is None else _clean(form.format(cells[name])))
                for name, form in shown.items()
            )
        )
    with console.capture() as capture:
        console.print(table)
    return capture.get()
