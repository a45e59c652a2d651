"""The file that a hyperparameter search is kept in: a journal of optuna, one line per event."""

import fcntl
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from common.errors import InputError, UnavailableError

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@contextmanager
def owned(path: Path) -> Iterator[None]:
    """Keep a study file to one search and the processes that it starts; create it when missing.

    What a search that was killed has left half done is put right first: nobody else writes now.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except IsADirectoryError as exc:
        raise InputError(f"{path} is a folder: give a file as --study") from exc
    except OSError as exc:
        raise unwritable(path, exc) from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise UnavailableError(
                f"{path} is in use by another search: wait for its end, or give another --study"
            ) from exc
        _check_journal(path, file)
        _cut_half_line(file)
        Path(f"{path}.lock").unlink(missing_ok=True)  # else optuna waits 30 s for its dead owner
        yield


def kept_beside(path: Path) -> Path:
    """Return the folder for what trials need and takes long to make."""
    return path.with_name(path.name + ".checkpoints")


def read_journal(path: Path) -> JournalStorage:
    """Return the storage on a file that this process, or the one that started it, owns."""
    _log_as_we_do()
    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except OSError as exc:
        raise unwritable(path, exc) from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise InputError(
            f"{path} is damaged ({exc!r}): remove it, or give another --study"
        ) from exc


def check_belongs(path: Path, storage: JournalStorage, name: str) -> None:
    """Refuse a file with the study of another search."""
    if any(study.study_name != name for study in storage.get_all_studies()):
        raise InputError(
            f"{path} holds a search with another dataset, text model, --recipe, --start or "
            "--seed, or by another version of this program: give another --study, or what it was "
            "begun with"
        )


def take_up(study: optuna.Study) -> int:
    """Let interrupted trials be repeated first; return how many trials are finished."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def unwritable(path: Path, exc: OSError) -> UnavailableError:
    """Return the error for a study file that cannot be written."""
    return UnavailableError(
        f"{path} cannot be written ({exc.strerror}): make room there, or give another --study; "
        "finished trials are kept and a repeated command goes on from them"
    )


def _check_journal(path: Path, file: BufferedRandom) -> None:
    file.seek(0)
    first = file.readline(10_000)
    if not first:
        return
    try:
        event = json.loads(first)
    except ValueError:
        event = None
    if not (isinstance(event, dict) and "op_code" in event):
        raise InputError(f"{path} is no study of chandra-search tune: give another file as --study")


def _cut_half_line(file: BufferedRandom) -> None:
    """Cut off what a killed process has written of its last line: the next would be stuck to it."""
    file.seek(0)
    whole = 0
    for line in file:
        whole += len(line) if line.endswith(b"\n") else 0
    file.truncate(whole)


def _log_as_we_do() -> None:
    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
    optuna.logging.set_verbosity(logging.WARNING)
