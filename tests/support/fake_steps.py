"""Steps that only write down what was asked of them; some keys do harm."""

import json
import os
import time

from common.errors import UnavailableError


class FakeSteps:
    """``poison`` kills its process as running out of memory would, ``down`` finds no archive."""

    def __init__(self, path):
        self.path = path
        self.sent = False

    def due(self):
        return []

    def dispatch(self, send):
        self._note("dispatch", "", [])

    def run(self, step, feed, keys):
        self._note(step, feed, keys)
        if "slow" in keys:
            time.sleep(1)
            self._note("end", feed, keys)
        if "down" in keys:
            raise UnavailableError("the archive does not answer: wait")
        if "poison" in keys:
            os._exit(9)

    def _note(self, step, feed, keys):
        with self.path.open("a") as file:
            file.write(json.dumps([step, feed, keys, os.getpid()]) + "\n")
