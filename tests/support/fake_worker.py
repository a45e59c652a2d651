"""A worker or beat process over `FakeSteps`: ``python -m fake_worker io|encode|beat URL FILE``."""

import logging
import sys
from pathlib import Path

from fake_steps import FakeSteps
from pydantic import SecretStr

from workers.queue.app import create_celery
from workers.queue.beat import run_beat
from workers.queue.tasks import Jobs, add_tasks
from workers.queue.worker import run_worker
from workers.redis_client import connect, warn_of


def main(role, url, path):
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    secret = SecretStr(url)
    client = connect(secret)
    warn_of(client)
    app = create_celery(secret, visibility_timeout_s=5, tick_s=0.5)
    if role == "beat":
        run_beat(app, client)
        return 0
    add_tasks(app, Jobs(app, FakeSteps(Path(path)), client, every_s=0.5))
    return run_worker(app, role, threads=4)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
