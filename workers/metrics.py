"""What Prometheus may read of the workers: each stage, the ledger, the archives, queues."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from common.errors import ChandraSearchError, UnavailableError
from ingest.archives.pacing import Courtesy
from workers.ledger.checkpoints import is_value
from workers.ledger.items import WORKABLE, all_of, in_states, is_item
from workers.ledger.ledger import Ledger

STEPS_S = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)


class StageMetrics:
    """Counts what a worker process does, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._items = Counter(
            "chandra_ingest_items",
            "Items that went through a stage.",
            ("stage", "feed"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "chandra_ingest_step_seconds",
            "Time that a step of a stage took.",
            ("stage", "feed"),
            buckets=STEPS_S,
            registry=self.registry,
        )
        self._put_off = Counter(
            "chandra_ingest_steps_put_off",
            "Steps that were broken off, to be tried again.",
            ("stage", "feed"),
            registry=self.registry,
        )
        self._requests = Counter(
            "chandra_archive_requests",
            "Requests sent to an archive, repeated ones too.",
            ("archive",),
            registry=self.registry,
        )

    def done(self, stage: str, feed: str, items: int, seconds: float) -> None:
        """Count items that went through a stage."""
        self._items.labels(stage, feed).inc(items)
        self._seconds.labels(stage, feed).observe(seconds)

    def put_off(self, stage: str, feed: str) -> None:
        """Count a step that was broken off."""
        self._put_off.labels(stage, feed).inc()

    def counting(self, courtesy: Courtesy) -> Courtesy:
        """Return a courtesy whose requests are counted."""
        return _Counting(courtesy, self._requests)

    def watch(self, collector: Collector) -> None:
        """Tell what a collector finds, too, at each reading."""
        self.registry.register(collector)


class _Counting:
    def __init__(self, courtesy: Courtesy, requests: Counter) -> None:
        self._courtesy = courtesy
        self._requests = requests

    def wait(self, archive: str) -> None:
        self._courtesy.wait(archive)
        self._requests.labels(archive).inc()


class LedgerCollector(Collector):
    """Looks into the ledger whenever somebody reads.

    Parameters
    ----------
    ledger : Ledger
        The ledger.
    left : mapping of str to callable
        Requests of today that are left, by archive.
    """

    def __init__(self, ledger: Ledger, left: Mapping[str, Callable[[], int]]) -> None:
        self._ledger = ledger
        self._left = left

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Return nothing: the store need not answer when this is registered."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the figures; a store that is down must be seen, not hide all the rest."""
        up = GaugeMetricFamily("chandra_ledger_up", "Whether the ledger can be read.")
        try:
            figures = [*self._figures()]
            up.add_metric([], 1)
        except ChandraSearchError:
            figures = []
            up.add_metric([], 0)
        yield up
        yield from figures

    def _figures(self) -> Iterator[GaugeMetricFamily]:
        items = GaugeMetricFamily(
            "chandra_ingest_state", "Items of a feed in a state.", labels=("feed", "state")
        )
        age = GaugeMetricFamily(
            "chandra_ingest_queue_age_seconds",
            "How long the oldest item has waited for its next step.",
            labels=("feed",),
        )
        polled = GaugeMetricFamily(
            "chandra_feed_polled_seconds", "Seconds since a feed was polled.", labels=("feed",)
        )
        complete = GaugeMetricFamily(
            "chandra_feed_watermark_age_seconds",
            "Age of the time up to which a feed is complete; none where its order is not of time.",
            labels=("feed",),
        )
        budget = GaugeMetricFamily(
            "chandra_archive_requests_left", "Requests of today left.", labels=("archive",)
        )
        now = datetime.now(UTC)
        for feed, counts in self._ledger.counts().items():
            for state, n in counts.items():
                items.add_metric([feed, state], n)
            age.add_metric([feed], oldest_s(self._ledger, feed, now))
            known = self._ledger.notes.feed(feed)
            if at := known.polled_at:
                polled.add_metric([feed], (now - at).total_seconds())
            with suppress(ValueError):  # a place in the catalogue, or nothing yet
                up_to = datetime.fromisoformat(known.watermark)
                complete.add_metric([feed], (now - up_to).total_seconds())
        for archive, left in self._left.items():
            budget.add_metric([archive], left())
        yield from (items, age, polled, complete, budget)


def oldest_s(ledger: Ledger, feed: str, now: datetime) -> float:
    """Return how long the oldest item has waited for its next step."""
    since = ledger.oldest(all_of(is_item(), is_value("feed", feed), in_states(WORKABLE)))
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


@contextmanager
def served(registry: CollectorRegistry, host: str, port: int) -> Iterator[None]:
    """Answer Prometheus meanwhile; port 0 is nowhere.

    Raises
    ------
    UnavailableError
        If somebody else listens there.
    """
    if not port:
        yield
        return
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as exc:
        raise UnavailableError(
            f"cannot answer Prometheus on {host}:{port} ({exc.strerror}): give another "
            "CHANDRA_WORKER_METRICS_PORT, one for each process of a machine"
        ) from exc
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
