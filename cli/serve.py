"""``chandra-search status``, ``serve`` and ``demo``."""

import signal
import socket
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
import uvicorn
from fastapi import APIRouter

from cli.console import Report, answers, print_json, say, stages, table_of, track
from cli.options.answer import opened
from cli.options.store import AsJson, Bundle, DataDir, settings_for
from common.errors import InputError
from common.supervised_loop import SupervisedLoop
from ingest.simulation.simulate import simulate
from search.api.keys import require_keys_beyond_this_machine
from search.api.logs import log_as_json
from search.app import create_app, open_store, open_uploads
from search.filters.filters import DetectionFilter
from search.rendering.formats import render, render_estimates
from search.results import Page, PageOptions, Target
from search.services import Services
from search.settings import SearchSettings
from search.store.base import Store
from search.uploads.folder import Notify
from workers.bootstrap import open_flow, open_ingestion, open_pipeline
from workers.inprocess import Scheduler
from workers.queue.app import create_celery
from workers.redis_client import client_of, shared_redis
from workers.routes import jobs_router
from workers.settings import get_settings
from workers.steps.uploads import sender

DEMO_SEED = 2026
QUESTION = "obscured active nucleus with an iron line"

Host = Annotated[
    str | None,
    typer.Option(
        help="Address to listen on. Default: 127.0.0.1, this machine only.", show_default=False
    ),
]
Port = Annotated[
    int | None, typer.Option(min=1, max=65535, help="Default: 8000.", show_default=False)
]


def status(data_dir: DataDir = None, bundle: Bundle = None, as_json: AsJson = False) -> None:
    """Say what the store holds, and by which model."""
    with opened(settings_for(data_dir, bundle)) as services:
        held = asdict(services.search.status())
    if as_json:
        print_json(held)
        return
    table = table_of("", "", show_header=False)
    for name, value in held.items():
        shown = (
            ", ".join(f"{k} {n:,}" for k, n in value.items())
            if isinstance(value, dict)
            else f"{value}"
        )
        table.add_row(name.replace("_", " "), shown)
    answers.print(table)


def serve(
    host: Host = None,
    port: Port = None,
    ingest: Annotated[
        bool, typer.Option("--ingest", help="Poll the archives meanwhile and ingest what is new.")
    ] = False,
    data_dir: DataDir = None,
    bundle: Bundle = None,
) -> None:
    """Answer over HTTP; the interactive description is at /docs.

    What is uploaded (/v1/ingest) is stored by this process too, or by workers where
    CHANDRA_REDIS_URL is set. With --ingest it also polls the archives on schedule and stores what
    is new; see `chandra-search jobs`. No Redis is needed; where CHANDRA_REDIS_URL is set, workers
    and it keep to the pace at which they may ask together.

    Beyond this machine only with API keys: CHANDRA_API_KEYS_READ, _INGEST, _ADMIN, each of them a
    list with commas, at least 16 characters a key.

    Example: CHANDRA_API_KEYS_READ=$(openssl rand -hex 24) chandra-search serve --host 0.0.0.0
    """
    settings = settings_for(data_dir, bundle, host=host, port=port)
    _require_right_and_room(settings)
    if not ingest:
        _serve(settings)
        return
    ours = get_settings()
    with (
        shared_redis(ours.redis_url) as client,
        open_store(settings) as store,
        open_flow(settings, ours, client, store) as flow,
        Scheduler(flow) as scheduler,
    ):
        wake = scheduler.loop.wake
        _answer(settings, store, lambda _: wake(), [jobs_router(flow)], [scheduler.loop])


def demo(
    n: Annotated[int, typer.Option("--n", min=20, help="Number of simulated detections.")] = 2000,
    serve_after: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Open the HTTP service at the end.")
    ] = True,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
) -> None:
    """Fill a store of its own (DATA_DIR/demo) with simulated data, ask four questions, serve.

    Nothing simulated gets into your own store. Everything shown is marked as simulated.
    """
    settings = settings_for(data_dir, host=host, port=port)
    settings = settings.model_copy(update={"data_dir": settings.data_dir / "demo"})
    if serve_after:
        _require_right_and_room(settings)
    with stages() as progress:
        dataset = simulate(n, DEMO_SEED, progress)
    total = len(dataset) + len(dataset.texts)
    with open_pipeline(settings) as pipeline:
        report = Report(track(pipeline.ingest_dataset(dataset), "summaries and spectra", total))
    report.print()
    with opened(settings) as services:
        _ask_four(services, dataset.detections[0].key)
    say(
        "more: chandra-search estimate, classify, describe, outliers, facets, each with --help "
        f"and --data-dir {settings.data_dir}"
    )
    if serve_after:
        _serve(settings)


def _ask_four(services: Services, key: str) -> None:
    """Ask one question of each kind and print the answers."""
    service = services.search
    of_class = DetectionFilter(classes=("AGN",), where="flux_significance_b >= 5")
    five = PageOptions(limit=5)
    stored = service.detection(key).payload
    questions: tuple[tuple[str, Target, Page], ...] = (
        (
            f'1. Text -> spectra: "{QUESTION}", class AGN, flux_significance_b >= 5',
            "detections",
            service.by_text(QUESTION, "detections", of_class, five),
        ),
        (
            f"2. Spectrum -> papers: what was written about sources like {stored['source_name']} "
            f"({' > '.join(stored['class_path'])})",
            "papers",
            service.like(key, "papers", arrange=five),
        ),
        (
            f"3. Like -> like: spectra like {stored['source_name']}, other sources only",
            "detections",
            service.like(key, "detections", arrange=five),
        ),
    )
    for title, to, page in questions:
        answers.print(render(page.hits, "table", title=title, to=to))
    estimates = services.estimator.estimate(service.subject(key))
    title = (
        f"4. What are its values: {stored['source_name']}, from other sources' spectra and texts"
    )
    answers.print(render_estimates([estimates], "table", title=title))


def _serve(settings: SearchSettings) -> None:
    """Answer, and have uploads stored: by workers where there is a queue, else by this process."""
    ours = get_settings()
    with open_store(settings) as store:
        if ours.redis_url and settings.qdrant_url:  # an embedded store has no other workers
            client_of(ours.redis_url).close()  # a wrong address is said now
            with create_celery(ours.redis_url) as queue:
                _answer(settings, store, sender(queue))
            return
        with Scheduler(open_ingestion(store, settings, ours)) as scheduler:
            _answer(settings, store, lambda _: scheduler.loop.wake(), loops=[scheduler.loop])


def _answer(
    settings: SearchSettings,
    store: Store,
    notify: Notify,
    routers: Sequence[APIRouter] = (),
    loops: Sequence[SupervisedLoop] = (),
) -> None:
    uploads = open_uploads(settings, notify)
    app = create_app(settings, store, routers=routers, loops=loops, uploads=uploads)
    say(
        f"serving {settings.data_dir} at http://{settings.host}:{settings.port} "
        "(try it at /docs); Ctrl-C stops"
    )
    log_as_json()
    # When uvicorn has ended it raises the signal again: as Ctrl-C, so that the store is closed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        http="h11",  # the other one takes headers of any length into memory
    )


def _require_right_and_room(settings: SearchSettings) -> None:
    """Say so before minutes of work when nobody may listen there, or the port is taken."""
    require_keys_beyond_this_machine(settings)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as exc:
            raise InputError(
                f"cannot listen on {settings.host}:{settings.port} ({exc.strerror}): "
                "stop what listens there or give another --port"
            ) from exc
