"""``chandra-search calibrate``: how far estimates are off, on own data or real values."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.calibration import calibrate_bundle, print_calibration, read_real, refuse_observed
from cli.console import print_json, say, stages
from cli.datasets import read_with_texts
from cli.options.store import AsJson, DataDir, settings_for
from common.calibration import Calibration, write_calibration
from common.errors import InputError
from ingest.simulation.simulate import simulate
from search.app import open_store
from search.collections.stored_vectors import read_vectors

N_BESIDE: Final = 4000
_SEED: Final = 77_777  # of no training


def calibrate(
    data_dir: DataDir = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Calibrate this bundle on the values of --on, instead of a store on its own.",
            show_default=False,
        ),
    ] = None,
    on: Annotated[
        Path | None,
        typer.Option(
            metavar="DATASET",
            help="Detections with real catalogue values, see docs/how-to/calibrate.md. With "
            "--bundle.",
            show_default=False,
        ),
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(
            metavar="DATASET",
            help="Simulated detections: neighbours that a store may hold, and values of the "
            "variables that --on has none of. The best is what the bundle was trained on. "
            f"Default: {N_BESIDE:,} are simulated for it.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Calibrate estimates and classes on the detections of the store, or a bundle on real values.

    A bundle comes with a calibration of its own, made from what it was trained on. This one is made
    from your data and used instead of it: for each of the 20 variables the best way to average
    neighbours, intervals that hold the true value in 68% and 90% of the cases, and probabilities
    of classes that come true as often as they say. Detections are split by source: neighbours are
    looked for in one part, and how far the estimates are off is seen on another, whose coverage by
    the intervals is printed. About 700 detections with a spectrum are needed. Repeat it when much
    has been ingested. No bundle is loaded: stored vectors are calibrated as they are.

    It writes DATA_DIR/calibration.json; delete that file to go back to the bundle's calibration.

    With --bundle and --on, the calibration of that bundle is made anew without training it:
    intervals from the real values of --on for all variables that 100 detections or more have values
    of, wide enough with real and with simulated neighbours; from simulations for the rest, widened
    by the factor that the others needed.

    Examples: chandra-search calibrate --data-dir data/; chandra-search calibrate --bundle bundle/
    --on catalogue_fits.npz --beside simulated/
    """
    if bundle is not None or on is not None:
        if bundle is None or on is None or data_dir is not None:
            raise InputError(
                "a bundle is calibrated with --bundle and --on, a store with neither of them: give "
                "both and no --data-dir, or none"
            )
        found, path, notes = _of_bundle(bundle, on, beside)
    elif beside is not None:
        raise InputError("--beside is for --bundle and --on: give these, or leave it out")
    else:
        found, path, notes = _of_store(data_dir)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        print_calibration(found)
        say(f"calibration of {found.in_words()} in {path}")
        for note in notes:
            say(f"note: {note}")


_Written = tuple[Calibration, Path, tuple[str, ...]]


def _of_store(data_dir: Path | None) -> _Written:
    # torch takes seconds to load, and --help can do without
    from encoders.evaluation.calibrate import calibrate as calibrate_vectors

    settings = settings_for(data_dir)
    with stages() as progress, open_store(settings) as store:
        stored = read_vectors(store, progress)
        found = calibrate_vectors(replace(stored, dataset="the store"), progress)
    return found, write_calibration(found, settings.data_dir), tuple(stored.notes)


def _of_bundle(bundle: Path, on: Path, beside: Path | None) -> _Written:
    real = read_real(on)
    from encoders.bundle import load
    from encoders.evaluation.calibrate import FEWEST

    model = load(bundle)
    with stages() as progress:
        if beside is None:
            simulated = replace(
                simulate(N_BESIDE, _SEED, progress, population="mixed"), name="simulations"
            )
        else:
            simulated = read_with_texts(beside, model.embedder, progress)
        simulated.check_may_be_learnt_from()
        refuse_observed(simulated, "--beside")
        found = calibrate_bundle(model, simulated, real, progress)
    if found is None:
        raise InputError(
            f"{simulated.name} has fewer than {FEWEST} detections in its training or validation "
            f"split: give about {FEWEST * 20 // 3:,} detections or more as --beside"
        )
    return found, write_calibration(found, bundle), ()
