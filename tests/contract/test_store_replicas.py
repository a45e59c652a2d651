"""A cluster's replicas, played by the stand-in: they never end up apart, and no win is lost."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import requests
from fake_encoder import FakeEncoder
from qdrant_client import QdrantClient, models
from qdrant_rest.examples import SCHEMA, point
from qdrant_rest.process import running

from common.errors import UnavailableError
from common.records import Paper, Summary
from search.collections.kept_inputs import SCHEMA as SCHEMA_OF_INPUTS
from search.collections.kept_inputs import (
    SPECTRA,
    hashes_kept,
    keep_inputs,
    read_inputs,
    summary_inputs,
)
from search.collections.schema import INGEST_LOG, PAPERS
from search.store import server_writes
from search.store.revisions import GENERATION, REVISION, revisions_of
from search.store.server import ServerStore
from workers.ledger.items import Entry, State
from workers.ledger.ledger import Ledger
from workers.maintenance.verify import Verifier
from workers.writing.pipeline import Pipeline

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
        {k: v for k, v in answer[0].payload.items() if k not in (REVISION, GENERATION)}
        if answer
        else None
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


def fail_half_way(store, half_writes, *points, revisions=None):
    half_writes(100)
    with pytest.raises(UnavailableError):
        store.write(POINTS, [*points], revisions or {})
    half_writes(0)


@pytest.mark.parametrize("before", [[], [point(1, {"obsid": 1})]], ids=["new", "known"])
def test_what_a_killed_writer_left_apart_is_mended_by_who_reads_it_next(
    store, url, half_writes, before
):
    store.upsert(POINTS, before)
    revisions = revisions_of(store.read(POINTS, [1]).values())
    fail_half_way(store, half_writes, point(1, {"obsid": 2}, own=[1, 0, 0]), revisions=revisions)
    assert len({str(answer) for answer in said(url)}) == 2
    assert store.apart(POINTS, [1]) == {"1"}
    held = store.read(POINTS, [1], with_vectors=True)
    assert held["1"].payload == {"obsid": 2}
    assert held["1"].vectors == {"own": [1, 0, 0]}
    assert said(url) == [{"obsid": 2}] * N_REPLICAS
    assert store.apart(POINTS, [1]) == set()


def test_a_write_that_was_only_slow_is_completed_by_who_mends_it(store, half_writes, monkeypatch):
    """Another reads between the two attempts of a writer."""
    monkeypatch.setattr(server_writes, "_REPEATS_S", (1.0,))
    monkeypatch.setattr(
        server_writes.time, "sleep", lambda wait_s: wait_s and store.read(POINTS, [1])
    )
    store.upsert(POINTS, [point(1, {"obsid": 1})])
    revisions = revisions_of(store.read(POINTS, [1]).values())
    half_writes(1)
    written = store.write(POINTS, [point(1, {"obsid": 2})], revisions)
    assert not written.lost
    assert not store.write(POINTS, [point(1, {"obsid": 3})], written.revisions).lost


def test_of_two_who_read_a_point_that_was_apart_one_writes_again(store, url, half_writes):
    fail_half_way(store, half_writes, point(1, {"obsid": 1}))
    first, second = (revisions_of(store.read(POINTS, [1]).values()) for _ in range(2))
    assert not store.write_payload(POINTS, {1: {"note": "a"}}, first).lost
    assert store.write_payload(POINTS, {1: {"note": "b"}}, second).lost == {"1"}
    assert said(url) == [{"obsid": 1, "note": "a"}] * N_REPLICAS


def test_a_later_version_that_nobody_sees_goes_at_the_second_attempt(
    store, url, half_writes, monkeypatch
):
    """A server answers from its own node: what another alone has is never shown."""
    store.upsert(POINTS, [point(1, {"obsid": 1})])
    old = store.read(POINTS, [1])
    fail_half_way(store, half_writes, point(1, {"obsid": 2}), revisions=revisions_of(old.values()))
    latest = store._guarded._latest

    def without_the_hidden(collection, ids, with_vectors):
        found = latest(collection, ids, with_vectors)
        return {
            one: old["1"] if held.payload == {"obsid": 2} else held for one, held in found.items()
        }

    monkeypatch.setattr(store._guarded, "_latest", without_the_hidden)
    attempts = 0
    while True:
        attempts += 1
        revisions = revisions_of(store.read(POINTS, [1]).values())
        if not store.write(POINTS, [point(1, {"obsid": 3})], revisions).lost:
            break
    assert attempts == 2
    assert said(url) == [{"obsid": 3}] * N_REPLICAS


def test_mending_undoes_nothing_that_is_later(store, url, half_writes, monkeypatch):
    """It was acknowledged between the look and the mending."""
    store.upsert(POINTS, [point(1, {"obsid": 1})])
    old = store.read(POINTS, [1])
    store.write(POINTS, [point(1, {"obsid": 2})], revisions_of(old.values()))
    monkeypatch.setattr(store._guarded, "_latest", lambda *_: old)
    store._guarded._mend(POINTS, [1])
    assert said(url) == [{"obsid": 2}] * N_REPLICAS


def test_of_a_batch_that_was_written_while_it_was_read_nothing_is_erased(store):
    """One point was read before, one after: each is guarded by its own revision."""
    store.upsert(POINTS, [point(1), point(2)])
    before = store.read(POINTS, [1])
    store.upsert(POINTS, [point(1, {"obsid": 7}), point(2, {"obsid": 7})])
    after = store.read(POINTS, [2])
    revisions = revisions_of([*before.values(), *after.values()])
    assert store.write(POINTS, [point(1), point(2)], revisions).lost == {"1"}
    store.set_payload(POINTS, {1: {"obsid": 8}, 2: {"obsid": 8}})
    assert store.write_payload(POINTS, {1: {}, 2: {}}, revisions).lost == {"1", "2"}


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


def test_an_item_that_was_apart_is_leased_and_concluded(store, half_writes):
    ledger = Ledger(store)
    try:
        ledger.found("csc", [Entry("k", {}, "1")])
        (item,) = ledger.items("csc", ["k"])
        half_writes(100)
        with pytest.raises(UnavailableError):
            ledger.lease([item], datetime.now(UTC) - timedelta(seconds=1))
        half_writes(0)
        found = ledger.due("csc", (State.FOUND,), 5, datetime.now(UTC))
        assert len(ledger.lease(found, datetime.now(UTC) - timedelta(seconds=1))) == 1
        half_writes(100)
        with pytest.raises(UnavailableError):
            ledger.advance(found, State.STORED)
        half_writes(0)
        ledger.advance(found, State.STORED)
        assert store.apart(INGEST_LOG, [item.id]) == set()
    finally:
        store.delete_collection(INGEST_LOG)


def test_inputs_that_one_replica_kept_alone_are_kept_by_all(store, half_writes):
    store.create_collection(SPECTRA, SCHEMA_OF_INPUTS)
    detection = uuid4()
    text = Summary("a quasar", "hard", "an active nucleus", "extractive")
    try:
        half_writes(100)
        with pytest.raises(UnavailableError):
            keep_inputs(store, {detection: summary_inputs("key", text)})
        half_writes(0)
        assert hashes_kept(store, [detection]) == {detection: {"summary_hash": text.hash()}}
        for _ in range(N_REPLICAS):
            assert read_inputs(store, [detection])[detection].summary == text
    finally:
        store.delete_collection(SPECTRA)


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
