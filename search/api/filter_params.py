"""The fields of the filters as parameters, each spelled once: where the filter is."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    create_model,
    field_validator,
)
from qdrant_client import models

from common.errors import InvalidQueryError
from search.filters.filters import DetectionFilter, PaperFilter, read_ranges
from search.results import Target

Filter = DetectionFilter | PaperFilter
FilterT = TypeVar("FilterT", DetectionFilter, PaperFilter)
ModelT = TypeVar("ModelT", bound="FilterParams")

MAX_CONES = 10

Text = Annotated[str, Field(max_length=500)]

FILTERS: Mapping[Target, type[Filter]] = {"detections": DetectionFilter, "papers": PaperFilter}
SPELLED = {"classes": "class", "exclude_classes": "exclude_class", "ranges": "range"}
"""Parameters that are called otherwise than the field of the filter."""
AS_TEXT: Mapping[str, tuple[Any, Any, str, Any]] = {
    "ranges": (
        tuple[Text, ...],
        (),
        "ranges `field:low:high`, ends included, either may be left out; all of them",
        [["hard_hs:0.3:"]],
    ),
    "cone": (
        Text | None,
        None,
        "circle on the sky: RA and Dec in degrees (ICRS), radius with its unit",
        ["10.68 41.27 5arcmin"],
    ),
}
"""Fields that are texts in a question: annotation, default, description, examples."""


class FilterParams(BaseModel):
    """A question with fields of a filter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    narrowing: ClassVar[frozenset[str]] = frozenset()
    """Fields that are those of a filter."""

    @field_validator("*", mode="before")
    @classmethod
    def _usable(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401
        """Let one value stand for a list of one; refuse what is no text."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        if get_origin(annotation) is tuple and isinstance(value, str | int):
            value = [value]
        for item in value if isinstance(value, list | tuple) else [value]:
            check_text(item)
        return value

    def filter_of(self, kind: Target) -> Filter:
        """Return the restriction by payload of detections or papers."""
        return self.detections() if kind == "detections" else self.papers()

    def detections(self) -> DetectionFilter:
        """Return the restriction of detections."""
        return self._filter(DetectionFilter)

    def papers(self) -> PaperFilter:
        """Return the restriction of papers."""
        return self._filter(PaperFilter)

    def _filter(self, kind: type[FilterT]) -> FilterT:
        given = {
            name: value
            for name in self.narrowing
            if (value := getattr(self, name)) or (value == 0 and value is not False)
        }
        known = self.narrowing & kind.model_fields.keys()
        if foreign := sorted(given.keys() - known):
            what = "detections" if kind is DetectionFilter else "papers"
            raise InvalidQueryError(
                f"{', '.join(_said(name) for name in foreign)} cannot narrow down {what}: leave "
                f"it out, or use {', '.join(sorted(_said(name) for name in known))}"
            )
        if "ranges" in given:
            given["ranges"] = read_ranges(given["ranges"])
        narrowed = kind.model_validate(given)
        check_cones([narrowed], MAX_CONES)
        return narrowed


def narrowed_by(*kinds: type[Filter]) -> Callable[[type[ModelT]], type[ModelT]]:
    """Give a question the fields of these filters; its own fields stay as they are."""

    def derive(question: type[ModelT]) -> type[ModelT]:
        fields: dict[str, Any] = {}
        for kind in kinds:
            foreign = {
                name
                for other in FILTERS.values()
                if other is not kind
                for name in other.model_fields
            }
            for name, field in kind.model_fields.items():
                if name in question.model_fields:
                    continue
                annotation, default, description, examples = AS_TEXT.get(
                    name,
                    (field.annotation, field.default, field.description, field.examples),
                )
                only = "" if len(kinds) == 1 or name in foreign else f"; {_plural(kind)} only"
                constraints = [annotation, *([] if name in AS_TEXT else field.metadata)]
                fields[name] = (
                    Annotated[tuple(constraints)] if len(constraints) > 1 else annotation,
                    Field(
                        default,
                        alias=SPELLED.get(name),
                        description=f"{description}{only}",
                        examples=examples,
                    ),
                )
        derived = create_model(
            question.__name__,
            __base__=question,
            __module__=question.__module__,
            __doc__=question.__doc__,
            **fields,
        )
        derived.narrowing = frozenset(fields)
        return derived

    return derive


def check_text(item: Any) -> None:  # noqa: ANN401
    """Refuse a text that came wrongly encoded, or that XML and databases trip over."""
    if not isinstance(item, str):
        return
    if "\0" in item:
        raise ValueError("it holds the character U+0000: leave it out")
    if "\ufffd" in item or any("\ud800" <= character <= "\udfff" for character in item):
        raise ValueError("it is no valid text: encode it as UTF-8")


def check_cones(filters: Iterable[Filter], most: int) -> None:
    """Refuse filters of many cones, each of which is a question to the engine of its own."""
    n_cones = sum(_n_cones(one) for one in filters)
    if n_cones > most:
        raise InvalidQueryError(
            f"{n_cones} cones in one question or batch, at most {most} are looked at: leave some "
            "out, or ask several times"
        )


def _n_cones(query_filter: Filter) -> int:
    if "cone" not in f"{query_filter.model_fields_set}{query_filter.where}".lower():
        return 0  # most filters are read once only, later
    condition = query_filter.to_qdrant() or models.Filter()
    return condition.model_dump_json(exclude_none=True).count('"geo_radius":')


def _plural(kind: type[Filter]) -> Target:
    return "detections" if kind is DetectionFilter else "papers"


def _said(name: str) -> str:
    return SPELLED.get(name, name)
