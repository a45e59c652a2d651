"""``chandra-search simulate``: datasets of spectra, values and summaries; how real they are."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.console import answers, print_json, say, stages
from cli.models import Seed, refuse_full_folder
from cli.options.store import AsJson
from common.errors import InputError
from ingest.catalogue.catalogue import read_catalogue
from ingest.dataset.dataset import write_dataset
from ingest.simulation.population import PopulationName
from ingest.simulation.simulate import simulate as simulate_dataset

if TYPE_CHECKING:
    from ingest.simulation.comparison import Comparison

_WIDTH = 100  # of the table of a comparison: its numbers are not to be cut off


def simulate(
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write the dataset to; must be new or empty.", show_default=False
        ),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, max=100_000, help="Number of detections.")] = 2000,
    seed: Seed = 0,
    population: Annotated[
        PopulationName,
        typer.Option(
            help="catalogue: kinds, counts and ACIS as in the Chandra Source Catalog; even: each "
            "kind as often as any other, 20 to 10 million counts, ACIS, EPIC, XRT, SIS, GIS, XIS; "
            "mixed: half of each."
        ),
    ] = "catalogue",
    calibration_error: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Rms by which effective areas are wrong. Default: 0 for catalogue, 0.12 for even.",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="Say how far the values are from those of this catalogue table.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Simulate detections with spectra, catalogue values and summaries, all labelled simulated.

    With --compare the distance of each variable from that of a catalogue table is printed; --out
    may then be left out.

    Example: chandra-search simulate --n 12000 --out simulated/
    """
    if out is None and compare is None:
        raise InputError("nothing to do with the simulation: give --out FOLDER or --compare TABLE")
    if out is not None:
        refuse_full_folder(out)
    catalogue = read_catalogue(compare) if compare else None
    with stages() as progress:
        dataset = simulate_dataset(n, seed, progress, population, calibration_error)
    document: dict[str, object] = {"detections": len(dataset), "sources": dataset.n_sources}
    if out is not None:
        write_dataset(dataset, out)
        document["dataset"] = str(out)
        say(f"{len(dataset):,} simulated detections of {dataset.n_sources:,} sources in {out}")
    if catalogue is not None and compare is not None:
        from ingest.simulation.comparison import compare as compare_populations  # loads scipy

        compared = compare_populations(dataset.detections, catalogue.detections, compare.name)
        document["compared"] = [asdict(one) for one in compared]
        if not as_json:
            table = _table(compared, f"{len(dataset):,} simulated, {compare.name}")
            answers.print(table)
    if as_json:
        print_json(document)


def _table(compared: "list[Comparison]", title: str) -> Table:
    table = Table(
        title=title,
        caption="distance: Kolmogorov-Smirnov, 0 to 1; values: 16th, 50th, 84th percentile",
        box=None,
        padding=(0, 1, 0, 0),
        width=_WIDTH,
    )
    table.add_column("variable", no_wrap=True)
    for heading in ("distance", "simulated", "number", "table", "number"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in compared:
        simulated, observed = (
            " ".join(f"{value:.3g}" for value in values) for values in (one.simulated, one.observed)
        )
        table.add_row(
            one.variable,
            f"{one.distance:.3f}",
            simulated,
            f"{one.n_simulated:,}",
            observed,
            f"{one.n_observed:,}",
        )
    return table
