import multiprocessing
import resource
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.disk_cache import FILE, DiskCache, open_cache
from common.settings import SharedSettings


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "cache.sqlite3"


@given(st.dictionaries(st.text("abcä/ '"), st.binary(), max_size=20))
def test_cache_gives_back_what_it_was_given(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("cache") / "c"
    DiskCache(path).put("space", values)
    assert DiskCache(path).get("space", [*values, "not there"]) == values


def test_cache_keeps_spaces_apart(path):
    cache = DiskCache(path)
    cache.put("one", {"key": b"1"})
    cache.put("two", {"key": b"2"})
    assert cache.get("one", ["key"]) == {"key": b"1"}
    assert cache.first("two") == b"2"
    assert cache.first("three") is None


def test_cache_replaces_a_value(path):
    cache = DiskCache(path)
    cache.put("space", {"key": b"old"})
    cache.put("space", {"key": b"new"})
    assert cache.get("space", ["key"]) == {"key": b"new"}


def test_cache_finds_more_keys_than_one_query_takes(path):
    cache = DiskCache(path)
    values = {str(number): bytes([number % 256]) for number in range(2_500)}
    cache.put("space", values)
    assert cache.get("space", list(values)) == values


def _write(path, worker):
    for number in range(20):
        DiskCache(path).put("space", {f"{worker}/{number}": b"x" * 1000})


def test_cache_is_written_by_several_processes_at_once(path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write, args=(path, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    keys = [f"{worker}/{number}" for worker in range(3) for number in range(20)]
    assert DiskCache(path).get("space", keys).keys() == set(keys)


def test_cache_that_is_no_database_is_set_aside_and_begun_anew(path, caplog):
    path.parent.mkdir()
    path.write_bytes(b"no database " * 1000)
    cache = DiskCache(path)
    cache.put("space", {"key": b"value"})
    assert cache.get("space", ["key"]) == {"key": b"value"}
    assert path.with_name(f"{path.name}.damaged").read_bytes() == b"no database " * 1000
    assert "is damaged" in caplog.text
    assert len(caplog.records) == 1


def test_cache_damaged_inside_is_set_aside_and_begun_anew(path):
    cache = DiskCache(path)
    values = {str(number): b"x" * 2000 for number in range(200)}
    cache.put("space", values)
    cache.close()
    data = bytearray(path.read_bytes())
    data[8192:] = b"\xa5" * (len(data) - 8192)
    path.write_bytes(data)
    assert cache.get("space", list(values)) == {}
    cache.put("space", {"key": b"value"})
    assert cache.get("space", ["key"]) == {"key": b"value"}


def test_cache_that_cannot_be_written_is_reported_once_and_done_without(tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    cache = DiskCache(tmp_path / "file" / "cache", loss="it costs money again")
    for _ in range(3):
        cache.put("space", {"key": b"value"})
        assert cache.get("space", ["key"]) == {}
    assert len(caplog.records) == 1
    assert "it costs money again; set CHANDRA_CACHE_DIR" in caplog.text


def test_cache_on_a_full_disk_stops_nothing_and_keeps_what_it_has(path, caplog):
    cache = DiskCache(path)
    cache.put("space", {"key": b"value"})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        cache.put("space", {str(number): bytes(100_000) for number in range(20)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "cannot be used" in caplog.text
    assert DiskCache(path).get("space", ["key", "0"]) == {"key": b"value"}


@contextmanager
def locked(path, how="IMMEDIATE"):
    """Let another process write for long."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute(f"BEGIN {how}")
    yield
    other.execute("ROLLBACK")
    other.close()


def test_cache_that_is_locked_is_passed_over_for_that_call_only(path, caplog):
    cache = DiskCache(path, wait_s=0.01)
    cache.put("space", {"key": b"value"})
    with locked(path):
        cache.put("space", {"other": b"value"})
        assert cache.get("space", ["key"]) == {"key": b"value"}  # readers do not wait for writers
    assert "is locked" in caplog.text
    assert "the next run computes it all again" not in caplog.text
    cache.put("space", {"more": b"value"})
    assert cache.get("space", ["key", "other", "more"]).keys() == {"key", "more"}


def test_cache_that_is_locked_when_it_is_opened_is_opened_later(path):
    DiskCache(path).close()
    path.parent.mkdir(exist_ok=True)
    cache = DiskCache(path, wait_s=0.01)
    with locked(path, "EXCLUSIVE"):
        cache.put("space", {"key": b"value"})
        assert cache.get("space", ["key"]) == {}
    cache.put("space", {"key": b"value"})
    assert cache.get("space", ["key"]) == {"key": b"value"}


MIB = 2**20


def numbered(numbers, size=1500):
    return {str(number): bytes([number % 256]) * size for number in numbers}


def fill(cache, numbers, size=1500, at_a_time=100):
    for start in range(0, len(numbers), at_a_time):
        cache.put("space", numbered(numbers[start : start + at_a_time], size))


def test_cache_that_is_full_lets_go_of_what_is_oldest(path):
    cache = DiskCache(path, max_bytes=MIB)
    fill(cache, range(3000))
    kept = cache.get("space", [str(number) for number in range(3000)])
    assert min(map(int, kept)) == 3000 - len(kept)
    assert 300 < len(kept) < 700
    cache.close()
    assert path.stat().st_size < 1.3 * MIB


def test_cache_that_is_full_keeps_what_is_used(path):
    cache = DiskCache(path, max_bytes=MIB)
    used = numbered(range(5))
    cache.put("space", used)
    for start in range(100, 3000, 100):
        fill(cache, range(start, start + 100))
        assert cache.get("space", [*used]) == used


def test_cache_with_room_writes_nothing_when_it_is_read(path):
    cache = DiskCache(path, max_bytes=100 * MIB, wait_s=0.01)
    fill(cache, range(200))
    with locked(path):
        assert len(cache.get("space", [str(number) for number in range(200)])) == 200


def test_cache_that_has_grown_without_a_bound_comes_down_to_it_in_steps(path):
    fill(DiskCache(path), range(4000))
    cache = DiskCache(path, max_bytes=MIB)
    fill(cache, range(4000, 4300), at_a_time=10)
    kept = cache.get("space", [str(number) for number in range(4300)])
    assert min(map(int, kept)) > 3500
    assert "4299" in kept
    cache.close()
    size = path.stat().st_size
    cache = DiskCache(path, max_bytes=MIB)
    fill(cache, range(5000, 9000))
    cache.close()
    assert path.stat().st_size == size  # the room in the file is used again


def test_value_larger_than_the_cache_is_not_kept(path):
    cache = DiskCache(path, max_bytes=MIB)
    cache.put("space", {"large": bytes(3 * MIB)})
    assert cache.get("space", ["large"]) == {}
    cache.put("space", {"small": b"value"})
    assert cache.get("space", ["small"]) == {"small": b"value"}


def test_cache_of_another_program_is_left_alone(path, caplog):
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE entry (other TEXT)")
    connection.close()
    DiskCache(path).put("space", {"key": b"value"})
    assert "cannot be used" in caplog.text


def test_cache_is_where_the_settings_say(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANDRA_CACHE", "on")
    monkeypatch.setenv("CHANDRA_CACHE_DIR", str(tmp_path))
    assert open_cache(SharedSettings()).path == tmp_path / FILE


def test_cache_is_as_large_as_the_settings_say(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANDRA_CACHE", "on")
    monkeypatch.setenv("CHANDRA_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CHANDRA_CACHE_GB", "0.001")
    cache = open_cache(SharedSettings())
    fill(cache, range(2000))
    assert 300 < len(cache.get("space", [str(number) for number in range(2000)])) < 700


def test_cache_is_in_the_users_cache_folder_by_default(tmp_path, monkeypatch):
    monkeypatch.delenv("CHANDRA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert open_cache(SharedSettings()).path.parent.name == "chandra-search"


def test_cache_is_used_by_several_threads_at_once(path):
    cache = DiskCache(path)
    keys = [str(number) for number in range(100)]
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(lambda key: cache.put("space", {key: key.encode()}), keys))
        found = list(executor.map(lambda key: cache.get("space", [key]), keys))
    assert found == [{key: key.encode()} for key in keys]


def test_cache_closed_is_opened_again(path):
    cache = DiskCache(path)
    for _ in range(2):
        cache.put("space", {"key": b"value"})
        cache.close()
    assert cache.get("space", ["key"]) == {"key": b"value"}


def test_cache_can_be_switched_off():
    assert open_cache(SharedSettings(cache=False)) is None
