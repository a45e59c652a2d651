"""Celery beat, one of them: it only ever says "look what is due", so that it has nothing to keep.

Which job is due is decided by the worker that takes the tick, from the ledger: a beat that was
killed, or a tick that was lost, delays a job by a few seconds and forgets none.
"""

import os
import signal
import socket
import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

import redis
from celery import Celery
from celery.beat import Scheduler, Service
from prometheus_client import CollectorRegistry, Gauge
from redis.exceptions import LockError
from redis.lock import Lock

from common.errors import InputError
from search.api.logs import logger_of
from workers.metrics import served
from workers.queue.app import ENCODE, IO
from workers.redis_client import redis_errors

LOCK = "chandra-search:beat"
LOCK_S = 15.0
RENEWED_EVERY_S = 3.0
LOOK_EVERY_S = 60.0
STALLED_AFTER_S = 1800.0
MOST_WAITING = 1000

_log = logger_of(__name__)


def run_beat(app: Celery, client: redis.Redis, metrics_at: tuple[str, int] = ("", 0)) -> None:
    """Run beat until it is told to stop; Prometheus may read at an address, port 0 is nowhere.

    Raises
    ------
    InputError
        If another beat runs: two would send everything twice.
    """
    lock = BeatLock(client)
    with redis_errors():
        lock.take(wait_s=LOCK_S + RENEWED_EVERY_S)  # that of a killed beat ends meanwhile
    registry = CollectorRegistry()
    queues = QueueWatch(client, registry=registry)

    def scheduler(**options: Any) -> Scheduler:  # noqa: ANN401  # Celery's own signature
        return OneBeat(lock, queues, **options)

    signal.signal(signal.SIGTERM, _leave)
    _log.info("beat has started")
    try:
        with served(registry, *metrics_at):
            Service(app, scheduler_cls=scheduler).start()
    finally:
        lock.release()


class BeatLock:
    """A lock with an expiry in Redis; its value says who holds it, and is no other's."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._lock = Lock(client, LOCK, timeout=LOCK_S, thread_local=False)
        self._token = f"process {os.getpid()} on {socket.gethostname()}, {uuid4().hex[:8]}"

    def take(self, wait_s: float = 0.0) -> None:
        """Take the lock, or raise InputError that names its holder."""
        if not self._lock.acquire(blocking_timeout=wait_s, token=self._token):
            holder = self._client.get(LOCK)
            name = holder.decode() if isinstance(holder, bytes) else "another process"
            raise InputError(
                f"another beat runs already ({name}): one is enough, two would send everything "
                "twice. Stop that one first if this one shall run"
            )

    def renew(self) -> None:
        """Keep the lock for longer; one that ended while Redis was away is taken again."""
        try:
            self._lock.extend(LOCK_S, replace_ttl=True)
        except LockError:
            self.take()

    def release(self) -> None:
        """Let the next beat start at once; a Redis that is away lets go of it by itself."""
        with suppress(redis.RedisError):
            self._lock.release()


class QueueWatch:
    """Counts what waits in a queue, and says so, once, when nobody takes it for a long time."""

    def __init__(
        self,
        client: redis.Redis,
        stalled_after_s: float = STALLED_AFTER_S,
        registry: CollectorRegistry | None = None,
    ) -> None:
        registry = registry or CollectorRegistry()
        self._client = client
        self._after_s = stalled_after_s
        self._waiting = Gauge(
            "chandra_queue_waiting", "Tasks that nobody has taken.", ("queue",), registry=registry
        )
        self._stalled = Gauge(
            "chandra_queue_stalled",
            "1 while the oldest task of a queue has been the same for too long.",
            ("queue",),
            registry=registry,
        )
        self._oldest: dict[str, tuple[Any, float]] = {}
        self._told: set[str] = set()

    def waiting(self, queue: str) -> int:
        """Return the number of tasks that nobody has taken yet."""
        return int(self._client.llen(queue))

    def look(self, queue: str, now: float) -> bool:
        """Return whether a queue stands still, for Prometheus and the log too."""
        stalled = self._is_stalled(queue, now)
        self._waiting.labels(queue).set(self.waiting(queue))
        self._stalled.labels(queue).set(stalled)
        return stalled

    def _is_stalled(self, queue: str, now: float) -> bool:
        """Return whether the oldest task of a queue has been the same for too long."""
        oldest = self._client.lindex(queue, -1)
        first, since = self._oldest.get(queue, (None, now))
        if oldest is None or first != oldest:
            self._oldest[queue] = (oldest, now)
            self._told.discard(queue)
            return False
        if now - since < self._after_s:
            return False
        if queue not in self._told:
            self._told.add(queue)
            _log.error(
                "a queue stands still, nobody takes its oldest task: look whether its worker runs",
                queue=queue,
                minutes=round((now - since) / 60),
                worker=f"chandra-search worker --queue {queue}",
            )
        return True


class OneBeat(Scheduler):  # type: ignore[misc]  # Celery has no types
    """Celery's scheduler without a file, which holds the lock and watches the queues."""

    def __init__(self, lock: BeatLock, queues: QueueWatch, **options: Any) -> None:  # noqa: ANN401
        self._lock = lock
        self._queues = queues
        self._looked = -LOOK_EVERY_S
        options.pop("schedule_filename", None)
        super().__init__(**options)

    def setup_schedule(self) -> None:
        """Take the schedule of the application; there is nothing to go on from."""
        self.merge_inplace(self.app.conf.beat_schedule)

    def tick(self, *arguments: Any, **options: Any) -> float:  # noqa: ANN401
        """Renew the lock, look at the queues, and send what is due."""
        try:
            self._lock.renew()
            self._look(time.monotonic())
            if self._queues.waiting(IO) >= MOST_WAITING:  # more ticks would only fill Redis
                return RENEWED_EVERY_S
        except redis.RedisError as exc:
            _log.warning("beat waits for Redis, which does not answer", reason=str(exc))
            return RENEWED_EVERY_S
        return float(min(super().tick(*arguments, **options), RENEWED_EVERY_S))

    def _look(self, now: float) -> None:
        if now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            for queue in (IO, ENCODE):
                self._queues.look(queue, now)


def _leave(*_: object) -> None:
    raise SystemExit
