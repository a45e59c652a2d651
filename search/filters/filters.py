"""Restrictions of a search, as the command line, the HTTP API and Python take them."""

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from types import MappingProxyType
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    ValidationError,
    model_validator,
)
from qdrant_client import models

from common.errors import InvalidQueryError
from common.source_class import label_of
from common.variables import VARIABLE_NAMES
from search.collections.schema import DETECTIONS, PAPERS, TOPIC_PROBABILITY, fold_name
from search.filters.cone import Cone, with_exact_cones
from search.filters.where import PAYLOAD_KEYS, Kind, parse_where, unknown_field
from search.store.base import Store

Ordered = TypeVar("Ordered", date | None, int | None, float | None)

DETECTION_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        **dict.fromkeys(VARIABLE_NAMES, "number"),
        "counts": "number",
        "exposure_s": "number",
        "ra_deg": "number",
        "dec_deg": "number",
        "outlier_score": "number",
        "outlier_class_rank": "integer",
        "obsid": "integer",
        "obi": "integer",
        "region_id": "integer",
        "observed_year": "integer",
        "key": "text",
        "class_path": "text",
        "instrument": "text",
        "telescope": "text",
        "release": "text",
        "source_name": "text",
        "matched_by": "text",
        "bibcodes": "text",
        "observed_at": "date",
        "simulated": "flag",
        "has_spectrum": "flag",
        "class": "class",
        "position": "position",
    }
)
"""Fields of detections that a filter may use."""

PAPER_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "year": "integer",
        "bibcode": "text",
        "journal": "text",
        "author": "person",
        "source": "text",
        TOPIC_PROBABILITY: "number",
        "simulated": "flag",
        "class": "class",
    }
)
"""Fields of papers that a filter may use."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds characters that cannot be printed, leave them out")
    return text


def _as_cone(value: Any) -> Any:  # noqa: ANN401
    return Cone.parse(value) if isinstance(value, str) else value


_MOST = 1000  # names or numbers in one list

Name = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_printable)]
Names = Annotated[tuple[Name, ...], Field(max_length=_MOST)]
Number = Annotated[int, Field(ge=0, lt=2**53)]
Bounds = tuple[float | None, float | None]


class _Filter(BaseModel, ABC):
    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: Names = Field((), description="source classes, any of them or below them")
    exclude_classes: Names = Field((), description="no class that is or is below these")
    where: str | None = Field(None, description="expression, e.g. hard_hs > 0.3 and obsid = 1575")
    has: Names = Field((), description="fields that must have a value")
    lacks: Names = Field((), description="fields that must have no value")

    @model_validator(mode="wrap")
    @classmethod
    def _in_our_words(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401
        """Let what is no filter be one of our errors, wherever it comes from."""
        try:
            return handler(data)
        except ValidationError as exc:
            raise InvalidQueryError("; ".join(map(cls._say, exc.errors()))) from exc

    @classmethod
    def _say(cls, error: Any) -> str:  # noqa: ANN401
        name, *place = (str(part) for part in error["loc"]) if error["loc"] else ("the filter",)
        if error["type"] == "extra_forbidden":
            known = ", ".join(difflib.get_close_matches(name, cls.model_fields) or cls.model_fields)
            return f"a filter has no {name[:40]!r}; there are: {known}"
        inside = f" ({', '.join(place)})"[:80] if place else ""
        return f"{name}{inside}: {error['msg']}, not {str(error['input'])[:40]!r}"

    @abstractmethod
    def to_qdrant(self) -> models.Filter | None:
        """Return the equivalent Qdrant filter, None if nothing is restricted."""


class DetectionFilter(_Filter):
    """Restrict a search to some detections; unset fields do not restrict."""

    obsid: tuple[Number, ...] = Field((), max_length=_MOST, description="observations, any of them")
    instrument: Names = Field((), description="instruments, any of them")
    source_name: Names = Field((), description="names of sources, any of them")
    observed_from: date | None = Field(None, description="first day of observation, UTC")
    observed_to: date | None = Field(None, description="last day of observation, UTC")
    ranges: Mapping[str, Bounds] = Field(
        {}, description="lowest and highest value of fields, both allowed, either may be null"
    )
    cone: Annotated[Cone | None, BeforeValidator(_as_cone)] = Field(
        None, description="circle on the sky, e.g. 10.68 41.27 5arcmin"
    )

    def to_qdrant(self) -> models.Filter | None:
        """Return the equivalent Qdrant filter, None if nothing is restricted.

        A cone is the engine's own condition, which is not exact: `restriction` makes it so.

        Raises
        ------
        InvalidQueryError
            If a class or field is unknown, a range is empty, or ``where`` cannot be read.
        """
        return _all_of(
            _in_classes(self.classes),
            _not_in_classes(self.exclude_classes),
            _any_of("obsid", self.obsid),
            _any_of("instrument", self.instrument),
            _any_of("source_name", self.source_name),
            _between_days("observed_at", self.observed_from, self.observed_to),
            *_ranges(self.ranges, DETECTION_KINDS),
            *_presence(self.has, self.lacks, DETECTION_KINDS),
            self.cone.to_condition() if self.cone else None,
            _where(self.where, DETECTION_KINDS),
        )


class PaperFilter(_Filter):
    """Restrict a search to some papers; unset fields do not restrict."""

    year_from: int | None = Field(None, ge=0, le=9999, description="first year of publication")
    year_to: int | None = Field(None, ge=0, le=9999, description="last year of publication")
    author: Names = Field((), description="authors, any of them: surname, or 'surname, initials'")
    source: Names = Field((), description="names of sources that a paper is about, any of them")
    bibcode: Names = Field((), description="bibcodes, former ones too, any of them")
    min_topic: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="lowest probability of being about X-ray sources; papers without one pass",
    )
    any_topic: bool = Field(
        False,
        description="papers about anything, where by default those about X-ray sources are asked "
        "for",
    )

    def to_qdrant(self) -> models.Filter | None:
        """Return the equivalent Qdrant filter, None if nothing is restricted.

        Raises
        ------
        InvalidQueryError
            If a class or field is unknown, ``where`` cannot be read, or topics contradict.
        """
        return _all_of(
            _in_classes(self.classes),
            _not_in_classes(self.exclude_classes),
            _between_years(self.year_from, self.year_to),
            _any_of("author_names", [fold_name(name) for name in self.author]),
            _any_of("source_names", self.source),
            _called(self.bibcode),
            _on_topic(self.min_topic, self.any_topic),
            *_presence(self.has, self.lacks, PAPER_KINDS),
            _where(self.where, PAPER_KINDS),
        )


def read_ranges(texts: tuple[str, ...]) -> dict[str, Bounds]:
    """Read ``field:low:high``."""
    ranges: dict[str, Bounds] = {}
    for text in texts:
        field, *ends = (part.strip() for part in text.split(":"))
        try:
            low, high = (float(end) if end else None for end in ends)
        except ValueError as exc:
            raise InvalidQueryError(
                f"range {text[:60]!r} cannot be read: write field:low:high, such as "
                "hard_hs:0.3:0.8, and leave an end out where there is none, as in hard_hs:0.3:"
            ) from exc
        if field in ranges:
            raise InvalidQueryError(f"range names {field[:60]!r} twice: give one range of it")
        ranges[field] = (low, high)
    return ranges


def restriction(
    query_filter: DetectionFilter | PaperFilter | None, store: Store
) -> models.Filter | None:
    """Return what to pass to the store, None if nothing is restricted; cones are exact in it.

    Raises
    ------
    InvalidQueryError
        As `DetectionFilter.to_qdrant`.
    """
    if query_filter is None:
        return None
    collection = DETECTIONS if isinstance(query_filter, DetectionFilter) else PAPERS
    return with_exact_cones(query_filter.to_qdrant(), store, collection)


def explain(query_filter: DetectionFilter | PaperFilter | None, store: Store) -> dict[str, Any]:
    """Return how a filter is understood, as JSON.

    ``asked`` are the restrictions as given, ``where`` is the filter that the expression stands
    for, ``filter`` is the whole with cones as circles, ``engine_filter`` is what the engine gets.
    """
    if query_filter is None:
        return {"asked": {}, "where": None, "filter": None, "engine_filter": None}
    kinds = DETECTION_KINDS if isinstance(query_filter, DetectionFilter) else PAPER_KINDS
    return {
        "asked": query_filter.model_dump(mode="json", exclude_defaults=True),
        "where": _as_json(_where(query_filter.where, kinds)),
        "filter": _as_json(query_filter.to_qdrant()),
        "engine_filter": _as_json(restriction(query_filter, store)),
    }


def _as_json(condition: models.Filter | None) -> dict[str, Any] | None:
    return None if condition is None else condition.model_dump(mode="json", exclude_none=True)


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


def _called(bibcodes: Sequence[str]) -> models.Filter | None:
    names = [_any_of(key, bibcodes) for key in ("bibcode", "alternate_bibcodes")]
    return models.Filter(should=[name for name in names if name]) if bibcodes else None


def _on_topic(least: float | None, any_topic: bool) -> models.Filter | None:
    """Leave out what is known to be less probable, so that what has no value yet stays."""
    if any_topic and least is not None:
        raise InvalidQueryError("min_topic: any topic is asked for as well, give one of the two")
    if not least:
        return None
    below = models.FieldCondition(key=TOPIC_PROBABILITY, range=models.Range(lt=least))
    return models.Filter(must_not=[below])


def _ranges(ranges: Mapping[str, Bounds], kinds: Mapping[str, Kind]) -> list[models.Condition]:
    return [_range(field, *bounds, kinds) for field, bounds in ranges.items()]


def _range(
    field: str, low: float | None, high: float | None, kinds: Mapping[str, Kind]
) -> models.FieldCondition:
    ordered = {name: kind for name, kind in kinds.items() if kind in ("number", "integer")}
    if field not in ordered:
        if field in kinds:
            raise InvalidQueryError(
                f"ranges: {field} does not hold numbers, give it in where, or one of "
                f"{', '.join(ordered)}"
            )
        raise InvalidQueryError(f"ranges: {unknown_field(field, ordered)}")
    if low is None and high is None:
        raise InvalidQueryError(
            f"ranges: {field} has neither a low nor a high end: give one, or use has"
        )
    for end in (low, high):
        if end is not None and not math.isfinite(end):
            raise InvalidQueryError(
                f"ranges: an end of {field} is {end}: give a finite number, or null for no end"
            )
    _require_order(f"ranges: the low end of {field},", low, "its high end,", high)
    return models.FieldCondition(key=field, range=models.Range(gte=low, lte=high))


def _presence(
    has: Sequence[str], lacks: Sequence[str], kinds: Mapping[str, Kind]
) -> list[models.Condition]:
    for name, fields in (("has", has), ("lacks", lacks)):
        for field in fields:
            if field not in kinds:
                raise InvalidQueryError(f"{name}: {unknown_field(field, kinds)}")
    if both := set(has) & set(lacks):
        raise InvalidQueryError(
            f"has and lacks both name {', '.join(sorted(both))}, which nothing fits: drop one"
        )
    present: list[models.Condition] = [
        models.Filter(must_not=[_is_empty(field)]) for field in dict.fromkeys(has)
    ]
    return present + [_is_empty(field) for field in dict.fromkeys(lacks)]


def _is_empty(field: str) -> models.IsEmptyCondition:
    key = PAYLOAD_KEYS.get(field, field)
    return models.IsEmptyCondition(is_empty=models.PayloadField(key=key))


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


def _require_order(from_name: str, first: Ordered, to_name: str, last: Ordered) -> None:
    """Refuse an empty range, which would silently answer nothing."""
    if first is not None and last is not None and first > last:
        raise InvalidQueryError(f"{from_name} {first} is beyond {to_name} {last}: exchange the two")


def _where(expression: str | None, kinds: Mapping[str, Kind]) -> models.Filter | None:
    return None if expression is None else parse_where(expression, kinds)
