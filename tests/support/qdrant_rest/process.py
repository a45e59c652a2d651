"""Start the stand-in as a process of its own."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import requests

SUPPORT = Path(__file__).parents[1]
REPOSITORY = SUPPORT.parents[1]


class EngineProcess:
    """The stand-in on a folder: killed and started again, it has the same URL and data.

    With more replicas than one it plays a cluster.
    """

    def __init__(self, folder, n_replicas=1):
        self.folder = folder
        self.n_replicas = n_replicas
        self.url = None
        self.process = None

    def start(self):
        environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{SUPPORT}"}
        port = self.url.rpartition(":")[2] if self.url else "0"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qdrant_rest", str(self.folder), port, str(self.n_replicas)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self.process.stdout.readline().strip()
        assert self.url, "the engine's process did not start: its reason is on standard error"

    def fail_half(self, writes):
        """Let this many writes fail after they have reached the first replica."""
        answer = requests.post(f"{self.url}/faults", json={"half_writes": writes}, timeout=60)
        answer.raise_for_status()

    def apart(self):
        """Return the points on which replicas disagree, by collection."""
        return requests.get(f"{self.url}/apart", timeout=60).json()

    def kill(self):
        self.process.kill()
        self._reap()

    def stop(self):
        self.process.terminate()
        self._reap()

    def _reap(self):
        self.process.wait()
        self.process.stdout.close()


@contextmanager
def running(folder, n_replicas=1):
    """Serve from a folder and yield the URL."""
    engine = EngineProcess(folder, n_replicas)
    engine.start()
    try:
        yield engine.url
    finally:
        engine.stop()
