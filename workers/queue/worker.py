"""A worker process: one queue, no forks, everything that it needs built before it takes a task."""

import os
import socket
from collections.abc import Callable
from typing import Any

from celery import Celery, signals

from workers.queue.app import ENCODE


def run_worker(
    app: Celery, queue: str, threads: int, stop: Callable[[], None] = lambda: None
) -> int:
    """Take tasks from one queue until told to stop, and return the exit code.

    What waits for archives does so in threads; what encodes does one thing after the other, since
    torch uses all threads that it may by itself, and can hang in a forked child. ``stop`` is called
    when the worker is told to end, for what would take hours.
    """

    def stopping(**_: Any) -> None:  # noqa: ANN401  # Celery's own signature
        stop()

    signals.worker_shutting_down.connect(stopping, weak=False)
    signals.setup_logging.connect(_keep_our_logs)
    worker = app.Worker(
        hostname=f"{queue}-{os.getpid()}@{socket.gethostname()}",
        queues=[queue],
        pool="solo" if queue == ENCODE else "threads",
        concurrency=1 if queue == ENCODE else threads,
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _keep_our_logs(**_: Any) -> None:  # noqa: ANN401  # Celery's own signature
    """Keep Celery from setting up logs: it leaves them alone when somebody listens."""
