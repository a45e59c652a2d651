"""Uploads over real HTTP: worked off by the serving process, or by workers with Redis between."""

import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from api_requests import pha
from command import COMMAND
from fake_archives import FirstSentences
from fake_encoder import FakeEncoder
from institute import Institute
from pydantic import SecretStr
from small_store import hard_counts
from upload_requests import ADMIN, BIB, BIBCODE, INGEST, KEYS, OTHER, PAPERS, READ, folder_of

from chandra_client import Client, NotFoundError, RefusedError, UnauthorizedError
from search.api import create_api
from search.app import build_services
from search.settings import SearchSettings
from search.store.embedded import EmbeddedStore
from workers.inprocess import Scheduler
from workers.queue.app import create_celery
from workers.settings import WorkerSettings
from workers.steps.uploads import Uploads, sender
from workers.writing.pipeline import Pipeline

pytestmark = pytest.mark.integration

PATIENCE_S = 60


@contextmanager
def listening(api):
    """Serve an application on a port of its own, and give its address."""
    with socket.socket() as at:
        at.bind(("127.0.0.1", 0))
        served = uvicorn.Server(uvicorn.Config(api, log_config=None, lifespan="off", http="h11"))
        thread = threading.Thread(target=served.run, args=([at],))
        thread.start()
        while not served.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{at.getsockname()[1]}"
        served.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def folder(module_folder):
    return module_folder("served")


@pytest.fixture(scope="module")
def server(folder):
    """The address of a serving process with keys that works off its uploads by itself."""
    settings = SearchSettings(**KEYS)
    with EmbeddedStore(folder / "store") as store:
        pipeline = Pipeline(store, FakeEncoder(), FirstSentences())
        uploads = folder_of(folder / "uploads")
        work = Uploads(uploads, lambda: pipeline, WorkerSettings(dispatch_s=0.05))
        api = create_api(build_services(store, FakeEncoder(), settings), settings, uploads=uploads)
        with Scheduler(work), listening(api) as url:
            yield url


@pytest.fixture
def chandra(server):
    with Client(server, api_key=INGEST) as client:
        yield client


def ended(chandra, job):
    end = time.monotonic() + PATIENCE_S
    while chandra.job(job["id"])["state"] not in ("done", "failed"):
        assert time.monotonic() < end, "it is not done"
        time.sleep(0.05)
    return chandra.job(job["id"])


def test_client_sends_spectra_and_is_told_what_became_of_them(chandra, tmp_path):
    good, bad = tmp_path / "source.pi", tmp_path / "notes.txt"
    good.write_bytes(pha(hard_counts(1)))
    bad.write_text("no spectrum")

    sent = chandra.ingest_spectra(good, bad)
    job = ended(chandra, sent)

    assert (sent["state"], sent["files"]) == ("waiting", ["source.pi", "notes.txt"])
    assert (job["ingested"], job["refused"]) == (1, 1)
    (refused,) = chandra.job(sent["id"], outcome="refused")["outcomes"]
    assert refused["input"] == "notes.txt"
    (stored,) = chandra.job(sent["id"], outcome="ingested")["outcomes"]
    assert chandra.detection(stored["detail"])["payload"]["file"] == "source.pi"
    first = chandra.job(sent["id"], limit=1)
    second = chandra.job(sent["id"], limit=1, cursor=first["cursor"])
    assert first["outcomes"] + second["outcomes"] == job["outcomes"]


def test_client_sends_tables_and_papers(chandra, tmp_path):
    table, papers = tmp_path / "csc.csv", tmp_path / "export.bib"
    table.write_text("obsid,obi,region_id,name\n635,0,12,2CXO J000000.0+000000\n")
    papers.write_bytes(BIB)

    assert ended(chandra, chandra.ingest_catalog(table, release="2.1"))["ingested"] == 1
    assert ended(chandra, chandra.ingest_papers(papers))["ingested"] == 1
    assert chandra.detection("csc2.1/635/0/12")["payload"]["obsid"] == 635
    assert chandra.paper(BIBCODE)["payload"]["year"] == 2021


def test_client_without_the_right_key_may_neither_send_nor_see(server, chandra, tmp_path):
    papers = tmp_path / "export.bib"
    papers.write_bytes(BIB)
    job = chandra.ingest_papers(papers)

    with Client(server, api_key=READ) as reader:
        with pytest.raises(UnauthorizedError, match="may read"):
            reader.ingest_papers(papers)
        with pytest.raises(UnauthorizedError):
            reader.job(job["id"])
    with Client(server, api_key=OTHER) as other, pytest.raises(NotFoundError, match="no job"):
        other.job(job["id"])
    with Client(server, api_key=ADMIN) as admin:
        assert admin.job(job["id"])["id"] == job["id"]


def test_client_is_told_what_is_wrong_before_anything_is_sent(chandra, tmp_path):
    with pytest.raises(RefusedError, match="at least one file"):
        chandra.ingest_papers()
    with pytest.raises(RefusedError, match="cannot read"):
        chandra.ingest_spectra(tmp_path / "none.pi")
    with pytest.raises(NotFoundError):
        chandra.job("../status")


def test_upload_whose_sender_goes_away_leaves_nothing(server, folder):
    incoming = folder / "uploads" / "incoming"
    host, _, port = server.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as line:
        head = (
            f"POST {PAPERS} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {INGEST}\r\n"
            "Content-Type: multipart/form-data; boundary=edge\r\nContent-Length: 1000000\r\n\r\n"
            '--edge\r\nContent-Disposition: form-data; name="file"; filename="a.bib"\r\n\r\n'
        )
        line.sendall(head.encode() + b"x" * 10_000)
        wait_for(lambda: incoming.exists() and [*incoming.iterdir()])
    wait_for(lambda: not [*incoming.iterdir()])


def wait_for(condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_upload_of_500_mb_is_refused_by_its_length(server):
    headers = {
        "X-API-Key": INGEST,
        "Content-Type": "multipart/form-data; boundary=b",
        "Content-Length": str(500 * 2**20),
    }
    host, _, port = server.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as line:
        sent = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        line.sendall(f"POST {PAPERS} HTTP/1.1\r\nHost: {host}\r\n{sent}\r\n".encode() + b"x" * 1000)
        answer = line.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")


@contextmanager
def api_of(institute):
    """An API that knows the engine, the queue and the folder, and encodes questions only."""
    settings = SearchSettings()
    Pipeline(institute.store, FakeEncoder(), FirstSentences())  # makes the collections
    services = build_services(institute.store, FakeEncoder(), settings)
    with create_celery(SecretStr(institute.redis.url)) as queue:
        uploads = folder_of(institute.folder / "data" / "uploads", notify=sender(queue))
        with (
            listening(create_api(services, settings, uploads=uploads)) as url,
            Client(url) as chandra,
        ):
            yield chandra


@pytest.mark.slow
def test_workers_store_what_the_api_was_sent_whatever_becomes_of_the_message(
    module_folder, tmp_path
):
    papers, spectrum = tmp_path / "export.bib", tmp_path / "source.pi"
    papers.write_bytes(BIB)
    spectrum.write_bytes(pha(hard_counts(1)))
    with (
        Institute(module_folder("institute"), lease_s=2) as institute,
        api_of(institute) as chandra,
    ):
        institute.start("encode-1")  # neither io nor beat: its message alone brings it there
        assert ended(chandra, chandra.ingest_papers(papers))["ingested"] == 1
        assert ended(chandra, chandra.ingest_spectra(spectrum))["ingested"] == 1
        assert chandra.paper(BIBCODE)["payload"]["year"] == 2021

        institute.redis.kill()
        unsaid = chandra.ingest_papers(papers)
        assert chandra.job(unsaid["id"])["state"] == "waiting"
        institute.redis.start()
        institute.start("io-1", "beat")
        assert ended(chandra, unsaid)["unchanged"] == 1


@pytest.mark.slow
def test_served_upload_survives_a_kill_of_the_process(tmp_path):
    papers = tmp_path / "many.jsonl"
    lines = (
        f'{{"bibcode": "2021ApJ...900.{n:04d}X", "title": ["Source {n}"], "year": "2021", '
        f'"abstract": "We observed source {n} with Chandra for the first time. It is hot."}}'
        for n in range(60)
    )
    papers.write_text("\n".join(lines))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*COMMAND, "serve", "--port", str(port), "--data-dir", str(tmp_path / "data")]

    log = tmp_path / "log"

    def start():
        with log.open("a") as file:
            process = subprocess.Popen(command, stderr=file, env={**os.environ})
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/healthz"))
        return process

    first = start()
    try:
        with Client(f"http://127.0.0.1:{port}") as chandra:
            job = chandra.ingest_papers(papers)
            first.kill()
            first.wait()
            second = start()
            try:
                assert ended(chandra, job)["ingested"] + chandra.job(job["id"])["unchanged"] == 60
                assert chandra.status()["papers"] == 60
            finally:
                second.send_signal(signal.SIGTERM)
                second.wait(timeout=60)
            assert "Traceback" not in log.read_text()
    finally:
        first.kill()


def answers(url):
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
