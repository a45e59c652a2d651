"""Run ``chandra-search`` as a user does."""

import json
import subprocess
import sys

COMMAND = [sys.executable, "-c", "from cli.main import run; run()"]


def run(*arguments, data_dir=None, code=0, timeout=300):
    """Run the command and return what it printed; fail on any other exit code."""
    where = ["--data-dir", str(data_dir)] if data_dir else []
    done = subprocess.run(
        [*COMMAND, *map(str, arguments), *where],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done


def answer(*arguments, data_dir=None, code=0, timeout=300):
    """Run the command with ``--json`` and return its document."""
    done = run(*arguments, "--json", data_dir=data_dir, code=code, timeout=timeout)
    return json.loads(done.stdout)
