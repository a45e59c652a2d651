"""The options that narrow a search down, the same for every command."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import typer

from common.errors import InvalidQueryError
from search.filters.cone import Cone
from search.filters.filters import DetectionFilter, PaperFilter, read_ranges
from search.results import Target

PANEL = "Narrowing down"

_FIELDS: dict[Target, dict[str, str]] = {
    "detections": {
        "classes": "class",
        "exclude_classes": "exclude-class",
        "where": "where",
        "obsid": "obsid",
        "instrument": "instrument",
        "observed_from": "from",
        "observed_to": "until",
        "ranges": "range",
        "has": "has",
        "lacks": "lacks",
        "cone": "cone",
        "source_name": "source",
    },
    "papers": {
        "classes": "class",
        "exclude_classes": "exclude-class",
        "where": "where",
        "year_from": "from",
        "year_to": "until",
        "author": "author",
        "source": "source",
        "bibcode": "bibcode",
        "min_topic": "min-topic",
        "any_topic": "any-topic",
        "has": "has",
        "lacks": "lacks",
    },
}
"""Fields of each filter, and the option that fills them."""


@dataclass(frozen=True)
class FilterOptions:
    """Which detections or papers may answer."""

    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            help="Source class (SIMBAD's), its descendants included; repeatable: any of them.",
            rich_help_panel=PANEL,
        ),
    ] = None
    exclude_classes: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude-class",
            help="No source of this class or below it; repeatable.",
            rich_help_panel=PANEL,
        ),
    ] = None
    where: Annotated[
        str | None,
        typer.Option(
            help='Condition, for instance "hard_hs > 0.3 and not flux_significance_b < 5".',
            rich_help_panel=PANEL,
        ),
    ] = None
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar="FIELD:LOW:HIGH",
            help="Range of a field, ends included, either end may be left out: hard_hs:0.3: ; "
            "repeatable: all of them. Detections only.",
            rich_help_panel=PANEL,
        ),
    ] = None
    has: Annotated[
        list[str] | None,
        typer.Option(help="Only with a value of this field; repeatable.", rich_help_panel=PANEL),
    ] = None
    lacks: Annotated[
        list[str] | None,
        typer.Option(help="Only without a value of this field; repeatable.", rich_help_panel=PANEL),
    ] = None
    cone: Annotated[
        str | None,
        typer.Option(
            metavar="CIRCLE",
            help='Only in this circle, ICRS degrees: "10.68 41.27 5arcmin". Detections only.',
            rich_help_panel=PANEL,
        ),
    ] = None
    obsid: Annotated[
        list[int] | None,
        typer.Option(help="Observation id; repeatable. Detections only.", rich_help_panel=PANEL),
    ] = None
    instrument: Annotated[
        list[str] | None,
        typer.Option(
            help="Instrument (ACIS, EPN, …); repeatable. Detections only.", rich_help_panel=PANEL
        ),
    ] = None
    source: Annotated[
        list[str] | None,
        typer.Option(help="Name of the source; repeatable.", rich_help_panel=PANEL),
    ] = None
    author: Annotated[
        list[str] | None,
        typer.Option(help="Author of the paper; repeatable. Papers only.", rich_help_panel=PANEL),
    ] = None
    bibcode: Annotated[
        list[str] | None,
        typer.Option(help="Bibcode of the paper; repeatable. Papers only.", rich_help_panel=PANEL),
    ] = None
    min_topic: Annotated[
        float | None,
        typer.Option(
            metavar="PROBABILITY",
            help="Lowest probability of being about X-ray sources, 0 to 1. Papers only.",
            rich_help_panel=PANEL,
        ),
    ] = None
    any_topic: Annotated[
        bool,
        typer.Option(
            "--any-topic",
            help="Papers about anything: those compared with a spectrum, and those of a region, "
            "are otherwise about X-ray sources. Papers only.",
            rich_help_panel=PANEL,
        ),
    ] = False
    first: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="DAY|YEAR",
            help="Observed (papers: published) on or after this day, 2004-05-31, or year, 2004.",
            rich_help_panel=PANEL,
        ),
    ] = None
    last: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="DAY|YEAR",
            help="Observed (papers: published) on or before this day or year, it included.",
            rich_help_panel=PANEL,
        ),
    ] = None

    def filter(self, to: Target) -> DetectionFilter | PaperFilter:
        """Return the filter of the kind that fits what is looked for."""
        return self.detections() if to == "detections" else self.papers()

    def detections(self) -> DetectionFilter:
        """Return the restriction of detections; options of papers are refused."""
        given = self._fields("detections", self._given())
        with _in_options("detections"):
            narrowed = DetectionFilter.model_validate(given)
            narrowed.to_qdrant()  # refuses what no filter can be before a store is opened
        return narrowed

    def papers(self) -> PaperFilter:
        """Return the restriction of papers; options of detections are refused."""
        years = {name: day.year for name, day in self._days().items() if day}
        given = self._fields("papers", self._given() | years)
        with _in_options("papers"):
            narrowed = PaperFilter.model_validate(given)
            narrowed.to_qdrant()  # refuses what no filter can be before a store is opened
        return narrowed

    def _given(self) -> dict[str, Any]:
        """Return what was given, by option."""
        return {
            "class": self.classes,
            "exclude-class": self.exclude_classes,
            "where": self.where,
            "range": read_ranges(tuple(self.ranges or ())),
            "has": self.has,
            "lacks": self.lacks,
            "cone": self.cone and Cone.parse(self.cone),
            "obsid": self.obsid,
            "instrument": self.instrument,
            "source": self.source,
            "author": self.author,
            "bibcode": self.bibcode,
            "min-topic": self.min_topic,
            "any-topic": self.any_topic or None,
            **self._days(),
        }

    def _days(self) -> dict[str, date | None]:
        return {
            "from": None if self.first is None else _day(self.first, "01-01"),
            "until": None if self.last is None else _day(self.last, "12-31"),
        }

    @staticmethod
    def _fields(to: Target, by_option: dict[str, Any]) -> dict[str, Any]:
        """Return fields of a filter; what it has no field for is refused by name."""
        given = {
            option: value for option, value in by_option.items() if value not in (None, [], {})
        }
        fields = {option: field for field, option in _FIELDS[to].items()}
        if foreign := [f"--{option}" for option in given if option not in fields]:
            known = ", ".join(f"--{option}" for option in fields)
            raise InvalidQueryError(
                f"{', '.join(foreign)} cannot narrow down {to}: leave it out, or use {known}"
            )
        return {fields[option]: value for option, value in given.items()}


def _day(text: str, of_year: str) -> date:
    """Read a day, or the first or last one of a year."""
    try:
        return date.fromisoformat(f"{text}-{of_year}" if len(text) == len("2004") else text)
    except ValueError as exc:
        raise InvalidQueryError(
            f"{text!r} is no day: write 2004-05-31, or a year such as 2004"
        ) from exc


@contextmanager
def _in_options(to: Target) -> Iterator[None]:
    """Let what a filter refuses name options of the command line, not fields of the filter."""
    options = _FIELDS[to]
    try:
        yield
    except InvalidQueryError as exc:
        said = re.sub(
            rf"(?:(?<=; )|^)(?:{'|'.join(options)})(?=:| \()|\b(?:observed|year)_(?:from|to)\b",
            lambda found: f"--{options[found[0]]}",
            str(exc),
        )
        raise InvalidQueryError(said) from exc
