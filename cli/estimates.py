"""``chandra-search estimate``, ``classify`` and ``describe``: what one spectrum is."""

from typing import Annotated, Literal

import typer

from cli.console import track
from cli.options.answer import Answering, opened
from cli.options.filters import FilterOptions
from cli.options.groups import Place, grouped
from cli.options.spectrum_input import Reading
from search.rendering.formats import render_classification, render_description, render_estimates

Subject = Annotated[
    str,
    typer.Argument(
        metavar="SPECTRUM", help="File (PHA, events), or id, key or source name in the store."
    ),
]
Subjects = Annotated[
    list[str],
    typer.Argument(
        metavar="SPECTRUM",
        help="Files (PHA, events), or ids, keys or source names in the store.",
    ),
]
Neighbours = Annotated[
    int | None,
    typer.Option(
        "--k", min=1, max=1000, help="Neighbours. Default: what the calibration found best."
    ),
]


@grouped
def estimate(
    subjects: Subjects,
    reading: Reading,
    narrowing: FilterOptions,
    how: Answering,
    place: Place,
    k: Neighbours = None,
    weighting: Annotated[
        Literal["mean", "median", "distance-weighted mean"] | None,
        typer.Option(help="How neighbours are averaged. Default: the best for each variable."),
    ] = None,
    representation: Annotated[
        str | None,
        typer.Option(
            help="Vectors to compare (spectrum, text, shared_spectrum, shared_text, both). "
            "Default: the best for each variable."
        ),
    ] = None,
) -> None:
    """Estimate the 20 catalogue variables of spectra from their neighbours, with intervals.

    The spectrum itself and its source's other detections take no part. Filters restrict the
    neighbours.

    Example: chandra-search estimate source.pi

    Example: chandra-search estimate csc2.0/1575/1/475 csc2.0/459/0/1 --output estimates.ecsv
    """
    wanted = narrowing.detections()
    with opened(place.settings()) as services:
        asked = [reading.subject(services.search, name) for name in subjects]
        found = [
            services.estimator.estimate(
                one,
                k=k,
                weighting=weighting,
                representation=representation,
                query_filter=wanted,
            )
            for one in track(asked, "estimates", len(asked))
        ]
    how.give("estimates", lambda fmt, console: render_estimates(found, fmt, console=console))


@grouped
def classify(
    subject: Subject,
    reading: Reading,
    narrowing: FilterOptions,
    how: Answering,
    place: Place,
    k: Neighbours = None,
) -> None:
    """Say which class a spectrum's source probably has, at every level of the class path.

    Example: chandra-search classify source.pi --exclude-class Candidate
    """
    wanted = narrowing.detections()
    with opened(place.settings()) as services:
        asked = reading.subject(services.search, subject)
        found = services.classifier.classify(asked, k=k, query_filter=wanted)
    how.give(
        f"class of {found.name}",
        lambda fmt, console: render_classification(found, fmt, console=console),
    )


@grouped
def describe(subject: Subject, reading: Reading, how: Answering, place: Place) -> None:
    """Characterise a spectrum in plain language; each statement names its evidence.

    With OPENAI_API_KEY set, a language model writes; it may only use numbers of the evidence.

    Example: chandra-search describe "2CXO J004242.9+411543"
    """
    with opened(place.settings()) as services:
        found = services.describer.describe(reading.subject(services.search, subject))
    how.give(found.name, lambda fmt, console: render_description(found, fmt, console=console))
