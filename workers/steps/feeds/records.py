"""Detections and papers as the small JSON of the ledger, and back."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from common.records import Detection, Paper, Summary


def detection_record(detection: Detection) -> dict[str, Any]:
    """Return a detection as JSON, without what is unknown."""
    record = {name: value for name, value in asdict(detection).items() if _is_known(value)}
    if detection.observed_at:
        record["observed_at"] = detection.observed_at.isoformat()
    return record


def read_detection(record: Mapping[str, Any]) -> Detection:
    """Return the detection of a record."""
    fields = dict(record)
    if "observed_at" in fields:
        fields["observed_at"] = datetime.fromisoformat(fields["observed_at"])
    return Detection(**_with_tuples(fields))


def paper_record(paper: Paper) -> dict[str, Any]:
    """Return a paper as JSON, without what is unknown."""
    record = {name: value for name, value in asdict(paper).items() if _is_known(value)}
    return {"title": "", "abstract": "", **record}


def read_paper(record: Mapping[str, Any]) -> Paper:
    """Return the paper of a record."""
    fields = dict(record)
    if "summary" in fields:
        fields["summary"] = Summary(**fields["summary"])
    return Paper(**_with_tuples(fields))


def _with_tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }


def _is_known(value: object) -> bool:
    return value is not None and value is not False and value not in ((), {}, "")
