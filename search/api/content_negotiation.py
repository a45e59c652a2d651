"""Answers as a response, in the format that was asked for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from typing import Annotated, Any

from fastapi import Depends, Header, Response
from rich.console import Console

from search.api.request_models import EstimateOptions, Formatted, Neighbours
from search.rendering import formats, votables
from search.rendering import json_documents as documents
from search.rendering.formats import Format
from search.results import Classification, Description, Estimates, OutlierReport, Page, Target

MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv",
    "ecsv": "text/x-ecsv",
    "votable": votables.MEDIA_TYPE,
    "table": "text/plain",
}
TEXT_WIDTH = 120

HEADERS = {
    "X-Warnings": "What to know about how an uploaded spectrum was read.",
    "X-Next-Cursor": "Where the next page begins; absent on the last one.",
}


def described(model: Any, description: str) -> dict[int | str, dict[str, Any]]:  # noqa: ANN401
    """Return what OpenAPI says of an answer that is JSON or a table."""
    return {
        200: {
            "model": model,
            "description": description,
            "headers": {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in HEADERS.items()
            },
            "content": {
                kind: {"schema": {"type": "string"}}
                for kind in MEDIA_TYPES.values()
                if kind != "application/json"
            },
        }
    }


@dataclass(frozen=True, slots=True)
class Reply:
    """Write answers in the format of the options, else in that which Accept likes best."""

    accept: str = ""

    def page(
        self,
        page: Page,
        options: Formatted,
        title: str,
        to: Target,
        warnings: Sequence[str] = (),
    ) -> Response:
        """Answer with hits."""
        fmt = self._format(options)
        text = formats.render(
            page.hits,
            fmt,
            truncated=page.cursor is not None,
            title=title,
            to=to,
            cursor=page.cursor,
            off_topic=page.off_topic,
            console=_console(),
        )
        return _response(text, fmt, warnings, page.cursor)

    def estimates(
        self, estimates: Estimates, options: EstimateOptions, warnings: Sequence[str] = ()
    ) -> Response:
        """Answer with estimates, with the neighbours behind them if they are wanted."""
        if not options.neighbours:
            bare = {name: replace(one, neighbours=()) for name, one in estimates.estimates.items()}
            estimates = replace(estimates, estimates=bare)
        fmt = self._format(options)
        if fmt == "json":
            return _response(as_json(documents.of_estimates(estimates)), fmt, warnings)
        text = formats.render_estimates([estimates], fmt, console=_console())
        return _response(text, fmt, warnings)

    def classification(
        self, classes: Classification, options: Neighbours, warnings: Sequence[str] = ()
    ) -> Response:
        """Answer with the probabilities of classes, with the voters if they are wanted."""
        if not options.neighbours:
            classes = replace(classes, neighbours=())
        fmt = self._format(options)
        text = formats.render_classification(classes, fmt, title=classes.name, console=_console())
        return _response(text, fmt, warnings)

    def outliers(self, report: OutlierReport, options: Formatted) -> Response:
        """Answer with outliers."""
        fmt = self._format(options)
        text = formats.render_outliers(report, fmt, title="outliers", console=_console())
        return _response(text, fmt)

    def description(
        self, description: Description, options: Formatted, warnings: Sequence[str] = ()
    ) -> Response:
        """Answer with a description."""
        fmt = self._format(options)
        text = formats.render_description(description, fmt, console=_console())
        return _response(text, fmt, warnings)

    def facets(self, facets: documents.Facets, options: Formatted) -> Response:
        """Answer with counts."""
        fmt = self._format(options)
        return _response(formats.render_facets(facets, fmt, console=_console()), fmt)

    def _format(self, options: Formatted) -> Format:
        return options.format or accepted_format(self.accept)


async def _reply(accept: Annotated[str, Header(include_in_schema=False)] = "") -> Reply:
    return Reply(accept)


ReplyDep = Annotated[Reply, Depends(_reply)]


def as_json(document: Mapping[str, Any]) -> str:
    """Return a document as text."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False)


def accepted_format(accept: str) -> Format:
    """Return the format that an Accept header likes best, JSON when it names none of ours."""
    weights: dict[str, float] = {}
    for entry in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        number = quality.isascii() and quality.replace(".", "", 1).isdecimal()
        weights[kind] = float(quality) if number else 0.0
    best = max(MEDIA_TYPES, key=lambda fmt: weights.get(MEDIA_TYPES[fmt], 0.0))
    return best if weights.get(MEDIA_TYPES[best], 0.0) > 0 else "json"


def _console() -> Console:
    return Console(file=StringIO(), width=TEXT_WIDTH)


def _response(
    text: str, fmt: Format, warnings: Sequence[str] = (), cursor: str | None = None
) -> Response:
    headers = {"Vary": "Accept"}
    if warnings:
        said = " ".join("; ".join(warnings).split())
        headers["X-Warnings"] = said.encode("ascii", "replace").decode()
    if cursor is not None:
        headers["X-Next-Cursor"] = cursor
    return Response(text, media_type=MEDIA_TYPES[fmt], headers=headers)
