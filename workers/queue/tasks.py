"""The tasks: each is one step, called with the name of a feed and keys, never with arrays."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from time import perf_counter
from typing import Protocol

import redis
import structlog
from celery import Celery
from redis.lock import Lock

from common.errors import ChandraSearchError, UnavailableError
from search.api.logs import logger_of
from workers.ledger.schedule import INGEST
from workers.queue.app import ENCODE, IO, PREFIX, TICK, send_task
from workers.redis_client import redis_errors

QUEUES = {
    "discover": IO,
    "fetch": IO,
    "store": ENCODE,
    INGEST: ENCODE,
    "rematch": IO,
    "refresh_citations": IO,
    "score_outliers": ENCODE,
    "optimize": ENCODE,
    "snapshot": ENCODE,
    "learn": IO,
}
"""Where each step is done: what waits for archives apart from what computes."""

DISPATCHING = "chandra-search:dispatching"
LONGEST_DISPATCH_S = 15.0

Send = Callable[[str, str, Sequence[str]], None]

_log = logger_of(__name__)


class Steps(Protocol):
    """What the tasks do; `workers.steps.flow.Flow` does it."""

    def due(self) -> Iterable[tuple[str, str]]:
        """Return step and feed of the jobs of the schedule that are due now."""
        ...

    def dispatch(self, send: Send) -> object:
        """Send the items that wait for a step, as many as may be under way."""
        ...

    def run(self, step: str, feed: str, keys: Sequence[str]) -> object:
        """Do one step."""
        ...


class Jobs:
    """The steps of a worker process, as tasks."""

    def __init__(
        self, app: Celery, steps: Steps, client: redis.Redis, every_s: float = 5.0
    ) -> None:
        self._app = app
        self._steps = steps
        self._redis = client
        self._pause_s = 0.8 * every_s

    def tick(self) -> None:
        """Send what is due, unless another worker is at it or has just been."""
        lock = Lock(self._redis, DISPATCHING, timeout=LONGEST_DISPATCH_S, thread_local=False)
        with redis_errors():
            if not lock.acquire(blocking=False):
                return
        try:
            for step, feed in self._steps.due():
                self._send(step, feed)
            self._steps.dispatch(self._send)
        finally:
            # It ends by itself; one that has ended may be another worker's by now.
            with suppress(redis.RedisError):
                lock.extend(self._pause_s, replace_ttl=True)

    def run(self, step: str, feed: str, keys: Sequence[str] = ()) -> None:
        """Do a step, then send what is due: a tick of beat waits behind what waits already."""
        with _logged(step, feed, keys):
            self._steps.run(step, feed, keys)
        with suppress(UnavailableError):  # the work is done, and beat's next tick comes
            self.tick()

    def _send(self, step: str, feed: str, keys: Sequence[str] = ()) -> None:
        send_task(self._app, f"{PREFIX}{step}", feed, [*keys], queue=QUEUES[step])


def add_tasks(app: Celery, jobs: Jobs) -> None:
    """Let the application of a worker do the jobs."""
    # What is raised on purpose is one line of the log, not a traceback.
    task = partial(app.task, throws=(ChandraSearchError,))
    task(name=TICK)(jobs.tick)
    for step in QUEUES:
        task(name=f"{PREFIX}{step}")(_doing(jobs, step))


def _doing(jobs: Jobs, step: str) -> Callable[[str, list[str]], None]:
    def run(feed: str, keys: list[str]) -> None:
        jobs.run(step, feed, keys)

    return run


@contextmanager
def _logged(step: str, feed: str, keys: Sequence[str]) -> Iterator[None]:
    """Name step, feed and keys in every line logged meanwhile, and log how long it took."""
    started = perf_counter()
    with structlog.contextvars.bound_contextvars(step=step, feed=feed, keys=_few(keys)):
        try:
            yield
        except ChandraSearchError as exc:
            _log.warning("step put off", reason=str(exc), items=len(keys))
            raise
        _log.info("step done", items=len(keys), seconds=round(perf_counter() - started, 3))


def _few(keys: Sequence[str]) -> list[str]:
    return [*keys[:3], *(f"… {len(keys) - 3} more" for _ in range(len(keys) > 3))]
