"""Which input of a run was the first to bring a detection, however many detections there are."""

import sqlite3
from types import TracebackType
from typing import Self

from common.errors import UnavailableError

_TABLE = (
    "CREATE TABLE input (key BLOB PRIMARY KEY, name BLOB NOT NULL, hash TEXT) WITHOUT ROWID",
    "PRAGMA journal_mode = OFF",  # it ends with its run, whatever ends that
)


class FirstInputs:
    """Inputs by detection, in a temporary file of SQLite's: memory is bounded, 2 MB."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for statement in _TABLE:
            self._connection.execute(statement)

    def first(self, key: str, name: str, spectrum_hash: str | None) -> tuple[str, str | None]:
        """Return name and hash of the input that brought a detection first: perhaps this one.

        Raises
        ------
        UnavailableError
            If there is no room for the file.
        """
        row = (_encoded(key), _encoded(name), spectrum_hash)
        try:
            if self._connection.execute(
                "INSERT OR IGNORE INTO input VALUES (?, ?, ?)", row
            ).rowcount:
                return name, spectrum_hash
            found, found_hash = self._connection.execute(
                "SELECT name, hash FROM input WHERE key = ?", row[:1]
            ).fetchone()
        except sqlite3.Error as exc:
            raise UnavailableError(
                f"cannot note what has been ingested ({exc}): make room in the folder of temporary "
                "files (TMPDIR), and repeat; what is stored is not encoded again"
            ) from exc
        return found.decode(errors="surrogatepass"), found_hash

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")  # names of files need not be UTF-8
