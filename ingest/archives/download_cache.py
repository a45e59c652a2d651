"""Downloaded files on disk: shared by processes, checked when used again, the oldest deleted.

A file lies in a folder, its group, with those it is used together with.
"""

import errno
import fcntl
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from common.errors import InputError, UnavailableError
from ingest.archives.http_session import PoliteSession
from ingest.archives.transfer import Entry, Record, Transfer, sha256_of

_LOCKS = 256
_SLACK = 0.01
"""What is downloaded before sizes are added up again, of all that is kept."""
_FULL = (errno.ENOSPC, errno.EDQUOT)

logger = logging.getLogger(__name__)


class DownloadCache:
    """Files that have been downloaded.

    Parameters
    ----------
    folder : Path
        Where they are; it can be deleted at any time.
    max_bytes : int
        Size above which groups of files used longest ago are deleted.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._unseen_bytes = float(max_bytes)

    def fetch(
        self,
        session: PoliteSession,
        url: str,
        params: Mapping[str, str],
        name: str,
        *,
        revalidate: bool = False,
        check: Callable[[Path], None] | None = None,
    ) -> Path:
        """Return a file, in a folder of its own; as `fetch_group` otherwise."""
        files = {name: params}
        (path,) = self.fetch_group(session, url, files, name, revalidate=revalidate, check=check)
        return path

    def fetch_group(
        self,
        session: PoliteSession,
        url: str,
        files: Mapping[str, Mapping[str, str]],
        group: str,
        *,
        revalidate: bool = False,
        check: Callable[[Path], None] | None = None,
    ) -> list[Path]:
        """Return files that are used together, downloaded unless they are here already.

        Parameters
        ----------
        session : PoliteSession
            With the archive that has them.
        url : str
            Where they are.
        files : mapping of str to mapping
            What to ask `url` for, by the name that a file has here.
        group : str
            Folder of the files.
        revalidate : bool
            Ask whether files that are here are still those there.
        check : callable, optional
            Raises ArchiveError if a new file is no good, which is then fetched again.

        Returns
        -------
        list of Path
            The files, in order.

        Raises
        ------
        InputError
            If one is larger than allowed, or a name is no plain one.
        ArchiveError
            If one cannot be had, or not whole.
        UnavailableError
            If they cannot be written, for instance to a full disk.
        """
        for given in (group, *files):
            if not is_plain(given):
                raise InputError(f"{given!r} is not the plain name of a file: it is not written")
        entries = {name: Entry(self._folder / group / name) for name in files}
        with self._writing(), self._lock(group):
            for name, entry in entries.items():
                transfer = Transfer(session, entry, url, files[name], check)
                record = _whole(entry, transfer.address)
                if record is None or revalidate:
                    session.repeat(partial(transfer.attempt, record))
                    self._unseen_bytes += entry.path.stat().st_size
                os.utime(entry.path)
            self._make_room()
        return [entry.path for entry in entries.values()]

    def _make_room(self) -> None:
        """Delete groups used longest ago, none that is locked: not that just fetched either."""
        if self._unseen_bytes < _SLACK * self._max_bytes:
            return
        groups = [_measure(path) for path in self._folder.iterdir() if is_plain(path.name)]
        total = sum(size for _, size, _ in groups)
        for _, size, path in sorted(groups):
            if total <= self._max_bytes:
                break
            with self._lock(path.name, wait=False) as locked:
                if locked:
                    shutil.rmtree(path, ignore_errors=True)
                    total -= size
        self._unseen_bytes = 0.0

    @contextmanager
    def _lock(self, group: str, *, wait: bool = True) -> Iterator[bool]:
        """Hold a group against other processes and threads; yields whether it is held."""
        folder = self._folder / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        # As many locks as processes need, and not a file for each of a million groups: a lock
        # cannot be deleted safely.
        number = int.from_bytes(hashlib.sha256(group.encode()).digest()[:4], "big") % _LOCKS
        with (folder / f"{number:03d}").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                locked = False
            else:
                locked = True
            yield locked

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            what = "the disk is full" if exc.errno in _FULL else f"cannot be written ({exc})"
            raise UnavailableError(
                f"downloads in {self._folder}: {what}: make room, or name another folder by "
                "CHANDRA_DOWNLOADS_DIR"
            ) from exc


def is_plain(name: str) -> bool:
    """Return whether a name from elsewhere is safe as the name of a file."""
    return re.fullmatch(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]{0,200}", name) is not None


def _whole(entry: Entry, address: str) -> Record | None:
    """Return what is known of a file that is here and as it was downloaded."""
    record = entry.read(entry.path, address)
    if record and record.sha256 == sha256_of(entry.path):
        return record
    if entry.path.exists():
        logger.warning("%s is damaged, or from elsewhere: it is downloaded anew", entry.path)
        entry.drop(entry.path)
    return None


def _measure(group: Path) -> tuple[float, int, Path]:
    """Return when a group was used last, and its size."""
    used, size = 0.0, 0
    for path in group.rglob("*"):
        try:
            found = path.stat()
        except FileNotFoundError:  # another process is at it
            continue
        used, size = max(used, found.st_mtime), size + found.st_size
    return used, size, group
