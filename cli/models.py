"""``chandra-search train`` and ``evaluate``: model bundles."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.calibration import calibrate_bundle, keep_in_bundle, read_real, refuse_observed
from cli.console import print_json, say, stages
from cli.datasets import read_to_learn, read_with_texts
from cli.evaluation import is_store, print_evaluation, represent_store, seen_in_training
from cli.evaluation_real import print_real, refuse_without_dataset, score_on_real
from cli.options.corpus import read_words
from cli.options.recipe import ProfileOption, RecipeOption
from cli.options.store import AsJson
from common.dataset import Dataset
from common.errors import InputError
from encoders.config import (
    BRIDGE_SHARE_OF_WORDS,
    Profile,
    RecipeName,
    TrainingConfig,
    config_of,
)
from encoders.text.embedders import DEFAULT_TEXT_MODEL, open_embedder
from ingest.simulation.mixing import MOST_SHARE, mix_simulated

if TYPE_CHECKING:  # torch takes seconds to load, and --help can do without
    from encoders.bundle import ModelBundle

SHIPPED, NONE = "shipped", "none"
CHECKPOINTS = "checkpoints"  # inside --out while training goes on

SimulatedShare = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=MOST_SHARE,
        help="Simulated sources among those trained on, made for it. Default: 0; for a store .3, "
        "unless it has 5,000 sources with texts to train on, or is simulated itself.",
        show_default=False,
    ),
]
DatasetPath = Annotated[
    Path,
    typer.Argument(metavar="DATASET", help="Folder or .npz, see docs/reference/dataset-format.md."),
]
TextModel = Annotated[
    str, typer.Option(help="A sentence-transformers model, by name or folder, or openai:NAME.")
]
Start = Annotated[
    str | None,
    typer.Option(
        help="Bundle whose autoencoder training begins with: a folder, `shipped` (trained on "
        "100,000 simulated spectra) or `none` (random weights). By default the shipped one, and "
        "none for --recipe paper."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Equal seeds give equal results.")]


def train(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="Folder or .npz, see docs/reference/dataset-format.md, or the data folder of a "
            "store that has been ingested.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the bundle to; must be new or empty.")],
    recipe: RecipeOption = RecipeName.OURS,
    profile: ProfileOption = Profile.STANDARD,
    start: Start = None,
    settings: Annotated[
        Path | None, typer.Option(help="Settings that `chandra-search tune --out FILE` has found.")
    ] = None,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(
            help="Real titles and abstracts to learn words and the topic from, JSON lines, .gz "
            "allowed, see docs/reference/corpus-format.md; a fifth of them is held out for good. "
            "May be repeated."
        ),
    ] = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DATASET", help="Leave out texts of --corpus that name an object of it."
        ),
    ] = None,
    text_model: TextModel = DEFAULT_TEXT_MODEL,
    simulated_share: SimulatedShare = None,
    calibrate_on: Annotated[
        Path | None,
        typer.Option(
            metavar="DATASET",
            help="Detections with real catalogue values, folder or .npz: estimates of a model that "
            "is trained on simulations are calibrated on them, see docs/how-to/calibrate.md.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train a model bundle on the training split of a dataset, or of what a store holds.

    Of a store each detection is paired with all papers about its source; sources are split for
    good, by a hash of their names. `chandra-search learn` does that and changes to the new bundle
    if it is better.

    On the validation split it is calibrated how far estimates are off (calibration.json in the
    bundle), if that has 100 detections or more. With --calibrate-on, real values take the place of
    simulated ones wherever there are some; `chandra-search calibrate --bundle` does it later.
    An interrupted training goes on where it stopped when its command is repeated.

    Example: chandra-search train simulated/ --out bundle/
    """
    checkpoints = out / CHECKPOINTS
    if not checkpoints.is_dir():
        refuse_full_folder(out)
    from encoders.tuning.search_space import read_settings  # optuna takes a while to load

    changes = read_settings(settings, recipe) if settings else {}
    config = config_of(recipe, profile, seed=seed, **changes)
    real = read_real(calibrate_on) if calibrate_on else None
    bundle, dataset = _train(
        path,
        config,
        start,
        text_model,
        checkpoints,
        corpus or (),
        exclude or (),
        simulated_share,
        calibrates_on_real=real is not None,
    )
    bundle.save(out)
    with stages() as progress:
        found = calibrate_bundle(bundle, dataset, real, progress)
    keep_in_bundle(found, out)
    shutil.rmtree(checkpoints, ignore_errors=True)  # only now is the training safe
    if as_json:
        print_json({"bundle": str(out), "model_id": bundle.model_id})
    else:
        say(f"model {bundle.model_id} in {out}; use it with --bundle {out}")


def evaluate(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="Dataset as for train, or the data folder of a store that has been ingested.",
        ),
    ],
    bundle: Annotated[
        Path | None,
        typer.Option(help="Evaluate this bundle instead of training on the training split."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write an HTML report with all tables and figures to this folder."
        ),
    ] = None,
    recipe: RecipeOption = RecipeName.OURS,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE...",
            help="Corpora whose held-out fifth is the pool of texts that real spectra are compared "
            "with: titles and abstracts as JSON lines.",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="DATASET",
            help="Dataset whose detections are the neighbours that the intervals of real spectra "
            "are made from.",
        ),
    ] = None,
    text_model: TextModel = DEFAULT_TEXT_MODEL,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Print what a model reaches on a dataset's test split: retrieval and estimation.

    Without --bundle a model is trained on the training split first. The split is by source: no
    detection of a test source is seen in training. The vectors of a store are evaluated as they
    are. With --corpus, and for a dataset that is there to judge by, it is scored how spectra meet
    real papers and questions.

    Example: chandra-search evaluate simulated/ --report report/
    """
    from encoders.evaluation.evaluate import evaluate as evaluate_vectors
    from encoders.evaluation.evaluate import judge
    from encoders.evaluation.reconstructions import reconstruct_some
    from encoders.evaluation.report import check_report_folder, write_report
    from encoders.evaluation.representations import represent

    if report:
        check_report_folder(report)
    spectra = real = None
    only_judged = False
    if is_store(path):
        refuse_without_dataset(corpus or (), reference)
        with stages() as progress:
            vectors = represent_store(path, bundle, progress)
    else:
        from encoders.bundle import load

        config = config_of(recipe, seed=seed)
        model = load(bundle) if bundle else _train(path, config, None, text_model)[0]
        with stages() as progress:
            dataset = read_with_texts(path, model.embedder, progress)
            vectors = represent(dataset, model, progress)
        vectors = replace(vectors, notes=[*seen_in_training(dataset, model), *vectors.notes])
        spectra = reconstruct_some(dataset, model) if report else None
        only_judged = dataset.use == "test"
        if corpus or only_judged:
            real = score_on_real(path, dataset, model, bundle, corpus or (), reference, seed)
    with stages() as progress:
        found = (
            judge(vectors, seed)
            if only_judged
            else evaluate_vectors(
                vectors, seed=seed, figures=as_json or report is not None, progress=progress
            )
        )
    found = replace(found, real=real)
    if report:
        say(f"report in {write_report(found, vectors, report, spectra)}")
    if as_json:
        print_json(found.to_dict())
    else:
        print_evaluation(found)
        if found.real:
            print_real(found.real, found.dataset)


def _train(
    path: Path,
    config: TrainingConfig,
    start: str | None,
    text_model: str,
    checkpoints: Path | None = None,
    corpus: Sequence[Path] = (),
    exclude: Sequence[Path] = (),
    simulated_share: float | None = None,
    calibrates_on_real: bool = False,
) -> "tuple[ModelBundle, Dataset]":
    """Return a bundle trained on a dataset or store, and what it was trained on of that."""
    from encoders.training import train as training

    begin = load_start(start, config)
    if begin is None and not config.autoencoder_epochs:
        raise InputError("profile quick trains no autoencoder: give a bundle as --start")
    embedder = open_embedder(text_model)
    with stages() as progress:
        dataset, share = read_to_learn(path, embedder, progress)
        if calibrates_on_real:
            refuse_observed(dataset, "--calibrate-on")
        words = read_words(corpus, exclude, embedder, progress)
        if words and config.bridge_share is None:
            config = replace(config, bridge_share=BRIDGE_SHARE_OF_WORDS)
        mixed = mix_simulated(
            dataset, share if simulated_share is None else simulated_share, config.seed, progress
        )
        bundle = training.train(
            mixed, embedder, config, progress, start=begin, checkpoints=checkpoints, words=words
        )
    return bundle, dataset


def load_start(start: str | None, config: TrainingConfig) -> "ModelBundle | None":
    """Return the bundle that ``--start`` names, or None for random weights.

    Where it names none, that is the shipped one, or none for the paper's recipe.
    """
    from encoders.bundle import SHIPPED_BUNDLE, load

    if start is None:
        start = NONE if config.recipe == "paper" else SHIPPED
    return None if start == NONE else load(SHIPPED_BUNDLE if start == SHIPPED else Path(start))


def refuse_full_folder(out: Path) -> None:
    """Raise if a folder to write to has something in it."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder: give another --out")
