"""A worker or beat over the real steps: ``python -m flow_worker io|encode|beat``.

What differs from ``chandra-search worker`` is the encoder, which is small unless ``WORLD_ENCODER``
is ``shipped``, and the summaries. ``all`` does everything in one process; ``reindex`` brings the
store to another small model, and then compares again and again. A share ``WORLD_HOLD`` of all
encoding waits until others have written.
"""

import logging
import os
import signal
import sys
import time
from contextlib import contextmanager
from functools import partial

import numpy as np
from archives.universe import LETHAL_EXPOSURE_S
from fake_encoder import FakeEncoder
from held_writers import Board, TellingStore, held
from two_models import BetterEncoder

from common.records import Summary
from ingest.archives.settings import get_settings as archive_settings
from search.api.logs import log_as_json, logger_of
from search.app import load_encoder, open_store, open_uploads
from search.collections.schema import model_of
from search.settings import get_settings as search_settings
from workers.inprocess import Scheduler
from workers.ledger.checkpoints import Notes
from workers.maintenance.reindex import Reindex
from workers.queue.app import create_celery
from workers.queue.beat import run_beat
from workers.queue.tasks import Jobs, add_tasks
from workers.queue.worker import run_worker
from workers.redis_client import connect, warn_of
from workers.settings import get_settings
from workers.steps.archive_clients import open_archives
from workers.steps.flow import Flow
from workers.steps.uploads import Uploads
from workers.writing.dual_write import read_state
from workers.writing.pipeline import Pipeline


class Mortal:
    """One spectrum takes its process with it, as one that needs too much memory would."""

    def encode_spectra(self, counts, exposure_s, **options):
        if LETHAL_EXPOSURE_S in np.asarray(exposure_s):
            os._exit(137)
        return super().encode_spectra(counts, exposure_s, **options)


class MortalEncoder(Mortal, FakeEncoder):
    """The model that an institute begins with."""


class MortalBetterEncoder(Mortal, BetterEncoder):
    """The model that it changes to."""


def small_encoder(model_id, board):
    models = (MortalEncoder, MortalBetterEncoder)
    return held(next(one() for one in models if one.model_id == model_id), board)


class FirstSentences:
    """A summariser that copies."""

    def summarize(self, texts, **_):
        return [Summary(title, abstract, abstract, "extractive") for title, abstract in texts]


class Timings:
    """Logs what steps took, where no task does."""

    log = logger_of("workers.timings")

    def done(self, stage, feed, items, seconds):
        self.log.info("step done", step=stage, feed=feed, items=items, seconds=seconds)

    def put_off(self, stage, feed):
        self.log.info("step put off", step=stage, feed=feed)


@contextmanager
def open_flow(client):
    shipped = os.environ.get("WORLD_ENCODER") == "shipped"
    chores = {"score_outliers": lambda _beat: None, "snapshot": lambda _beat: None}
    observer = None if client else Timings()
    with (
        open_told_store() as (store, board),
        open_archives(archive_settings(), get_settings(), Notes(store), client) as archives,
    ):
        small = partial(small_encoder, board=board)
        encoder = load_encoder(search_settings()) if shipped else small(model_in_use(store))
        pipeline = Pipeline(store, encoder, FirstSentences(), small)
        uploads = Uploads(open_uploads(search_settings()), lambda: pipeline, get_settings())
        yield Flow(pipeline, archives, get_settings(), chores, observer, uploads=uploads)


@contextmanager
def open_told_store():
    settings = search_settings()
    board = Board(settings.data_dir / "writes", float(os.environ.get("WORLD_HOLD", "0")))
    with open_store(settings) as store:
        yield TellingStore(store, board), board


def model_in_use(store):
    state = read_state(store)
    return state.primary if state else model_of(store) or MortalEncoder.model_id


def reindex():
    with open_told_store() as (store, board):
        logger_of("workers.maintenance.reindex").info("reindex has begun")
        while True:
            Reindex(store, small_encoder(MortalBetterEncoder.model_id, board)).run()
            time.sleep(1)


def main(role):
    log_as_json()
    logging.getLogger().setLevel(logging.INFO)
    for loud in ("httpx", "celery", "kombu"):
        logging.getLogger(loud).setLevel(logging.WARNING)
    logging.getLogger("celery.apps.worker").setLevel(logging.INFO)
    settings = get_settings()
    if role == "reindex":
        reindex()
    if role == "all":
        with open_flow(None) as flow, Scheduler(flow):
            logging.getLogger("celery.apps.worker").info("ready.")
            signal.sigwait({signal.SIGTERM})
        return 0
    client = connect(settings.redis_url)
    warn_of(client)
    app = create_celery(settings.redis_url, settings.visibility_timeout_s, settings.dispatch_s)
    if role == "beat":
        run_beat(app, client)
        return 0
    with open_flow(client) as flow:
        add_tasks(app, Jobs(app, flow, client, settings.dispatch_s))
        return run_worker(app, role, threads=2)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
