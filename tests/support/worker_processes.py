"""Workers and beat as processes of their own, killed as processes are, with their logs kept."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SUPPORT = Path(__file__).parent
REPOSITORY = SUPPORT.parent
COMMAND = [sys.executable, "-c", "from cli.main import run; run()"]
BUSY = 4
"""How much longer things take on a machine that does others as well."""
READY = {"worker": "ready.", "beat": "beat has started"}


class Processes:
    """Started by name, so that a test kills ``io-1`` and starts it again."""

    def __init__(self, folder, environment):
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.environment = os.environ | {
            "PYTHONPATH": f"{REPOSITORY.parent}{os.pathsep}{SUPPORT}",
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        self.running = {}
        self.commands = {}

    def start(self, name, *command, wait=True):
        """Start a command of the project, ``start("io-1", "worker", "--queue", "io")``."""
        self.start_command(name, [*COMMAND, *command], READY[command[0]] if wait else None)

    def start_command(self, name, command, ready=None):
        self.commands[name] = (command, ready)
        with self.log(name).open("a") as log:
            before = log.tell()
            self.running[name] = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        if ready:
            self._wait_for(name, ready, before)

    def _wait_for(self, name, ready, before):
        def is_ready():
            assert self.alive(name), self.said(name)
            return ready in self.said(name)[before:]

        until(is_ready, 90, lambda: self.said(name))

    def start_again(self, name):
        command, _ = self.commands[name]
        self.start_command(name, command)

    def revive(self):
        """Start again what has died, as whoever supervises processes does."""
        for name in self.running:
            if not self.alive(name):
                self.start_again(name)

    def kill(self, name):
        self.running[name].kill()
        self.running[name].wait()

    def end(self, name):
        """Kill it, and let nobody revive it."""
        self.kill(name)
        del self.running[name]

    def stop(self, name, timeout=30):
        """Ask it to end, and return its exit code."""
        self.running[name].send_signal(signal.SIGTERM)
        return self.running[name].wait(timeout)

    def alive(self, name):
        return self.running[name].poll() is None

    def log(self, name):
        return self.folder / f"{name}.log"

    def said(self, name):
        return self.log(name).read_text(errors="replace")

    def logs(self):
        """Return the end of every log, for the message of a test that fails."""
        names = sorted(self.running)
        return "\n".join(f"--- {name}\n{self.said(name)[-3000:]}" for name in names)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running.values():
            if process.poll() is None:
                process.terminate()
        for process in self.running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def until(condition, seconds, explain=lambda: ""):
    """Wait for a condition, and fail with an explanation where it does not come."""
    end = time.monotonic() + BUSY * seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds} s\n{explain()}"
        time.sleep(0.1)
    return found
