"""``chandra-search backup`` and ``restore``."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import print_json, say, stages
from cli.options.store import AsJson, Bundle, DataDir, settings_for
from search.app import keep_current_bundle, open_store
from workers.maintenance.backup import Manifest, back_up
from workers.maintenance.backup import restore as restore_backup


def backup(
    target: Annotated[
        Path, typer.Argument(help="The file, or a folder in which it is named by the time.")
    ],
    data_dir: DataDir = None,
    bundle: Bundle = None,
    as_json: AsJson = False,
) -> None:
    """Write the whole store into one file: vectors, ledger, spectra, bundles, calibration.

    On a Qdrant server, questions and ingestion go on meanwhile. The embedded engine belongs to one
    process: stop `serve` first, or let its own schedule take the backups.

    Example: chandra-search backup /backups
    """
    settings = settings_for(data_dir, bundle)
    with open_store(settings) as store, stages() as progress:
        keep_current_bundle(store, settings)
        path, manifest = back_up(store, settings.data_dir, target, progress)
    _report(path, manifest, "wrote", as_json)


def restore(
    source: Annotated[Path, typer.Argument(help="A file that `backup` wrote.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Bring a backup into an empty data folder or server, once all of it has been verified.

    Example: chandra-search restore /backups/chandra-search-20260101T000000Z.tar --data-dir new
    """
    settings = settings_for(data_dir)
    with open_store(settings) as store, stages() as progress:
        manifest = restore_backup(source, store, settings.data_dir, progress)
    _report(source, manifest, "restored", as_json)


def _report(path: Path, manifest: Manifest, done: str, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "file": str(path),
                "engine": manifest.engine,
                "made_at": manifest.made_at,
                "aliases": dict(manifest.aliases),
                "collections": {name: most for name, (_, most) in manifest.collections.items()},
            }
        )
        return
    held = ", ".join(f"{name} {most:,}" for name, (_, most) in manifest.collections.items())
    say(f"{done} {path} (made {manifest.made_at}): {held}")
