"""Politeness: how many requests an archive is sent a second, and a day."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Protocol

MARGIN = 1.2
"""How much farther apart requests are than the rate allows: on their way they bunch up."""
LATE_S = 0.1
"""Who comes later than this to a granted moment waits for another one."""


class Courtesy(Protocol):
    """Grants requests, one at a time."""

    def wait(self, archive: str) -> None:
        """Block until one request may be sent.

        Parameters
        ----------
        archive : str
            ``csc``, ``cda``, ``simbad``, ``ads`` or ``ads-bigquery``.

        Raises
        ------
        BudgetError
            If those of the day are used up.
        """
        ...


class PacedCourtesy(ABC):
    """At most so many requests a second to each archive.

    Parameters
    ----------
    rates : mapping of str to float
        Requests a second, by archive; one that is not named is not slowed down.
    spend : callable or None
        Counts a request, or raises BudgetError.
    """

    def __init__(
        self,
        rates: Mapping[str, float],
        spend: Callable[[str], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._apart_s = {archive: MARGIN / rate for archive, rate in rates.items()}
        self._spend = spend
        self._sleep = sleep

    def wait(self, archive: str) -> None:
        """Block until one request may be sent; see `Courtesy`."""
        if self._spend:
            self._spend(archive)
        late_s = LATE_S + 1
        while archive in self._apart_s and late_s > LATE_S:
            wait_s = self._until_next_s(archive, self._apart_s[archive])
            due_s = time.monotonic() + wait_s
            self._sleep(wait_s)
            late_s = time.monotonic() - due_s

    @abstractmethod
    def _until_next_s(self, archive: str, apart_s: float) -> float:
        """Return the seconds until a moment that is the caller's, so far apart from all others."""


class LocalCourtesy(PacedCourtesy):
    """Among the threads of one process."""

    def __init__(
        self,
        rates: Mapping[str, float],
        spend: Callable[[str], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(rates, spend, sleep)
        self._next_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def _until_next_s(self, archive: str, apart_s: float) -> float:
        with self._lock:
            now_s = time.monotonic()
            start_s = max(now_s, self._next_s.get(archive, 0.0))
            self._next_s[archive] = start_s + apart_s
        return start_s - now_s
