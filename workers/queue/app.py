"""The Celery application: two queues on Redis, JSON messages, nothing built on import.

A message is a hint, the ledger is the truth: a message that is lost is sent again when its lease
ends, one that comes twice finds its work done. So there is no result backend, no retry by Celery,
and a message counts as taken only when its work has ended.
"""

from datetime import timedelta
from typing import Any

from celery import Celery
from kombu import Queue
from kombu.exceptions import OperationalError
from pydantic import SecretStr

from common.errors import UnavailableError
from workers.redis_client import redis_url

IO = "io"
ENCODE = "encode"
PREFIX = "chandra-search."
TICK = f"{PREFIX}tick"
SOFT_SHUTDOWN_S = 30.0


def create_celery(
    url: SecretStr | None, visibility_timeout_s: float = 3600, tick_s: float = 5.0
) -> Celery:
    """Return the application without tasks, which `workers.queue.tasks.add_tasks` brings."""
    app = Celery("chandra-search", broker=redis_url(url), set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        result_expires=None,
        task_queues=[Queue(IO), Queue(ENCODE)],
        task_default_queue=IO,
        task_create_missing_queues=False,
        task_acks_late=True,
        # A task that kills its worker would come back for ever; the ledger counts deliveries.
        task_reject_on_worker_lost=False,
        worker_prefetch_multiplier=1,
        worker_soft_shutdown_timeout=SOFT_SHUTDOWN_S,
        worker_hijack_root_logger=False,
        broker_transport="workers.queue.transport:Transport",
        broker_transport_options={"visibility_timeout": visibility_timeout_s},
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a Redis that is away for a night comes back
        worker_cancel_long_running_tasks_on_connection_loss=False,  # threads cannot be cancelled
        enable_utc=True,
        timezone="UTC",
        beat_schedule={
            "tick": {
                "task": TICK,
                "schedule": timedelta(seconds=tick_s),
                "options": {"queue": IO, "expires": 2 * tick_s},
            }
        },
    )
    return app


def send_task(app: Celery, name: str, *arguments: Any, queue: str) -> None:  # noqa: ANN401
    """Put a task in a queue, or raise UnavailableError."""
    try:
        app.send_task(name, args=arguments, queue=queue)
    except OperationalError as exc:
        raise UnavailableError(
            f"cannot send {name}, Redis does not answer ({exc}): it is sent again when it does"
        ) from exc
