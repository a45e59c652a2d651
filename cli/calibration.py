"""What ``train`` and ``calibrate`` share: calibrating a bundle, on real values or its own."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from cli.console import answers, say
from common.calibration import Calibration, RuleSet, write_calibration
from common.dataset import Dataset
from common.errors import InputError
from common.ports import Progress
from ingest.dataset.dataset import read_dataset

if TYPE_CHECKING:  # torch takes seconds to load, and --help can do without
    from encoders.bundle import ModelBundle


def read_real(path: Path) -> Dataset:
    """Read the detections of a dataset that have real values.

    Raises
    ------
    InputError
        If they are too few.
    """
    from encoders.evaluation.calibrate_on import with_real_values

    return with_real_values(read_dataset(path))


def refuse_observed(dataset: Dataset, option: str) -> None:
    """Raise where a dataset that shall stand for simulations is none."""
    if not dataset.simulated:
        raise InputError(
            f"{dataset.name} is observed: it is calibrated on its own validation split; leave "
            f"{option} out, or calibrate the bundle afterwards with `chandra-search calibrate "
            "--bundle BUNDLE --on DATASET`"
        )


def calibrate_bundle(
    bundle: "ModelBundle", dataset: Dataset, real: Dataset | None, progress: Progress
) -> Calibration | None:
    """Calibrate a bundle.

    Parameters
    ----------
    bundle : ModelBundle
        Whose estimates are calibrated.
    dataset : Dataset
        What it was trained on, or the like: neighbours are of the training split.
    real : Dataset or None
        Detections with real values; without, the validation split of ``dataset`` is calibrated on.
    progress : Progress
        Told what is being done.

    Returns
    -------
    Calibration or None
        None where ``dataset`` has too few detections.
    """
    from encoders.evaluation.calibrate import FEWEST, calibrate
    from encoders.evaluation.calibrate_on import calibrate_on, some_of
    from encoders.evaluation.representations import represent

    own = represent(dataset if real is None else some_of(dataset), bundle, progress)
    if min(len(own.split[part]) for part in ("train", "validation")) < FEWEST:
        return None
    if real is None:
        return calibrate(own, progress)
    return calibrate_on(represent(real, bundle, progress), own, progress)


def keep_in_bundle(found: Calibration | None, out: Path) -> None:
    """Write a calibration into the folder of a bundle, or say why there is none."""
    if found is not None:
        write_calibration(found, out)
        return
    from encoders.evaluation.calibrate import FEWEST

    say(
        f"not calibrated: fewer than {FEWEST} detections to calibrate on, so that estimates have "
        "no intervals; `chandra-search calibrate` does it on the store once it is filled, or "
        f"`chandra-search calibrate --bundle {out} --on DATASET` on real values"
    )


def print_calibration(calibration: Calibration) -> None:
    """Print the rules and what their intervals cover on sources they were not calibrated with."""
    sets = {
        "spectra with a text": calibration.with_text,
        "spectra alone": calibration.spectrum_only,
    }
    for title, rules in sets.items():
        if rules is not None:
            answers.print(_table(rules, f"Estimates of {title}"))
            if rules.classes is not None:
                kind = "simulated" if rules.classes.simulated else "observed"
                answers.print(
                    f"classes by {rules.classes.representation}: calibration error "
                    f"{rules.classes.error_before:.1%} of bare shares, "
                    f"{rules.classes.error_after:.1%} of probabilities, {kind}\n"
                )
    if calibration.widened:
        factors = " and ".join(f"{by:.2f} ({k}%)" for k, by in calibration.widened.items())
        answers.print(
            f"intervals that rest on simulated values are widened by {factors}, what those with "
            "real values needed\n"
        )


def _table(rules: RuleSet, title: str) -> Table:
    table = Table(title=title, box=None, padding=(0, 1, 0, 0))
    for heading in ("variable", "values", "neighbours by", "k", "average"):
        table.add_column(heading)
    for heading in ("covers, of 68%", "of 90%", "mean width of 68%"):
        table.add_column(heading, justify="right")
    for name, rule in rules.variables.items():
        table.add_row(
            name,
            "simulated" if rule.simulated else "observed",
            ", ".join(rule.representations),
            str(rule.k),
            rule.average,
            f"{rule.coverage['68']:.1%}",
            f"{rule.coverage['90']:.1%}",
            f"{rule.width['68']:.3g}",
        )
    return table
