"""Learning as a job of the schedule: whoever has the store reads and changes it, a child trains."""

import logging
import subprocess
import sys
import threading
from pathlib import Path

from common.errors import InvalidTableError, NotFoundError, UnavailableError
from common.ports import Progress
from search.settings import SearchSettings
from search.store.base import Store
from workers.learning.round import Round

LOOK_EVERY_S = 2.0
_ENDS_WITHIN_S = 10.0

_log = logging.getLogger(__name__)


class ScheduledLearning:
    """Do a round of learning beside everything else that a process does with its store.

    Parameters
    ----------
    store : Store
        The open store.
    settings : SearchSettings
        Where it is.
    stopping : Event
        Set when the process is to end: the child is ended, its round is gone on with next time.
    """

    def __init__(self, store: Store, settings: SearchSettings, stopping: threading.Event) -> None:
        self._store = store
        self._settings = settings
        self._stopping = stopping

    def __call__(self, progress: Progress) -> int:
        """Do a round; return 1 if the model was changed, 0 if not or there is too little."""
        with Round(self._settings.data_dir) as one:
            try:
                one.begin(self._store, self._settings, progress=progress)
            except (NotFoundError, InvalidTableError) as exc:
                _log.warning("nothing learnt: %s", exc)
                return 0
            self._work(one.work.folder, progress)
            report = one.end(self._store, self._settings, progress=progress)
        _log.warning(
            "learnt: %s; mean recall %.3f, of the old model %.3f, 95%% interval of the difference "
            "%.3f to %.3f",
            report["decision"],
            report["new"]["mean_recall"],
            report["old"]["mean_recall"],
            report["low"],
            report["high"],
        )
        return int(report["decision"] == "switched")

    def _work(self, folder: Path, progress: Progress) -> None:
        log = folder / "log"
        with (
            log.open("wb") as messages,
            subprocess.Popen(
                [sys.executable, "-m", "workers.learning.child", str(folder)],
                stdin=subprocess.PIPE,
                stdout=messages,
                stderr=messages,
            ) as child,
        ):
            try:
                while child.poll() is None and not self._stopping.wait(LOOK_EVERY_S):
                    progress("learning", 0, None)
            finally:
                if child.poll() is None:
                    child.terminate()
                    _wait_or_kill(child)
        if self._stopping.is_set() and child.returncode:
            raise UnavailableError("learning was broken off by the end of this process: it goes on")
        if child.returncode:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise UnavailableError(
                f"learning ended with exit code {child.returncode}: {lines[-1] if lines else ''} "
                f"(all of it in {log}); it goes on from there"
            )


def _wait_or_kill(child: "subprocess.Popen[bytes]") -> None:
    try:
        child.wait(_ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        child.kill()
