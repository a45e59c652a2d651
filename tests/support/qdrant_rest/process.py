"""Start the stand-in as a process of its own."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

SUPPORT = Path(__file__).parents[1]
REPOSITORY = SUPPORT.parents[1]


@contextmanager
def running(folder):
    """Serve from an empty folder and yield the URL."""
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{SUPPORT}"}
    with subprocess.Popen(
        [sys.executable, "-m", "qdrant_rest", str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
