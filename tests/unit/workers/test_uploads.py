"""Uploads from the answer to the store: the API, the folder and the pipeline of the command."""

import os
import pickle
import threading
from datetime import UTC, datetime

import numpy as np
import pytest
from api_requests import pha, rmf
from dying_store import DyingStore, Killed
from fake_archives import FakeArchives, FirstSentences
from fake_encoder import FakeEncoder
from fastapi.testclient import TestClient
from memory_store import MemoryStore
from small_store import hard_counts, soft_counts
from upload_requests import BIB, BIBCODE, CATALOG, PAPERS, ROWS, SPECTRA, folder_of, left_in

from common.errors import NoRoomError, StoreLockedError, UnavailableError
from ingest.papers.papers import read_papers
from search.api import create_api
from search.app import build_services
from search.collections.schema import DETECTIONS
from search.settings import SearchSettings
from search.store.embedded import EmbeddedStore
from search.store.scroll import scroll_all
from workers.inprocess import Scheduler, drain
from workers.ledger.schedule import INGEST
from workers.settings import WorkerSettings
from workers.steps.flow import Flow
from workers.steps.uploads import Uploads
from workers.writing.pipeline import Pipeline

SETTINGS = WorkerSettings(dispatch_s=0.05, retry_s=0, max_deliveries=3)
PATIENCE_S = 30


class Server:
    """The HTTP application, and what works off its uploads, over one store."""

    def __init__(self, store, path, settings=SETTINGS, encoder=None):
        self.store = store
        self.encoder = encoder or FakeEncoder()
        self.pipeline = Pipeline(store, self.encoder, FirstSentences())
        self.path = path
        self.folder = folder_of(path)
        self.work = Uploads(self.folder, lambda: self.pipeline, settings)
        services = build_services(store, self.encoder, SearchSettings())
        self.api = TestClient(create_api(services, SearchSettings(), uploads=self.folder))

    def send(self, where, *files, **data):
        answer = self.api.post(where, files=[*files], data=data)
        assert answer.status_code == 202, answer.text
        return answer.headers["location"]

    def job(self, place, **asked):
        answer = self.api.get(place, params=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def done(self, where, *files, **data):
        """Send, work off, and return the job."""
        place = self.send(where, *files, **data)
        drain(self.work)
        return self.job(place)

    def again(self):
        """Return another process over the same store and folder."""
        return Server(self.store, self.path, self.work.settings)

    def keys(self):
        return {record.payload["key"] for record in scroll_all(self.store, DETECTIONS)}


@pytest.fixture
def server(tmp_path):
    with EmbeddedStore(tmp_path / "store") as store:
        yield Server(store, tmp_path / "uploads")


def counts_of(job):
    return job["ingested"], job["unchanged"], job["refused"]


def file(name, content):
    return ("file", (name, content))


def test_uploaded_spectrum_is_stored_and_found(server):
    job = server.done(SPECTRA, file("source.pi", pha(hard_counts(1))))

    assert (job["state"], job["total"], counts_of(job)) == ("done", 1, (1, 0, 0))
    (outcome,) = job["outcomes"]
    assert (outcome["input"], outcome["status"]) == ("source.pi", "ingested")
    stored = server.api.get(f"/v1/detections/{outcome['detail']}").json()["payload"]
    assert (stored["file"], stored["has_spectrum"]) == ("source.pi", True)
    assert job["created_at"] <= job["started_at"] <= job["ended_at"]


def test_files_are_removed_when_their_job_is_done_and_outcomes_kept(server):
    server.done(SPECTRA, file("source.pi", pha(hard_counts(1))))

    assert {one.name for one in left_in(server.path)} == {
        "job.json", "report.json", "outcomes.jsonl",
    }  # fmt: skip


def test_upload_that_is_no_spectrum_is_refused_with_the_reason_and_the_others_stored(server):
    job = server.done(
        SPECTRA,
        file("notes.txt", b"this is no spectrum"),
        file("source.pi", pha(hard_counts(1))),
        file("empty.pi", b""),
    )

    assert (job["state"], counts_of(job)) == ("done", (1, 0, 2))
    refused = {
        one["input"]: one["detail"]
        for one in server.job(f"/v1/jobs/{job['id']}", outcome="refused")["outcomes"]
    }
    assert "not a FITS file" in refused["notes.txt"]
    assert "empty file" in refused["empty.pi"]


def test_same_upload_twice_changes_nothing(server):
    first = server.done(SPECTRA, file("source.pi", pha(hard_counts(1))))
    second = server.done(SPECTRA, file("source.pi", pha(hard_counts(1))))

    assert (counts_of(first), counts_of(second)) == ((1, 0, 0), (0, 1, 0))
    assert len(server.keys()) == 1


def test_two_spectra_of_one_name_are_both_told_of(server):
    job = server.done(SPECTRA, file("a.pi", pha(hard_counts(1))), file("a.pi", pha(soft_counts(2))))

    assert counts_of(job) == (2, 0, 0)
    assert len({one["input"] for one in job["outcomes"]}) == 2


def test_response_and_background_that_come_along_are_used(server):
    job = server.done(
        SPECTRA,
        file("source.pi", pha(hard_counts(1))),
        ("rmf", ("any name.fits", rmf())),
        ("background", ("behind.fits", pha(soft_counts(1)))),
        ("arf", ("area.fits", b"not read")),
    )

    (outcome,) = job["outcomes"]
    stored = server.api.get(f"/v1/detections/{outcome['detail']}").json()["payload"]
    assert stored["energy_source"] == "RMF any_name.fits"
    assert stored["background_counts"] > 0


def test_response_that_is_none_refuses_the_spectrum(server):
    job = server.done(
        SPECTRA, file("source.pi", pha(hard_counts(1))), ("rmf", ("x.rmf", pha(hard_counts(1))))
    )

    (outcome,) = job["outcomes"]
    assert outcome["status"] == "refused"
    assert outcome["detail"].startswith("x.rmf: it holds")


def test_rows_that_come_along_are_joined(server):
    table = b"name,ra,dec,otype\n2CXO J000000.0+000000,10.0,41.0,QSO\n"
    alone = server.done(SPECTRA, file("a.pi", pha(hard_counts(1))), ("catalog", ("t.csv", table)))
    broken = server.done(
        SPECTRA, file("b.pi", pha(soft_counts(1))), ("catalog", ("t.csv", b"\x00\x01"))
    )

    assert counts_of(alone) == (1, 0, 0)
    assert counts_of(broken) == (0, 0, 1)
    assert broken["outcomes"][0]["input"] == "t.csv"


def test_catalogue_rows_are_stored_and_bad_ones_named(server):
    job = server.done(CATALOG, file("csc2.1_rows.csv", ROWS), release="2.1")

    assert (job["total"], counts_of(job)) == (2, (1, 0, 1))
    assert server.keys() == {"csc2.1/635/0/12"}


def test_a_file_is_read_when_the_one_before_is_stored(server, monkeypatch):
    """Many that are small, and large when they are unpacked, do not lie in memory at once."""
    stored = []

    def read(path):
        stored.append(server.store.count("papers"))
        return read_papers(path)

    monkeypatch.setattr("workers.steps.uploads.read_papers", read)
    other = BIB.replace(BIBCODE.encode(), b"2021ApJ...900....1B")
    job = server.done(PAPERS, file("one.bib", BIB), file("two.bib", other))
    assert stored == [0, 1]
    assert (job["total"], counts_of(job)) == (2, (2, 0, 0))


def test_papers_are_stored(server):
    job = server.done(PAPERS, file("export.bib", BIB), file("notes.bib", b"\xff\xfe"))

    assert counts_of(job) == (1, 0, 1)
    assert server.api.get(f"/v1/papers/{BIBCODE}").status_code == 200


def test_answers_tell_no_path_of_the_server(server):
    for where in (SPECTRA, CATALOG, PAPERS):
        job = server.done(
            where, file("../../etc/passwd", b"nothing"), file("a.pi", pha(hard_counts(1)))
        )
        assert str(server.path) not in str(job)
        assert job["id"] not in str(job["outcomes"])


def test_pickled_object_is_not_loaded(server, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    content = pickle.dumps(Evil())
    for where in (SPECTRA, CATALOG, PAPERS):
        assert server.done(where, file("evil.pkl", content))["refused"] >= 1
    assert not (tmp_path / "ran").exists()


def test_job_waits_for_a_store_that_is_away_and_is_done_afterwards(server, monkeypatch):
    away = [True]
    write = server.store.write

    def flaky(*arguments):
        if away.pop() if away else False:
            raise UnavailableError("the engine does not answer: start it")
        return write(*arguments)

    monkeypatch.setattr(server.store, "write", flaky)
    place = server.send(PAPERS, file("a.bib", BIB))
    with pytest.raises(UnavailableError):
        server.work.run(INGEST, keys=[place.rpartition("/")[2]])
    waiting = server.job(place)
    drain(server.work)

    assert (waiting["state"], waiting["reason"]) == (
        "waiting", "the engine does not answer: start it",
    )  # fmt: skip
    assert (server.job(place)["state"], server.job(place)["reason"]) == ("done", None)


def test_job_that_is_put_off_rests_until_its_time(server, monkeypatch):
    def away(*_):
        raise StoreLockedError("in use")

    server.work.settings = WorkerSettings(retry_s=300)
    monkeypatch.setattr(server.store, "write", away)
    place = server.send(PAPERS, file("a.bib", BIB))
    drain(server.work)

    report = server.folder.report(place.rpartition("/")[2])
    assert 200 < (report.retry_at - datetime.now(UTC)).total_seconds() < 301
    assert server.work.dispatch(lambda *_: pytest.fail("it was sent")) == 0


def test_job_that_kills_whoever_takes_it_is_given_up(server):
    place = server.send(PAPERS, file("a.bib", BIB))
    job_id = place.rpartition("/")[2]

    class Lethal(FirstSentences):
        def summarize(self, *_, **__):
            raise Killed

    for _ in range(SETTINGS.max_deliveries):
        one = server.again()
        one.pipeline.summarizer = Lethal()
        with pytest.raises(Killed):
            one.work.run(INGEST, keys=[job_id])
    server.again().work.run(INGEST, keys=[job_id])

    job = server.job(place)
    assert job["state"] == "failed"
    assert "given to a worker 3 times" in job["reason"]
    assert server.folder.waiting() == []


def batches(monkeypatch, size):
    monkeypatch.setattr("workers.writing.pipeline.BATCH", size)


def rows(n):
    lines = "".join(f"7,0,{i},2CXO J0000{i:02d}.0+000000,0.5\n" for i in range(1, n + 1))
    return file("csc2.1.csv", f"obsid,obi,region_id,name,hard_hs\n{lines}".encode())


def test_job_killed_at_any_write_is_done_by_the_next_process(tmp_path, monkeypatch):
    batches(monkeypatch, 2)
    kills = 0
    while True:
        store, path = MemoryStore(), tmp_path / f"{kills}"
        whole = Server(store, path)
        place = whole.send(CATALOG, rows(7), release="2.1")
        dying = Server(store, path)
        dying.pipeline.store = DyingStore(store, kills)
        try:
            drain(dying.work)
        except Killed:
            kills += 1
            after = whole.again()
            after.work.take_over()
            drain(after.work)
        else:
            break
        job = after.job(place)
        assert job["state"] == "done"
        assert (len(job["outcomes"]), job["total"], job["refused"]) == (7, 7, 0)
        assert sum(counts_of(job)) == 7
        assert len(after.keys()) == 7
        assert after.folder.waiting() == []
    assert kills >= 4


def test_outcome_that_was_written_down_stays_when_the_job_is_done_again(server, monkeypatch):
    batches(monkeypatch, 2)
    monkeypatch.setattr("workers.steps.uploads.SAVED_EVERY_S", -1)
    place = server.send(CATALOG, rows(6), release="2.1")
    dying = Server(server.store, server.path)
    dying.pipeline.store = DyingStore(server.store, 2)
    with pytest.raises(Killed):
        drain(dying.work)
    begun = server.job(place)
    after = server.again()
    after.work.take_over()
    drain(after.work)

    assert begun["state"] == "running"
    assert 0 < begun["ingested"] < 6
    assert begun["outcomes"] == server.job(place)["outcomes"][: len(begun["outcomes"])]
    assert len({one["input"] for one in server.job(place)["outcomes"]}) == 6


def test_half_a_line_that_a_kill_left_is_written_anew(server):
    place = server.send(CATALOG, rows(3), release="2.1")
    outcomes = server.folder.path(place.rpartition("/")[2]) / "outcomes.jsonl"
    outcomes.write_bytes(
        b'{"input":"csc2.1/7/0/1","status":"ingested","detail":"x","notes":[]}\n{"inp'
    )
    drain(server.work)

    assert [one["input"] for one in server.job(place)["outcomes"]] == [
        "csc2.1/7/0/1", "csc2.1/7/0/2", "csc2.1/7/0/3",
    ]  # fmt: skip


def test_job_killed_between_its_end_and_its_removal_is_not_done_again(server, monkeypatch):
    place = server.send(PAPERS, file("a.bib", BIB))
    monkeypatch.setattr(server.folder, "retire", lambda _: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        drain(server.work)
    after = server.again()
    after.pipeline = None
    after.work.take_over()
    drain(after.work)

    assert server.job(place)["state"] == "done"
    assert counts_of(server.job(place)) == (1, 0, 0)
    assert after.folder.waiting() == []


def test_job_is_done_by_one_worker_at_a_time(server, monkeypatch):
    place = server.send(PAPERS, file("a.bib", BIB))
    job_id = place.rpartition("/")[2]
    second = server.again()
    seen = []

    class Curious(FirstSentences):
        def summarize(self, texts, **options):
            seen.append(second.work.run(INGEST, keys=[job_id]))
            return super().summarize(texts, **options)

    server.pipeline.summarizer = Curious()
    server.work.run(INGEST, keys=[job_id])

    assert seen == [0]
    assert counts_of(server.job(place)) == (1, 0, 0)
    assert second.work.run(INGEST, keys=[job_id]) == 0


def test_job_is_sent_once_in_a_lease_and_again_after_it(server):
    sent = []
    server.send(PAPERS, file("a.bib", BIB))
    for lease_s in (900, 900, 1e-9):
        server.work.settings = WorkerSettings(lease_s=lease_s)
        server.work.dispatch(lambda *task: sent.append(task))

    assert len(sent) == 2
    assert sent[0] == (INGEST, "uploads", [server.folder.waiting()[0].id])


def test_full_disk_puts_a_job_off_and_loses_nothing(server, monkeypatch):
    place = server.send(CATALOG, rows(3), release="2.1")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("workers.steps.uploads.write_outcomes", full)
        with pytest.raises(NoRoomError):
            server.work.run(INGEST, keys=[place.rpartition("/")[2]])
    waiting = server.job(place)
    drain(server.work)

    assert (waiting["state"], "full" in waiting["reason"]) == ("waiting", True)
    assert (server.job(place)["state"], len(server.job(place)["outcomes"])) == ("done", 3)


def test_serving_process_works_off_what_comes_while_it_answers(server):
    with Scheduler(server.work) as scheduler:
        server.folder._notify = lambda _: scheduler.loop.wake()
        places = [server.send(PAPERS, file("a.bib", BIB)) for _ in range(3)]
        ended = threading.Event()
        for _ in range(PATIENCE_S * 50):
            if all(server.job(place)["state"] == "done" for place in places):
                break
            ended.wait(0.02)

    jobs = [counts_of(server.job(place)) for place in places]
    assert sorted(jobs) == [(0, 1, 0), (0, 1, 0), (1, 0, 0)]


def test_serving_process_told_to_stop_breaks_off_and_goes_on_at_the_next_start(server, monkeypatch):
    batches(monkeypatch, 1)
    place = server.send(CATALOG, rows(5), release="2.1")
    write = server.store.write

    def stopping(*arguments):
        written = write(*arguments)
        server.work.stop()
        return written

    with monkeypatch.context() as patch:
        patch.setattr(server.store, "write", stopping)
        server.work.run(INGEST, keys=[place.rpartition("/")[2]])
    broken_off = server.job(place)
    after = server.again()
    drain(after.work)

    assert (broken_off["state"], len(broken_off["outcomes"])) == ("waiting", 1)
    assert (after.job(place)["state"], counts_of(after.job(place))) == ("done", (5, 0, 0))


def test_continuous_ingestion_works_off_uploads_too(server, tmp_path):
    archives = FakeArchives(tmp_path / "files")
    archives.add_papers(2)
    flow = Flow(server.pipeline, archives.archives(), SETTINGS, uploads=server.work)
    place = server.send(PAPERS, file("a.bib", BIB))
    flow.discover("ads")

    assert drain(flow) == 3
    assert server.job(place)["state"] == "done"
    assert flow.ledger.counts() == {"ads": {"stored": 2}}


def test_job_of_newer_code_holds_up_no_other(server):
    newer, known = (server.send(PAPERS, file("a.bib", BIB)) for _ in range(2))
    kept = server.folder.path(newer.rpartition("/")[2]) / "job.json"
    kept.write_text(kept.read_text().replace('"papers"', '"light curves"'))
    drain(server.work)

    assert server.job(known)["state"] == "done"
    assert server.api.get(newer).status_code == 503
    assert "newer code" in server.api.get(newer).json()["detail"]
    assert kept.exists()


def test_outcomes_are_forgotten_after_their_time(server):
    old = server.done(PAPERS, file("a.bib", BIB))
    done = server.path / "done" / old["id"]
    os.utime(done, (0, 0))
    fresh = server.done(PAPERS, file("a.bib", BIB))

    assert server.api.get(f"/v1/jobs/{old['id']}").status_code == 404
    assert server.job(f"/v1/jobs/{fresh['id']}")["state"] == "done"


def test_a_hundred_uploads_are_all_worked_off(server):
    places = [server.send(SPECTRA, file(f"{n}.pi", pha(hard_counts(n)))) for n in range(100)]
    full = server.api.post(PAPERS, files=[file("a.bib", BIB)])
    drain(server.work)

    assert full.status_code == 503
    assert {server.job(place)["state"] for place in places} == {"done"}
    assert len(server.keys()) == len({tuple(np.round(hard_counts(n))) for n in range(100)})
