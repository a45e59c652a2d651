"""``chandra-search verify``: whether everything stored fits together."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.console import answers, print_json, say, stages, table_of
from cli.options.store import AsJson, Bundle, DataDir, settings_for
from common.errors import NotFoundError
from ingest.spectra.discover import find_spectra
from search.app import open_store
from search.collections.schema import model_of
from workers.bootstrap import build_pipeline
from workers.maintenance.verify import Verified, Verifier

OPEN = 3
SHOWN = 20


def verify(
    files: Annotated[
        list[Path] | None,
        typer.Option("--files", help="Spectra, or folders of them, that should be stored."),
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    data_dir: DataDir = None,
    bundle: Bundle = None,
    as_json: AsJson = False,
) -> None:
    """Compare detections, papers, kept spectra, ledger and files; with --repair, mend them.

    Exit code 3 when something is left to do.

    Example: chandra-search verify --files downloads/ --repair
    """
    found_files = find_spectra(files) if files else []
    settings = settings_for(data_dir, bundle)
    with open_store(settings) as store, stages() as progress:
        if model_of(store) is None and not repair:  # who only looks makes no collections
            raise NotFoundError("nothing is stored: there is nothing to verify")
        with build_pipeline(store, settings) as pipeline:
            found = Verifier(pipeline, repair, progress).run(found_files)
    _report(found, as_json)
    if found.open:
        raise typer.Exit(OPEN)


def _report(found: Verified, as_json: bool) -> None:
    if as_json:
        print_json({"checked": found.checked, "findings": [asdict(one) for one in found.findings]})
        return
    if found.findings:
        table = table_of("found", "what", "cure")
        for one in [*found.open, *(f for f in found.findings if f.mended)][:SHOWN]:
            table.add_row(one.kind, one.key, "mended" if one.mended else one.cure)
        answers.print(table)
    counted = ", ".join(f"{n:,} {what}" for what, n in found.checked.items())
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in found.counts().items()) or "nothing wrong"
    say(f"compared {counted or 'nothing'}: {kinds}; {len(found.open):,} left to do")
