"""What ``chandra-search evaluate`` reads and prints; the command itself is in `cli.models`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from cli.console import answers, say
from common.dataset import Dataset
from common.errors import InputError
from common.ports import Progress
from common.representations import Representations
from search.app import open_store
from search.collections.stored_vectors import read_vectors
from search.settings import SearchSettings

if TYPE_CHECKING:  # what it needs takes seconds to load, and --help can do without
    from encoders.bundle import ModelBundle
    from encoders.evaluation.result import Evaluation, RetrievalResult

_STORE = "store"
_COLUMNS = {  # short, so that the table fits into 80 characters
    "spectrum": "spec.",
    "text": "text",
    "shared_spectrum": "shared\nspec.",
    "shared_text": "shared\ntext",
    "both": "both",
    "moe": "MoE",
    "refined": "refined",
}

_SPLIT_ANEW = (
    "sources are split by a hash of their names, as `learn` and `train DATA_DIR` split them: a "
    "model trained otherwise on some of them may have seen test sources, and its figures are then "
    "too good"
)


def is_store(path: Path) -> bool:
    """Return whether this is a store's own folder, or a data folder that holds one."""
    return (data_dir_of(path) / _STORE / "collections").is_dir()


def represent_store(path: Path, bundle: Path | None, progress: Progress) -> Representations:
    """Return the vectors of an ingested store.

    Raises
    ------
    InputError
        If another bundle is given than the one that filled the store.
    """
    settings = SearchSettings(data_dir=data_dir_of(path), qdrant_url=None)
    with open_store(settings) as store:
        stored = read_vectors(store, progress)
    return replace(
        stored,
        dataset=f"store {path}",
        text_model=_text_model(bundle, stored.model_id, path) if bundle else stored.text_model,
        notes=[*stored.notes, _SPLIT_ANEW],
    )


def seen_in_training(dataset: Dataset, model: "ModelBundle") -> list[str]:
    """Return a warning where the model was trained on the test split that it is asked about."""
    manifest = model.manifest
    if manifest.config.train_on != "all" or manifest.dataset != dataset.name:
        return []
    return [
        f"model {model.model_id} was trained on all of {dataset.name} but its validation split: it "
        "has seen the test split, and these figures are too good"
    ]


def print_evaluation(evaluation: "Evaluation") -> None:
    """Print the tables of arXiv:2603.04516 in short: retrieval, and estimation by k-NN."""
    kind = "simulated spectra" if evaluation.simulated else "observed spectra"
    name = escape(evaluation.dataset)
    directions = {
        "spectrum → text": evaluation.spectrum_to_text,
        "text → spectrum": evaluation.text_to_spectrum,
    }
    given = {title: found for title, found in directions.items() if found}
    if given:
        answers.print(_retrieval(given, f"Retrieval, {name} ({kind})"))
    if evaluation.regression:
        _print_estimation(evaluation, f"{name} ({kind})")
    for note in evaluation.notes:
        say(f"note: {note}")


def _retrieval(directions: dict[str, "RetrievalResult"], title: str) -> Table:
    table = Table("direction", "Recall@1%", "@5%", "@10%", "median rank", "candidates", title=title)
    for direction, result in directions.items():
        scores = result.overall.to_dict()
        rank, candidates = scores["median_rank"], scores["candidates"]
        table.add_row(
            direction,
            *(f"{result.overall.recall_at(k):.1%}" for k in (1, 5, 10)),
            f"{rank:g} ({rank / candidates:.1%})",
            f"{candidates:,}",
        )
    return table


def _print_estimation(evaluation: "Evaluation", dataset: str) -> None:
    from encoders.evaluation.estimation import errors_of
    from encoders.evaluation.report import number

    ratios = evaluation.mean_ratio
    columns = [name for name in _COLUMNS if name in ratios]
    table = Table(
        title=f"Estimation by k-NN: mean absolute error, {dataset}",
        caption="mean ratio: mean of error / error of always guessing the training mean",
        box=None,
        padding=(0, 1, 0, 0),
    )
    for heading in ("variable", "mean", *(_COLUMNS[name] for name in columns)):
        left = heading == "variable"
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for name, row in evaluation.regression.items():
        errors = errors_of(row)
        values = row.mean_baseline, *(errors[column] for column in columns)
        table.add_row(name, *(number(one.value) for one in values))
    means = (f"{ratios[column].value:.3f}" for column in columns)
    table.add_row("mean ratio", "1", *means, style="bold")
    answers.print(table)
    if gains := evaluation.mean_gain:
        answers.print(
            "mean gain over the better of spectrum and text before alignment: "
            + ", ".join(f"{_COLUMNS[name]} {gain.value:+.1%}" for name, gain in gains.items())
        )
    losing = [name for name, row in evaluation.regression.items() if row.worse_than_best_single]
    if losing:
        answers.print(
            "refined rule worse than the best single representation by more than its interval: "
            + ", ".join(losing)
        )


def _text_model(bundle: Path, stored_model: str, path: Path) -> str:
    """Return the text model of the bundle that filled the store, once it is known to be that."""
    from encoders.bundle import load

    model = load(bundle)
    if model.model_id != stored_model:
        raise InputError(
            f"{path} was filled by model {stored_model}, {bundle} is {model.model_id}: "
            "leave --bundle out, or ingest into a new store with it"
        )
    return model.text_model


def data_dir_of(path: Path) -> Path:
    """Return the data folder that a path to a store means."""
    return path.parent if path.name == _STORE and (path / "collections").is_dir() else path
