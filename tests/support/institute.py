"""Everything that an institute runs: engine, Redis, workers, beat; and a sky that they look at."""

import sys
from contextlib import ExitStack

from qdrant_rest.process import EngineProcess
from redis_server import RedisServer
from worker_processes import Processes, until
from world import World

from search.store.scroll import scroll_all
from search.store.server import ServerStore
from workers.ledger.checkpoints import is_value
from workers.ledger.items import all_of, is_item, under_way
from workers.ledger.ledger import Ledger

READY = {"beat": "beat has started", "reindex": "reindex has begun"}
SETTINGS = {
    "CHANDRA_DISPATCH_S": "0.5",
    "CHANDRA_FEEDS": '["csc", "ads"]',
    "CHANDRA_TIMEOUT_S": "30",
    "CHANDRA_VISIBILITY_TIMEOUT_S": "60",
    "CHANDRA_FETCH_BATCH": "64",
    "CHANDRA_MAX_ATTEMPTS": "3",
    "CHANDRA_RETRY_S": "0.5",
    "CHANDRA_CACHE": "off",
}


class Institute:
    """Started whole, and each part of it killed and started again as a test wants."""

    def __init__(self, folder, n_replicas=1, **settings):
        self.world = World()
        self.engine = EngineProcess(folder / "engine", n_replicas)
        self.redis = RedisServer(folder / "redis")
        self.settings = SETTINGS | {f"CHANDRA_{k.upper()}": str(v) for k, v in settings.items()}
        self.environment = {}
        self.folder = folder
        self._stack = ExitStack()
        self.processes = None
        self.store = None

    def __enter__(self):
        self.engine.start()
        self._stack.callback(lambda: self.engine.stop())
        self.redis.start()
        self._stack.callback(lambda: self.redis.stop())
        self._stack.enter_context(self.world)
        addresses = {
            "CHANDRA_DATA_DIR": str(self.folder / "data"),
            "CHANDRA_DOWNLOADS_DIR": str(self.folder / "downloads"),
            **self.world.environment,
            "CHANDRA_QDRANT_URL": self.engine.url,
            "CHANDRA_REDIS_URL": self.redis.url,
        }
        self.processes = Processes(
            self.folder / "logs", addresses | self.settings | self.environment
        )
        self._stack.enter_context(self.processes)
        self.store = self._stack.enter_context(ServerStore(self.engine.url, timeout_s=30))
        return self

    def __exit__(self, *raised):
        return self._stack.__exit__(*raised)

    def start(self, *names):
        """Start ``io-1``, ``encode-1``, ``beat``, ``reindex`` and so on."""
        for name in names:
            role = name.partition("-")[0]
            command = [sys.executable, "-m", "flow_worker", role]
            ready = READY.get(role, "ready.")
            self.processes.start_command(name, command, ready)

    @property
    def ledger(self):
        return Ledger(self.store)

    def counts(self):
        return self.ledger.counts()

    def polled(self, feed):
        return self.ledger.notes.job(f"discover {feed}").done_at

    def strike(self, victim):
        """Kill a part, as kill -9 does, and start it again."""
        if victim in ("engine", "redis"):
            part = getattr(self, victim)
            part.kill()
            part.start()
        else:
            self.processes.kill(victim)
            self.processes.start_again(victim)

    def payloads(self, kind):
        return [record.payload for record in scroll_all(self.store, kind)]

    def items(self, feed):
        everything = all_of(is_item(), is_value("feed", feed))
        return {item.key: item for item in self.ledger.select(everything, 1_000_000)}

    def touched(self):
        """Return when each item last moved on."""
        return {k: i.updated_at for feed in ("csc", "ads") for k, i in self.items(feed).items()}

    def until(self, condition, seconds):
        until(condition, seconds, lambda: f"{self.counts()}\n{self.processes.logs()}")

    def job_done(self, name, seconds):
        """Let a job be due now, and wait until it is done."""
        before = self.ledger.notes.job(name).done_at
        self.ledger.notes.save_job(name, next_at=None, leased_until=None)
        self.until(lambda: self.ledger.notes.job(name).done_at != before, seconds)

    def settled(self, found, seconds):
        """Wait until so many items are known of each feed, and none is to be tried again."""

        def done():
            self.processes.revive()
            counts = self.counts()
            return all(
                sum(counts.get(feed, {}).values()) == n
                and not self.ledger.count(under_way(feed, page=10**9))
                for feed, n in found.items()
            )

        self.until(done, seconds)
