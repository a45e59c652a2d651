"""Builds what the jobs need; nothing is built on import."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from functools import partial
from threading import Event

import redis

from common.disk_cache import open_cache
from common.errors import NotFoundError, UnavailableError
from common.openai_api import OpenAIService
from common.ports import Progress, Summarizer, TextEmbedder
from common.settings import get_settings as shared_settings
from ingest.papers.extractive import ExtractiveSummarizer
from ingest.papers.openai_summaries import OpenAISummarizer
from ingest.settings import get_settings as ingest_settings
from search.app import (
    keep_current_bundle,
    load_encoder_of,
    load_model,
    open_store,
    open_uploads,
)
from search.collections.model_view import current_view
from search.inference.outliers import OutlierFinder
from search.settings import SearchSettings
from search.store.base import Store
from workers.ledger.checkpoints import Notes
from workers.maintenance.backup import back_up
from workers.metrics import LedgerCollector, StageMetrics, served
from workers.settings import WorkerSettings
from workers.steps.flow import Flow, ScheduledJob
from workers.steps.uploads import Uploads
from workers.writing.dual_write import read_state
from workers.writing.patience import NO_PATIENCE, Patience
from workers.writing.pipeline import Pipeline


class Summaries(StrEnum):
    """How papers are summarised."""

    EXTRACTIVE = "extractive"
    OPENAI = "openai"


def open_pipeline(
    settings: SearchSettings,
    summaries: Summaries = Summaries.EXTRACTIVE,
    patience: Patience = NO_PATIENCE,
) -> Pipeline:
    """Return the pipeline over the store and bundle of the settings; close its store after use."""
    with ExitStack() as stack:
        store = open_store(settings)
        stack.push(store)
        pipeline = build_pipeline(store, settings, summaries, patience)
        stack.pop_all()
    return pipeline


def build_pipeline(
    store: Store,
    settings: SearchSettings,
    summaries: Summaries = Summaries.EXTRACTIVE,
    patience: Patience = NO_PATIENCE,
) -> Pipeline:
    """Return the pipeline over an open store, which others may use too."""
    state = read_state(store)
    encoder = load_model(settings, state.primary) if state else load_encoder_of(store, settings)
    summarizer = open_summarizer(encoder.embedder, summaries)
    return Pipeline(store, encoder, summarizer, partial(load_model, settings), patience)


@contextmanager
def open_flow(
    settings: SearchSettings,
    workers: WorkerSettings,
    client: redis.Redis | None,
    store: Store | None = None,
) -> Iterator[Flow]:
    """Give the steps of continuous ingestion, over an open store or their own.

    Processes share what they send to archives through the Redis of ``client``; without one, this
    is taken for the only process that asks them.
    """
    from ingest.archives.settings import get_settings as archive_settings
    from workers.learning.scheduled import ScheduledLearning
    from workers.steps.archive_clients import open_archives  # clients of archives take a second

    with ExitStack() as stack:
        own = store or stack.enter_context(open_store(settings))
        pipeline = build_pipeline(own, settings, Summaries(workers.summaries))
        metrics = StageMetrics()
        archives = stack.enter_context(
            open_archives(archive_settings(), workers, Notes(own), client, metrics)
        )
        snapshot = partial(_take_snapshot, own, settings, workers.snapshots)
        stopping = Event()
        chores: dict[str, ScheduledJob] = {
            "score_outliers": partial(score_outliers, own),
            "snapshot": snapshot,
            "learn": ScheduledLearning(own, settings, stopping),
        }
        uploads = Uploads(open_uploads(settings), lambda: pipeline, workers)
        flow = Flow(pipeline, archives, workers, chores, metrics, stopping, uploads)
        stack.callback(flow.stop)
        metrics.watch(LedgerCollector(flow.ledger, archives.left))
        with served(metrics.registry, workers.worker_metrics_host, workers.worker_metrics_port):
            yield flow


def score_outliers(store: Store, progress: Progress) -> int:
    """Score all detections but withdrawn ones, and return how many; none where they are too few."""
    try:
        return OutlierFinder(current_view(store)).score(progress=progress)
    except NotFoundError:
        return 0


def open_ingestion(store: Store, settings: SearchSettings, workers: WorkerSettings) -> Uploads:
    """Return what works off uploads over an open store; models are loaded when the first comes."""
    pipeline = partial(build_pipeline, store, settings, Summaries(workers.summaries))
    return Uploads(open_uploads(settings), pipeline, workers)


def _take_snapshot(store: Store, settings: SearchSettings, kept: int, progress: Progress) -> int:
    """Write a backup beside the store, and remove those that are too old to be kept."""
    folder = settings.data_dir / "snapshots"
    keep_current_bundle(store, settings)  # the one shipped may be another in the next version
    try:
        folder.mkdir(parents=True, exist_ok=True)
        back_up(store, settings.data_dir, folder, progress)
        for old in sorted(folder.glob("chandra-search-*.tar"))[:-kept]:
            old.unlink(missing_ok=True)
    except OSError as exc:
        raise UnavailableError(
            f"cannot keep snapshots in {folder} ({exc.strerror}): make room, or check permissions"
        ) from exc
    return 1


def open_summarizer(embedder: TextEmbedder, summaries: Summaries) -> Summarizer:
    """Return who summarises papers; what a language model does not is extracted."""
    extractive = ExtractiveSummarizer(embedder)
    if summaries == Summaries.EXTRACTIVE:
        return extractive
    shared = shared_settings()
    cache = open_cache(shared, loss="the next run pays for the same summaries again")
    return OpenAISummarizer(OpenAIService(shared), extractive, ingest_settings(), cache)
