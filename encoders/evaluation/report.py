"""One HTML page with every table and figure of an evaluation, and the same as files beside it."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from common.errors import InputError, UnavailableError
from common.representations import REPRESENTATIONS, Representations
from encoders.evaluation.figures import LABELS, draw, label_of
from encoders.evaluation.palette import INK
from encoders.evaluation.reconstructions import Reconstructions
from encoders.evaluation.result import (
    ClassificationResult,
    DimensionCorrelations,
    Evaluation,
    Interval,
    Rule,
)
from encoders.retrieval import Retrieval

if TYPE_CHECKING:
    from markupsafe import Markup

PAGE: Final = "report.html"
DOCUMENT: Final = "evaluation.json"
FIGURES: Final = "figures"

_STRONGEST = 3  # dimensions listed for each variable


def check_report_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but an earlier report, before any work is done.

    Raises
    ------
    InputError
        If writing a report there could replace or hide something else.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file: give another folder to --report")
    ours = {PAGE, DOCUMENT, FIGURES}
    others = sorted({path.name for path in folder.iterdir()} - ours)
    figures = folder / FIGURES
    if not others and figures.exists():
        inside = figures.iterdir() if figures.is_dir() else [figures]
        others = sorted(f"{FIGURES}/{path.name}" for path in inside if path.suffix != ".svg")
    if others:
        raise InputError(
            f"{folder} holds {', '.join(others[:3])}, which is no part of a report: "
            "give a new folder to --report"
        )


def write_report(
    evaluation: Evaluation,
    representations: Representations,
    folder: Path,
    reconstructions: Reconstructions | None = None,
    made: datetime | None = None,
) -> Path:
    """Write ``report.html``, ``evaluation.json`` and ``figures/*.svg`` into a folder.

    Parameters
    ----------
    evaluation : Evaluation
        What was found.
    representations : Representations
        The vectors it was found on: maps are coloured by their variables and classes.
    folder : Path
        Where to write; created, and an earlier report in it is replaced.
    reconstructions : Reconstructions or None
        Spectra with their reconstruction, where there is an autoencoder to ask.
    made : datetime or None
        Date of the report, by default now.

    Returns
    -------
    Path
        The page, which needs no other file.

    Raises
    ------
    InputError
        If the folder holds anything but an earlier report.
    UnavailableError
        If it cannot be written.
    """
    check_report_folder(folder)
    drawn = draw(evaluation, representations, reconstructions)
    page = render(evaluation, drawn, made or datetime.now(UTC))
    document = json.dumps(evaluation.to_dict(), indent=2, allow_nan=False) + "\n"
    try:
        figures = folder / FIGURES
        figures.mkdir(parents=True, exist_ok=True)
        for old in figures.glob("*.svg"):
            old.unlink()
        for name, svg in drawn.items():
            (figures / f"{name}.svg").write_text(svg, encoding="utf-8")
        (folder / DOCUMENT).write_text(document, encoding="utf-8")
        (folder / PAGE).write_text(page, encoding="utf-8")
    except OSError as exc:
        raise UnavailableError(
            f"the report cannot be written to {folder} ({exc.strerror}): make room, or give "
            "another folder"
        ) from exc
    return folder / PAGE


def render(evaluation: Evaluation, figures: Mapping[str, str], made: datetime) -> str:
    """Return the page; figures are SVG documents by name."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": number, "percent": _percent, "range": _range, "rule": _rule,
        "label": lambda name: LABELS.get(name, name), "unit": label_of,
    }  # fmt: skip
    environment.tests["losing"] = lambda result: result.worse_than_best_single
    template = files("encoders.evaluation").joinpath("report.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        evaluation=evaluation,
        figures={name: _inline(svg) for name, svg in figures.items()},
        made=made,
        retrieval=_retrieval_rows(evaluation),
        columns=[name for name in REPRESENTATIONS if name in evaluation.mean_ratio],
        strongest={one.representation: _strongest(one) for one in evaluation.dimensions},
        opened=_without_texts(evaluation.classification),
    )


def number(value: float, digits: int = 3) -> str:
    """Return a few significant digits, without an exponent where it is readable."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.{digits}g}"


def _retrieval_rows(evaluation: Evaluation) -> list[tuple[str, str, list[tuple[str, Retrieval]]]]:
    """Return the parts of both directions: title, what the parts are, rows."""
    directions = {
        "spectrum → text": evaluation.spectrum_to_text,
        "text → spectrum": evaluation.text_to_spectrum,
    }
    given = {title: result for title, result in directions.items() if result}
    return [
        *(
            (title, "class of the query", sorted(result.by_class.items()))
            for title, result in given.items()
            if result.by_class
        ),
        *(
            (
                title,
                "counts of the query",
                [(f"{low:,.0f}-{high:,.0f}", part) for low, high, part in result.by_counts],
            )
            for title, result in given.items()
            if result.by_counts
        ),
    ]


def _without_texts(votes: Sequence[ClassificationResult]) -> str | None:
    """Return the best vote by spectra alone: a text may simply name the class."""
    alone = [one for one in votes if one.representation in ("spectrum", "shared_spectrum")]
    best = max(alone, key=lambda one: one.balanced_accuracy.value, default=None)
    return best.representation if best else None


def _strongest(result: DimensionCorrelations) -> dict[str, list[tuple[int, float]]]:
    """Return for each variable the dimensions that follow it most closely, with the correlation."""
    found: dict[str, list[tuple[int, float]]] = {}
    for column, name in enumerate(result.variables):
        values = result.correlation[:, column]
        order = np.argsort(-np.nan_to_num(np.abs(values)), kind="stable")[:_STRONGEST]
        if np.isfinite(values).any():
            found[name] = [(int(d), float(values[d])) for d in order if np.isfinite(values[d])]
    return found


def _inline(svg: str) -> "Markup":
    """Return an SVG document as a part of a page, its ink that of the text around it."""
    from markupsafe import Markup

    element = svg[svg.index("<svg") :].replace(INK, "currentColor")
    element = re.sub(r'<g id="[^"]*"', "<g", element)  # ids of groups repeat from figure to figure
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    # Drawn by us from numbers and names that matplotlib has escaped.
    return Markup(element)


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}%"


def _range(interval: Interval) -> str:
    return f"68% interval {number(interval.low)} to {number(interval.high)}"


def _rule(rule: Rule) -> str:
    names = " + ".join(LABELS.get(name, name) for name in rule.representations)
    return f"{names}; {rule.average} of {rule.k}"
