"""Answers as JSON documents: plain dictionaries and lists, every field always there."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from common.variables import BY_NAME
from search.results import (
    Classification,
    Description,
    Estimate,
    Estimates,
    Hit,
    Neighbour,
    Outlier,
    OutlierReport,
    Page,
)

Document = dict[str, Any]
Facets = Mapping[str, Mapping[str, int]]


def of_hit(hit: Hit) -> Document:
    """Return an answer."""
    return {
        "id": str(hit.id),
        "score": hit.score,
        "compared": hit.compared,
        "cosine": hit.cosine,
        "keyword_score": hit.keyword_score,
        "highlights": list(hit.highlights),
        "separation_arcsec": hit.separation_arcsec,
        "n_detections": hit.n_detections,
        "payload": dict(hit.payload),
    }


def of_page(page: Page) -> Document:
    """Return a page of answers."""
    return {
        "answers": [of_hit(hit) for hit in page.hits],
        "cursor": page.cursor,
        "off_topic": page.off_topic,
    }


def of_estimates(estimates: Estimates) -> Document:
    """Return the estimates of one spectrum, each with its unit and its neighbours."""
    return {
        "name": estimates.name,
        "estimates": {name: _estimate(one) for name, one in estimates.estimates.items()},
        "outside": estimates.outside,
        "nearness": estimates.nearness,
        "calibrated_on": estimates.calibrated_on,
        "notes": list(estimates.notes),
    }


def _estimate(estimate: Estimate) -> Document:
    return {
        "value": estimate.value,
        "unit": BY_NAME[estimate.variable].unit,
        "low_68": estimate.low_68,
        "high_68": estimate.high_68,
        "low_90": estimate.low_90,
        "high_90": estimate.high_90,
        "stored": estimate.stored,
        "calibrated_on": estimate.calibrated_on,
        "interval_simulated": estimate.interval_simulated,
        "representations": list(estimate.representations),
        "k": estimate.k,
        "weighting": estimate.weighting,
        "neighbours": [_neighbour(one) for one in estimate.neighbours],
    }


def _neighbour(neighbour: Neighbour) -> Document:
    return {
        "id": str(neighbour.id),
        "name": neighbour.name,
        "distance": neighbour.distance,
        "value": neighbour.value,
        "source_class": list(neighbour.source_class),
    }


def of_classification(classification: Classification) -> Document:
    """Return the probabilities of classes by level."""
    return {
        "name": classification.name,
        "levels": [
            [
                {"path": list(one.path), "probability": one.probability, "vote": one.vote}
                for one in level
            ]
            for level in classification.levels
        ],
        "neighbours": [_neighbour(one) for one in classification.neighbours],
        "stored": list(classification.stored),
        "outside": classification.outside,
        "calibrated_on": classification.calibrated_on,
        "notes": list(classification.notes),
    }


def of_outliers(report: OutlierReport) -> Document:
    """Return outliers, most anomalous first."""
    return {
        "outliers": [_outlier(one) for one in report.outliers],
        "n_scored": report.n_scored,
        "representation": report.representation,
        "notes": list(report.notes),
    }


def _outlier(outlier: Outlier) -> Document:
    return {
        "rank": outlier.rank,
        "rank_in_class": outlier.rank_in_class,
        "verdict": outlier.verdict,
        "deviations": [asdict(one) for one in outlier.deviations],
        "checks": [asdict(one) for one in outlier.checks],
        "hit": of_hit(outlier.hit),
    }


def of_description(description: Description) -> Document:
    """Return a description, its statements and its references."""
    return {
        "name": description.name,
        "text": description.text(),
        "statements": [
            {"text": one.text, "references": list(one.references)} for one in description.statements
        ],
        "references": [asdict(one) for one in description.references],
        "written_by": description.written_by,
        "notes": list(description.notes),
    }
