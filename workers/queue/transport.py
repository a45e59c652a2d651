"""kombu's Redis transport, which a worker survives when Redis goes away during a task.

kombu 5.7 wants to give back, or acknowledge, over a connection that is closed already, and fails
there with an AttributeError that no caller expects: the worker ends. As a lost connection, which
it is, callers know what to do: connect again. What was not given back comes back when its lease in
the ledger ends.
"""

from typing import Any

from kombu.transport import redis as kombu_redis
from redis.exceptions import ConnectionError as RedisConnectionError


class Channel(kombu_redis.Channel):  # type: ignore[misc]  # kombu has no types
    """A channel that says so when its connection is gone."""

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection.client is None:
            raise RedisConnectionError("the connection of this channel has been closed")
        return dict(super()._connparams(asynchronous=asynchronous))


class Transport(kombu_redis.Transport):  # type: ignore[misc]
    """kombu's transport with that channel."""

    Channel = Channel
