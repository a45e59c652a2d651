"""``chandra-search search``: questions to the store."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from cli.options import AsJson, Bundle, DataDir, settings_for
from cli.output import say
from common.errors import InvalidQueryError, InvalidSpectrumError
from ingest.discover import read_observed
from ingest.pha import read_pha
from search.app import open_service
from search.filters import DetectionFilter, PaperFilter
from search.formats import Format, render
from search.service import Hit, SearchService, Target

app = typer.Typer(no_args_is_help=True, help="Ask by text, by spectrum, or by example.")

To = Annotated[Target, typer.Option(help="What to look for.")]
Classes = Annotated[
    list[str] | None,
    typer.Option("--class", help="Source class (SIMBAD's), its descendants included; repeatable."),
]
Where = Annotated[
    str | None,
    typer.Option(
        help="Condition on payload fields, for instance "
        '"hard_hs > 0.3 and flux_significance_b >= 5".'
    ),
]
Obsid = Annotated[list[int] | None, typer.Option(help="Observation id; repeatable.")]
Instrument = Annotated[
    list[str] | None, typer.Option(help="Instrument (ACIS, EPN, …); repeatable.")
]
From = Annotated[
    datetime | None, typer.Option(help="Observed (papers: published) from this date on.")
]
Until = Annotated[
    datetime | None, typer.Option(help="Observed (papers: published) up to this date.")
]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="Number of answers at most.")]
Output = Annotated[Format, typer.Option("--format", help="How to answer.")]


@app.command()
def text(
    question: Annotated[str, typer.Argument(help="What you look for, in words.")],
    to: To = "detections",
    classes: Classes = None,
    where: Where = None,
    obsid: Obsid = None,
    instrument: Instrument = None,
    observed_from: From = None,
    observed_to: Until = None,
    limit: Limit = 10,
    output: Output = "table",
    data_dir: DataDir = None,
    bundle: Bundle = None,
    as_json: AsJson = False,
) -> None:
    """Find the spectra, or the papers, that fit a sentence.

    Example: chandra-search search text "obscured active nucleus with an iron line" --class AGN
    """
    wanted = _filter(to, classes, where, obsid, instrument, observed_from, observed_to)
    with _service(data_dir, bundle) as service:
        _answer(service.by_text(question, to, wanted, limit), to, question, limit, output, as_json)


@app.command()
def spectrum(
    path: Annotated[Path, typer.Argument(help="PHA file or event list.")],
    rmf: Annotated[
        Path | None, typer.Option(help="Response, when it cannot be found beside.")
    ] = None,
    row: Annotated[int, typer.Option(min=1, help="Which spectrum of a file of several.")] = 1,
    to: To = "detections",
    classes: Classes = None,
    where: Where = None,
    obsid: Obsid = None,
    instrument: Instrument = None,
    observed_from: From = None,
    observed_to: Until = None,
    limit: Limit = 10,
    output: Output = "table",
    data_dir: DataDir = None,
    bundle: Bundle = None,
    as_json: AsJson = False,
) -> None:
    """Find the spectra, or the papers, nearest to a spectrum.

    Example: chandra-search search spectrum source.pi --to papers
    """
    wanted = _filter(to, classes, where, obsid, instrument, observed_from, observed_to)
    found = read_pha(path, rmf=rmf) if rmf else read_observed(path)
    if row > len(found):
        raise InvalidSpectrumError(
            f"{path} holds {len(found)} spectra: choose --row 1 to {len(found)}"
        )
    one = found[row - 1].spectrum
    for warning in one.warnings:
        say(f"warning: {warning}")
    with _service(data_dir, bundle) as service:
        hits = service.by_spectrum(one.binned_counts(), one.exposure_s, to, wanted, limit)
        _answer(hits, to, path.name, limit, output, as_json)


@app.command()
def like(
    identifier: Annotated[
        str, typer.Argument(help="Id, key, source name or bibcode in the store.")
    ],
    to: To = "detections",
    classes: Classes = None,
    where: Where = None,
    obsid: Obsid = None,
    instrument: Instrument = None,
    observed_from: From = None,
    observed_to: Until = None,
    limit: Limit = 10,
    output: Output = "table",
    data_dir: DataDir = None,
    bundle: Bundle = None,
    as_json: AsJson = False,
) -> None:
    """Find what is like a stored detection or paper; its own source is left out.

    Example: chandra-search search like "2CXO J183333.5-103407" --to papers
    """
    wanted = _filter(to, classes, where, obsid, instrument, observed_from, observed_to)
    with _service(data_dir, bundle) as service:
        hits = service.like(identifier, to, wanted, limit)
        _answer(hits, to, f"like {identifier}", limit, output, as_json)


@contextmanager
def _service(data_dir: Path | None, bundle: Path | None) -> Iterator[SearchService]:
    service = open_service(settings_for(data_dir, bundle))
    with service.store:
        yield service


def _filter(
    to: Target,
    classes: list[str] | None,
    where: str | None,
    obsid: list[int] | None,
    instrument: list[str] | None,
    observed_from: datetime | None,
    observed_to: datetime | None,
) -> DetectionFilter | PaperFilter:
    try:
        if to == "detections":
            return DetectionFilter(
                classes=tuple(classes or ()),
                where=where,
                obsid=tuple(obsid or ()),
                instrument=tuple(instrument or ()),
                observed_from=observed_from.date() if observed_from else None,
                observed_to=observed_to.date() if observed_to else None,
            )
        if obsid or instrument:
            raise InvalidQueryError("papers have no --obsid or --instrument: leave them out")
        return PaperFilter(
            classes=tuple(classes or ()),
            where=where,
            year_from=observed_from.year if observed_from else None,
            year_to=observed_to.year if observed_to else None,
        )
    except ValidationError as exc:
        raise InvalidQueryError("; ".join(error["msg"] for error in exc.errors())) from exc


def _answer(
    hits: list[Hit], to: Target, title: str, limit: int, output: Format, as_json: bool
) -> None:
    form: Format = "json" if as_json else output
    answer = render(hits, form, truncated=len(hits) == limit, title=title, to=to)
    typer.echo(answer.rstrip("\n"))
    if not hits:
        say("nothing matches: loosen --class or --where, or see `chandra-search status`")
