"""Both recipes on one dataset: our model and that of arXiv:2603.04516 as printed.

    python benchmarks/recipes.py ../shared/data/simbench --seeds 0 1 2 --out build/recipes

Each model is trained as `chandra-search train --recipe` does and scored on the test split. What is
done is kept in --out: the same command goes on where it was interrupted. The tables are those of
docs/explanation/the-paper.md: means over seeds with their standard deviation.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from common.dataset import Dataset
from common.ports import Progress, TextEmbedder
from encoders.bundle import SHIPPED_BUNDLE, load
from encoders.config import RecipeName, config_of
from encoders.evaluation.evaluate import evaluate
from encoders.evaluation.representations import represent
from encoders.text.embedders import open_embedder
from encoders.training.train import train
from encoders.tuning.search_space import read_settings
from ingest.dataset.dataset import read_dataset

DIRECTIONS = ("spectrum_to_text", "text_to_spectrum")
RATIOS = ("spectrum", "text", "shared_spectrum", "shared_text", "both", "moe", "refined")
GAINS = ("both", "moe", "refined")
SINGLE = ("spectrum", "text")


def main() -> None:
    """Train and score what is missing, then print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--recipes", nargs="+", type=RecipeName, default=list(RecipeName))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--settings", type=Path, help="what tune --recipe paper --out has written")
    parser.add_argument("--out", type=Path, default=Path("build/recipes"))
    arguments = parser.parse_args()
    dataset, embedder, console = read_dataset(arguments.dataset), open_embedder(), Console()
    found: dict[str, list[dict[str, Any]]] = {}
    for recipe in arguments.recipes:
        settings = arguments.settings if recipe is RecipeName.PAPER else None
        changes = read_settings(settings, recipe) if settings else {}
        for seed in arguments.seeds:
            folder = arguments.out / f"{recipe}-{seed}"
            result = folder / "evaluation.json"
            if not result.exists():
                score(dataset, embedder, recipe, seed, changes, folder, _progress(console))
            found.setdefault(recipe, []).append(json.loads(result.read_text()))
    print_tables(console, found)


def score(
    dataset: Dataset,
    embedder: TextEmbedder,
    recipe: RecipeName,
    seed: int,
    changes: dict[str, Any],
    folder: Path,
    progress: Progress,
) -> None:
    """Train one model and write its evaluation."""
    start = load(SHIPPED_BUNDLE) if recipe is RecipeName.OURS else None
    config = config_of(recipe, seed=seed, **changes)
    kept = folder / "checkpoints"
    bundle = train(dataset, embedder, config, progress, start=start, checkpoints=kept)
    bundle.save(folder / "bundle")
    vectors = represent(dataset, bundle, progress)
    evaluation = evaluate(vectors, seed=seed, figures=False, progress=progress).to_dict()
    evaluation["metrics"] = dict(bundle.manifest.metrics)
    evaluation["temperature"] = bundle.manifest.temperature
    (folder / "evaluation.json").write_text(json.dumps(evaluation, indent=2) + "\n")


def print_tables(console: Console, found: dict[str, list[dict[str, Any]]]) -> None:
    """Print retrieval, errors of the estimates, and what text adds to them, by recipe."""
    retrieval = Table("recipe", "direction", "@1%", "@5%", "@10%", "median rank", title="Retrieval")
    ratios = Table("recipe", *RATIOS, title="Mean over the variables of MAE / MAE of the mean")
    gains = Table("recipe", *GAINS, title="Mean gain over the better of spectrum and text")
    wins = Table(
        "recipe", "both", "moe", "variables", title="Variables better than by either alone"
    )
    for recipe, runs in found.items():
        for direction in DIRECTIONS:
            each = [run[direction]["interval"] for run in runs]
            scale = {f"recall_at_{k}_percent": 1.0 for k in (1, 5, 10)}  # fractions
            scale["median_rank_percent"] = 0.01
            cells = [
                _percent([by * one[name]["value"] for one in each]) for name, by in scale.items()
            ]
            errors = ", ".join(
                f"{100 * by * each[0][name]['error']:.1f}" for name, by in scale.items()
            )
            retrieval.add_row(recipe, direction, *cells)
            console.print(f"{recipe} {direction}: bootstrap errors of a run, points: {errors}")
        ratios.add_row(
            recipe, *(_plain([run["mean_ratio"][n]["value"] for run in runs]) for n in RATIOS)
        )
        gains.add_row(
            recipe, *(_percent([run["mean_gain"][n]["value"] for run in runs]) for n in GAINS)
        )
        gain_errors = ", ".join(f"{n} {100 * runs[0]['mean_gain'][n]['error']:.1f}" for n in GAINS)
        console.print(f"{recipe} gains: bootstrap errors of a run, points: {gain_errors}")
        rows = [list(run["regression"].values()) for run in runs]
        won = {
            name: _plain([float(sum(_better(row, name) for row in each)) for each in rows], 1)
            for name in ("both", "moe")
        }
        wins.add_row(recipe, won["both"], won["moe"], str(len(rows[0])))
        mae = _plain([run["metrics"]["validation_autoencoder_mae"] for run in runs], 4)
        console.print(f"{recipe}: MAE of shapes on the validation split {mae}")
    for table in (retrieval, ratios, gains, wins):
        console.print(table)


def _better(row: dict[str, Any], name: str) -> bool:
    errors = {**row["by_representation"], "moe": row["moe"]}
    return bool(errors[name]["value"] < min(errors[single]["value"] for single in SINGLE))


def _percent(values: list[float]) -> str:
    return f"{100 * np.mean(values):.1f}{_spread([100 * value for value in values], 1)}%"


def _plain(values: list[float], digits: int = 3) -> str:
    return f"{np.mean(values):.{digits}f}{_spread(values, digits)}"


def _spread(values: list[float], digits: int) -> str:
    return f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""


def _progress(console: Console) -> Progress:
    last = [""]

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage != last[0]:
            last[0] = stage
            console.log(f"{stage}: {done} of {total}")

    return progress


if __name__ == "__main__":
    main()
