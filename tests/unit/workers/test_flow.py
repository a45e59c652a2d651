from datetime import UTC, datetime, timedelta

import pytest
from fake_archives import FakeArchives, FirstSentences, Observed, known
from fake_encoder import FakeEncoder

from common.errors import ArchiveError, BudgetError, InputError, NotFoundError, UnavailableError
from common.records import point_id
from search.collections.schema import DETECTIONS, PAPERS
from search.store.embedded import EmbeddedStore
from workers.inprocess import drain
from workers.ledger.items import State
from workers.settings import WorkerSettings
from workers.steps.flow import Flow
from workers.writing.pipeline import Pipeline

SETTINGS = WorkerSettings(lease_s=1e-6, retry_s=0, batch=16, fetch_batch=4)
FIRST = "csc2.1/1000/0/1"


class CountingEncoder(FakeEncoder):
    def __init__(self):
        super().__init__()
        self.spectra = 0

    def encode_spectra(self, counts, exposure_s, **options):
        self.spectra += len(counts)
        return super().encode_spectra(counts, exposure_s, **options)


@pytest.fixture
def archives(tmp_path):
    return FakeArchives(tmp_path / "files", page=10)


@pytest.fixture
def encoder():
    return CountingEncoder()


@pytest.fixture
def pipeline(tmp_path, encoder):
    with EmbeddedStore(tmp_path / "store") as store:
        yield Pipeline(store, encoder, FirstSentences())


@pytest.fixture
def flow(pipeline, archives):
    return Flow(pipeline, archives.archives(), SETTINGS)


def poll(flow, feed="csc"):
    found = flow.discover(feed)
    drain(flow)
    return found


def detection(pipeline, key, vectors=False):
    payloads = {
        record.payload["key"]: record
        for record in pipeline.store.scroll(DETECTIONS, None, 1000, None, True, vectors)[0]
    }
    return payloads[key]


def item(flow, key, feed="csc"):
    return flow.ledger.items(feed, [key])[0]


def test_flow_brings_what_is_new_into_the_store_and_then_finds_nothing(flow, pipeline, archives):
    archives.add_detections(30)
    archives.add_papers(5)
    assert poll(flow, "csc") == 30
    assert poll(flow, "ads") == 5
    assert pipeline.store.count(DETECTIONS) == 30
    assert pipeline.store.count(PAPERS) == 5
    assert set(detection(pipeline, FIRST, True).vector) == {"spectrum", "shared_spectrum"}
    assert (poll(flow, "csc"), poll(flow, "ads")) == (0, 0)
    added = archives.add_detections(3)
    assert poll(flow) == 3
    assert item(flow, added[0]).state == State.STORED
    assert len(archives.fetched) == 33


def test_flow_a_changed_row_is_stored_without_its_file_or_its_encoder(
    flow, pipeline, archives, encoder
):
    archives.add_detections(30)
    poll(flow)
    archives.change(FIRST, source_name="2CXO J999999.9+999999", variables={"hard_hs": -0.5})
    fetched, encoded = len(archives.fetched), encoder.spectra
    assert poll(flow) == 1
    payload = detection(pipeline, FIRST).payload
    assert (payload["source_name"], payload["hard_hs"]) == ("2CXO J999999.9+999999", -0.5)
    assert payload["has_spectrum"] is True
    assert (len(archives.fetched), encoder.spectra) == (fetched, encoded)


def test_flow_what_a_sweep_does_not_see_becomes_a_tombstone_until_it_is_back(
    flow, pipeline, archives
):
    archives.add_detections(30)
    poll(flow)
    place, row = next(iter(archives.rows.items()))
    archives.withdraw(FIRST)
    poll(flow)
    assert "withdrawn_at" in detection(pipeline, FIRST).payload
    assert item(flow, FIRST).state == State.WITHDRAWN
    archives.rows[place] = row
    assert poll(flow) == 1
    assert "withdrawn_at" not in detection(pipeline, FIRST).payload
    assert item(flow, FIRST).state == State.STORED


def test_flow_an_archive_that_forgets_too_much_at_once_is_not_believed(flow, pipeline, archives):
    archives.add_detections(30)
    poll(flow)
    archives.rows = dict([*archives.rows.items()][:20])
    poll(flow)
    assert flow.ledger.counts()["csc"] == {"stored": 30}
    assert "10 of 30" in flow.ledger.notes.feed("csc").error
    assert not any("withdrawn_at" in detection(pipeline, k).payload for k in (FIRST,))


def test_flow_a_sweep_that_is_broken_off_goes_on_where_it_was(flow, archives):
    archives.add_detections(30)
    pages = flow._feeds["csc"].pages

    def broken(cursor):
        yield from list(pages(cursor))[:1]
        raise ArchiveError("time-out")

    flow._feeds["csc"].pages = broken
    with pytest.raises(ArchiveError):
        flow.discover("csc")
    flow._feeds["csc"].pages = pages
    archives.asked.clear()
    assert poll(flow) == 20
    assert archives.asked == [("detections", (1003, 0, 10))]
    assert flow.ledger.counts()["csc"] == {"stored": 30}


def test_flow_one_bad_file_fails_alone_and_its_row_is_stored(flow, pipeline, archives):
    archives.add_detections(20)
    (archives.folder / "1000_1.pha").write_bytes(b"<html>Sorry</html>")
    poll(flow)
    assert flow.ledger.counts()["csc"] == {"stored": 19, "failed": 1}
    assert "1000_1.pha" in item(flow, FIRST).error
    assert detection(pipeline, FIRST).payload["has_spectrum"] is False
    assert flow.ledger.notes.feed("csc").watermark == "000001 001006/000/000020"


def test_flow_a_detection_without_a_file_is_stored_as_its_row(flow, pipeline, archives):
    archives.add_detections(3)
    archives.without_file.add(1)
    poll(flow)
    assert detection(pipeline, FIRST).payload["has_spectrum"] is False
    assert item(flow, FIRST).state == State.STORED
    assert "no spectrum of region 1" in item(flow, FIRST).error


def test_flow_what_fails_is_tried_again_until_it_was_tried_enough(flow, pipeline, archives):
    archives.add_detections(3)
    archives.failing[1] = ArchiveError("HTTP 500")
    poll(flow)
    failed = item(flow, FIRST)
    assert (failed.state, failed.attempts, failed.retry_at) == (State.FAILED, 5, None)
    assert flow.ledger.counts()["csc"] == {"stored": 2, "failed": 1}
    assert failed.error == "HTTP 500"
    assert detection(pipeline, FIRST).payload["has_spectrum"] is False  # its row is there
    archives.failing.clear()
    flow.ledger.retry("csc", [FIRST])
    drain(flow)
    assert (item(flow, FIRST).state, item(flow, FIRST).error) == (State.STORED, None)
    assert detection(pipeline, FIRST).payload["has_spectrum"] is True


def test_flow_what_can_never_be_fetched_is_tried_once(flow, archives):
    archives.add_detections(2)
    archives.failing[1] = InputError("obsid 1000 is no observation: correct it")
    poll(flow)
    assert (item(flow, FIRST).state, item(flow, FIRST).attempts) == (State.FAILED, 1)
    assert len(archives.fetched) == 2


def test_flow_an_archive_that_is_down_is_left_alone_and_no_item_blamed(pipeline, archives):
    settings = SETTINGS.model_copy(update={"retry_s": 600, "fetch_batch": 10})
    flow = Flow(pipeline, archives.archives(), settings)
    archives.add_detections(10)
    archives.failing = dict.fromkeys(range(1, 11), ArchiveError("time-out"))
    poll(flow)
    items = [item(flow, row.key) for row in archives.rows.values()]
    assert len(archives.fetched) == 3
    assert sorted(one.attempts for one in items) == 7 * [0] + 3 * [1]
    assert all(one.retry_at > datetime.now(UTC) for one in items)
    assert drain(flow) == 0


def test_flow_a_used_up_budget_puts_items_off_until_it_is_renewed(flow, archives):
    archives.add_detections(4)
    midnight = datetime.now(UTC) + timedelta(hours=3)
    archives.failing = dict.fromkeys(range(1, 5), BudgetError("used up", midnight))
    poll(flow)
    items = [item(flow, row.key) for row in archives.rows.values()]
    assert {one.retry_at for one in items} == {midnight}
    assert {one.attempts for one in items} == {0}


class LethalEncoder(CountingEncoder):
    """Something that nobody expected happens with one of the exposures."""

    def encode_spectra(self, counts, exposure_s, **options):
        if 666.0 in exposure_s:
            raise MemoryError
        return super().encode_spectra(counts, exposure_s, **options)


def test_flow_an_item_that_ends_its_worker_is_quarantined_and_the_others_are_stored(
    tmp_path, archives
):
    archives.add_detections(20)
    archives.exposure_s[7] = 666.0
    with EmbeddedStore(tmp_path / "store") as store:
        flow = Flow(
            Pipeline(store, LethalEncoder(), FirstSentences()), archives.archives(), SETTINGS
        )
        flow.discover("csc")
        ended = 0
        while True:
            try:
                drain(flow)
            except MemoryError:
                ended += 1
            else:
                break
        assert flow.ledger.counts()["csc"] == {"stored": 19, "quarantined": 1}
        assert ended >= SETTINGS.max_deliveries
        assert item(flow, "csc2.1/1002/0/7").state == State.QUARANTINED


def test_flow_dispatches_no_more_than_may_be_under_way(pipeline, archives):
    settings = WorkerSettings(max_fetching=10, fetch_batch=4)
    flow = Flow(pipeline, archives.archives(), settings)
    archives.add_detections(30)
    flow.discover("csc")
    sent = []
    assert flow.dispatch(lambda *task: sent.append(task)) == 10
    assert [len(keys) for _, _, keys in sent] == [4, 4, 2]
    assert flow.dispatch(lambda *task: sent.append(task)) == 0
    flow.run(*sent[0])
    assert flow.dispatch(lambda *task: sent.append(task)) == 8  # 4 to store, 4 more to fetch
    assert {step for step, _, _ in sent} == {"fetch", "store"}


def test_flow_a_task_that_comes_twice_does_nothing_the_second_time(flow, archives):
    archives.add_detections(3)
    flow.discover("csc")
    sent = []
    flow.dispatch(lambda *task: sent.append(task))
    assert flow.run(*sent[0]) == 3
    assert flow.run(*sent[0]) == 0
    assert len(archives.fetched) == 3


def test_flow_classes_and_texts_come_with_the_objects_of_detections(flow, pipeline, archives):
    archives.add_detections(2)
    [about] = archives.add_papers(1)
    archives.matches[FIRST] = known("Galaxy", "AGN", bibcodes=["2001ApJ...000....1X", about])
    poll(flow, "ads")
    poll(flow)
    stored = detection(pipeline, FIRST, True)
    assert stored.payload["class_path"] == ["Galaxy", "AGN"]
    assert stored.payload["bibcodes"] == ["2001ApJ...000....1X", about]
    assert {"text", "both"} < set(stored.vector)


def test_flow_a_paper_that_comes_later_gives_its_text_to_detections_without_one(
    flow, pipeline, archives
):
    archives.add_detections(2)
    [about] = archives.add_papers(1)
    archives.matches[FIRST] = known("Galaxy", bibcodes=[about])
    poll(flow)
    assert "text" not in detection(pipeline, FIRST, True).vector
    poll(flow, "ads")
    assert {"text", "both"} < set(detection(pipeline, FIRST, True).vector)


def test_flow_rematching_changes_classes_without_encoding_and_asks_each_once(
    pipeline, archives, encoder
):
    settings = SETTINGS.model_copy(update={"rematch_days": 1})
    flow = Flow(pipeline, archives.archives(), settings)
    archives.add_detections(5)
    poll(flow)
    archives.matches[FIRST] = known("Star", "**")
    assert flow.run("rematch", now=True) == 0  # each was asked for today
    encoded = encoder.spectra
    for row in archives.rows.values():
        long_ago = datetime.now(UTC) - timedelta(days=3)
        flow.ledger.note({item(flow, row.key): {"matched_at": long_ago}})
    assert flow.run("rematch", now=True) == 1
    assert detection(pipeline, FIRST).payload["class_path"] == ["Star", "**"]
    assert encoder.spectra == encoded


def test_flow_a_moved_bibcode_leaves_no_stored_item_behind(flow, pipeline, archives):
    [former] = archives.add_papers(1)
    poll(flow, "ads")
    archives.move(former, "2030ApJ...999..999X")
    poll(flow, "ads")
    assert item(flow, former, "ads").state == State.WITHDRAWN
    assert item(flow, "2030ApJ...999..999X", "ads").state == State.STORED
    assert pipeline.store.count(PAPERS) == 1


def test_flow_citations_are_payload_only(flow, pipeline, archives):
    one, _ = archives.add_papers(2)
    poll(flow, "ads")
    archives.cited[one] = 42
    assert flow.run("refresh_citations", now=True) == 1
    assert flow.run("refresh_citations", now=True) == 0
    [paper] = [r for r in pipeline.store.scroll(PAPERS)[0] if r.payload["bibcode"] == one]
    assert paper.payload["citation_count"] == 42


def test_flow_citations_are_not_asked_of_withdrawn_papers(flow, pipeline, archives):
    one, other = archives.add_papers(2)
    poll(flow, "ads")
    archives.cited |= {one: 42, other: 43}
    pipeline.withdraw(PAPERS, [point_id("paper", other)])
    assert flow.run("refresh_citations", now=True) == 1


def test_flow_an_observation_waits_until_it_has_products(flow, pipeline, archives):
    archives.observed.append(Observed(25000, datetime(2023, 5, 1, tzinfo=UTC)))
    poll(flow, "cda")
    waiting = item(flow, "obs/25000", "cda")
    assert waiting.state == State.WAITING
    assert waiting.retry_at > datetime.now(UTC)
    keys = archives.add_detections(3, obsid=25000, where=archives.recent)
    flow.ledger.release([waiting])
    flow.ledger.note({waiting: {"retry_at": datetime.now(UTC)}})
    drain(flow)
    assert item(flow, keys[0], "cda").state == State.STORED
    assert item(flow, "obs/25000", "cda").state == State.STORED
    assert pipeline.store.count(DETECTIONS) == 3
    assert poll(flow, "csc") == 0  # the sweep does not miss them
    assert "withdrawn_at" not in detection(pipeline, keys[0]).payload


def test_flow_a_lost_file_is_fetched_again(flow, archives):
    archives.add_detections(2)
    flow.discover("csc")
    sent = []
    flow.dispatch(lambda *task: sent.append(task))
    flow.run(*sent[0])
    (archives.folder / "1000_1.pha").unlink()
    drain(flow)
    assert flow.ledger.counts()["csc"] == {"stored": 2}
    assert archives.fetched.count((1000, 0, 1)) == 2


def test_flow_a_store_that_is_down_blames_no_item(flow, archives, monkeypatch):
    archives.add_detections(2)
    flow.discover("csc")
    flow.run("fetch", "csc", [row.key for row in archives.rows.values()])

    def down(*_):
        raise UnavailableError("the model server does not answer")

    monkeypatch.setattr(flow._storer._pipeline, "ingest_items", down)
    with pytest.raises(UnavailableError):
        flow.run("store", "csc", [FIRST])
    assert (item(flow, FIRST).state, item(flow, FIRST).deliveries) == (State.FETCHED, 0)


@pytest.mark.parametrize(
    ("step", "feed"), [("discover", "xmm"), ("fetch", "ads"), ("bake", ""), ("store", "xmm")]
)
def test_flow_refuses_what_it_cannot_do(flow, step, feed):
    with pytest.raises(InputError, match=r"xmm|bake|nothing is fetched"):
        flow.run(step, feed, ["k"])


def test_flow_due_jobs_are_sent_once(flow):
    due = flow.due()
    assert ("discover", "csc") in due
    assert ("score_outliers", "") in due


def test_flow_a_job_that_fails_is_noted_and_tried_again(flow, archives, monkeypatch):
    def missing(*_):
        raise NotFoundError("no table csc21.observation_source: was it renamed?")

    monkeypatch.setattr(flow._feeds["csc"], "pages", missing)
    with pytest.raises(NotFoundError):
        flow.run("discover", "csc")
    job = flow.ledger.notes.job("discover csc")
    assert (job.attempts, job.done_at) == (1, None)
    assert "was it renamed" in job.error


def test_flow_lets_the_index_take_in_what_is_new_when_it_is_due(flow, pipeline, monkeypatch):
    taken_in = []
    monkeypatch.setattr(pipeline.store, "optimize", taken_in.append)
    assert ("optimize", "") in flow.due()
    flow.run("optimize")
    assert taken_in == [DETECTIONS, PAPERS]
    assert ("optimize", "") not in flow.due()
