"""``chandra-search calibrate``: how far estimates are off, on a store's own data."""

from dataclasses import replace

from rich.table import Table

from cli.options import AsJson, DataDir, settings_for
from cli.output import answers, print_json, say, stages
from common.calibration import Calibration, RuleSet, write_calibration
from search.app import open_store
from search.representations import read_vectors


def calibrate(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Calibrate estimates and classes on the detections of the store.

    A bundle comes with a calibration of its own, made from what it was trained on. This one is made
    from your data and used instead of it: for each of the 20 variables the best way to average
    neighbours, intervals that hold the true value in 68% and 90% of the cases, and probabilities
    of classes that come true as often as they say. Detections are split by source: neighbours are
    looked for in one part, and how far the estimates are off is seen on another, whose coverage by
    the intervals is printed. About 700 detections with a spectrum are needed. Repeat it when much
    has been ingested. No bundle is loaded: stored vectors are calibrated as they are.

    It writes DATA_DIR/calibration.json; delete that file to go back to the bundle's calibration.

    Example: chandra-search calibrate --data-dir data/
    """
    # torch takes seconds to load, and --help can do without
    from encoders.calibrate import calibrate as calibrate_vectors

    settings = settings_for(data_dir)
    with stages() as progress, open_store(settings) as store:
        stored = read_vectors(store, progress)
        found = calibrate_vectors(replace(stored, dataset="the store"), progress)
    path = write_calibration(found, settings.data_dir)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found)
        say(f"calibration of {found.in_words()} in {path}")
        for note in stored.notes:
            say(f"note: {note}")


def _print(calibration: Calibration) -> None:
    """Print the rules and what their intervals cover on sources they were not calibrated with."""
    sets = {
        "spectra with a text": calibration.with_text,
        "spectra alone": calibration.spectrum_only,
    }
    for title, rules in sets.items():
        if rules is not None:
            answers.print(_table(rules, f"Estimates of {title}"))
            if rules.classes is not None:
                answers.print(
                    f"classes by {rules.classes.representation}: calibration error "
                    f"{rules.classes.error_before:.1%} of bare shares, "
                    f"{rules.classes.error_after:.1%} of probabilities\n"
                )


def _table(rules: RuleSet, title: str) -> Table:
    table = Table(title=title, box=None, padding=(0, 1, 0, 0))
    for heading in ("variable", "neighbours by", "k", "average"):
        table.add_column(heading)
    for heading in ("covers, of 68%", "of 90%", "mean width of 68%"):
        table.add_column(heading, justify="right")
    for name, rule in rules.variables.items():
        table.add_row(
            name,
            ", ".join(rule.representations),
            str(rule.k),
            rule.average,
            f"{rule.coverage['68']:.1%}",
            f"{rule.coverage['90']:.1%}",
            f"{rule.width['68']:.3g}",
        )
    return table
