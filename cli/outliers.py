"""``chandra-search outliers``: what is unlike everything else."""

from typing import Annotated

import typer

from cli.console import answers, say, stages
from cli.options.answer import Answering, opened
from cli.options.filters import FilterOptions
from cli.options.groups import Place, grouped
from search.rendering.formats import render_outliers

FEW = 256
"""The sample that each tree of an Isolation Forest is grown from (Liu et al. 2008, section 4)."""

app = typer.Typer(
    no_args_is_help=True, help="Score how unlike the others detections are, and list the first."
)


@app.command()
@grouped
def score(
    narrowing: FilterOptions,
    place: Place,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the Isolation Forest.")] = 0,
) -> None:
    """Fit an Isolation Forest to the store, or to the part that fits a filter, and keep the scores.

    Scores are written into the store; of a detection scored before, the new score counts.

    Example: chandra-search outliers score --where "flux_significance_b >= 5"
    """
    wanted = narrowing.detections()
    with opened(place.settings()) as services, stages() as progress:
        n_scored = services.outliers.score(wanted, seed, progress)
    answers.print(f"{n_scored:,} detections scored; see `chandra-search outliers list`")
    if n_scored < FEW:
        say(
            f"caution: with fewer than {FEW} detections a forest cannot tell what is usual: take "
            "the ranking as a hint only, or score more"
        )


@app.command("list")
@grouped
def ranking(
    narrowing: FilterOptions,
    how: Answering,
    place: Place,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Answers at most.")] = 20,
) -> None:
    """List the outliers, each with what makes it one and whether it may be an artefact.

    Example: chandra-search outliers list --class AGN --limit 50 --output outliers.vot
    """
    wanted = narrowing.detections()
    with opened(place.settings()) as services:
        report = services.outliers.ranking(wanted, limit)
    how.give("outliers", lambda fmt, console: render_outliers(report, fmt, console=console))
    if not report.outliers:
        say(
            "nothing that fits is scored: loosen the filter, or run `chandra-search outliers score`"
        )
