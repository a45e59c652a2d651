"""Restrictions of a search, as the command line and the HTTP API take them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from types import MappingProxyType
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field
from qdrant_client import models

from common.errors import InvalidQueryError
from common.source_class import label_of
from common.variables import VARIABLE_NAMES
from search.where import Kind, parse_where

Day = TypeVar("Day", date | None, int | None)

DETECTION_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        **dict.fromkeys(VARIABLE_NAMES, "number"),
        "counts": "number",
        "exposure_s": "number",
        "ra_deg": "number",
        "dec_deg": "number",
        "obsid": "integer",
        "obi": "integer",
        "region_id": "integer",
        "key": "text",
        "class_path": "text",
        "instrument": "text",
        "telescope": "text",
        "release": "text",
        "source_name": "text",
        "matched_by": "text",
        "observed_at": "date",
        "simulated": "flag",
        "has_spectrum": "flag",
    }
)
"""Fields of detections that a ``where`` may use."""

PAPER_KINDS: Mapping[str, Kind] = MappingProxyType(
    {"year": "integer", "bibcode": "text", "journal": "text", "simulated": "flag"}
)
"""Fields of papers that a ``where`` may use."""


class _Filter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DetectionFilter(_Filter):
    """Restrict a search to some detections; unset fields do not restrict."""

    classes: tuple[str, ...] = Field((), description="source classes, any of them or below them")
    exclude_classes: tuple[str, ...] = Field((), description="no class that is or is below these")
    where: str | None = Field(None, description="expression, e.g. hard_hs > 0.3 and obsid = 1575")
    obsid: tuple[int, ...] = Field((), description="observations, any of them")
    instrument: tuple[str, ...] = Field((), description="instruments, any of them")
    observed_from: date | None = Field(None, description="first day of observation, UTC")
    observed_to: date | None = Field(None, description="last day of observation, UTC")

    def to_qdrant(self) -> models.Filter | None:
        """Return the equivalent Qdrant filter, None if nothing is restricted.

        Raises
        ------
        InvalidQueryError
            If a class is unknown or ``where`` cannot be read.
        """
        return _all_of(
            _in_classes(self.classes),
            _not_in_classes(self.exclude_classes),
            _any_of("obsid", self.obsid),
            _any_of("instrument", self.instrument),
            _between_days("observed_at", self.observed_from, self.observed_to),
            _where(self.where, DETECTION_KINDS),
        )


class PaperFilter(_Filter):
    """Restrict a search to some papers; unset fields do not restrict."""

    classes: tuple[str, ...] = Field((), description="source classes, any of them or below them")
    where: str | None = Field(None, description="expression, e.g. year >= 2010")
    year_from: int | None = Field(None, ge=0, le=9999, description="first year of publication")
    year_to: int | None = Field(None, ge=0, le=9999, description="last year of publication")

    def to_qdrant(self) -> models.Filter | None:
        """Return the equivalent Qdrant filter, None if nothing is restricted.

        Raises
        ------
        InvalidQueryError
            If a class is unknown or ``where`` cannot be read.
        """
        return _all_of(
            _in_classes(self.classes),
            _between_years(self.year_from, self.year_to),
            _where(self.where, PAPER_KINDS),
        )


def _all_of(*conditions: models.Condition | None) -> models.Filter | None:
    given = [condition for condition in conditions if condition is not None]
    return models.Filter(must=given) if given else None


def _any_of(key: str, values: Sequence[str] | Sequence[int]) -> models.FieldCondition | None:
    if not values:
        return None
    return models.FieldCondition(key=key, match=models.MatchAny(any=[*values]))


def _in_classes(names: Sequence[str]) -> models.FieldCondition | None:
    """Match the class's own label: stored paths hold all ancestors, so descendants match too."""
    return _any_of("class_path", [label_of(name) for name in names])


def _not_in_classes(names: Sequence[str]) -> models.Filter | None:
    condition = _in_classes(names)
    return None if condition is None else models.Filter(must_not=[condition])


def _between_years(first: int | None, last: int | None) -> models.FieldCondition | None:
    if first is None and last is None:
        return None
    _require_order("year_from", first, "year_to", last)
    return models.FieldCondition(key="year", range=models.Range(gte=first, lte=last))


def _between_days(key: str, first: date | None, last: date | None) -> models.FieldCondition | None:
    """Match moments from the start of the first day to the end of the last one, in UTC."""
    if first is None and last is None:
        return None
    _require_order("observed_from", first, "observed_to", last)
    return models.FieldCondition(
        key=key,
        range=models.DatetimeRange(
            gte=first and datetime.combine(first, time.min, UTC),
            lte=last and datetime.combine(last, time.max, UTC),
        ),
    )


def _require_order(from_name: str, first: Day, to_name: str, last: Day) -> None:
    """Refuse an empty range, which would silently answer nothing."""
    if first is not None and last is not None and first > last:
        raise InvalidQueryError(
            f"{from_name} {first} is later than {to_name} {last}: exchange the two"
        )


def _where(expression: str | None, kinds: Mapping[str, Kind]) -> models.Filter | None:
    return None if expression is None else parse_where(expression, kinds)
