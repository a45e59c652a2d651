"""A cluster's replicas, played by the stand-in: they never end up apart, and no win is lost."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from fake_encoder import FakeEncoder
from qdrant_client import QdrantClient, models
from qdrant_rest.examples import SCHEMA, point
from qdrant_rest.process import running

from common.errors import UnavailableError
from common.records import Paper, Summary
from search.schema import PAPERS
from search.store import server_writes
from search.store.base import TORN
from search.store.revisions import REVISION, revisions_of
from search.store.server import ServerStore
from workers.pipeline import Pipeline
from workers.verify import Verifier

POINTS = "points"
N_REPLICAS = 3


class Summarizer:
    def summarize(self, texts, **_kwargs):
        return [Summary(title, text, text, "extractive") for title, text in texts]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with running(tmp_path_factory.mktemp("replicas"), N_REPLICAS) as url:
        yield url


@pytest.fixture
def store(url, monkeypatch):
    monkeypatch.setattr(server_writes, "_REPEATS_S", (0.0, 0.0))
    monkeypatch.setattr(server_writes, "_SETTLING_S", (0.0, 0.0))
    with ServerStore(url, timeout_s=30) as store:
        store.create_collection(POINTS, SCHEMA)
        yield store
        requests.post(f"{url}/faults", json={"half_writes": 0}, timeout=10)
        store.delete_collection(POINTS)


@pytest.fixture
def half_writes(url):
    """Let this many writes fail after they have reached the first replica."""

    def fail(number):
        requests.post(f"{url}/faults", json={"half_writes": number}, timeout=10)

    return fail


def said(url, name=POINTS):
    """The payloads that replicas give by turns, without revisions."""
    client = QdrantClient(url=url, check_compatibility=False)
    answers = [client.retrieve(name, [1]) for _ in range(N_REPLICAS)]
    client.close()
    return [
        {k: v for k, v in answer[0].payload.items() if k != REVISION} if answer else None
        for answer in answers
    ]


def test_a_write_that_failed_half_way_is_repeated_until_all_have_it(store, url, half_writes):
    store.upsert(POINTS, [point(1, {"obsid": 1})])
    half_writes(1)
    revisions = revisions_of(store.read(POINTS, [1]).values())
    assert not store.write(POINTS, [point(1, {"obsid": 2})], revisions).lost
    assert said(url) == [{"obsid": 2}] * N_REPLICAS


def test_a_change_of_payload_that_failed_half_way_is_repeated_too(store, url, half_writes):
    store.upsert(POINTS, [point(1, {"obsid": 1})])
    half_writes(1)
    revisions = revisions_of(store.read(POINTS, [1]).values())
    assert not store.write_payload(POINTS, {1: {"obsid": 2}}, revisions).lost
    assert said(url) == [{"obsid": 2}] * N_REPLICAS


@pytest.mark.parametrize("before", [[], [point(1, {"obsid": 1})]], ids=["new", "known"])
def test_what_a_killed_writer_left_apart_is_seen_and_written_again(store, url, half_writes, before):
    store.upsert(POINTS, before)
    revisions = revisions_of(store.read(POINTS, [1]).values())
    half_writes(100)
    with pytest.raises(UnavailableError):
        store.write(POINTS, [point(1, {"obsid": 2})], revisions)
    half_writes(0)
    assert len({str(answer) for answer in said(url)}) == 2
    for _ in range(N_REPLICAS):  # whichever replica is asked next
        held = store.read(POINTS, [1])
        assert held.get("1") is None or held["1"].revision in (TORN, revisions.get(1))
    while True:
        held = store.read(POINTS, [1])
        written = store.write(POINTS, [point(1, {"obsid": 3})], revisions_of(held.values()))
        if not written.lost:
            break
    store.write(POINTS, [point(1, {"obsid": 4})], {1: written.revision})
    assert said(url) == [{"obsid": 4}] * N_REPLICAS


def test_writers_who_meet_lose_no_win_and_leave_no_replica_apart(store, url):
    store.upsert(POINTS, [point(1, {"class_path": []})])

    def sign(name):
        while True:
            held = store.read(POINTS, [1])["1"]
            if name in held.payload["class_path"]:
                return
            fields = {"class_path": [*held.payload["class_path"], name]}
            store.write_payload(POINTS, {1: fields}, revisions_of([held]))

    names = [f"writer {number}" for number in range(12)]
    with ThreadPoolExecutor(4) as writers:
        [*writers.map(sign, names)]
    answers = said(url)
    assert sorted(answers[0]["class_path"]) == sorted(names)
    assert answers == [answers[0]] * N_REPLICAS


def test_weak_ordering_would_tear_replicas_apart(store, url):
    """What the stand-in plays is what a real cluster was seen to do: the tests above can fail."""
    store.upsert(POINTS, [point(1, {"obsid": 1})])
    client = QdrantClient(url=url, check_compatibility=False)
    match = models.FieldCondition(key="obsid", match=models.MatchValue(value=1))
    for number in (2, 3):
        points = [models.PointStruct(id=1, vector={}, payload={"obsid": number})]
        client.upsert(POINTS, points, update_filter=models.Filter(must=[match]))
    store.upsert(POINTS, [point(2)])
    client.close()
    assert len({str(answer) for answer in said(url)}) == 2


def test_what_one_replica_has_alone_is_not_called_unchanged(store, url, half_writes):
    papers = [Paper(f"2020ApJ...900....{n}A", f"Paper {n}", "A quasar.", 2020) for n in range(6)]
    pipeline = Pipeline(store, FakeEncoder(), Summarizer())
    try:
        half_writes(100)
        with pytest.raises(UnavailableError):
            [*pipeline.ingest_papers(papers)]
        half_writes(0)
        [*pipeline.ingest_papers(papers)]
        for _ in range(N_REPLICAS):
            assert len(store.retrieve(PAPERS, [paper.id for paper in papers])) == len(papers)
        assert Verifier(pipeline).run().findings == []
        assert [one.status for one in pipeline.ingest_papers(papers)] == ["unchanged"] * 6
    finally:
        for name in {*store.collections()} - {POINTS}:
            store.delete_collection(name)


def test_verify_finds_papers_that_one_replica_has_alone_and_writes_them_to_all(
    store, url, half_writes
):
    papers = [Paper(f"2020ApJ...900....{n}A", f"Paper {n}", "A quasar.", 2020) for n in range(6)]
    pipeline = Pipeline(store, FakeEncoder(), Summarizer())
    try:
        half_writes(100)
        with pytest.raises(UnavailableError):
            [*pipeline.ingest_papers(papers)]
        half_writes(0)
        open_findings = Verifier(pipeline).run().open
        assert {one.kind for one in open_findings} == {"replicas disagree"}
        assert {one.key for one in open_findings} == {paper.bibcode for paper in papers}
        assert Verifier(pipeline, repair=True).run().open == []
        assert Verifier(pipeline).run().findings == []
        assert [one.status for one in pipeline.ingest_papers(papers)] == ["unchanged"] * 6
    finally:
        for name in {*store.collections()} - {POINTS}:
            store.delete_collection(name)
