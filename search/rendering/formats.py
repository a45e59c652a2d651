"""Answers as text: a table for people, JSON, and CSV, ECSV or VOTable with units and UCDs.

Whatever is simulated says so. Every ``render`` function takes

* ``fmt``: table, json, csv, ecsv or votable; units, UCDs and remarks are in the last two;
* ``title``: what was asked;
* ``console``: where ``table`` will be shown: its width, and whether it has colours. By default
  standard output.
"""

import json
from collections.abc import Sequence
from typing import Any, Literal

from rich.console import Console

from search.rendering import answer_tables as sheets
from search.rendering import json_documents as documents
from search.rendering import terminal
from search.rendering.columns import (
    columns_of,
    kind_of,
    remark_on_topic,
    remarks_on,
    row_of,
)
from search.rendering.table import Sheet, to_text
from search.rendering.votables import to_votable
from search.results import (
    Classification,
    Description,
    Estimates,
    Hit,
    OutlierReport,
    Page,
    Target,
)

Format = Literal["table", "json", "csv", "ecsv", "votable"]


def render(
    hits: Sequence[Hit],
    fmt: Format,
    *,
    truncated: bool = False,
    title: str = "",
    to: Target | None = None,
    cursor: str | None = None,
    off_topic: int = 0,
    console: Console | None = None,
) -> str:
    """Return answers as text in the format asked for.

    Parameters
    ----------
    hits : sequence of Hit
        Answers, best first.
    fmt : {"table", "json", "csv", "ecsv", "votable"}
        JSON is ``{"answers": [...], "cursor": ..., "off_topic": ...}``; the others are tables.
    truncated : bool
        Whether the limit cut the list off; said in ``table``, ``ecsv`` and ``votable``.
    title : str
        What was asked.
    to : {"detections", "papers"}, optional
        What the hits are; by default told from the first hit. Give it where there may be none.
    cursor : str, optional
        Where the next page begins.
    off_topic : int
        How many papers are left out as not about X-ray sources.
    console : rich.console.Console, optional
        Where ``table`` will be shown.

    Returns
    -------
    str
        Text that ends with a line break.
    """
    if fmt == "json":
        return _json(documents.of_page(Page(hits, cursor, off_topic)))
    kind = to or kind_of(hits)
    rows = [row_of(hit) for hit in hits]
    cut = truncated or cursor is not None
    remarks = {
        "title": title,
        **remarks_on(rows),
        "off_topic": remark_on_topic(off_topic),
        "overflow": f"cut off at {len(rows)} rows, more may match" if cut else "",
    }
    if fmt == "table":
        return terminal.show_hits(rows, kind, remarks, _console(console))
    return _written(Sheet(columns_of(hits, rows, kind), rows, remarks), fmt)


def render_estimates(
    estimates: Sequence[Estimates],
    fmt: Format,
    *,
    title: str = "",
    console: Console | None = None,
) -> str:
    """Return estimates: one row for each spectrum, on a terminal one table for each.

    The columns of a variable are its name, the ends of its 68% and 90% intervals
    (``_lo68``, ``_hi68``, ``_lo90``, ``_hi90``) and ``_stored``, the catalogue's value. JSON is a
    list, with one object for each spectrum.
    """
    if fmt == "json":
        return _json([documents.of_estimates(one) for one in estimates])
    if fmt == "table":
        tables = [terminal.show_estimates(one, _console(console)) for one in estimates]
        return "\n".join([title, *tables] if title else tables)
    return _written(sheets.of_estimates(estimates, title), fmt)


def render_classification(
    classification: Classification,
    fmt: Format,
    *,
    title: str = "",
    console: Console | None = None,
) -> str:
    """Return the probabilities of classes: one row for each, most general first."""
    if fmt == "json":
        return _json(documents.of_classification(classification))
    if fmt == "table":
        return terminal.show_classification(classification, title, _console(console))
    return _written(sheets.of_classification(classification, title), fmt)


def render_outliers(
    report: OutlierReport,
    fmt: Format,
    *,
    title: str = "",
    console: Console | None = None,
) -> str:
    """Return outliers: the columns of detections with rank, verdict, reasons and checks."""
    if fmt == "json":
        return _json(documents.of_outliers(report))
    if fmt == "table":
        return terminal.show_outliers(report, title, _console(console))
    return _written(sheets.of_outliers(report, title), fmt)


def render_description(
    description: Description,
    fmt: Format,
    *,
    title: str = "",
    console: Console | None = None,
) -> str:
    """Return a description: prose with its references, as a table one row for each statement."""
    if fmt == "json":
        return _json(documents.of_description(description))
    if fmt == "table":
        return terminal.show_description(description, _console(console))
    return _written(sheets.of_description(description, title), fmt)


def render_facets(
    facets: documents.Facets,
    fmt: Format,
    *,
    title: str = "",
    console: Console | None = None,
) -> str:
    """Return counts by value: one row for each field and value, most frequent first."""
    if fmt == "json":
        return _json({name: dict(counts) for name, counts in facets.items()})
    sheet = sheets.of_facets(facets, title)
    if fmt == "table":
        form = {"field": "{}", "value": "{}", "count": "{:,d}"}
        return terminal.show(form, sheet.rows, sheet.remarks, _console(console))
    return _written(sheet, fmt)


def _written(sheet: Sheet, fmt: Literal["csv", "ecsv", "votable"]) -> str:
    return to_votable(sheet) if fmt == "votable" else to_text(sheet, fmt)


def _json(document: Any) -> str:  # noqa: ANN401
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _console(console: Console | None) -> Console:
    return console or Console(highlight=False)
