"""A thread that does one thing again and again, and that no error ends without a word."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

LONGEST_WAIT_S = 60.0

_log = logging.getLogger(__name__)


class SupervisedLoop:
    """Do a step every so often until told to stop, whatever it raises.

    An error is logged and counted, and the next step waits longer, twice as long after each
    further one. What a step expects to go wrong it handles itself.

    Parameters
    ----------
    name : str
        What it does, for the log, the thread and whoever reads `errors`.
    step : callable
        What is done; one at a time.
    every_s : float
        Wait before each step, also before the first; `wake` cuts it short.
    longest_wait_s : float
        Longest wait after errors.

    Attributes
    ----------
    errors : int
        Steps that raised.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], object],
        every_s: float,
        longest_wait_s: float = LONGEST_WAIT_S,
    ) -> None:
        self.name = name
        self.errors = 0
        self._step = step
        self._every_s = every_s
        self._longest_wait_s = max(2 * every_s, longest_wait_s)
        self._ending = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def wake(self) -> None:
        """Begin the next step at once, or once more if one is under way; not after an error."""
        self._woken.set()

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the step under way be the last one."""
        self._ending.set()
        self._woken.set()

    def join(self) -> None:
        """Wait for the end of the step under way."""
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self.join()

    def _run(self) -> None:
        wait_s = self._every_s
        while self._is_to_go_on(wait_s):
            try:
                self._step()
            except Exception:  # the one place that has to outlive what nobody has thought of
                self.errors += 1
                wait_s = min(2 * wait_s, self._longest_wait_s)
                _log.exception("%s met what nobody expected, again in %.1f s", self.name, wait_s)
            else:
                wait_s = self._every_s

    def _is_to_go_on(self, wait_s: float) -> bool:
        """Wait, and return whether there is a next step."""
        failed = wait_s > self._every_s
        (self._ending if failed else self._woken).wait(wait_s)
        self._woken.clear()
        return not self._ending.is_set()
