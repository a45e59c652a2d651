import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from common.errors import StoreLockedError, UnavailableError
from search.store.lock import StoreLock

HOLD = """
import sys
from pathlib import Path
from search.store.lock import StoreLock
sys.argv = ["/usr/bin/chandra-search", "serve", "--port", "8000"]
lock = StoreLock(Path(sys.stdin.readline().strip()))
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path, repository):
    """Another process that holds the lock on ``tmp_path``."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD],
        cwd=repository,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdin.write(f"{tmp_path}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_lock_held_by_another_process_says_by_which(tmp_path, holder):
    with pytest.raises(StoreLockedError) as caught:
        StoreLock(tmp_path)
    told = str(caught.value)
    assert f"{tmp_path} is in use by process {holder.pid} " in told
    assert f"(chandra-search serve --port 8000), started {datetime.now(UTC).year}-" in told
    assert "stop it, or use its HTTP address or another --data-dir" in told


def test_lock_is_free_after_its_holder_was_killed(tmp_path, holder):
    holder.kill()
    holder.wait()
    StoreLock(tmp_path).release()


def test_lock_is_exclusive_within_a_process_until_released(tmp_path):
    lock = StoreLock(tmp_path)
    with pytest.raises(StoreLockedError, match=f"process {os.getpid()} "):
        StoreLock(tmp_path)
    lock.release()
    lock.release()
    StoreLock(tmp_path).release()


def test_lock_file_names_only_the_present_holder(tmp_path):
    (tmp_path / "lock").write_text("x" * 1000)
    lock = StoreLock(tmp_path)
    assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    lock.release()


@pytest.mark.parametrize("content", ["", "{}", "[]", "not json"])
def test_lock_whose_holder_has_not_signed_is_still_held(tmp_path, content):
    lock = StoreLock(tmp_path)
    (tmp_path / "lock").write_text(content)
    with pytest.raises(StoreLockedError, match="in use by another process"):
        StoreLock(tmp_path)
    lock.release()


def test_lock_in_a_place_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="cannot write to the store folder"):
        StoreLock(tmp_path / "file")
