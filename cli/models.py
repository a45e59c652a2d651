"""``chandra-search simulate``, ``train`` and ``evaluate``: datasets and model bundles."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.options import AsJson
from cli.output import answers, print_json, say, stages
from common.errors import InputError
from encoders.text import DEFAULT_TEXT_MODEL, SentenceTransformerEmbedder
from ingest.dataset import read_dataset, write_dataset
from ingest.simulate import simulate as simulate_dataset

if TYPE_CHECKING:  # torch takes seconds to load, and --help can do without
    from encoders.bundle import ModelBundle
    from encoders.evaluation import Evaluation

DatasetPath = Annotated[
    Path,
    typer.Argument(metavar="DATASET", help="Folder or .npz, see docs/reference/dataset-format.md."),
]
TextModel = Annotated[str, typer.Option(help="A sentence-transformers model, by name or folder.")]
Seed = Annotated[int, typer.Option(min=0, help="Equal seeds give equal results.")]


def simulate(
    out: Annotated[
        Path, typer.Option(help="Folder to write the dataset to; must be new or empty.")
    ],
    n: Annotated[
        int, typer.Option("--n", min=1, max=1_000_000, help="Number of detections.")
    ] = 2000,
    seed: Seed = 0,
) -> None:
    """Simulate detections with spectra, catalogue values and summaries, all labelled simulated.

    Example: chandra-search simulate --n 12000 --out simulated/
    """
    _refuse_full_folder(out)
    with stages() as progress:
        dataset = simulate_dataset(n, seed, progress)
    write_dataset(dataset, out)
    say(f"{len(dataset):,} simulated detections of {dataset.n_sources:,} sources in {out}")


def train(
    path: DatasetPath,
    out: Annotated[Path, typer.Option(help="Folder to write the bundle to; must be new or empty.")],
    text_model: TextModel = DEFAULT_TEXT_MODEL,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train a model bundle on the training split of a dataset.

    Example: chandra-search train simulated/ --out bundle/
    """
    _refuse_full_folder(out)
    bundle = _train(path, text_model, seed)
    bundle.save(out)
    if as_json:
        print_json({"bundle": str(out), "model_id": bundle.model_id})
    else:
        say(f"model {bundle.model_id} in {out}; use it with --bundle {out}")


def evaluate(
    path: DatasetPath,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Evaluate this bundle instead of training on the training split."),
    ] = None,
    text_model: TextModel = DEFAULT_TEXT_MODEL,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train on a dataset's training split, then print retrieval and estimation on its test split.

    The split is by source: no detection of a test source is seen in training.

    Example: chandra-search evaluate simulated/
    """
    from encoders import evaluation
    from encoders.bundle import load

    model = load(bundle) if bundle else _train(path, text_model, seed)
    dataset = read_dataset(path)
    with stages() as progress:
        scores = evaluation.evaluate(dataset, model, progress=progress)
    if as_json:
        print_json(scores.to_dict())
    else:
        _print(scores, dataset.name, dataset.simulated)


def _train(path: Path, text_model: str, seed: int) -> "ModelBundle":
    from encoders import training

    embedder = SentenceTransformerEmbedder(text_model)
    with stages() as progress:
        return training.train(
            read_dataset(path), embedder, training.TrainingConfig(seed=seed), progress
        )


def _refuse_full_folder(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder: give another --out")


def _print(evaluation: "Evaluation", name: str, simulated: bool) -> None:
    """Print the two tables of arXiv:2603.04516: retrieval, and estimation by k-NN."""
    result = evaluation.to_dict()
    kind = "simulated spectra" if simulated else "observed spectra"
    retrieval = Table(
        "direction", "Recall@1%", "@5%", "@10%", "median rank", "candidates",
        title=f"Retrieval, test split of {name} ({kind})",
    )  # fmt: skip
    for direction, scores in result["retrieval"].items():
        rank, candidates = scores["median_rank"], scores["candidates"]
        retrieval.add_row(
            direction.replace("_", " "),
            *(f"{scores[f'recall_at_{k}_percent']:.1%}" for k in (1, 5, 10)),
            f"{rank:g} ({rank / candidates:.1%})",
            f"{candidates:,}",
        )
    answers.print(retrieval)
    regression = Table(title=f"Estimation by k-NN: mean absolute error, test split of {name}")
    columns = next(iter(result["regression"].values()), ())
    for column in ("variable", *columns):
        regression.add_column(column.replace("_", " "))
    for variable, row in result["regression"].items():
        cells = (x if isinstance(x, str) else f"{x:.4g}" for x in row.values())
        regression.add_row(variable, *cells)
    answers.print(regression)
    both, moe = result["improvement"]["both"], result["improvement"]["moe"]
    answers.print(
        f"mean gain over the better of spectrum and text before alignment: both {both:+.1%}, "
        f"mixture of experts {moe:+.1%}"
    )
