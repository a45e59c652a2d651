"""``chandra-search facets`` and ``explain``: what there is, and what a filter means."""

from typing import Annotated

import typer

from cli.console import print_json
from cli.options.answer import Answering, opened
from cli.options.filters import FilterOptions
from cli.options.groups import Place, grouped
from search.rendering.formats import render_facets
from search.results import Target

Of = Annotated[Target, typer.Option("--to", help="Of what.")]


@grouped
def facets(
    narrowing: FilterOptions,
    how: Answering,
    place: Place,
    fields: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FIELD",
            help="class, instrument, year, telescope, release; of papers: class, year, journal, "
            "author, source. Default: class, year.",
        ),
    ] = None,
    of: Of = "detections",
    limit: Annotated[
        int, typer.Option(min=1, max=1000, help="The most frequent values of a field, at most.")
    ] = 1000,
) -> None:
    """Count what fits a filter, by class, instrument, year, …

    Example: chandra-search facets class instrument --where "hard_hs > 0.5"
    """
    wanted = narrowing.filter(of)
    with opened(place.settings()) as services:
        counted = services.search.facets(of, fields or ("class", "year"), wanted, limit)
    how.give(of, lambda fmt, console: render_facets(counted, fmt, console=console))


@grouped
def explain(narrowing: FilterOptions, place: Place, of: Of = "detections") -> None:
    """Show, as JSON, the filter that the engine gets.

    Example: chandra-search explain --class AGN --where "not (hard_hs < 0 or obsid = 1575)"
    """
    with opened(place.settings()) as services:
        print_json(services.search.explain(narrowing.filter(of)))
