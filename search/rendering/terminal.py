"""Tables for people, as wide as their terminal."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.variables import BY_NAME
from search.collections.schema import TOPIC_PROBABILITY
from search.rendering import answer_tables as sheets
from search.rendering.table import clean
from search.results import (
    Classification,
    ClassProbability,
    Description,
    Estimate,
    Estimates,
    OutlierReport,
    Target,
)

Form = Mapping[str, str]
"""Columns, and how their values are written; ``{}`` is text, everything else stands right."""

REASONS_SHOWN = 3
MOST_DECIMALS = 5

_INDENT = "· "
_OCCASIONAL = ("score", "keyword_score", "separation_arcsec", "n_detections", TOPIC_PROBABILITY)
_HEADS = {
    "keyword_score": "BM25",
    "separation_arcsec": "arcsec",
    "n_detections": "n",
    TOPIC_PROBABILITY: "topic",
}
_SIMILAR = {
    "score": "{:.3f}",
    "cosine": "{:.3f}",
    "keyword_score": "{:.1f}",
    "separation_arcsec": "{:.2f}",
}
_SHOWN: dict[Target, Form] = {
    "detections": {
        **_SIMILAR,
        "source": "{}",
        "class": "{}",
        "instrument": "{}",
        "obsid": "{:d}",
        "n_detections": "{:d}",
        "counts": "{:.0f}",
        "hard_hs": "{:+.2f}",
    },
    "papers": {
        **_SIMILAR,
        TOPIC_PROBABILITY: "{:.2f}",
        "bibcode": "{}",
        "year": "{:d}",
        "title": "{}",
    },
}
_OUTLIERS = {
    "rank": "{:d}",
    "score": "{:.3f}",
    "source": "{}",
    "class": "{}",
    "counts": "{:.0f}",
    "verdict": "{}",
    "reasons": "{}",
}


def show_hits(
    rows: Sequence[Mapping[str, Any]], to: Target, remarks: Mapping[str, str], console: Console
) -> str:
    """Return answers as a table."""
    form = dict(_SHOWN[to])
    for name in _OCCASIONAL:
        if all(row.get(name) is None for row in rows) and (name != "score" or rows):
            form.pop(name, None)
    if all(row.get("cosine") in (None, row.get("score")) for row in rows):
        form.pop("cosine", None)
    return _show_records(form, rows, remarks, console)


def show_outliers(report: OutlierReport, title: str, console: Console) -> str:
    """Return outliers as a table: what makes each special, and whether that is likely real."""
    rows = [sheets.outlier_row(one) for one in report.outliers]
    for row, one in zip(rows, report.outliers, strict=True):
        failed = [f"{check.name}: {check.detail}" for check in one.checks if check.passed is False]
        row["verdict"] = " — ".join([one.verdict, *failed])
    remarks = {"title": title, **sheets.report_remarks(report, rows)}
    return _show_records(_OUTLIERS, rows, remarks, console)


def _show_records(
    form: Form,
    rows: Sequence[Mapping[str, Any]],
    remarks: Mapping[str, str],
    console: Console,
) -> str:
    form = dict(form)
    if remarks.get("simulated"):
        form["sim."] = "{}"
    cells = (
        {
            **row,
            "source": row.get("source_name") or row.get("key"),
            "title": _with_highlight(row),
            "reasons": "; ".join(row.get("reasons", ())[:REASONS_SHOWN]),
            "sim.": "yes" if row.get("simulated") else None,
        }
        for row in rows
    )
    return show(form, cells, remarks, console)


def show_estimates(estimates: Estimates, console: Console) -> str:
    """Return the estimates of a spectrum: value, 68% interval, unit, and the catalogue's value."""
    rows = []
    for name, one in estimates.estimates.items():
        digits = _decimals(one)
        rows.append(
            {
                "variable": name,
                "estimate": _number(one.value, digits),
                "68% interval": _interval(one.low_68, one.high_68, digits),
                "unit": BY_NAME[name].unit,
                "catalogue": _number(one.stored, digits),
                "interval by": "simulations" if one.interval_simulated else None,
            }
        )
    form = {
        "variable": "{}",
        "estimate": "{:>s}",
        "68% interval": "{:>s}",
        "unit": "{}",
        "catalogue": "{:>s}",
        "interval by": "{}",
    }
    if all(one.stored is None for one in estimates.estimates.values()):
        form.pop("catalogue")
    if not {True, False} <= {one.interval_simulated for one in estimates.estimates.values()}:
        form.pop("interval by")  # one thing is true of all, and said below
    remarks = {
        "title": estimates.name,
        "outside": sheets.OUTSIDE if estimates.outside else "",
        "calibration": f"intervals: {estimates.calibrated_on}"
        if estimates.calibrated_on
        else sheets.UNCALIBRATED,
        "notes": "; ".join(estimates.notes),
    }
    return show(form, rows, remarks, console)


def _decimals(estimate: Estimate) -> int:
    """Return the decimals that the width of the interval justifies: two digits of it."""
    if estimate.low_68 is None or estimate.high_68 is None:
        size = abs(estimate.value or 0) / 10
    else:
        size = (estimate.high_68 - estimate.low_68) / 2
    return min(max(1 - math.floor(math.log10(size)), 0), MOST_DECIMALS) if size > 0 else 2


def _number(value: float | None, decimals: int) -> str | None:
    return None if value is None else f"{value:.{decimals}f}"


def _interval(low: float | None, high: float | None, decimals: int) -> str | None:
    return None if low is None or high is None else f"{low:.{decimals}f} … {high:.{decimals}f}"


def show_classification(classification: Classification, title: str, console: Console) -> str:
    """Return the probabilities of classes, each level of the path further to the right."""
    rows = [
        {
            "class": f"{_INDENT * depth}{one.path[-1]}",
            "probability": one.probability,
            "vote": one.vote,
        }
        for depth, one in _as_tree(classification)
    ]
    form = {"class": "{}", "probability": "{:.0%}", "vote": "{:.0%}"}
    if classification.calibrated_on is None:
        form.pop("probability")
    said = sheets.classification_remarks(classification)
    stored = f"in the catalogue: {said['stored']}" if said["stored"] else ""
    remarks = {"title": title or classification.name, **said, "stored": stored}
    return show(form, rows, remarks, console)


def _as_tree(classification: Classification) -> Iterator[tuple[int, ClassProbability]]:
    """Yield every class behind its parent, the most probable first among siblings."""

    def below(parent: tuple[str, ...], depth: int) -> Iterator[tuple[int, ClassProbability]]:
        if depth < len(classification.levels):
            for one in classification.levels[depth]:
                if one.path[:depth] == parent:
                    yield depth, one
                    yield from below(one.path, depth + 1)

    yield from below((), 0)


def show_description(description: Description, console: Console) -> str:
    """Return a description as prose with its references below."""
    said = (" ".join([one.text, *one.references]) for one in description.statements)
    notes = [f"written by {description.written_by}", *description.notes]
    references = [
        f"{one.label} {one.text}{f' ({one.identifier})' if one.identifier else ''}"
        for one in description.references
    ]
    with console.capture() as capture:
        console.print(Text(clean(description.name), style="bold"))
        console.print(Text(clean(" ".join(said))))
        console.print()
        for line in (*references, "; ".join(notes)):
            console.print(Text(clean(line)))
    return capture.get()


def _with_highlight(row: Mapping[str, Any]) -> str | None:
    highlights = row.get("highlights")
    return f"{row.get('title')} — “{highlights[0]}”" if highlights else row.get("title")


def show(
    form: Form, rows: Iterable[Mapping[str, Any]], remarks: Mapping[str, str], console: Console
) -> str:
    """Return rows as a table under the remark ``title`` and above the others."""
    remarks = dict(remarks)
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for name, how in form.items():
        table.add_column(
            _HEADS.get(name, name), justify="left" if how == "{}" else "right", overflow="fold"
        )
    for row in rows:
        table.add_row(
            *(
                Text("" if row.get(name) is None else clean(how.format(row[name])))
                for name, how in form.items()
            )
        )
    title, *notes = (clean(text) for text in (remarks.pop("title", ""), *remarks.values()))
    with console.capture() as capture:
        if title:
            console.print(Text(title, style="bold"))
        console.print(table)
        for note in filter(None, notes):
            console.print(Text(note))
    return capture.get()
