"""One process at a time for an embedded store; the kernel lets go of the lock at any death."""

import fcntl
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from common.errors import StoreLockedError, UnavailableError

USED = (
    "store {folder} is in use by {holder}; stop it, or use its HTTP address or another --data-dir"
)


class StoreLock:
    """An exclusive lock on a folder; its file says who holds it.

    Parameters
    ----------
    folder : Path
        Created when it is missing.
    message : str
        What to say when another process has it, with ``{folder}`` and ``{holder}``.
    """

    def __init__(self, folder: Path, message: str = USED) -> None:
        """Take the lock, or raise StoreLockedError that names the process that holds it."""
        self._file = _open(folder / "lock")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = _describe(self._file)
            self._file.close()
            raise StoreLockedError(message.format(folder=folder, holder=holder)) from exc
        _sign(self._file)

    def release(self) -> None:
        """Let go of the lock; doing it twice changes nothing."""
        self._file.close()


def _open(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+", encoding="utf-8")
    except OSError as exc:
        raise UnavailableError(
            f"cannot write to the store folder {path.parent} ({exc.strerror}): "
            "check its permissions, or use another --data-dir"
        ) from exc


def _sign(file: IO[str]) -> None:
    holder = {
        "pid": os.getpid(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    file.truncate(0)
    json.dump(holder, file)
    file.flush()


def _describe(file: IO[str]) -> str:
    """Return who holds the lock; one that has not signed yet is just another process."""
    file.seek(0)
    try:
        holder = json.load(file)
        return f"process {holder['pid']} ({holder['command']}), started {holder['started']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
