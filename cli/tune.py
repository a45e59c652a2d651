"""``chandra-search tune``: search the hyperparameters of the alignment."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.console import answers, print_json, say, stages
from cli.datasets import read_with_texts
from cli.models import DatasetPath, Seed, Start, TextModel, load_start
from cli.options.recipe import RecipeOption
from cli.options.store import AsJson
from common.errors import UnavailableError
from encoders.config import RecipeName, config_of
from encoders.text.embedders import DEFAULT_TEXT_MODEL, open_embedder

if TYPE_CHECKING:  # torch takes seconds to load, and --help can do without
    from encoders.tuning.tune import Tuned


def tune(
    path: DatasetPath,
    study: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Journal to keep the search in; begun when missing."),
    ],
    trials: Annotated[
        int,
        typer.Option(
            min=1, help="Finished trials the study shall have, those of earlier runs included."
        ),
    ],
    jobs: Annotated[
        int, typer.Option(min=1, help="Processes to run trials in, one thread each if several.")
    ] = 2,
    recipe: RecipeOption = RecipeName.OURS,
    start: Start = None,
    text_model: TextModel = DEFAULT_TEXT_MODEL,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the best settings to this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search the hyperparameters of the alignment, judged on the validation split.

    An interrupted search goes on where it stopped when its command is repeated; the same command
    with more --trials extends it.

    Example: chandra-search tune simulated/ --study search.journal --trials 50 --out settings.json
    """
    from encoders.tuning.tune import read_settings
    from encoders.tuning.tune import tune as search

    if out is not None and out.exists():
        read_settings(out, recipe)  # never write over anything else
    config = config_of(recipe, seed=seed)
    begin = load_start(start, config)
    embedder = open_embedder(text_model)
    with stages() as progress:
        dataset = read_with_texts(path, embedder, progress)
        found = search(
            dataset,
            embedder,
            study,
            trials,
            config,
            jobs=jobs,
            start=begin,
            progress=progress,
            better=lambda best: say(f"trial {best.trial}: {best.score:.2%}, the best so far"),
        )
    if out is not None:
        _write(found, out)
    if as_json:
        print_json(found.to_dict())
    else:
        _print_table(found, recipe)


def _write(found: "Tuned", out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found.to_dict(), indent=2) + "\n", encoding="utf-8")
    except OSError as exc:
        raise UnavailableError(
            f"{out} cannot be written ({exc.strerror}): give another --out; the search is kept, "
            "and the repeated command runs no trial again"
        ) from exc


def _print_table(found: "Tuned", recipe: RecipeName) -> None:
    from encoders.tuning.search_space import space_of

    space, defaults = space_of(recipe), config_of(recipe)
    table = Table(
        "setting",
        "best",
        "default",
        "searched",
        title=f"Best of {found.complete + found.pruned} trials, {found.pruned} of them pruned",
        caption=f"mean of six recalls on the validation split: {found.score:.2%} "
        f"(trial {found.trial})",
    )
    for name, value in found.settings.items():
        allowed, default = space[name], getattr(defaults, name)
        table.add_row(name, f"{value:.4g}", f"{default:g}", f"{allowed.low:g} to {allowed.high:g}")
    answers.print(table)
