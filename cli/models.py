"""``chandra-search simulate``, ``train`` and ``evaluate``: datasets and model bundles."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.datasets import read_with_texts
from cli.evaluation import is_store, print_evaluation, represent_store, seen_in_training
from cli.evaluation_real import print_real, refuse_without_dataset, score_on_real
from cli.options import AsJson
from cli.output import print_json, say, stages
from common.calibration import write_calibration
from common.errors import InputError
from encoders.config import PROFILES, Profile
from encoders.text import DEFAULT_TEXT_MODEL, open_embedder
from ingest.dataset import write_dataset
from ingest.simulate import simulate as simulate_dataset

if TYPE_CHECKING:  # torch takes seconds to load, and --help can do without
    from encoders.bundle import ModelBundle

SHIPPED, NONE = "shipped", "none"
CHECKPOINTS = "checkpoints"  # inside --out while training goes on

DatasetPath = Annotated[
    Path,
    typer.Argument(metavar="DATASET", help="Folder or .npz, see docs/reference/dataset-format.md."),
]
TextModel = Annotated[
    str, typer.Option(help="A sentence-transformers model, by name or folder, or openai:NAME.")
]
Start = Annotated[
    str,
    typer.Option(
        help="Bundle whose autoencoder training begins with: a folder, `shipped` (trained on "
        "100,000 simulated spectra) or `none` (random weights)."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Equal seeds give equal results.")]


def simulate(
    out: Annotated[
        Path, typer.Option(help="Folder to write the dataset to; must be new or empty.")
    ],
    n: Annotated[int, typer.Option("--n", min=1, max=100_000, help="Number of detections.")] = 2000,
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
    profile: Annotated[
        Profile,
        typer.Option(
            help="quick: new heads on the autoencoder of --start; paper: that autoencoder trained "
            "on, an ensemble of 4; best: longer, an ensemble of 8."
        ),
    ] = Profile.PAPER,
    start: Start = SHIPPED,
    settings: Annotated[
        Path | None, typer.Option(help="Settings that `chandra-search tune --out FILE` has found.")
    ] = None,
    text_model: TextModel = DEFAULT_TEXT_MODEL,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train a model bundle on the training split of a dataset.

    On the validation split it is calibrated how far estimates are off (calibration.json in the
    bundle), if that has 100 detections or more. An interrupted training goes on where it
    stopped when its command is repeated.

    Example: chandra-search train simulated/ --out bundle/
    """
    checkpoints = out / CHECKPOINTS
    if not checkpoints.is_dir():
        _refuse_full_folder(out)
    from encoders.search_space import read_settings  # optuna takes a while to load

    changes = read_settings(settings) if settings else {}
    bundle = _train(path, profile, start, text_model, seed, changes, checkpoints)
    bundle.save(out)
    _calibrate(bundle, path, out)
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

        model = load(bundle) if bundle else _train(path, Profile.PAPER, SHIPPED, text_model, seed)
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
    profile: Profile,
    start: str,
    text_model: str,
    seed: int,
    changes: Mapping[str, Any] = MappingProxyType({}),
    checkpoints: Path | None = None,
) -> "ModelBundle":
    from encoders import training

    config = training.TrainingConfig(seed=seed, **{**PROFILES[profile], **changes})
    begin = load_start(start)
    if begin is None and not config.autoencoder_epochs:
        raise InputError(f"profile {profile} trains no autoencoder: give a bundle as --start")
    embedder = open_embedder(text_model)
    with stages() as progress:
        dataset = read_with_texts(path, embedder, progress)
        return training.train(
            dataset, embedder, config, progress, start=begin, checkpoints=checkpoints
        )


def _calibrate(bundle: "ModelBundle", path: Path, out: Path) -> None:
    """Write the calibration into the bundle, where the validation split is large enough."""
    from encoders.calibrate import FEWEST, calibrate
    from encoders.evaluation.representations import represent

    with stages() as progress:
        representations = represent(
            read_with_texts(path, bundle.embedder, progress), bundle, progress
        )
        if min(len(representations.split[part]) for part in ("train", "validation")) >= FEWEST:
            write_calibration(calibrate(representations, progress), out)
            return
    say(
        f"not calibrated: fewer than {FEWEST} detections to calibrate on, so that estimates have "
        "no intervals; `chandra-search calibrate` does it on the store once it is filled"
    )


def load_start(start: str) -> "ModelBundle | None":
    """Return the bundle that ``--start`` names, or None for random weights."""
    from encoders.bundle import SHIPPED_BUNDLE, load

    return None if start == NONE else load(SHIPPED_BUNDLE if start == SHIPPED else Path(start))


def _refuse_full_folder(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder: give another --out")
