"""Threads beside those that all routes share, which may all be busy.

Whoever waits for a place here waits without a thread: many uploads keep no question waiting, and
who asks whether the service is well never waits behind them.
"""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class Places:
    """So many threads at most, for one purpose, in each event loop."""

    def __init__(self, name: str, n: int) -> None:
        self._limiter: RunVar[CapacityLimiter] = RunVar(f"places of {name}")
        self._n = n

    async def run(self, call: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        """Return what a call returns in a thread, once there is a place for it."""
        try:
            limiter = self._limiter.get()
        except LookupError:
            limiter = CapacityLimiter(self._n)
            self._limiter.set(limiter)
        return await to_thread.run_sync(call, *arguments, limiter=limiter)


READERS = Places("readers", 2)
"""Of uploads: files are held in memory, what comes gzipped for many times its size."""

CHECKS = Places("checks", 1)
"""Of large bodies."""

PROBES = Places("probes", 4)
"""Of those who ask whether the service is well."""
