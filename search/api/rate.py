"""How often one key, or one address, may ask."""

import math
import time

from fastapi import HTTPException
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.types import Scope

from common.errors import InputError
from search.api.keys import OPEN_PATHS, read_keys
from search.settings import DEFAULT_RATE, SearchSettings


class RateCheck:
    """Turn away who has asked too often in the time that lies behind; counts are in memory."""

    def __init__(self, rate: RateLimitItem) -> None:
        self._rate = rate
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def __call__(self, scope: Scope) -> None:
        """Count a request under its ``scope["caller"]`` or address, or raise HTTPException."""
        if scope["path"] in OPEN_PATHS:
            return
        client = scope.get("client")
        caller = scope.get("caller") or (client[0] if client else "unknown")
        if self._limiter.hit(self._rate, caller):
            return
        window = self._limiter.get_window_stats(self._rate, caller)
        wait = max(1, math.ceil(window.reset_time - time.time()))
        raise HTTPException(
            429, f"more than {self._rate}: ask again in {wait} s", {"Retry-After": str(wait)}
        )


def rate_check(settings: SearchSettings) -> RateCheck | None:
    """Return the check of the settings, None where there is no limit."""
    rate = settings.rate_limit
    if rate is None:
        rate = DEFAULT_RATE if read_keys(settings) else ""
    if not rate.strip():
        return None
    wrong = f"CHANDRA_RATE_LIMIT is {rate!r}: give a number and a time, 600/minute for instance"
    try:
        limits = parse_many(rate)
    except ValueError as exc:
        raise InputError(wrong) from exc
    if len(limits) != 1 or limits[0].amount < 1:
        raise InputError(wrong)
    return RateCheck(limits[0])
