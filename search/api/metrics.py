"""What a Prometheus server may read at ``/metrics``."""

import time
from collections.abc import Callable, Iterator

from fastapi import APIRouter, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.errors import ChandraSearchError
from common.supervised_loop import SupervisedLoop
from search.api.dependencies import router_of
from search.api.logs import route_of
from search.api.threads import PROBES
from search.collections.schema import DETECTIONS, PAPERS
from search.store.base import Store

LATENCIES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class Metrics:
    """The counters of one application, in a registry of its own."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self.registry = CollectorRegistry()
        self._store = store
        self.requests = Counter(
            "chandra_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.latency = Histogram(
            "chandra_request_seconds",
            "Time to answer.",
            ("method", "route"),
            buckets=LATENCIES_S,
            registry=self.registry,
        )
        self.running = Gauge(
            "chandra_requests_running", "Requests being answered.", registry=self.registry
        )
        self.engine_errors = Counter(
            "chandra_engine_errors",
            "Requests that the store or another service could not answer.",
            registry=self.registry,
        )
        self._up = Gauge("chandra_engine_up", "Whether the store answers.", registry=self.registry)
        self._points = Gauge(
            "chandra_points", "Points in the store.", ("collection",), registry=self.registry
        )
        self._loops = _LoopCollector()
        self.registry.register(self._loops)

    def watch(self, loop: SupervisedLoop) -> None:
        """Tell the errors of a loop too; of two of the same name, those of the later one."""
        self._loops.by_name[loop.name] = loop

    def exposition(self) -> bytes:
        """Return all figures as Prometheus reads them, the size of the store looked up now."""
        try:
            store = self._store()
            for collection in (DETECTIONS, PAPERS):
                self._points.labels(collection).set(store.count(collection))
            self._up.set(1)
        except ChandraSearchError:  # a store that is down must be seen, not hide all the rest
            self._points.clear()
            self._up.set(0)
        return generate_latest(self.registry)


class _LoopCollector(Collector):
    """Reads what loops have counted."""

    def __init__(self) -> None:
        self.by_name: dict[str, SupervisedLoop] = {}

    def collect(self) -> Iterator[CounterMetricFamily]:
        errors = CounterMetricFamily(
            "chandra_loop_errors",
            "Errors that nobody expected, after which a loop of this process went on.",
            labels=("loop",),
        )
        for name, loop in self.by_name.items():
            errors.add_metric([name], loop.errors)
        yield errors


class RequestMetrics:
    """Count and time every request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then count."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500
        started = time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self.metrics.running.track_inprogress():
            try:
                await self.app(scope, receive, watched)
            finally:
                method = scope["method"] if scope["method"] in METHODS else "other"
                route = route_of(scope)
                self.metrics.requests.labels(method, route, str(status)).inc()
                self.metrics.latency.labels(method, route).observe(time.perf_counter() - started)
                if status == 503 and scope.get("error"):
                    self.metrics.engine_errors.inc()


def metrics_router(metrics: Metrics) -> APIRouter:
    """Return the route ``/metrics``."""
    router = router_of("service")
    text = {"schema": {"type": "string"}}

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": text}}},
    )
    async def read_metrics() -> Response:
        """Return counters for Prometheus; with API keys set, for admins only."""
        return Response(await PROBES.run(metrics.exposition), media_type=CONTENT_TYPE_LATEST)

    return router
