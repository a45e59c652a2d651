"""``chandra-search ingest``: files into the store."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.console import Report, errors, print_json, say, stages, track
from cli.options.store import AsJson, Bundle, DataDir, settings_for
from common.errors import InputError, UnavailableError
from common.records import Outcome, Paper, Refusal
from ingest.catalogue.catalogue import Catalogue, read_catalogue, read_detections
from ingest.dataset.dataset import read_pairs
from ingest.dataset.texts import read_abstracts, with_abstracts
from ingest.papers.openai_summaries import OpenAISummarizer
from ingest.papers.papers import read_papers
from ingest.spectra.discover import find_spectra
from search.settings import SearchSettings
from workers.bootstrap import Summaries, open_pipeline
from workers.ledger.ledger import Ledger
from workers.redis_client import shared_redis
from workers.settings import get_settings as worker_settings
from workers.writing.patience import Patience
from workers.writing.pipeline import Pipeline

REFUSED = 3

app = typer.Typer(no_args_is_help=True, help="Bring spectra, catalogue rows and papers in.")

Release = Annotated[
    str | None,
    typer.Option(
        help="Release of the Chandra Source Catalog the tables come from (2.0, 2.1), for tables "
        "that say it neither in a column nor in their name.",
        show_default=False,
    ),
]

PaperSummaries = Annotated[
    Summaries,
    typer.Option(
        help="Who summarises: sentences chosen on this machine, or a language model "
        "(needs OPENAI_API_KEY, costs money)."
    ),
]


@app.command()
def spectra(
    paths: Annotated[
        list[Path], typer.Argument(help="PHA files, event lists, or folders of them.")
    ],
    catalog: Annotated[
        list[Path] | None,
        typer.Option(help="Catalogue table to join; may be repeated, the first match wins."),
    ] = None,
    radius: Annotated[
        float, typer.Option(min=0, max=60, help="Match radius around the target, in arcsec.")
    ] = 3.0,
    release: Release = None,
    data_dir: DataDir = None,
    bundle: Bundle = None,
    as_json: AsJson = False,
) -> None:
    """Ingest spectra: OGIP PHA files (type I and II) and event lists, with their responses.

    Rows of --catalog are joined by release, obsid, obi and region, else by source name, else by
    the position of the header's target. What matches nothing is ingested without catalogue values.

    Example: chandra-search ingest spectra obs/ --catalog csc21.fits
    """
    tables = [read_catalogue(path, release) for path in catalog or []]
    files = find_spectra(paths)
    with _open(settings_for(data_dir, bundle)) as pipeline:
        outcomes = pipeline.ingest_spectra(
            track(files, "spectra", len(files)), Catalogue.merge(tables) if tables else None, radius
        )
        _finish(outcomes, as_json, each=True)


@app.command("catalog")
def catalogue(
    tables: Annotated[list[Path], typer.Argument(help="CSV, ECSV, FITS or VOTable files.")],
    release: Release = None,
    data_dir: DataDir = None,
    bundle: Bundle = None,
    as_json: AsJson = False,
) -> None:
    """Ingest catalogue rows: detections without a spectrum yet, completed when it comes.

    Example: chandra-search ingest catalog csc21_observations.fits
    """
    read = [read_detections(path, release) for path in tables]
    total = sum(len(one.detections) + len(one.refused) for one in read)
    with _open(settings_for(data_dir, bundle)) as pipeline:
        outcomes = (outcome for one in read for outcome in pipeline.ingest_catalogue(one))
        _finish(track(outcomes, "catalogue rows", total), as_json)


@app.command()
def papers(
    files: Annotated[
        list[Path], typer.Argument(help="JSON lines, ADS API answers (JSON) or BibTeX.")
    ],
    summaries: PaperSummaries = Summaries.EXTRACTIVE,
    data_dir: DataDir = None,
    bundle: Bundle = None,
    as_json: AsJson = False,
) -> None:
    """Ingest papers: each abstract is summarised in three sections and embedded.

    Example: chandra-search ingest papers export.bib
    """
    records = [record for path in files for part in read_papers(path) for record in part]
    with _open(settings_for(data_dir, bundle), summaries) as pipeline:
        _finish_papers(pipeline, records, as_json)


@app.command()
def ads(
    question: Annotated[
        str | None, typer.Argument(help="As on the page of ADS.", show_default=False)
    ] = None,
    objects: Annotated[
        list[str] | None,
        typer.Option("--object", help="Papers about this object, whatever it is called in them."),
    ] = None,
    summaries: PaperSummaries = Summaries.EXTRACTIVE,
    data_dir: DataDir = None,
    bundle: Bundle = None,
    as_json: AsJson = False,
) -> None:
    """Ingest the papers that ADS finds; needs a token of an account, CHANDRA_ADS_TOKEN.

    Its requests count on the same allowance of the day as those of continuous ingestion, and keep
    to the same pace where CHANDRA_REDIS_URL is set.

    Example: chandra-search ingest ads --object "NGC 4258" --object "Cyg X-1"
    """
    from ingest.archives.settings import get_settings as archive_settings
    from workers.steps.archive_clients import open_ads  # clients of archives take a second

    if bool(question) == bool(objects):
        raise InputError("give a question of ADS, or one or more --object")
    ours = worker_settings()
    with _open(settings_for(data_dir, bundle), summaries) as pipeline:
        notes = Ledger(pipeline.store).notes
        with (
            shared_redis(ours.redis_url) as client,
            open_ads(archive_settings(), ours, notes, client) as archive,
            errors.status("asking ADS …"),
        ):
            questions = [question] if question else archive.objects(objects or [])
            pages = [page for one in questions for page in archive.papers(one)]
        found = {
            one.bibcode if isinstance(one, Paper) else one.input: one
            for page in pages
            for one in page
        }
        _finish_papers(pipeline, [*found.values()], as_json)


@app.command()
def dataset(
    path: Annotated[
        Path, typer.Argument(help="Folder or .npz, see docs/reference/dataset-format.md.")
    ],
    data_dir: DataDir = None,
    bundle: Bundle = None,
    as_json: AsJson = False,
) -> None:
    """Ingest a dataset: arrays of counts with their table, and texts about the sources.

    Example: chandra-search ingest dataset my_pairs/
    """
    pairs, refused = read_pairs(path)
    papers = read_abstracts(path)
    with _open(settings_for(data_dir, bundle)) as pipeline:
        with stages() as progress:
            pairs = with_abstracts(pairs, papers, pipeline.summarizer, progress)
        total = len(pairs) + len(pairs.texts) + len(refused)
        _finish(
            track(pipeline.ingest_dataset(pairs, refused), "summaries and spectra", total), as_json
        )


def _open(settings: SearchSettings, summaries: Summaries = Summaries.EXTRACTIVE) -> Pipeline:
    """Open the pipeline, which waits for a Qdrant server that goes away, and says so."""
    patience = Patience(worker_settings().ingest_wait_s, say)
    return patience(lambda: open_pipeline(settings, summaries, patience))


def _finish_papers(pipeline: Pipeline, records: Sequence[Paper | Refusal], as_json: bool) -> None:
    try:
        _finish(track(pipeline.ingest_papers(records), "papers", len(records)), as_json)
    finally:  # money spent is reported however it ends
        if isinstance(pipeline.summarizer, OpenAISummarizer):
            say(str(pipeline.summarizer.usage))


def _finish(outcomes: Iterable[Outcome], as_json: bool, each: bool = False) -> None:
    """Run the ingestion to its end and report it; exit code 3 when something was refused."""
    report = Report(each=each and not as_json)
    try:
        report.take(outcomes)
    except UnavailableError as exc:
        raise UnavailableError(
            f"{exc}\n{report.ingested:,} ingested and {report.unchanged:,} unchanged inputs are "
            "stored: the same command goes on after them"
        ) from exc
    if as_json:
        print_json(report.as_json())
    else:
        report.print()
    if report.refused:
        raise typer.Exit(REFUSED)
