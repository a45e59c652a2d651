"""Hits as a response, in the format that was asked for."""

from collections.abc import Sequence
from io import StringIO
from typing import Any

from fastapi import Response
from rich.console import Console

from search.api.models import Answer, Options
from search.formats import Format, render
from search.service import Hit

MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv",
    "ecsv": "text/x-ecsv",
    "votable": "application/x-votable+xml",
    "table": "text/plain",
}
TEXT_WIDTH = 120

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": list[Answer],
        "description": "Answers, best first; empty when nothing matches.",
        "headers": {
            "X-Warnings": {
                "description": "What to know about how an uploaded spectrum was read.",
                "schema": {"type": "string"},
            }
        },
        "content": {
            kind: {"schema": {"type": "string"}}
            for kind in MEDIA_TYPES.values()
            if kind != "application/json"
        },
    }
}


def answer(
    hits: Sequence[Hit],
    options: Options,
    title: str,
    accept: str,
    warnings: Sequence[str] = (),
) -> Response:
    """Return hits in the format of the options, else in that which Accept likes best."""
    headers = {"Vary": "Accept"}
    if warnings:
        said = " ".join("; ".join(warnings).split())
        headers["X-Warnings"] = said.encode("ascii", "replace").decode()
    fmt = options.format or accepted_format(accept)
    text = render(
        hits,
        fmt,
        truncated=len(hits) == options.limit,
        title=title,
        to=options.to,
        console=Console(file=StringIO(), width=TEXT_WIDTH),
    )
    return Response(text, media_type=MEDIA_TYPES[fmt], headers=headers)


def accepted_format(accept: str) -> Format:
    """Return the format that an Accept header likes best, JSON when it names none of ours."""
    weights: dict[str, float] = {}
    for entry in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        weights[kind] = float(quality) if quality.replace(".", "", 1).isdecimal() else 0.0
    best = max(MEDIA_TYPES, key=lambda fmt: weights.get(MEDIA_TYPES[fmt], 0.0))
    return best if weights.get(MEDIA_TYPES[best], 0.0) > 0 else "json"
