"""The part of a round that computes, in a process of its own: ``python -m workers.learning.child``.

It needs no store, so whoever has the store goes on with it. It ends with its parent, whose end
closes its standard input.
"""

import logging
import os
import sys
import threading
from pathlib import Path

from common.errors import ChandraSearchError
from workers.learning.work import Work

NICENESS = 10
FAILED = 1


def main() -> int:
    """Do the work of the round in the folder given as the only argument; return the exit code."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(NICENESS)  # answering and encoding come first
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        Work(Path(sys.argv[1])).run()
    except ChandraSearchError as exc:
        sys.stderr.write(f"{exc}\n")
        return FAILED
    return 0


def _end_with_parent() -> None:
    # Not sys.stdin: a thread that waits in its buffer makes the interpreter abort when it ends.
    while os.read(0, 1):
        pass
    os._exit(FAILED)


if __name__ == "__main__":
    sys.exit(main())
