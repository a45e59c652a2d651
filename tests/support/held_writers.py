"""Writers who stop between reading and writing until somebody else has written.

Small encoders take no time, so that chance seldom lets two writers meet at one point. These wait
at the encoder for another process or thread to write; who writes leaves word on a board, a folder.
Writes that came too late are counted there as well: a test sees that writers did meet.
"""

import os
import random
import threading
import time
from pathlib import Path

WRITES = ("write", "write_payload", "set_payload")
TOO_LATE = "too-late"


class Board:
    """Word of writes among processes, each thread with a file of its own."""

    def __init__(self, folder, share=0.0, longest_s=1.0):
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._share = share
        self._longest_s = longest_s
        self._chance = random.Random(os.getpid())

    def tell(self, lost=frozenset()):
        (self._folder / _own()).touch()
        if lost:
            (self._folder / f"{TOO_LATE}-{_own()}").open("ab").write(b"." * len(lost))

    def wait(self):
        """Wait for another's write, now and then."""
        if self._chance.random() >= self._share:
            return
        before = self._of_others()
        end = time.monotonic() + self._longest_s
        while self._of_others() == before and time.monotonic() < end:
            time.sleep(0.01)

    def n_too_late(self):
        """Return how many points were read, worked on, and found changed by another."""
        return sum(path.stat().st_size for path in self._folder.glob(f"{TOO_LATE}-*"))

    def _of_others(self):
        return {
            path.name: path.stat().st_mtime_ns
            for path in self._folder.iterdir()
            if path.name != _own() and not path.name.startswith(TOO_LATE)
        }


class TellingStore:
    """Another store, of whose writes others hear."""

    def __init__(self, store, board):
        self._store = store
        self._board = board

    def __getattr__(self, name):
        found = getattr(self._store, name)
        return self._told(found) if name in WRITES else found

    def _told(self, call):
        def told(*arguments, **options):
            written = call(*arguments, **options)
            self._board.tell(written.lost if written else frozenset())
            return written

        return told


def held(encoder, board):
    """Let an encoder, when it is done, wait for the board."""
    for name in ("encode_spectra", "encode_summaries"):
        setattr(encoder, name, _then_wait(getattr(encoder, name), board))
    return encoder


def _then_wait(encode, board):
    def encode_and_wait(*arguments, **options):
        encoded = encode(*arguments, **options)
        board.wait()
        return encoded

    return encode_and_wait


def _own():
    return f"{os.getpid()}-{threading.get_ident()}"
