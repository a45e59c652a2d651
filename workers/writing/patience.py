"""A store that is away for a while: what it did not answer is repeated, later each time."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from common.errors import StoreUnavailableError

T = TypeVar("T")

LONGEST_PAUSE_S = 30.0


def _silent(_message: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Repeat what may be repeated while the store is away.

    Attributes
    ----------
    most_s : float
        How long, from the first failure on; 0 is not at all.
    tell : callable
        Told why there is a pause and how long it is, before each of them, and of its end.
    first_s : float
        The first pause; each further one is twice as long, up to `LONGEST_PAUSE_S`.
    """

    most_s: float
    tell: Callable[[str], None] = _silent
    first_s: float = 1.0

    def __call__(self, attempt: Callable[[], T]) -> T:
        """Return what an attempt does.

        Raises
        ------
        StoreUnavailableError
            If the store is still away in the end.
        """
        failed_s: list[float] = []  # when each attempt did

        def is_enough(state: tenacity.RetryCallState) -> bool:
            failed_s.append(time.monotonic())
            return failed_s[-1] - failed_s[0] + state.upcoming_sleep > self.most_s

        def tell(state: tenacity.RetryCallState) -> None:
            why = state.outcome.exception() if state.outcome else None
            self.tell(
                f"waiting for the store, again in {state.upcoming_sleep:.0f} s and for "
                f"{self.most_s:.0f} s at most: {why}"
            )

        done = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(StoreUnavailableError),
            wait=tenacity.wait_exponential(self.first_s, LONGEST_PAUSE_S),
            stop=is_enough,
            before_sleep=tell,
            reraise=True,
        )(attempt)
        if failed_s:
            self.tell("the store answers again: going on")
        return done


NO_PATIENCE = Patience(0)
