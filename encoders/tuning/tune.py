"""Search the hyperparameters of the alignment with optuna, on the validation split."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import optuna
import torch
from optuna.distributions import distribution_to_json
from optuna.trial import TrialState

from common.dataset import Dataset
from common.errors import InputError
from common.ports import Progress, TextEmbedder, no_progress
from common.records import content_hash
from encoders.bundle import ModelBundle
from encoders.config import TrainingConfig
from encoders.fitting.checkpoint import Checkpoints
from encoders.fitting.fit_alignment import Pairs
from encoders.training.train import prepare
from encoders.training.training_data import identity_of
from encoders.tuning import study as study_file
from encoders.tuning.search_space import SPACE, read_settings, space_of
from encoders.tuning.trials import Trials, run_trials

__all__ = ["SPACE", "Tuned", "read_settings", "tune"]

_STAGE: Final = "trials"


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search has found so far."""

    settings: Mapping[str, Any]
    """Best values of the names in `encoders.tuning.search_space.space_of`."""
    score: float
    """Mean of the six recalls, of both directions, on the validation split."""
    trial: int
    complete: int
    pruned: int
    study: str
    recipe: str = "ours"

    def to_dict(self) -> dict[str, Any]:
        """Return the document that `read_settings` reads."""
        return dataclasses.asdict(self)


def tune(
    dataset: Dataset,
    embedder: TextEmbedder,
    path: Path,
    trials: int,
    config: TrainingConfig | None = None,
    *,
    jobs: int = 1,
    start: ModelBundle | None = None,
    progress: Progress = no_progress,
    better: Callable[[Tuned], None] | None = None,
) -> Tuned:
    """Search until a study has this many finished trials; a repeated call goes on with it.

    Each trial trains one pair of heads. The first has the values of ``config``, so that the result
    is never worse. With one job, equal seeds give equal studies, interrupted or not.

    Parameters
    ----------
    dataset : Dataset
        Pairs, as for `encoders.training.train.train`; its test split is not used.
    embedder : TextEmbedder
        Text model.
    path : Path
        File of the study; beside it a folder keeps the trained autoencoder.
    trials : int
        Finished trials that the study shall have, those of earlier calls included.
    config : TrainingConfig or None
        Settings that are not searched.
    jobs : int
        Processes to run trials in.
    start : ModelBundle or None
        Bundle whose autoencoder training begins with.
    progress : callable
        Told what is being done and how far it is.
    better : callable or None
        Told of each new best trial.

    Returns
    -------
    Tuned
        The best settings of all trials of the study.

    Raises
    ------
    InputError
        If the file is no study or one of other data, the dataset is for tests only or has too few
        pairs, or trials or jobs are fewer than 1.
    UnavailableError
        If the study is in use by another search or cannot be written.
    """
    if trials < 1 or jobs < 1:
        raise InputError(f"{trials} trials in {jobs} processes: give at least 1 of each")
    dataset.check_may_be_learnt_from()
    config = config or TrainingConfig()
    identity = identity_of(dataset, embedder, config, start)
    space = space_of(config.recipe)
    name = content_hash(identity, *(f"{key} {distribution_to_json(space[key])}" for key in space))
    with study_file.owned(path):
        storage = study_file.read_journal(path)
        study_file.check_belongs(path, storage, name)
        pairs = _prepare(dataset, embedder, config, path, identity, progress, start)
        try:
            study = optuna.create_study(
                storage=storage, study_name=name, direction="maximize", load_if_exists=True
            )
            if not study.trials:
                study.enqueue_trial(_within_space(config))
            finished = study_file.take_up(study)
        except OSError as exc:
            raise study_file.unwritable(path, exc) from exc
        best = _best(study, config) if finished else None
        progress(_STAGE, finished, trials)
        for done in run_trials(Trials(path, name, pairs, config), range(finished, trials), jobs):
            progress(_STAGE, finished + done, trials)
            now = _best(study, config)
            if better is not None and now is not None and (best is None or now.trial != best.trial):
                better(now)
            best = now
    if best is None:
        raise InputError(
            f"{path}: no trial came to its end, training diverged each time: give more --trials"
        )
    return best


def _prepare(
    dataset: Dataset,
    embedder: TextEmbedder,
    config: TrainingConfig,
    path: Path,
    identity: str,
    progress: Progress,
    start: ModelBundle | None,
) -> dict[str, Pairs]:
    kept = Checkpoints(study_file.kept_beside(path), identity)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        prepared = prepare(dataset, embedder, config, progress, start=start, checkpoints=kept)
    return dict(prepared.pairs)


def _within_space(config: TrainingConfig) -> dict[str, Any]:
    space = space_of(config.recipe)
    values = {name: getattr(config, name) for name in space}
    return {n: value for n, value in values.items() if space[n].low <= value <= space[n].high}


def _best(study: optuna.Study, config: TrainingConfig) -> Tuned | None:
    trials = study.get_trials(deepcopy=False, states=study_file.FINISHED)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        return None
    best = max(complete, key=lambda trial: trial.values[0])
    return Tuned(
        settings={name: best.params[name] for name in space_of(config.recipe)},
        score=best.values[0],
        trial=best.number,
        complete=len(complete),
        pruned=len(trials) - len(complete),
        study=study.study_name,
        recipe=config.recipe,
    )
