"""Killed at any write, and started again, the flow comes to the end that it would have come to."""

import pytest
from dying_store import DyingStore, Killed
from fake_archives import FakeArchives, FirstSentences, known
from fake_encoder import FakeEncoder
from memory_store import MemoryStore

from search.collections.schema import DETECTIONS, INGEST_LOG, PAPERS
from search.store.scroll import scroll_all
from workers.inprocess import drain
from workers.ledger.checkpoints import Notes
from workers.settings import WorkerSettings
from workers.steps.flow import Flow
from workers.writing.pipeline import Pipeline

SETTINGS = WorkerSettings(lease_s=1e-6, retry_s=0, batch=3, fetch_batch=3, withdraw_at_most=0.5)
ITEM = ("key", "state", "content", "done", "complete", "file", "match_json", "error")


@pytest.fixture
def archives(tmp_path):
    archives = FakeArchives(tmp_path / "files")
    archives.add_detections(8)
    [about, *_] = archives.add_papers(4)
    archives.matches["csc2.1/1000/0/1"] = known("Star", bibcodes=[about])
    archives.matches["csc2.1/1001/0/4"] = known("Galaxy", bibcodes=[about])
    archives.without_file |= {2}
    return archives


def ingest(store, archives):
    flow = Flow(Pipeline(store, FakeEncoder(), FirstSentences()), archives.archives(), SETTINGS)
    flow.take_over()
    flow.discover("csc")
    flow.discover("ads")
    drain(flow)
    flow.run("rematch", now=True)


def end_of(store):
    """Return everything that must be the same however often it was interrupted."""
    said = {}
    for kind in (DETECTIONS, PAPERS):
        for record in scroll_all(store, kind, with_vectors=True):
            payload = record.payload
            said[record.id] = payload | {"withdrawn_at": "withdrawn_at" in payload}
            said[f"{record.id} vectors"] = sorted(record.vector)
    for record in scroll_all(store, INGEST_LOG):
        if record.payload["kind"] == "item":
            said[record.id] = {n: v for n, v in record.payload.items() if n in ITEM}
    return said


def until_not_killed(began, archives, expected):
    """Kill before the first write, the second, and so on; return how many there were."""
    killed_after = 0
    while True:
        store = began.copy()
        try:
            ingest(DyingStore(store, killed_after), archives)
        except Killed:
            survived = False
        else:
            survived = True
        ingest(store, archives)
        assert end_of(store) == expected, f"killed at write {killed_after}"
        for name in ("csc", "ads"):
            feed = Notes(store).feed(name)
            assert feed.watermark == feed.pages[-1][1], f"killed at write {killed_after}"
        if survived:
            return killed_after
        killed_after += 1


def changed(archives):
    archives.add_detections(2)
    archives.add_papers(1)
    archives.change("csc2.1/1000/0/1", source_name="2CXO J999999.9+999999")
    archives.withdraw("csc2.1/1001/0/5")
    archives.matches["csc2.1/1001/0/4"] = known("Galaxy", "AGN", bibcodes=[*archives.papers][:2])


@pytest.mark.slow
def test_flow_killed_at_any_write_of_a_first_ingestion_comes_to_the_same_end(archives):
    store = MemoryStore()
    ingest(store, archives)
    assert until_not_killed(MemoryStore(), archives, end_of(store)) > 50


def test_flow_killed_at_any_write_of_a_correction_comes_to_the_same_end(archives):
    before = MemoryStore()
    ingest(before, archives)
    changed(archives)
    store = before.copy()
    ingest(store, archives)
    assert end_of(store) != end_of(before)
    assert until_not_killed(before, archives, end_of(store)) > 50
