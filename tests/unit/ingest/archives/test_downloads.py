import errno
import gzip
import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from archives.csc_server import send
from archives.http_server import BROKEN, CUT, TRUNCATED, Answer, ArchiveServer, Fault

from common.errors import ArchiveError, InputError, UnavailableError
from ingest.archives.download_cache import DownloadCache
from ingest.archives.http_session import PoliteSession

CONTENT = bytes(range(256)) * 4000
"""Larger than what is written at a time."""


class Files(ArchiveServer):
    content = CONTENT
    tags = True

    def respond(self, request):
        return send(request, self.content, self.tags)


@pytest.fixture
def server():
    with Files() as server:
        yield server


@pytest.fixture
def session(settings, courtesy):
    return PoliteSession("csc", settings, courtesy)


@pytest.fixture
def cache(tmp_path):
    return DownloadCache(tmp_path / "downloads", 10**9)


@pytest.fixture
def fetch(cache, session, server):
    def fetch(name="a.fits", cache=cache, group=None, **options):
        params, url = {"filename": name}, f"{server.url}/file"
        if group is not None:
            return cache.fetch_group(session, url, {name: params}, group, **options)[0]
        return cache.fetch(session, f"{server.url}/file", params, name, **options)

    return fetch


def ranges(server):
    return [request.headers.get("Range") for request in server.requests]


def test_fetch_downloads_once(fetch, server, cache):
    path = fetch()
    assert path.read_bytes() == CONTENT
    assert path.name == "a.fits"
    assert fetch() == path
    assert len(server.requests) == 1
    assert server.requests[0].headers["Accept-Encoding"] == "identity"
    assert [one for one in path.parent.iterdir() if not one.name.startswith(".")] == [path]


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_fetch_goes_on_where_it_was_cut_off(fetch, server, part):
    server.faults.append(Fault("truncated", part=part))
    path = fetch()
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(CONTENT).digest()
    assert ranges(server)[0] is None
    start = int(ranges(server)[1].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= part * len(CONTENT)
    assert server.requests[1].headers["If-Range"].startswith('"')


def test_fetch_goes_on_after_the_process_has_ended(fetch, server, tmp_path):
    server.faults.extend([TRUNCATED, *[CUT] * 4])
    with pytest.raises(ArchiveError):
        fetch()
    assert fetch(cache=DownloadCache(tmp_path / "downloads", 10**9)).read_bytes() == CONTENT
    assert ranges(server)[-1] == ranges(server)[1] is not None


def test_fetch_starts_anew_when_the_file_has_changed_meanwhile(fetch, server):
    server.faults.extend([TRUNCATED, *[CUT] * 4])
    with pytest.raises(ArchiveError):
        fetch()
    server.content = CONTENT[::-1]
    assert fetch().read_bytes() == CONTENT[::-1]


def test_fetch_starts_anew_when_the_file_has_become_shorter(fetch, server):
    server.faults.extend([Fault("truncated", part=0.9), *[CUT] * 4])
    with pytest.raises(ArchiveError):
        fetch()
    server.content = CONTENT[:1000]
    assert fetch().read_bytes() == CONTENT[:1000]


def test_fetch_starts_anew_where_nothing_tells_whether_the_file_has_changed(fetch, server):
    server.tags = False
    server.faults.append(TRUNCATED)
    assert fetch().read_bytes() == CONTENT
    assert ranges(server) == [None, None]


def test_fetch_starts_anew_when_another_part_is_sent(fetch, server):
    server.faults.append(TRUNCATED)
    respond = server.respond

    def wrong(request):
        if "Range" in request.headers:
            return Answer(CONTENT[5:], 206, {"Content-Range": f"bytes 5-{len(CONTENT) - 1}/*"})
        return respond(request)

    server.respond = wrong
    assert fetch().read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_fetch_never_takes_a_short_file(fetch, server, tmp_path):
    server.tags = False
    server.faults.extend([TRUNCATED] * 9)
    with pytest.raises(ArchiveError, match=r"cut a\.fits off"):
        fetch()
    assert len(server.requests) == 5
    assert not (tmp_path / "downloads" / "a.fits" / "a.fits").exists()


def test_fetch_never_takes_a_short_file_of_unknown_length(fetch, server):
    server.respond = lambda request: Answer(CONTENT, chunked=True)
    server.faults.append(TRUNCATED)
    assert fetch().read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_fetch_keeps_a_file_as_gzipped_as_it_comes(fetch, server):
    """Some servers call a gzipped file one that is gzipped for the way only."""
    packed = gzip.compress(CONTENT)
    encoded = {"Content-Encoding": "gzip"}
    server.respond = lambda request: Answer(packed, headers=encoded)
    assert fetch("a.fits.gz").read_bytes() == packed


def test_fetch_asks_whether_a_file_is_still_the_same(fetch, server):
    fetch()
    assert fetch(revalidate=True).read_bytes() == CONTENT
    assert server.requests[1].headers["If-None-Match"].startswith('"')
    server.content = b"another"
    assert fetch().read_bytes() == CONTENT
    assert fetch(revalidate=True).read_bytes() == b"another"


@pytest.mark.parametrize("harm", ["content", "record", "no record", "record of another"])
def test_fetch_replaces_what_is_damaged(fetch, server, harm):
    path = fetch()
    record = path.parent / ".state" / "a.fits.json"
    if harm == "content":
        path.write_bytes(CONTENT[:-1] + b"!")
    elif harm == "record":
        record.write_bytes(b"{\xff")
    elif harm == "no record":
        record.unlink()
    else:
        record.write_text(record.read_text().replace("/file", "/elsewhere"))
    assert fetch().read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_fetch_has_a_file_checked_before_it_is_taken(fetch, server):
    def check(path):
        if path.read_bytes() != CONTENT:
            raise ArchiveError("no good")

    server.faults.extend([Fault("garbage"), Fault("garbage", headers={"ETag": '"x"'})])
    assert fetch(check=check).read_bytes() == CONTENT
    assert ranges(server) == [None] * 3
    server.faults.extend([Fault("garbage")] * 5)
    with pytest.raises(ArchiveError, match="no good"):
        fetch("b.fits", check=check)


@pytest.mark.parametrize("tells_length", [True, False])
def test_fetch_reads_no_more_than_allowed(settings, courtesy, cache, server, tells_length):
    settings = settings.model_copy(update={"archive_max_answer_mb": 0.5})
    session = PoliteSession("csc", settings, courtesy)
    if not tells_length:
        server.respond = lambda request: Answer(CONTENT, chunked=True)
    with pytest.raises(InputError, match=r"0\.5 MiB"):
        cache.fetch(session, server.url, {}, "a.fits")
    assert len(server.requests) == 1
    assert not [*cache._folder.rglob("*.part")]


@pytest.mark.parametrize("name", ["../a.fits", "a/b", ".hidden", "", "..", "a\\b", "a\0", "a\nb"])
def test_fetch_writes_nowhere_else(fetch, server, tmp_path, name):
    for options in ({"name": name}, {"name": "a.fits", "group": name or "."}):
        with pytest.raises(InputError, match="plain"):
            fetch(**options)
    assert server.requests == []
    assert [*tmp_path.iterdir()] == []


def test_fetch_deletes_what_was_used_longest_ago(fetch, session, server, tmp_path):
    server.content = CONTENT[:100_000]
    cache = DownloadCache(tmp_path / "downloads", 350_000)
    paths = []
    for i in range(3):
        paths.append(fetch(f"{i}.fits", cache))
        os.utime(paths[-1], (i, i))
        os.utime(paths[-1].parent / ".state", (i, i))
        os.utime(paths[-1].parent / ".state" / f"{i}.fits.json", (i, i))
    fetch("0.fits", cache)  # used again
    fetch("3.fits", cache)
    assert [path.exists() for path in paths] == [True, False, True]


def test_fetch_never_deletes_what_it_is_asked_for(fetch, tmp_path):
    cache = DownloadCache(tmp_path / "downloads", 1)
    first = fetch("a.fits", cache, group="one")
    second = fetch("b.fits", cache, group="one")
    assert first.exists()
    assert second.exists()
    fetch("c.fits", cache, group="two")
    assert not first.exists()


def test_fetch_does_not_delete_what_another_process_is_about_to_use(fetch, tmp_path):
    cache = DownloadCache(tmp_path / "downloads", 1)
    first = fetch("a.fits", cache)
    with cache._lock("a.fits"):
        fetch("b.fits", cache)
        assert first.exists()
    fetch("c.fits", cache)
    assert not first.exists()


def test_fetch_says_when_the_disk_is_full(fetch, monkeypatch):
    def full(self, *args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(UnavailableError, match="the disk is full") as raised:
        fetch()
    assert not isinstance(raised.value, ArchiveError)


def test_fetch_says_when_nothing_can_be_written(session, server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="CHANDRA_DOWNLOADS_DIR"):
        DownloadCache(tmp_path / "file", 1).fetch(session, server.url, {}, "a.fits")


def test_fetch_of_many_threads_downloads_once(fetch, server):
    server.faults.append(BROKEN)
    found = []
    threads = [threading.Thread(target=lambda: found.append(fetch())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(server.requests) == 2


def test_fetch_of_two_processes_downloads_once(server, tmp_path, repository):
    program = f"""
from pathlib import Path
from ingest.archives.pacing import LocalCourtesy
from ingest.archives.download_cache import DownloadCache
from ingest.archives.http_session import PoliteSession
from ingest.archives.settings import ArchiveSettings
session = PoliteSession("csc", ArchiveSettings(archive_backoff_s=0), LocalCourtesy({{}}))
for i in range(5):
    cache = DownloadCache(Path({str(tmp_path / "downloads")!r}), 10**9)
    path = cache.fetch(session, {server.url!r}, {{"n": str(i)}}, f"{{i}}.fits")
    assert path.stat().st_size == {len(CONTENT)}
"""
    started = [subprocess.Popen([sys.executable, "-c", program], cwd=repository) for _ in range(2)]
    assert [one.wait(60) for one in started] == [0, 0]
    assert sorted(request.params["n"] for request in server.requests) == [*"01234"]
