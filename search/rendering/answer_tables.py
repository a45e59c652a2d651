"""Estimates, classes, outliers, descriptions and facets as tables."""

from collections.abc import Iterator, Sequence
from typing import Any

from common.variables import BY_NAME
from search.rendering.columns import bound, columns_of, remarks_on, row_of
from search.rendering.json_documents import Facets
from search.rendering.table import Column, Sheet
from search.results import (
    Classification,
    Description,
    Deviation,
    Estimate,
    Estimates,
    Outlier,
    OutlierReport,
)

OUTSIDE = "outside what the store knows: do not trust intervals and probabilities"
UNCALIBRATED = "no calibration: there are no intervals, probabilities are shares of the vote"

_NAME = Column("name", str, "meta.id;meta.main", "the spectrum asked about")
_OUTSIDE = Column("outside", bool, "meta.code.qual", f"true: {OUTSIDE}")
_NEARNESS = Column(
    "nearness",
    float,
    "stat.value",
    "fraction of calibration detections that lie farther from their neighbours",
)
_RANK = (
    Column("rank", int, "meta.number", "rank over all, 1 is the most anomalous"),
    Column("rank_in_class", int, "meta.number", "rank within the most special class"),
    Column("verdict", str, "meta.note", "likely artefact, likely object, or undecided"),
    Column("reasons", str, "meta.note", "variables in which it differs from its neighbours"),
    Column("checks", str, "meta.note", "physics checks and what they found"),
)
_ENDS = (
    ("_lo68", "low_68", "min", "lower end of the 68% prediction interval of {}"),
    ("_hi68", "high_68", "max", "upper end of the 68% prediction interval of {}"),
    ("_lo90", "low_90", "min", "lower end of the 90% prediction interval of {}"),
    ("_hi90", "high_90", "max", "upper end of the 90% prediction interval of {}"),
)


def of_estimates(estimates: Sequence[Estimates], title: str = "") -> Sheet:
    """Return one wide row for each spectrum."""
    columns = [_NAME, _OUTSIDE, _NEARNESS]
    for name in dict.fromkeys(name for one in estimates for name in one.estimates):
        columns += _estimate_columns(name)
    rows = [
        {
            "name": one.name,
            "outside": one.outside,
            "nearness": one.nearness,
            **{k: v for each in one.estimates.values() for k, v in _estimate_cells(each)},
        }
        for one in estimates
    ]
    n_outside = sum(one.outside for one in estimates)
    calibrated = "; ".join(dict.fromkeys(one.calibrated_on or UNCALIBRATED for one in estimates))
    remarks = {
        "title": title,
        "outside": f"{n_outside} of {len(rows)} rows: {OUTSIDE}" if n_outside else "",
        "calibration": calibrated,
        "notes": "; ".join(dict.fromkeys(note for one in estimates for note in one.notes)),
    }
    return Sheet(columns, rows, remarks)


def _estimate_columns(name: str) -> Iterator[Column]:
    variable = BY_NAME[name]
    yield Column(name, float, variable.ucd, f"estimate: {variable.description}", variable.unit)
    for suffix, _, end, description in _ENDS:
        yield bound(f"{name}{suffix}", name, end, description.format(name))
    stored = f"value of {name} in the catalogue, which took no part"
    yield Column(f"{name}_stored", float, variable.ucd, stored, variable.unit)


def _estimate_cells(estimate: Estimate) -> Iterator[tuple[str, float | None]]:
    yield estimate.variable, estimate.value
    for suffix, field, *_ in _ENDS:
        yield f"{estimate.variable}{suffix}", getattr(estimate, field)
    yield f"{estimate.variable}_stored", estimate.stored


def of_classification(classification: Classification, title: str = "") -> Sheet:
    """Return one row for each class, most general first."""
    columns = [
        Column("name", str, "meta.id", "the spectrum asked about"),
        Column("level", int, "meta.number", "depth in the path of classes, from 1"),
        Column("class", str, "src.class;meta.main", "source class after SIMBAD"),
        Column("class_path", str, "src.class", "source class with its ancestors, widest first"),
        Column("probability", float, "stat.probability", "of this class or one below it"),
        Column("vote", float, "stat.weight", "weighted share of neighbours before calibration"),
        _OUTSIDE,
    ]
    rows = [
        {
            "name": classification.name,
            "level": depth,
            "class": one.path[-1],
            "class_path": " > ".join(one.path),
            "probability": one.probability,
            "vote": one.vote,
            "outside": classification.outside,
        }
        for depth, level in enumerate(classification.levels, start=1)
        for one in level
    ]
    return Sheet(columns, rows, {"title": title, **classification_remarks(classification)})


def classification_remarks(classification: Classification) -> dict[str, str]:
    """Return what a reader should know about a vote."""
    calibrated = classification.calibrated_on
    return {
        "stored": " > ".join(classification.stored),
        "outside": OUTSIDE if classification.outside else "",
        "calibration": f"probabilities: {calibrated}" if calibrated else UNCALIBRATED,
        "notes": "; ".join(classification.notes),
    }


def of_outliers(report: OutlierReport, title: str = "") -> Sheet:
    """Return one row for each outlier: rank and reasons, then the columns of a detection."""
    hits = [one.hit for one in report.outliers]
    rows = [outlier_row(one) for one in report.outliers]
    id_column, score, *others = columns_of(hits, rows, "detections")
    anomaly = Column("score", float, score.ucd, "anomaly score, 1 is the most anomalous")
    columns = [id_column, *_RANK, anomaly, *others]
    return Sheet(columns, rows, {"title": title, **report_remarks(report, rows)})


def outlier_row(outlier: Outlier) -> dict[str, Any]:
    """Return an outlier under the names of its columns."""
    return row_of(outlier.hit) | {
        "rank": outlier.rank,
        "rank_in_class": outlier.rank_in_class,
        "verdict": outlier.verdict,
        "reasons": [_reason(one) for one in outlier.deviations],
        "checks": [f"{one.name} {_OUTCOME[one.passed]}: {one.detail}" for one in outlier.checks],
    }


_OUTCOME = {True: "passed", False: "failed", None: "not known"}


def _reason(deviation: Deviation) -> str:
    unit = BY_NAME[deviation.variable].unit if deviation.variable in BY_NAME else ""
    return (
        f"{deviation.variable} {deviation.value:.3g}{f' {unit}' if unit else ''}, neighbours "
        f"{deviation.neighbours_median:.3g} ({deviation.deviation:+.1f} sigma)"
    )


def report_remarks(report: OutlierReport, rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return what a reader should know about a list of outliers."""
    return {
        **remarks_on(rows),
        "scored": f"{report.n_scored} detections scored by their vectors `{report.representation}`",
        "notes": "; ".join(report.notes),
    }


def of_description(description: Description, title: str = "") -> Sheet:
    """Return one row for each statement, with the evidence behind it."""
    by_label = {one.label: one for one in description.references}
    columns = [
        Column("number", int, "meta.number", "place of the statement"),
        Column("statement", str, "meta.note;meta.main", "what is said"),
        Column("references", str, "meta.ref", "labels of the evidence"),
        Column("evidence", str, "meta.note", "what the evidence says"),
        Column("identifiers", str, "meta.id", "detections and papers behind the statement"),
    ]
    rows = []
    for number, statement in enumerate(description.statements, start=1):
        behind = [by_label[label] for label in statement.references if label in by_label]
        rows.append(
            {
                "number": number,
                "statement": statement.text,
                "references": " ".join(statement.references),
                "evidence": [f"{one.label} {one.text}" for one in behind],
                "identifiers": [one.identifier for one in behind if one.identifier],
            }
        )
    remarks = {
        "title": title or description.name,
        "written_by": description.written_by,
        "notes": "; ".join(description.notes),
    }
    return Sheet(columns, rows, remarks)


def of_facets(facets: Facets, title: str = "") -> Sheet:
    """Return one row for each field and value, most frequent first."""
    columns = [
        Column("field", str, "meta.code", "what is counted"),
        Column("value", str, "meta.code", "one of its values"),
        Column("count", int, "meta.number", "how many detections or papers have it"),
    ]
    rows = [
        {"field": field, "value": str(value), "count": count}
        for field, counts in facets.items()
        for value, count in counts.items()
    ]
    return Sheet(columns, rows, {"title": title})
