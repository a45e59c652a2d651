"""``chandra-search worker`` and ``beat``: ingestion by processes with Redis between them."""

import logging
from enum import StrEnum
from typing import Annotated

import typer

from cli.options.store import Bundle, DataDir, settings_for
from common.errors import InputError
from search.api.logs import log_as_json
from search.settings import SearchSettings
from workers.bootstrap import open_flow
from workers.queue import app as celery_app
from workers.queue.app import create_celery
from workers.queue.beat import run_beat
from workers.queue.tasks import Jobs, add_tasks
from workers.queue.worker import run_worker
from workers.redis_client import connect, warn_of
from workers.settings import get_settings


class Queue(StrEnum):
    """Queues, each with workers of its own."""

    IO = celery_app.IO
    ENCODE = celery_app.ENCODE


def worker(
    queue: Annotated[
        Queue,
        typer.Option(help="io: polls and fetches from archives. encode: encodes and stores."),
    ],
    data_dir: DataDir = None,
    bundle: Bundle = None,
) -> None:
    """Do the work of one queue until told to stop; needs CHANDRA_REDIS_URL and CHANDRA_QDRANT_URL.

    Start at least one for each queue, and one `chandra-search beat`. Killed at any moment, nothing
    is lost: another worker, or this one started again, does what was under way.

    Example: chandra-search worker --queue encode
    """
    settings, ours = settings_for(data_dir, bundle), get_settings()
    _require_server(settings)
    _log()
    with connect(ours.redis_url) as client:
        warn_of(client)
        app = create_celery(ours.redis_url, ours.visibility_timeout_s, ours.dispatch_s)
        with open_flow(settings, ours, client) as flow:
            add_tasks(app, Jobs(app, flow, client, ours.dispatch_s))
            code = run_worker(app, queue, ours.io_threads, flow.stop)
    raise typer.Exit(code)


def beat() -> None:
    """Make the workers look every few seconds what is due; needs CHANDRA_REDIS_URL.

    There must be one: a second is told so and ends.

    Example: chandra-search beat
    """
    ours = get_settings()
    _log()
    with connect(ours.redis_url) as client:
        warn_of(client)
        app = create_celery(ours.redis_url, ours.visibility_timeout_s, ours.dispatch_s)
        run_beat(app, client, (ours.worker_metrics_host, ours.worker_metrics_port))


def _require_server(settings: SearchSettings) -> None:
    if settings.qdrant_url is None:
        raise InputError(
            f"the embedded store in {settings.data_dir} belongs to one process, and workers are "
            "several: set CHANDRA_QDRANT_URL to a Qdrant server, or let one process do everything: "
            "`chandra-search serve --ingest`"
        )


def _log() -> None:
    """Log as JSON, with the messages that supervision waits for."""
    log_as_json()
    for name in ("workers", "celery.apps.worker"):
        logging.getLogger(name).setLevel(logging.INFO)
