"""What was computed or paid for once, kept on disk: one SQLite file shared by all processes.

A cache is a convenience: one that cannot be read or written is reported once and then does
without, one that is damaged is set aside and begun anew, one that another process has locked is
passed over for that call. Nothing of that ever stops the work. One that is full lets go of what is
oldest, unless it is still used.
"""

import logging
import sqlite3
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from common.settings import SharedSettings

T = TypeVar("T")

logger = logging.getLogger(__name__)

FILE: Final = "cache.sqlite3"

LOSS: Final = "the next run computes it all again"
MAX_BYTES: Final = 10 * 2**30
WAIT_S: Final = 10.0  # for another process to finish writing a batch
_LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_MORE_ROWS: Final = 100  # than were put, at least, are looked at to make room
_ROUNDS: Final = 16  # so that no call takes long
_MOST_VARIABLES: Final = 900  # what every SQLite takes in one query
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS entry "
    "(space TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (space, key))"
)


class DiskCache:
    """Bytes by key, apart for each space (a model, for instance); safe between threads.

    The file stays open, so an instance must not be used on both sides of a fork.

    Parameters
    ----------
    path : Path
        The file; it and its folder are created when first needed.
    loss : str
        What it means that nothing is kept, for the warning.
    max_bytes : int
        Size of the file above which what was put or used longest ago is deleted. A file that was
        larger before does not shrink, but is filled again.
    wait_s : float
        How long to wait for another process that writes.
    """

    def __init__(
        self,
        path: Path,
        loss: str = LOSS,
        max_bytes: int = MAX_BYTES,
        wait_s: float = WAIT_S,
    ) -> None:
        self.path = path
        self._loss = loss
        self._max_bytes = max_bytes
        self._wait_s = wait_s
        self._usable = True
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def get(self, space: str, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the values of those keys that are there."""
        aging: dict[str, bytes] = {}

        def query(connection: sqlite3.Connection) -> dict[str, bytes]:
            found: dict[str, bytes] = {}
            horizon = self._horizon(connection)
            for start in range(0, len(keys), _MOST_VARIABLES):
                part = keys[start : start + _MOST_VARIABLES]
                marks = ",".join("?" * len(part))
                for key, value, number in connection.execute(
                    f"SELECT key, value, rowid FROM entry WHERE space = ? AND key IN ({marks})",
                    (space, *part),
                ):
                    found[key] = value
                    if number < horizon:
                        aging[key] = value
            return found

        found: dict[str, bytes] = self._run(query, {})
        if aging:
            self.put(space, aging)
        return found

    def first(self, space: str) -> bytes | None:
        """Return any one value of a space, or None if it has none."""

        def query(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute(
                "SELECT value FROM entry WHERE space = ? LIMIT 1", (space,)
            ).fetchone()
            return row[0] if row else None

        return self._run(query, None)

    def put(self, space: str, values: Mapping[str, bytes]) -> None:
        """Keep values; what was there under the same keys is replaced."""
        rows = [(space, key, value) for key, value in values.items()]

        def query(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany("INSERT OR REPLACE INTO entry VALUES (?, ?, ?)", rows)
                self._make_room(connection, len(rows) + _MORE_ROWS)

        self._run(query, None)

    def _make_room(self, connection: sqlite3.Connection, rows: int) -> None:
        """Delete what is oldest while there is too much: rows are numbered as they come."""
        for _ in range(_ROUNDS):
            if _bytes_in_use(connection) <= self._max_bytes:
                break
            connection.execute(
                "DELETE FROM entry WHERE rowid IN (SELECT rowid FROM entry ORDER BY rowid LIMIT ?)",
                (rows,),
            )

    def _horizon(self, connection: sqlite3.Connection) -> int:
        """Return the number below which rows are put anew when they are used, lest they go.

        It is that in the middle, once the cache is half full: so reading seldom has to write.
        """
        if _bytes_in_use(connection) <= self._max_bytes // 2:
            return 0
        first, last = connection.execute(
            "SELECT (SELECT min(rowid) FROM entry), (SELECT max(rowid) FROM entry)"
        ).fetchone()
        return 0 if first is None else int(first + last) // 2

    def _run(self, query: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Run a query; a damaged file is replaced, once."""
        with self._lock:
            for attempt in (1, 2):
                if not self._usable:
                    break
                try:
                    return query(self._connected())
                except (OSError, sqlite3.OperationalError) as exc:
                    self._disconnect()
                    if _is_locked(exc):
                        logger.warning("cache %s is locked, done without it this time", self.path)
                        break
                    self._give_up(exc)
                except sqlite3.DatabaseError as exc:
                    self._disconnect()
                    if attempt == 2:
                        self._give_up(exc)
                    else:
                        self._set_aside(exc)
            return otherwise

    def _connected(self) -> sqlite3.Connection:
        """Return the open connection: opening and closing it for each query costs an fsync."""
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=self._wait_s, check_same_thread=False)
            self._connection = connection
            self._finalizer = weakref.finalize(self, connection.close)  # nobody has to remember to
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_TABLE)
        return self._connection

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._finalizer()
            self._connection = None

    def _give_up(self, exc: Exception) -> None:
        self._usable = False
        logger.warning(
            "cache %s cannot be used (%s): %s; set CHANDRA_CACHE_DIR to a folder with room that "
            "can be written, or CHANDRA_CACHE=off",
            self.path,
            exc,
            self._loss,
        )

    def _set_aside(self, exc: sqlite3.DatabaseError) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged")
        logger.warning(
            "cache %s is damaged (%s): it is set aside as %s and begun anew",
            self.path,
            exc,
            aside.name,
        )
        try:
            self.path.replace(aside)
            for suffix in ("-wal", "-shm"):  # of the damaged file: no part of a new one
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            self._give_up(error)


def _bytes_in_use(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _is_locked(exc: Exception) -> bool:
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF in _LOCKED  # the other bits say why


def open_cache(settings: SharedSettings, loss: str = LOSS) -> DiskCache | None:
    """Return the cache of the settings, or None where it is switched off."""
    if not settings.cache:
        return None
    path = settings.cache_dir.expanduser() / FILE
    return DiskCache(path, loss, round(settings.cache_gb * 2**30))
