"""The Redis behind the queues: reached, and asked what would lose messages or time.

Nothing is ever decided from what is in it, the ledger decides; what goes wrong here costs time.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import redis
from pydantic import SecretStr

from common.errors import InputError, UnavailableError

GREATEST_SKEW_S = 5.0

_log = logging.getLogger(__name__)


def redis_url(url: SecretStr | None) -> str:
    """Return the address of Redis, or raise InputError where none is given."""
    if url is None:
        raise InputError(
            "worker processes need a Redis between them: set CHANDRA_REDIS_URL "
            "(redis://host:6379/0), or let one process do everything without one: "
            "`chandra-search serve --ingest`"
        )
    return url.get_secret_value()


def client_of(url: SecretStr | None) -> redis.Redis:
    """Return a client that has asked nothing yet, or raise InputError where there is no address."""
    try:
        return redis.Redis.from_url(redis_url(url), health_check_interval=30)
    except ValueError as exc:
        raise InputError(f"CHANDRA_REDIS_URL is no address of a Redis: {exc}") from exc


def connect(url: SecretStr | None) -> redis.Redis:
    """Return a client of the Redis that answers there.

    Raises
    ------
    InputError
        If no address is given, or it is none.
    UnavailableError
        If nothing answers.
    """
    client = client_of(url)
    with redis_errors():
        client.ping()
    return client


@contextmanager
def shared_redis(url: SecretStr | None) -> Iterator[redis.Redis | None]:
    """Give the Redis that this process shares with workers, None where no address is given.

    Whoever asks archives beside workers has to share their pace; raises as `connect` does.
    """
    if url is None:
        yield None
        return
    with connect(url) as client:
        yield client


@contextmanager
def redis_errors() -> Iterator[None]:
    """Translate what the client raises."""
    try:
        yield
    except redis.RedisError as exc:
        raise UnavailableError(
            f"Redis does not answer as it should ({exc}): check that it runs and that "
            "CHANDRA_REDIS_URL is its address"
        ) from exc


def complaints(client: redis.Redis) -> list[str]:
    """Return what is wrong with a Redis for a queue that must not forget, each with its cure."""
    with redis_errors():
        before = time.time()
        seconds, microseconds = client.time()
        skew_s = seconds + microseconds / 1e6 - (before + time.time()) / 2
        known: Mapping[str, Any] = dict(client.info())
    found = []
    if not int(known.get("aof_enabled", 0)):
        found.append(
            "Redis keeps nothing over a restart (appendonly is off): queued work is then sent "
            "again only when its lease ends. Start it with `--appendonly yes`"
        )
    policy = known.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(
            f"Redis throws messages away when its memory is full (maxmemory-policy {policy}): "
            "start it with `--maxmemory-policy noeviction`"
        )
    if abs(skew_s) > GREATEST_SKEW_S:
        word = "behind" if skew_s > 0 else "ahead of"
        found.append(
            f"the clock of this machine is {abs(skew_s):.0f} s {word} that of Redis: leases end at "
            "the wrong time. Keep both by NTP"
        )
    return found


def warn_of(client: redis.Redis) -> None:
    """Log what is wrong with a Redis."""
    for complaint in complaints(client):
        _log.warning("%s", complaint)
