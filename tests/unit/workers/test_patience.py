"""The server goes away in the middle of an ingestion, and comes back, or does not."""

import json
import sys

import pytest
from fake_archives import FirstSentences
from fake_encoder import FakeEncoder
from qdrant_rest.process import EngineProcess
from two_models import NoSummarizer, simulate

from cli import ingest, main
from common.errors import ArchiveError, StoreUnavailableError
from search.collections.schema import DETECTIONS, PAPERS
from search.store.server import ServerStore
from workers.settings import get_settings
from workers.writing.patience import Patience
from workers.writing.pipeline import BATCH, Pipeline


@pytest.fixture
def engine(tmp_path):
    engine = EngineProcess(tmp_path / "engine")
    engine.start()
    yield engine
    engine.stop()


def test_ingestion_waits_for_a_server_that_is_away_and_goes_on(engine):
    told = []

    def tell(message):
        told.append(message)
        if len(told) == 3:
            engine.start()

    dataset = simulate(40, 5)
    store = ServerStore(engine.url, timeout_s=30)
    with Pipeline(
        store, FakeEncoder(), NoSummarizer(), None, Patience(600, tell, 0.01)
    ) as pipeline:
        outcomes = pipeline.ingest_dataset(dataset)
        first = next(outcomes)  # its batch of papers is stored
        engine.kill()
        statuses = [first.status, *(one.status for one in outcomes)]
        assert {*statuses} == {"ingested"}
        assert store.count(DETECTIONS) == len(dataset) == 40
        assert store.count(PAPERS) == len(statuses) - 40
    assert len(told) == 4
    assert all("waiting for the store" in one and engine.url in one for one in told[:3])
    assert told[3] == "the store answers again: going on"


def test_ingestion_that_begins_while_the_server_is_away_waits(engine, monkeypatch):
    told = []

    def tell(message):
        told.append(message)
        if len(told) == 1:
            engine.start()

    def open_pipeline(_settings, _summaries, patience):
        store = ServerStore(engine.url, timeout_s=30)
        return Pipeline(store, FakeEncoder(), NoSummarizer(), None, patience)

    monkeypatch.setattr(ingest, "say", tell)
    monkeypatch.setattr(ingest, "open_pipeline", open_pipeline)
    monkeypatch.setenv("CHANDRA_INGEST_WAIT_S", "600")
    get_settings.cache_clear()
    engine.kill()
    with ingest._open(None) as pipeline:
        assert pipeline.store.count(PAPERS) == 0
    get_settings.cache_clear()
    assert "waiting for the store" in told[0]
    assert told[1:] == ["the store answers again: going on"]


def test_only_the_store_is_waited_for():
    def attempt():
        raise ArchiveError("ADS is away, and was asked several times already")

    with pytest.raises(ArchiveError):
        Patience(600, pytest.fail)(attempt)


def test_pauses_grow_and_patience_has_an_end():
    told = []

    def attempt():
        raise StoreUnavailableError("no answer")

    with pytest.raises(StoreUnavailableError, match="no answer"):
        Patience(0.2, told.append, 0.02)(attempt)
    assert 1 <= len(told) <= 3  # 0.02 + 0.04 + 0.08 s; a busy machine gives up earlier


@pytest.fixture
def command(engine, tmp_path, monkeypatch, capsys):
    """Run ``ingest papers`` in this process; return exit code and what is said."""
    papers = tmp_path / "papers.jsonl"
    bibcodes = [f"2020ApJ...900.{n:04d}A" for n in range(BATCH + 44)]
    papers.write_text(
        "".join(
            json.dumps({"bibcode": one, "title": f"On {one}", "abstract": "A bright X-ray source."})
            + "\n"
            for one in bibcodes
        )
    )

    def run(encoder):
        def open_pipeline(_settings, _summaries, patience):
            assert (patience.most_s, patience.tell) == (0, ingest.say)
            store = ServerStore(engine.url, timeout_s=30)
            return Pipeline(store, encoder, FirstSentences(), None, patience)

        monkeypatch.setattr(ingest, "open_pipeline", open_pipeline)
        monkeypatch.setenv("CHANDRA_INGEST_WAIT_S", "0")
        monkeypatch.setattr(sys, "argv", ["chandra-search", "ingest", "papers", str(papers)])
        get_settings.cache_clear()
        with pytest.raises(SystemExit) as raised:
            main.run()
        said = capsys.readouterr()
        return raised.value.code or 0, said.out + said.err

    yield run
    get_settings.cache_clear()


def test_who_gives_up_says_what_is_stored_and_that_the_same_command_goes_on(engine, command):
    class Killing(FakeEncoder):
        def encode_summaries(self, summaries, **more):
            if len(summaries) < BATCH:
                engine.kill()
            return super().encode_summaries(summaries, **more)

    code, said = command(Killing())
    assert code == main.UNAVAILABLE
    assert "does not answer" in said
    assert "256 ingested and 0 unchanged inputs are stored: the same command goes on" in said
    engine.start()
    code, said = command(FakeEncoder())
    assert code == 0
    assert "44 ingested, 256 unchanged, 0 refused" in said
