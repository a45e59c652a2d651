"""Trials of a hyperparameter search, one pair of heads each, in one process or in several."""

import dataclasses
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
import torch
from optuna.trial import TrialState
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors

from common.errors import UnavailableError
from encoders.config import TrainingConfig
from encoders.fitting.fit_alignment import Pairs
from encoders.recipes.known import recipe_of
from encoders.tuning import study as study_file
from encoders.tuning.search_space import space_of


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """What each process that runs trials needs."""

    path: Path
    study: str
    pairs: Mapping[str, Pairs]
    config: TrainingConfig

    def run(self, numbers: Iterable[int]) -> Iterator[None]:
        """Run one trial after the other; an exception leaves its trial to be taken up again."""
        storage = study_file.read_journal(self.path)
        for number in numbers:
            # A sampler of its own for each trial: what is drawn depends on the trials before, not
            # on how often the search was interrupted.
            seed = int(np.random.default_rng([self.config.seed, 3, number]).integers(2**31))
            study = optuna.load_study(
                study_name=self.study,
                storage=storage,
                sampler=optuna.samplers.TPESampler(seed=seed),
                # Scores say little before the learning rate has passed its peak.
                pruner=optuna.pruners.MedianPruner(
                    n_startup_trials=5, n_warmup_steps=self.config.alignment_epochs // 4
                ),
            )
            try:
                self._run_one(study)
            except OSError as exc:
                raise study_file.unwritable(self.path, exc) from exc
            yield

    def _run_one(self, study: optuna.Study) -> None:
        recipe = recipe_of(self.config)
        trial = study.ask(dict(space_of(self.config.recipe)))
        config = dataclasses.replace(self.config, members=1, **trial.params)
        training, validation = self.pairs["training"], self.pairs["validation"]
        best = -1.0
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            pair = recipe.heads(training.sentences.shape[1], config).to(training.latents.device)
            fit = recipe.fitting(self.pairs)
            for epoch, score in fit(pair, training, validation, config, member=0):
                # What has diverged does not come back: no need to see it to its end.
                diverged = not all(w.isfinite().all() for w in pair.parameters())
                if not diverged:
                    trial.report(score, epoch)
                    best = max(best, score)
                if diverged or trial.should_prune():
                    study.tell(trial, state=TrialState.PRUNED)
                    return
        study.tell(trial, best)


def run_trials(trials: Trials, numbers: range, jobs: int) -> Iterator[int]:
    """Run a trial for each number; yield how many are done."""
    if min(jobs, len(numbers)) <= 1:
        yield from (i for i, _ in enumerate(trials.run(numbers), start=1))
        return
    # Processes and not threads: dropout draws from the one random stream of a process, which each
    # trial seeds; and heads this small would have threads wait for the interpreter.
    shared = study_file.kept_beside(trials.path)
    _save_pairs(trials, shared)
    pool = ProcessPoolExecutor(
        jobs,
        multiprocessing.get_context("spawn"),
        _begin_process,
        (trials.path, trials.study, shared, tuple(trials.pairs), trials.config),
    )
    try:
        futures = [pool.submit(_run_in_process, number) for number in numbers]
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            yield done
    except BrokenProcessPool as exc:
        raise UnavailableError(
            f"a process of the search on {trials.path} was ended from outside, for want of memory "
            "perhaps: repeat the command, with fewer --jobs; it goes on from there"
        ) from exc
    finally:
        pool.shutdown(cancel_futures=True)
        for part in trials.pairs:
            (shared / part).unlink(missing_ok=True)


def _save_pairs(trials: Trials, folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
        for part, pairs in trials.pairs.items():
            tensors = {
                "latents": pairs.latents,
                "sentences": pairs.sentences,
                "of_text": pairs.of_text,
                "source": torch.from_numpy(pairs.source),
            }
            if pairs.about is not None:
                tensors["about"] = torch.from_numpy(pairs.about)
            content = save_tensors({name: t.contiguous().cpu() for name, t in tensors.items()})
            (folder / part).write_bytes(content)
    except OSError as exc:
        raise study_file.unwritable(trials.path, exc) from exc


def _load_pairs(path: Path, device: str) -> Pairs:
    tensors = load_file(path, device)
    return Pairs(
        tensors["latents"],
        tensors["sentences"],
        tensors["of_text"],
        tensors["source"].cpu().numpy(),
        tensors["about"].cpu().numpy() if "about" in tensors else None,
    )


_of_process: dict[str, Trials] = {}  # set once in each process of the pool


def _begin_process(
    path: Path, study: str, shared: Path, parts: tuple[str, ...], config: TrainingConfig
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends trials at once, without a traceback
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pairs = {part: _load_pairs(shared / part, device) for part in parts}
    _of_process["trials"] = Trials(path, study, pairs, config)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_in_process(number: int) -> None:
    for _ in _of_process["trials"].run([number]):
        pass
