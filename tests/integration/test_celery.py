"""Queues, workers and beat, over a real Redis and real processes; the steps only take notes."""

import json
import sys
import time

import pytest
from fake_steps import FakeSteps
from pydantic import SecretStr
from redis_server import RedisServer
from worker_processes import Processes, until

from common.errors import InputError, UnavailableError
from workers import redis_client as broker
from workers.queue import beat
from workers.queue.app import ENCODE, IO, TICK, create_celery, send_task
from workers.queue.beat import BeatLock, OneBeat, QueueWatch
from workers.queue.tasks import DISPATCHING, Jobs

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def redis(module_folder):
    with RedisServer(module_folder("redis")) as server:
        yield server


@pytest.fixture
def client(redis):
    with broker.connect(SecretStr(redis.url)) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def app(redis):
    with create_celery(SecretStr(redis.url)) as app:
        yield app


class Notes:
    """Worker processes over `FakeSteps`, and what these were asked."""

    def __init__(self, folder, url):
        self.file = folder / "asked"
        self.url = url
        self.processes = Processes(folder / "logs", {})

    def start(self, *roles):
        for role in roles:
            command = [sys.executable, "-m", "fake_worker", role, self.url, str(self.file)]
            ready = "beat has started" if role == "beat" else "ready."
            self.processes.start_command(role, command, ready)

    def of(self, step):
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [keys for found, _, keys, _ in map(json.loads, lines) if found == step]

    def wait(self, step, keys, seconds=20):
        until(lambda: keys in self.of(step), seconds, self.processes.logs)

    def pids(self, step):
        lines = self.file.read_text().splitlines()
        return {pid for found, *_, pid in map(json.loads, lines) if found == step}


@pytest.fixture
def notes(tmp_path, redis, client):
    notes = Notes(tmp_path, redis.url)
    with notes.processes:
        yield notes


def fetch(app, *keys):
    send_task(app, "chandra-search.fetch", "csc", [*keys], queue=IO)


def store(app, *keys):
    send_task(app, "chandra-search.store", "csc", [*keys], queue=ENCODE)


def test_message_is_json_with_feed_and_keys_only(app, client):
    fetch(app, "2.1/1/0/1", "2.1/1/0/2")
    message = json.loads(client.lindex(IO, 0))
    assert message["content-type"] == "application/json"
    assert message["headers"]["argsrepr"] == "('csc', ['2.1/1/0/1', '2.1/1/0/2'])"


def test_steps_are_done_by_the_process_of_their_queue(app, notes):
    notes.start(IO, ENCODE)
    fetch(app, "a", "b")
    store(app, "c")
    notes.wait("fetch", ["a", "b"])
    notes.wait("store", ["c"])
    assert notes.pids("fetch") == {notes.processes.running[IO].pid}
    assert notes.pids("store") == {notes.processes.running[ENCODE].pid}


def test_worker_goes_on_after_an_archive_that_is_down(app, client, notes):
    notes.start(IO)
    fetch(app, "down")
    fetch(app, "next")
    notes.wait("fetch", ["next"])
    until(lambda: not client.exists("unacked"), 10)
    said = notes.processes.said(IO)
    assert "the archive does not answer: wait" in said
    assert "Traceback" not in said


def test_worker_told_to_stop_ends_what_it_has_in_hand(app, client, notes):
    notes.start(ENCODE)
    store(app, "slow")
    notes.wait("store", ["slow"])
    assert notes.processes.stop(ENCODE) == 0
    assert notes.of("end") == [["slow"]]
    assert not client.exists("unacked")


def test_tasks_survive_a_kill_of_redis(app, redis, notes):
    store(app, "kept")
    redis.kill()
    redis.start()
    notes.start(ENCODE)
    notes.wait("store", ["kept"])


@pytest.mark.parametrize("role", [IO, ENCODE])
def test_worker_finds_redis_again_that_was_killed_during_a_task(app, redis, notes, role):
    notes.start(role)
    send_task(app, "chandra-search.fetch", "csc", ["slow"], queue=role)
    notes.wait("fetch", ["slow"])
    redis.kill()
    redis.start()
    notes.wait("end", ["slow"])
    send_task(app, "chandra-search.fetch", "csc", ["after"], queue=role)
    notes.wait("fetch", ["after"], 30)


def test_beat_makes_workers_look_what_is_due(notes):
    notes.start(IO, "beat")
    notes.wait("dispatch", [])


def test_beat_sends_nothing_while_nobody_takes_it(app, client):
    client.rpush(IO, *["{}"] * beat.MOST_WAITING)
    lock = BeatLock(client)
    lock.take()
    scheduler = OneBeat(lock, QueueWatch(client), app=app)
    scheduler.schedule["tick"].last_run_at = (
        scheduler.schedule["tick"].default_now().replace(year=2020)
    )
    scheduler.tick()
    assert client.llen(IO) == beat.MOST_WAITING
    client.delete(IO)
    scheduler.tick()
    assert json.loads(client.lindex(IO, 0))["headers"]["task"] == TICK


def test_second_beat_is_refused_and_told_who_runs(client):
    first, second = BeatLock(client), BeatLock(client)
    first.take()
    with pytest.raises(InputError, match=r"another beat runs already \(process \d+ on "):
        second.take()
    first.release()
    second.take()


def test_beat_takes_its_lock_again_after_redis_forgot_it(client):
    lock = BeatLock(client)
    lock.take()
    client.delete(beat.LOCK)
    lock.renew()
    with pytest.raises(InputError):
        BeatLock(client).take()


def test_beat_gives_way_where_another_took_its_lock(client):
    lock = BeatLock(client)
    lock.take()
    client.set(beat.LOCK, "process 1 on another-machine")
    with pytest.raises(InputError, match="process 1 on another-machine"):
        lock.renew()


def test_beat_does_not_take_the_lock_of_another_of_the_same_name_for_its_own(client):
    first, second = BeatLock(client), BeatLock(client)  # two containers have number and host alike
    first.take()
    client.delete(beat.LOCK)
    second.take()
    with pytest.raises(InputError, match="another beat runs already"):
        first.renew()


def test_standing_queue_is_said_once_nobody_took_its_oldest_task(app, client, caplog):
    watch = QueueWatch(client, stalled_after_s=60)
    assert not watch.look(IO, now=0)
    fetch(app, "a")
    fetch(app, "b")
    assert not watch.look(IO, now=10)
    assert not watch.look(IO, now=69)
    assert watch.look(IO, now=71)
    assert watch.look(IO, now=131)
    assert caplog.text.count("worker --queue io") == 1
    client.rpop(IO)
    assert not watch.look(IO, now=132)
    assert watch.look(IO, now=200)
    assert caplog.text.count("worker --queue io") == 2


def test_one_worker_at_a_time_looks_what_is_due_and_not_too_often(app, client, tmp_path):
    asked = tmp_path / "asked"
    jobs = Jobs(app, FakeSteps(asked), client, every_s=60)
    jobs.tick()
    jobs.tick()
    assert len(asked.read_text().splitlines()) == 1
    client.delete(DISPATCHING)
    jobs.tick()
    assert len(asked.read_text().splitlines()) == 2


def test_a_worker_that_looked_for_too_long_leaves_the_lock_of_the_next_one_alone(app, client):
    held = []

    class Slow:
        def due(self):
            client.delete(DISPATCHING)  # its time has run out, and another begins
            client.set(DISPATCHING, "another", px=100_000)
            return []

        def dispatch(self, send):
            held.append(client.get(DISPATCHING))

    Jobs(app, Slow(), client, every_s=1).tick()
    assert held == [client.get(DISPATCHING)] == [b"another"]
    assert client.pttl(DISPATCHING) > 50_000


def test_two_workers_never_hold_the_lock_under_one_name(app, client):
    names = []

    class Noting:
        def due(self):
            names.append(client.get(DISPATCHING))
            return []

        def dispatch(self, send):
            client.delete(DISPATCHING)

    for _ in range(2):
        Jobs(app, Noting(), client).tick()
    assert len({*names}) == 2


def test_redis_that_keeps_everything_is_not_complained_of(client):
    assert broker.complaints(client) == []


def test_redis_that_forgets_is_complained_of_with_the_cure(tmp_path):
    with RedisServer(tmp_path, appendonly=False, policy="allkeys-lru") as forgetful:
        lost, evicted = broker.complaints(broker.connect(SecretStr(forgetful.url)))
    assert "--appendonly yes" in lost
    assert "--maxmemory-policy noeviction" in evicted


@pytest.mark.parametrize(("ahead_s", "word"), [(60, "ahead of"), (-60, "behind")])
def test_clock_that_differs_from_that_of_redis_is_complained_of(client, monkeypatch, ahead_s, word):
    now = time.time
    monkeypatch.setattr(broker.time, "time", lambda: now() + ahead_s)
    (skewed,) = broker.complaints(client)
    assert f"60 s {word}" in skewed


def test_redis_that_is_not_there_is_named_as_unavailable(tmp_path):
    server = RedisServer(tmp_path)
    with pytest.raises(UnavailableError, match="CHANDRA_REDIS_URL"):
        broker.connect(SecretStr(server.url))


def test_no_redis_leads_to_the_mode_without_one():
    with pytest.raises(InputError, match="serve --ingest"):
        create_celery(None)


def test_address_that_is_none_is_refused():
    with pytest.raises(InputError, match="no address of a Redis"):
        broker.connect(SecretStr("localhost"))
