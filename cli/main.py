"""The ``chandra-search`` command."""

import logging
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from cli import (
    backup,
    calibrate,
    estimates,
    facets,
    ingest,
    jobs,
    learn,
    mcp,
    models,
    outliers,
    reindex,
    search,
    serve,
    simulate,
    tune,
    verify,
    worker,
)
from cli.console import say
from cli.options.many_files import ManyFiles
from common.errors import ChandraSearchError, UnavailableError

WRONG_USE = 2
UNAVAILABLE = 4

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Semantic search over Chandra X-ray spectra and the papers about them.",
    epilog="Exit codes: 0 done, 2 wrong use or input, 3 some inputs refused and the rest ingested, "
    "4 a service or the store is not available now, 5 `learn` has found nothing better.",
)
app.add_typer(ingest.app, name="ingest")
app.add_typer(search.app, name="search")
app.add_typer(outliers.app, name="outliers")
app.add_typer(jobs.app, name="jobs")
for command in (
    estimates.estimate,
    estimates.classify,
    estimates.describe,
    facets.facets,
    facets.explain,
    calibrate.calibrate,
    mcp.mcp,
    serve.status,
    serve.serve,
    serve.demo,
    simulate.simulate,
    models.train,
    tune.tune,
    models.evaluate,
    learn.learn,
    reindex.reindex,
    verify.verify,
    backup.backup,
    backup.restore,
    worker.worker,
    worker.beat,
):
    app.command(cls=ManyFiles)(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"chandra-search {version('chandra-search')}")
        raise typer.Exit


@app.callback()
def _main(
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what happens.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def run() -> None:
    """Run the command; an error raised on purpose becomes one message and an exit code."""
    try:
        app()
    except ChandraSearchError as exc:
        say(f"error: {exc}")
        sys.exit(UNAVAILABLE if isinstance(exc, UnavailableError) else WRONG_USE)
