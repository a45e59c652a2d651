"""``chandra-search reindex``: another model for a store that is in use."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import print_json, say, stages
from cli.options.store import AsJson, DataDir, settings_for
from common.errors import InputError
from search.app import open_store
from search.collections.schema import model_of
from search.store.base import Store
from workers.maintenance.reindex import drop_old, incomplete, open_reindex, roll_back
from workers.writing.dual_write import read_state

SHOWN = 20


def reindex(
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", help="The new model bundle, a folder.", show_default=False),
    ] = None,
    status: Annotated[
        bool, typer.Option("--status", help="Say which models there are, and change nothing.")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Let questions go to the old model again.")
    ] = False,
    drop: Annotated[
        bool, typer.Option("--drop-old", help="Delete what no question goes to any more.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change to a better model while questions and ingestion go on.

    New collections are filled beside the live ones, checked, and put in their place in one moment;
    the old ones are kept and kept up to date until --drop-old, so that --rollback loses nothing.
    Interrupted, the same command goes on.

    Example: chandra-search reindex --bundle runs/better/bundle
    """
    if sum((bundle is not None, status, rollback, drop)) != 1:
        raise InputError("give one of --bundle, --status, --rollback and --drop-old")
    settings = settings_for(data_dir)
    with open_store(settings) as store, stages() as progress:
        if bundle is not None:
            done = open_reindex(store, settings, bundle).run(progress)
            say(
                f"questions are answered by the new model: {done.detections:,} detections, "
                f"{done.papers:,} papers, {done.encoded:,} of them written now. Outlier scores "
                "are each model's own: compute them with `chandra-search outliers score`. "
                "--rollback goes back, --drop-old ends this"
            )
        elif rollback:
            say(f"questions are answered by model {roll_back(store).old} again")
        elif drop:
            say(f"only model {drop_old(store, progress=progress)} is left")
        _report(store, as_json)


def _report(store: Store, as_json: bool) -> None:
    state = read_state(store)
    missing = incomplete(store) if state and model_of(store) == state.new else []
    if as_json:
        print_json(
            {
                "model_id": model_of(store),
                "phase": state.phase if state else None,
                "since": state.since.isoformat() if state else None,
                "old": state.old if state else None,
                "new": state.new if state else None,
                "incomplete": missing,
            }
        )
        return
    say(f"model in use: {model_of(store) or 'none, nothing is stored'}")
    if state:
        say(f"reindex from {state.old} to {state.new}: {state.phase} since {state.since:%c} UTC")
    if missing:
        more = f" and {len(missing) - SHOWN:,} more" if len(missing) > SHOWN else ""
        say(
            f"{len(missing):,} detections lack vectors, their spectra are not kept: ingest them "
            f"again: {', '.join(missing[:SHOWN])}{more}"
        )
