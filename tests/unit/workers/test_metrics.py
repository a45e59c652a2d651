import socket
from datetime import UTC, datetime, timedelta
from urllib.request import urlopen

import pytest
from fake_archives import FakeArchives, FirstSentences
from fake_encoder import FakeEncoder
from prometheus_client.parser import text_string_to_metric_families

from common.errors import ArchiveError, UnavailableError
from search.store.embedded import EmbeddedStore
from workers.inprocess import drain
from workers.ledger.items import Entry
from workers.ledger.ledger import Ledger
from workers.metrics import LedgerCollector, StageMetrics, oldest_s, served
from workers.settings import WorkerSettings
from workers.steps.flow import Flow
from workers.writing.pipeline import Pipeline


@pytest.fixture
def store(tmp_path):
    with EmbeddedStore(tmp_path / "store") as store:
        yield store


@pytest.fixture
def metrics():
    return StageMetrics()


@pytest.fixture
def read(metrics):
    """Return what Prometheus reads, over HTTP, as values by name and labels."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with served(metrics.registry, "127.0.0.1", port):

        def read():
            with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                text = answer.read().decode()
            return {
                (sample.name, *sorted(sample.labels.values())): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }

        yield read


def test_stages_of_a_flow_are_counted_and_what_is_put_off(tmp_path, store, metrics, read):
    archives = FakeArchives(tmp_path / "files")
    archives.add_detections(6)
    settings = WorkerSettings(lease_s=1e-6, retry_s=0, max_attempts=1)
    pipeline = Pipeline(store, FakeEncoder(), FirstSentences())
    flow = Flow(pipeline, archives.archives(), settings, observer=metrics)
    flow.discover("csc")
    archives.failing = dict.fromkeys(range(1, 7), ArchiveError("csc does not answer"))
    drain(flow)
    archives.failing = {}
    flow.ledger.retry()
    drain(flow)
    seen = read()
    assert seen["chandra_ingest_items_total", "csc", "discover"] == 6
    assert seen["chandra_ingest_items_total", "csc", "store"] == 12  # rows, then spectra
    assert seen["chandra_ingest_steps_put_off_total", "csc", "fetch"] >= 1
    assert seen["chandra_ingest_step_seconds_count", "csc", "store"] >= 1


def test_steps_that_are_broken_off_by_a_surprise_are_counted_too(
    tmp_path, store, metrics, read, monkeypatch
):
    def surprised(_cursor):
        raise MemoryError

    archives = FakeArchives(tmp_path / "files")
    pipeline = Pipeline(store, FakeEncoder(), FirstSentences())
    flow = Flow(pipeline, archives.archives(), WorkerSettings(), observer=metrics)
    monkeypatch.setattr(flow._feeds["csc"], "pages", surprised)
    with pytest.raises(MemoryError):
        flow.discover("csc")
    assert read()["chandra_ingest_steps_put_off_total", "csc", "discover"] == 1


def test_ledger_is_read_when_somebody_asks(store, metrics, read):
    ledger = Ledger(store)
    metrics.watch(LedgerCollector(ledger, {"ads": lambda: 17}))
    assert read()["chandra_ledger_up",] == 1
    ledger.found("csc", [Entry("a", {}, "1"), Entry("b", {}, "2", error="no position")])
    ledger.notes.save_feed("csc", polled_at=datetime.now(UTC) - timedelta(hours=1))
    seen = read()
    assert seen["chandra_ingest_state", "csc", "found"] == 1
    assert seen["chandra_ingest_state", "csc", "failed"] == 1
    assert seen["chandra_feed_polled_seconds", "csc"] == pytest.approx(3600, abs=60)
    assert seen["chandra_archive_requests_left", "ads"] == 17


def test_watermark_has_an_age_where_a_feed_goes_by_time(store, metrics, read):
    ledger = Ledger(store)
    metrics.watch(LedgerCollector(ledger, {}))
    for feed in ("ads", "cda", "csc"):
        ledger.found(feed, [Entry("a", {}, "1")])
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    ledger.notes.save_feed("ads", watermark=hour_ago.isoformat())
    ledger.notes.save_feed("csc", watermark="000635/000/000012")
    seen = read()
    assert seen["chandra_feed_watermark_age_seconds", "ads"] == pytest.approx(3600, abs=60)
    assert ("chandra_feed_watermark_age_seconds", "csc") not in seen  # a place, not a time
    assert ("chandra_feed_watermark_age_seconds", "cda") not in seen  # nothing is complete yet


def test_ledger_that_is_down_is_seen_and_hides_nothing_else(store, metrics, read):
    metrics.watch(LedgerCollector(Ledger(store), {}))
    metrics.done("store", "csc", 3, 0.5)
    store.close()
    seen = read()
    assert seen["chandra_ledger_up",] == 0
    assert seen["chandra_ingest_items_total", "csc", "store"] == 3


@pytest.mark.parametrize("age_s", [0, 30, 4000, 500_000, 5_000_000])
def test_age_of_a_queue_is_that_of_its_oldest_item(store, age_s):
    ledger = Ledger(store)
    ledger.found("csc", [Entry("a", {}, "1"), Entry("b", {}, "2")])
    first, second = ledger.items("csc", ["a", "b"])
    now = datetime.now(UTC)
    ledger.note({first: {"updated_at": now - timedelta(seconds=age_s)}})
    ledger.note({second: {"updated_at": now}})
    assert oldest_s(ledger, "csc", now) == pytest.approx(age_s)
    assert oldest_s(ledger, "ads", now) == 0


def test_requests_to_archives_are_counted_when_they_are_granted(metrics, read):
    class Courtesy:
        def wait(self, archive):
            if archive == "ads":
                raise UnavailableError("nobody may ask")

    courtesy = metrics.counting(Courtesy())
    courtesy.wait("simbad")
    with pytest.raises(UnavailableError):
        courtesy.wait("ads")
    assert read()["chandra_archive_requests_total", "simbad"] == 1
    assert ("chandra_archive_requests_total", "ads") not in read()


def test_address_that_is_taken_is_named_with_the_cure(metrics):
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(UnavailableError, match="CHANDRA_WORKER_METRICS_PORT"),
        served(metrics.registry, "127.0.0.1", taken.getsockname()[1]),
    ):
        pass


def test_port_zero_is_nowhere(metrics):
    with served(metrics.registry, "127.0.0.1", 0):
        pass
