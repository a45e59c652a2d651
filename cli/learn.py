"""``chandra-search learn``: train on what is ingested, and change to the model if it is better."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.console import answers, print_json, say, stages
from cli.models import SimulatedShare, refuse_full_folder
from cli.options.recipe import ProfileOption
from cli.options.store import AsJson, Bundle, DataDir, settings_for
from common.errors import StoreLockedError
from encoders.config import Profile
from search.app import open_store
from workers.learning.plan import Wish
from workers.learning.round import Round

NOT_BETTER = 5

_FIGURES = {
    "Recall@1%": "recall_at_1_percent",
    "Recall@5%": "recall_at_5_percent",
    "Recall@10%": "recall_at_10_percent",
    "median rank": "median_rank",
}
_DIRECTIONS = {"spectrum → text": "spectrum_to_text", "text → spectrum": "text_to_spectrum"}
_ESTIMATORS = {"spectrum": "spectrum", "both": "shared vectors", "refined": "refined rule"}


def learn(
    data_dir: DataDir = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Also copy the new bundle to this folder; must be new or empty."),
    ] = None,
    bundle: Bundle = None,
    profile: ProfileOption = Profile.STANDARD,
    simulated_share: SimulatedShare = None,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal results.")] = 0,
    switch: Annotated[
        bool | None,
        typer.Option(
            "--yes/--no-switch",
            help="Change to a better model without asking, or only report. Default: ask at a "
            "terminal, else change.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train on what the store holds, and change to the new model if it is better.

    Each detection is paired with every paper about its source. A new bundle begins with the
    store's own and is trained on 69% of the sources, chosen on 15%; the other 15% are held out for
    good, by a hash of their names: on these both bundles are scored, encoded afresh. If the mean of
    the six recalls has risen beyond chance (95% interval of a paired bootstrap by source above 0),
    the store is reindexed; the old model stays for `chandra-search reindex --rollback` until
    `--drop-old` or the next change. Else nothing is changed.

    The store is open only to be read and to be changed: `serve` may run while the model trains.
    Interrupted, the same command goes on where it stopped; DATA_DIR/learning keeps the reports.

    Exit codes: 0 better (and changed to, unless --no-switch), 5 not better and nothing was changed,
    2 too few pairs or wrong use, 4 the store is in use or the disk is full: repeat it.

    Example: chandra-search learn --data-dir data/
    """
    settings = settings_for(data_dir, bundle)
    if out is not None:
        refuse_full_folder(out)
    with Round(settings.data_dir) as one:
        with stages() as progress:
            with open_store(settings) as store:
                plan = one.begin(store, settings, Wish(seed, profile, simulated_share), progress)
            for note in plan.notes:
                say(f"note: {note}")
            found = one.work.run(progress)
        if not as_json:
            _print(found)
        if out is not None:
            one.copy_bundle(out)
        wanted = _wanted(found, switch)
        try:
            store = open_store(settings)
        except StoreLockedError as exc:
            raise StoreLockedError(
                f"the round is complete up to the change of the store: {exc}. Then repeat this "
                "command, nothing is trained again"
            ) from exc
        with store, stages() as progress:
            report = one.end(store, settings, wanted, progress)
    if as_json:
        print_json(report)
    else:
        _say_decision(report)
    if not report["better"]:
        raise typer.Exit(NOT_BETTER)


def _wanted(found: dict[str, Any], switch: bool | None) -> bool:
    if switch is not None or not found["better"] or not sys.stdin.isatty():
        return switch is not False
    return typer.confirm("Change the store to the new model?", default=True, err=True)


def _print(found: dict[str, Any]) -> None:
    plan, old, new = found["plan"], found["old"], found["new"]
    table = Table(
        "held-out sources of the store",
        "old",
        "new",
        title=f"{old['model_id']} and {new['model_id']}"
        + (" (simulated spectra among them)" if plan["simulated"] else ""),
        caption=f"{found['n_sources']:,} sources, {found['n_detections']:,} detections, "
        f"{found['n_texts']:,} texts, none of which the new one has seen",
    )
    for title, direction in _DIRECTIONS.items():
        for name, figure in _FIGURES.items():
            values = old[direction][figure], new[direction][figure]
            table.add_row(f"{title}, {name}", *(_shown(figure, value) for value in values))
    table.add_row(
        "mean of the six recalls",
        *(f"{one['mean_recall']:.1%}" for one in (old, new)),
        style="bold",
    )
    for name, title in _ESTIMATORS.items():
        if name in old["estimation"] and name in new["estimation"]:
            table.add_row(
                f"error of estimates / of the mean, {title}",
                *(f"{one['estimation'][name]:.3f}" for one in (old, new)),
            )
    answers.print(table)
    answers.print(
        f"difference of the mean recall {found['difference']:+.1%}, 95% interval "
        f"{found['low']:+.1%} to {found['high']:+.1%}: "
        + ("better beyond chance" if found["better"] else "not better beyond chance")
    )


def _shown(figure: str, value: float) -> str:
    return f"{value:g}" if figure == "median_rank" else f"{value:.1%}"


def _say_decision(report: dict[str, Any]) -> None:
    new, old = report["new"]["model_id"], report["old"]["model_id"]
    said = {
        "switched": f"the store answers by model {new} now; `chandra-search reindex --rollback` "
        f"goes back to {old}, `--drop-old` lets it go. Outlier scores are each model's own: "
        "compute them with `chandra-search outliers score`",
        "kept the old one": f"the store keeps model {old}: nothing was changed",
        "better, not switched": f"the store keeps model {old}; change to the new one with "
        f"`chandra-search reindex --bundle {report['bundle']}`",
    }
    say(said[report["decision"]])
    say(f"report in {report['report']}")
