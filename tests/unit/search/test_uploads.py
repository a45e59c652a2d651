"""Uploads as the API takes them: kept whole before they are answered, or nothing is left."""

import asyncio
import errno
import json
import os
import re
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from api_requests import assert_problem, pha
from fastapi.testclient import TestClient
from small_store import hard_counts
from upload_requests import (
    ADMIN,
    BIB,
    CATALOG,
    INGEST,
    KEYS,
    OTHER,
    PAPERS,
    READ,
    ROWS,
    SPECTRA,
    api_over,
    folder_of,
    left_in,
    spectrum_file,
)

from common.records import Outcome
from search.uploads import Report, harmless_name
from search.uploads.folder import ABANDONED_S
from search.uploads.job import write_outcomes


@pytest.fixture
def uploads(tmp_path):
    return folder_of(tmp_path / "uploads")


@pytest.fixture
def client(small, uploads):
    with TestClient(api_over(small, uploads), raise_server_exceptions=False) as client:
        yield client


def with_key(key):
    return {"X-API-Key": key}


@pytest.mark.parametrize(
    ("path", "name", "content"),
    [
        (SPECTRA, "source.pi", pha(hard_counts(1))),
        (CATALOG, "csc2.1.csv", ROWS),
        (PAPERS, "export.bib", BIB),
    ],
)
def test_upload_is_accepted_with_a_job_that_can_be_asked_for(client, uploads, path, name, content):
    answer = client.post(path, files=[("file", (name, content))])

    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["kind"], job["state"], job["files"]) == (path.rpartition("/")[2], "waiting", [name])
    assert client.get(answer.headers["location"]).json() == job
    (waiting,) = uploads.waiting()
    (kept,) = waiting.files
    assert (uploads.path(job["id"]) / "files" / kept).read_bytes() == content


def test_upload_is_on_disk_before_whoever_works_it_off_is_told(small, tmp_path):
    told = []
    uploads = folder_of(tmp_path, notify=lambda job: told.append(uploads.path(job).is_dir()))
    client = TestClient(api_over(small, uploads))

    assert client.post(PAPERS, files=[("file", ("a.bib", BIB))]).status_code == 202
    assert told == [True]


def test_everything_has_reached_the_disk_before_the_upload_is_renamed(client, monkeypatch):
    events = []
    sync, rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda n: (events.append(_name_of(n)), sync(n)))
    monkeypatch.setattr(os, "rename", lambda *a: (events.append("rename"), rename(*a)))

    client.post(PAPERS, files=[("file", ("a.bib", BIB))])

    before, after = events[: events.index("rename")], events[events.index("rename") :]
    assert {"a.bib", "job.json", "files"} <= {*before}
    assert after == ["rename", "waiting"]


def _name_of(handle):
    return Path(f"/proc/self/fd/{handle}").readlink().name


def test_several_spectra_come_with_what_belongs_to_them(client, uploads):
    files = [
        spectrum_file("a.pi"),
        spectrum_file("b.pi", 2),
        *((part, (f"{part}.fits", b"x")) for part in ("rmf", "arf", "background", "catalog")),
    ]

    answer = client.post(SPECTRA, files=files, data={"radius": "5", "release": "2.1"})

    job = uploads.job(answer.json()["id"])
    assert job.names == ["a.pi", "b.pi"]
    assert [job.rmf, job.background, job.catalog] == [
        "3/rmf.fits", "5/background.fits", "6/catalog.fits",
    ]  # fmt: skip
    assert (job.radius_arcsec, job.release) == (5.0, "2.1")


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd", "/etc/passwd", "..\\..\\boot.ini", "..", "", "a/b.pi", "a\0b.pi",
        "a b;c|d$(e).pi", "ünïcode.pi", "x" * 5000 + ".pi", "job.json", ".hidden", "..%2f..%2fx",
    ],
)  # fmt: skip
def test_name_of_a_file_leads_nowhere_else(client, uploads, tmp_path, name):
    answer = client.post(SPECTRA, files=[("file", (name or "x", b"content"))])

    assert answer.status_code in (202, 400)
    for kept in left_in(tmp_path):
        assert kept.is_relative_to(tmp_path / "uploads")
    if answer.status_code == 202:
        (given,) = answer.json()["files"]
        assert re.fullmatch(r"[\w+-][\w.+-]{0,99}", given, re.ASCII)
    assert harmless_name(name)[0] != "."
    assert "/" not in harmless_name(name)


@pytest.mark.parametrize(
    ("data", "files", "said"),
    [
        ({"file": "../../etc/passwd"}, [("rmf", ("r", b"x"))], "send one file under this name"),
        ({"release": "2.1"}, [("rmf", ("r", b"x"))], "file is missing"),
        ({"radius": "90"}, [("file", ("a", b"x"))], "radius is '90'"),
        ({"owner": "me"}, [("file", ("a", b"x"))], "owner is not known here"),
        ({"release": "x" * 2000}, [("file", ("a", b"x"))], "release is longer than"),
        ({}, [("file", ("a", b"x"))] * 101, "more than 100 files"),
    ],
)
def test_wrong_form_is_refused_and_nothing_is_left(client, tmp_path, data, files, said):
    assert_problem(client.post(SPECTRA, data=data, files=files), 422, said)
    assert left_in(tmp_path) == []


def test_body_that_is_no_form_is_refused(client, tmp_path):
    assert_problem(client.post(SPECTRA, json={"file": "x"}), 415, "multipart/form-data")
    odd = {"Content-Type": "multipart/form-data; boundary=b"}
    assert_problem(client.post(SPECTRA, content=b"no form", headers=odd), 400, "well-formed")
    long = {"Content-Type": f"multipart/form-data; boundary={'b' * 1000}"}
    assert_problem(client.post(SPECTRA, content=b"x", headers=long), 400)
    assert left_in(tmp_path) == []


BOUNDARY = b"edge"


def form(*parts, end=True):
    lines = b"".join(
        b'--edge\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b\r\n' % part
        for part in parts
    )
    return lines + (b"--edge--\r\n" if end else b"")


def exchange(api, messages, declared):
    """Send a request by its ASGI messages; return status, answer and how many were read."""
    headers = [
        (b"content-type", b"multipart/form-data; boundary=edge"),
        (b"content-length", str(declared).encode()),
    ]
    scope = {
        "type": "http", "method": "POST", "path": PAPERS, "query_string": b"",
        "headers": headers, "client": ("192.0.2.7", 1),
    }  # fmt: skip
    left, answered, read = iter(messages), [], 0

    async def receive():
        nonlocal read
        message = next(left, None)
        read += message is not None
        return message or await asyncio.Event().wait()

    async def send(message):
        answered.append(message)

    asyncio.run(api(scope, receive, send))
    start, body, *_ = answered
    return start["status"], json.loads(body["body"]), read


def piece(body, more):
    return {"type": "http.request", "body": body, "more_body": more}


def test_upload_of_500_mb_is_refused_before_any_of_it_is_read(small, uploads, tmp_path):
    api = api_over(small, uploads)

    status, problem, read = exchange(api, [piece(b"x", True)], 500 * 2**20)

    assert (status, read) == (413, 0)
    assert "CHANDRA_MAX_UPLOAD_MB" in problem["detail"]
    assert left_in(tmp_path) == []


def test_upload_that_does_not_say_how_large_it_is_is_read_no_further_than_allowed(
    small, uploads, tmp_path
):
    begun = form((b"a.bib", b""), end=False)
    chunks = [piece(begun, True), *[piece(b"x" * 2**18, True)] * 100]

    status, _, read = exchange(api_over(small, uploads), chunks, "unknown")

    assert (status, read) == (413, 5)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    "messages",
    [
        [piece(form((b"a.bib", BIB), end=False), True), {"type": "http.disconnect"}],
        [piece(form((b"a.bib", BIB))[:-30], False)],
        [piece(form((b"a.bib", BIB), end=False), False)],
    ],
    ids=["disconnected", "in a file", "between files"],
)
def test_upload_that_is_cut_off_leaves_nothing_behind(small, uploads, tmp_path, messages):
    whole = len(form((b"a.bib", BIB)))

    status, problem, _ = exchange(api_over(small, uploads), messages, whole)

    assert status == 400
    assert "cut off" in problem["detail"]
    assert left_in(tmp_path) == []
    assert uploads.waiting() == []


def test_body_shorter_than_it_says_is_cut_off_even_where_the_form_is_whole(small, uploads):
    body = form((b"a.bib", BIB))

    status, *_ = exchange(api_over(small, uploads), [piece(body, False)], len(body) + 10)

    assert status == 400


def test_file_is_never_in_memory_as_a_whole(small, uploads, monkeypatch):
    api = api_over(small, uploads, max_upload_mb=64)
    begun, rest = form((b"a.bib", b""), end=False), b"\r\n--edge--\r\n"
    chunk, n = b"x" * 2**16, 512
    body = (piece(part, part is not rest) for part in (begun, *[chunk] * n, rest))
    tracemalloc.start()
    try:
        status, job, _ = exchange(api, body, len(begun) + n * len(chunk) + len(rest))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert status == 202
    (kept,) = uploads.job(job["id"]).files
    assert (uploads.path(job["id"]) / "files" / kept).stat().st_size == n * len(chunk) + 2
    assert peak < 8 * 2**20


def test_a_hundred_at_once_are_kept_or_told_to_come_again(small, tmp_path):
    uploads = folder_of(tmp_path, most=7)
    with (
        TestClient(api_over(small, uploads, max_concurrent=200)) as client,
        ThreadPoolExecutor(20) as pool,
    ):
        answers = [
            *pool.map(lambda _: client.post(PAPERS, files=[("file", ("a.bib", BIB))]), range(100))
        ]

    accepted = [one for one in answers if one.status_code == 202]
    assert {one.json()["id"] for one in accepted} == {job.id for job in uploads.waiting()}
    assert 1 <= len(accepted) <= 7
    for refused in (one for one in answers if one.status_code != 202):
        assert_problem(refused, 503, "7 uploads wait")
        assert int(refused.headers["retry-after"]) > 0


def test_place_of_a_refused_upload_is_free_again(small, tmp_path):
    client = TestClient(api_over(small, folder_of(tmp_path, most=1)))

    for _ in range(3):
        assert client.post(PAPERS, files=[("rmf", ("a.bib", BIB))]).status_code == 422
    assert client.post(PAPERS, files=[("file", ("a.bib", BIB))]).status_code == 202
    assert client.post(PAPERS, files=[("file", ("a.bib", BIB))]).status_code == 503


@pytest.mark.parametrize("nth", [0, 1, 2, 3, 4, 5])
def test_full_disk_is_said_and_nothing_is_left(client, tmp_path, monkeypatch, nth):
    calls = []
    sync = os.fsync

    def full(handle):
        calls.append(handle)
        if len(calls) > nth:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    answer = client.post(PAPERS, files=[("file", ("a.bib", BIB))])
    monkeypatch.undo()

    assert_problem(answer, 507, "the disk of the server is full")
    assert left_in(tmp_path) == []
    assert client.post(PAPERS, files=[("file", ("a.bib", BIB))]).status_code == 202


def test_disk_that_fills_up_under_a_file_leaves_nothing(client, tmp_path, monkeypatch):
    opened = Path.open

    def onto_full(path, mode="r", *a, **k):
        return opened(Path("/dev/full") if mode == "wb" else path, mode, *a, **k)

    monkeypatch.setattr(Path, "open", onto_full)
    answer = client.post(PAPERS, files=[("file", ("a.bib", b"x" * 100_000))])

    assert_problem(answer, 507, "full")
    assert left_in(tmp_path) == []


def test_folder_that_cannot_be_written_is_said(small, tmp_path):
    (tmp_path / "uploads").write_text("a file where the folder should be")
    client = TestClient(api_over(small, folder_of(tmp_path / "uploads")))

    assert_problem(client.post(PAPERS, files=[("file", ("a", b"x"))]), 503, "CHANDRA_UPLOADS_DIR")


def test_what_a_killed_process_had_begun_to_receive_is_thrown_away(client, uploads, tmp_path):
    begun = tmp_path / "uploads" / "incoming" / ("0" * 32)
    begun.mkdir(parents=True)
    os.utime(begun, (time.time() - 2 * ABANDONED_S,) * 2)
    fresh = begun.with_name("1" * 32)
    fresh.mkdir()

    client.post(PAPERS, files=[("file", ("a.bib", BIB))])

    assert not begun.exists()
    assert fresh.exists()
    assert len(uploads.waiting()) == 1


@pytest.mark.parametrize(
    ("key", "status"), [(None, 401), ("w" * 20, 401), (READ, 403), (INGEST, 202), (ADMIN, 202)]
)
def test_who_may_read_may_not_write(small, uploads, tmp_path, key, status):
    client = TestClient(api_over(small, uploads, **KEYS))
    headers = with_key(key) if key else {}

    answer = client.post(PAPERS, files=[("file", ("a.bib", BIB))], headers=headers)

    assert answer.status_code == status
    assert (len(uploads.waiting()) == 1) == (status == 202)


def test_job_is_seen_by_the_key_that_made_it_alone(small, uploads):
    client = TestClient(api_over(small, uploads, **KEYS))
    sent = client.post(PAPERS, files=[("file", ("a.bib", BIB))], headers=with_key(INGEST))
    place = sent.headers["location"]

    assert client.get(place, headers=with_key(INGEST)).status_code == 200
    assert client.get(place, headers=with_key(ADMIN)).status_code == 200
    assert client.get(place, headers=with_key(READ)).status_code == 403
    anothers = client.get(place, headers=with_key(OTHER))
    unknown = client.get(f"/v1/jobs/{'0' * 32}", headers=with_key(OTHER))
    assert_problem(anothers, 404)
    assert_problem(unknown, 404)
    ids = sent.json()["id"], "0" * 32
    assert anothers.json()["detail"].replace(ids[0], "") == unknown.json()["detail"].replace(
        ids[1], ""
    )


def test_job_stays_that_of_its_key_whatever_place_keys_have_in_the_list(small, uploads, tmp_path):
    first = TestClient(api_over(small, uploads, **KEYS))
    sent = first.post(PAPERS, files=[("file", ("a.bib", BIB))], headers=with_key(INGEST))
    swapped = TestClient(
        api_over(small, uploads, **KEYS | {"api_keys_ingest": f"{OTHER},{INGEST}"})
    )

    assert swapped.get(sent.headers["location"], headers=with_key(OTHER)).status_code == 404
    assert swapped.get(sent.headers["location"], headers=with_key(INGEST)).status_code == 200
    assert not any(INGEST in one.read_text() for one in left_in(tmp_path))


@pytest.mark.parametrize("job", ["x", "..", "%2e%2e%2f%2e%2e", "0" * 31, "G" * 32, "0" * 32])
def test_job_that_does_not_exist_is_not_found(client, job):
    assert_problem(client.get(f"/v1/jobs/{job}"), 404)


def test_outcomes_are_given_in_pages(client, uploads):
    place = client.post(PAPERS, files=[("file", ("a.bib", BIB))]).headers["location"]
    job_id = place.rpartition("/")[2]
    kinds = ("ingested", "refused", "unchanged")
    outcomes = [Outcome(f"n {n}", kinds[n % 3], "é" * n) for n in range(25)]
    write_outcomes(uploads.path(job_id) / "outcomes.jsonl", outcomes)
    with (uploads.path(job_id) / "outcomes.jsonl").open("a") as file:
        file.write('{"input": "not whole')
    uploads.save(job_id, Report(state="running", total=30, ingested=9, unchanged=8, refused=8))

    pages, asked = [], {"limit": 10}
    while True:
        answer = client.get(place, params=asked).json()
        pages.append([one["input"] for one in answer["outcomes"]])
        if answer["cursor"] is None:
            break
        asked["cursor"] = answer["cursor"]
    refused = client.get(place, params={"outcome": "refused"}).json()["outcomes"]

    assert [len(page) for page in pages] == [10, 10, 5]
    assert [name for page in pages for name in page] == [one.input for one in outcomes]
    assert [one["input"] for one in refused] == [f"n {n}" for n in range(1, 25, 3)]
    assert (answer["state"], answer["total"], answer["refused"]) == ("running", 30, 8)
    for wrong in ("3", "x", "99999999", "-1", "9" * 30):
        assert_problem(client.get(place, params={"cursor": wrong}), 422, "cursor")


def test_pages_of_other_sites_may_not_send_files(small, uploads):
    client = TestClient(api_over(small, uploads, cors_origins="https://ours.example"))

    def send(origin):
        answer = client.post(PAPERS, files=[("file", ("a.bib", BIB))], headers={"Origin": origin})
        return answer.status_code

    assert send("https://evil.example") == 403
    assert send("null") == 403
    assert send("https://ours.example") == 202
    assert send("http://testserver") == 202
    keyed = TestClient(api_over(small, uploads, **KEYS))
    headers = {"Origin": "https://evil.example", **with_key(INGEST)}  # a browser asks first
    assert keyed.post(PAPERS, files=[("file", ("a", BIB))], headers=headers).status_code == 202
    asked = {"question": "hot gas"}
    elsewhere = {"Origin": "https://evil.example"}
    assert client.post("/v1/search/text", json=asked, headers=elsewhere).status_code == 200


def test_server_that_takes_no_uploads_says_so(small):
    client = TestClient(api_over(small, None))

    assert_problem(client.post(PAPERS, files=[("file", ("a", b"x"))]), 404, "takes no uploads")


def test_description_names_forms_and_where_the_job_is(client):
    paths = client.get("/openapi.json").json()["paths"]

    for path in (SPECTRA, CATALOG, PAPERS):
        post = paths[path]["post"]
        schema = post["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert schema["properties"]["file"]["items"]["format"] == "binary"
        assert "Location" in post["responses"]["202"]["headers"]
    assert "/v1/jobs/{job_id}" in paths
