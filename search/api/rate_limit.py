"""How often one key, or one address, may ask."""

import math
import time
from ipaddress import IPv6Address, ip_address, ip_network

from fastapi import HTTPException
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.types import Scope

from common.errors import InputError
from search.api.keys import OPEN_PATHS, read_keys
from search.settings import DEFAULT_RATE, SearchSettings

LONGEST_ADDRESS = 45


class RateCheck:
    """Turn away who has asked too often since the first request; counts are in memory."""

    def __init__(self, rate: RateLimitItem) -> None:
        self._rate = rate
        # The moving window of this library never forgets a caller, its memory grows without end.
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def __call__(self, scope: Scope) -> None:
        """Count a request under its ``scope["caller"]`` or address, or raise HTTPException."""
        if scope["path"] in OPEN_PATHS:
            return
        caller = scope.get("caller") or address_of(scope)
        if self._limiter.hit(self._rate, caller):
            return
        window = self._limiter.get_window_stats(self._rate, caller)
        wait = max(1, math.ceil(window.reset_time - time.time()))
        raise HTTPException(
            429, f"more than {self._rate}: ask again in {wait} s", {"Retry-After": str(wait)}
        )


def address_of(scope: Scope) -> str:
    """Return the address of a client; of IPv6 the /64 network, of which one client has them all."""
    client = scope.get("client")
    host = str(client[0])[:LONGEST_ADDRESS] if client else "unknown"
    try:
        address = ip_address(host)
    except ValueError:  # what a proxy said
        return host
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, 64), strict=False))
    return host


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
