"""Politeness over all processes: so many requests a second, and so many a day.

The clock is that of Redis, so that machines need not agree. The requests of a day are counted in
the ledger before they are sent, in blocks, so that no restart forgets one.
"""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta

import redis

from common.errors import BudgetError
from ingest.archives.pacing import PacedCourtesy
from workers.ledger.checkpoints import Notes
from workers.redis_client import redis_errors

BLOCK = 20

_NEXT_SLOT = """
local now = redis.call('TIME')
local at = now[1] * 1000000 + now[2]
local slot = math.max(at, tonumber(redis.call('GET', KEYS[1]) or 0))
redis.call('SET', KEYS[1], string.format('%.0f', slot + ARGV[1]), 'PX', 600000)
return slot - at
"""
"""Gives every caller a slot of its own, and the microseconds until then."""


class SharedCourtesy(PacedCourtesy):
    """Among all processes that share a Redis.

    Parameters
    ----------
    client : redis.Redis
        What the processes share.
    rates : mapping of str to float
        Requests a second, by archive.
    spend : callable
        Counts a request, or raises BudgetError.
    """

    def __init__(
        self,
        client: redis.Redis,
        rates: Mapping[str, float],
        spend: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(rates, spend, sleep)
        self._slot = client.register_script(_NEXT_SLOT)

    def _until_next_s(self, archive: str, apart_s: float) -> float:
        """Return the seconds until a moment of one's own.

        Raises
        ------
        UnavailableError
            If Redis does not answer: nobody knows then what the others send.
        """
        with redis_errors():
            wait_us = self._slot(keys=[f"chandra-search:{archive}"], args=[round(1e6 * apart_s)])
        return int(wait_us) / 1e6


class Budgets:
    """The requests that an archive grants a day, over all processes and restarts.

    A process takes a block before it uses it.

    Parameters
    ----------
    notes : Notes
        Where they are counted.
    limits : mapping of str to int
        Requests a day, by archive; one that is not named is not counted.
    """

    def __init__(self, notes: Notes, limits: Mapping[str, int]) -> None:
        self._notes = notes
        self.limits = limits
        self._lock = threading.Lock()
        self._left: dict[tuple[str, date], int] = {}

    def spend(self, archive: str) -> None:
        """Count one request, or raise BudgetError; what has no limit is not counted."""
        if archive not in self.limits:
            return
        today = datetime.now(UTC).date()
        key = (archive, today)
        with self._lock:
            if not self._left.get(key):
                self._left[key] = self._notes.spend(archive, today, BLOCK, self.limits[archive])
            if not self._left[key]:
                midnight = datetime.combine(today, datetime.min.time(), UTC) + timedelta(days=1)
                raise BudgetError(
                    f"the {self.limits[archive]:,} requests a day to {archive} are used up: "
                    "it goes on after 00:00 UTC",
                    midnight,
                )
            self._left[key] -= 1

    def left(self, archive: str) -> int:
        """Return how many requests nobody has taken today."""
        spent = self._notes.spent(archive, datetime.now(UTC).date())
        return max(0, self.limits[archive] - spent)
