"""Commands beside workers ask archives at the pace that all processes share, over a real Redis."""

import pytest
from archives.ads_server import OURS, TOKEN, ADSServer
from archives.universe import START, Universe
from fake_archives import FirstSentences
from fake_encoder import FakeEncoder
from redis_server import RedisServer
from typer.testing import CliRunner

from cli import ingest, jobs
from ingest.archives import settings as archives
from workers import bootstrap
from workers import settings as workers
from workers.writing.pipeline import Pipeline

pytestmark = pytest.mark.integration

SLOTS = "chandra-search:ads"


@pytest.fixture(scope="module")
def redis(module_folder):
    with RedisServer(module_folder("redis")) as server:
        yield server


@pytest.fixture
def ads():
    universe = Universe()
    universe.add_papers(3, START)
    with ADSServer(universe.papers) as server:
        yield server


@pytest.fixture
def environment(monkeypatch, ads, redis):
    settings = {
        "CHANDRA_ADS_URL": f"{ads.url}/v1",
        "CHANDRA_ADS_TOKEN": TOKEN,
        "CHANDRA_ADS_QUERY": OURS,
        "CHANDRA_ADS_PER_SECOND": "1000",
        "CHANDRA_ARCHIVE_BACKOFF_S": "0",
        "CHANDRA_FEEDS": '["ads"]',
        "CHANDRA_REDIS_URL": redis.url,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        bootstrap,
        "build_pipeline",
        lambda store, *_: Pipeline(store, FakeEncoder(), FirstSentences()),
    )
    for cached in (archives.get_settings, workers.get_settings):
        cached.cache_clear()
    yield monkeypatch
    for cached in (archives.get_settings, workers.get_settings):
        cached.cache_clear()


@pytest.fixture
def granted(redis):
    """Return a function that tells until when Redis has granted requests to ADS, if any."""
    with redis.client() as client:
        client.flushdb()
        yield lambda: client.get(SLOTS)


COMMANDS = pytest.mark.parametrize(
    ("app", "arguments"),
    [(jobs.app, ["poll", "ads"]), (ingest.app, ["ads", OURS])],
    ids=["jobs poll", "ingest ads"],
)


@COMMANDS
def test_command_shares_the_pace_of_the_workers(
    environment, ads, granted, tmp_path, app, arguments
):
    done = CliRunner().invoke(app, [*arguments, "--data-dir", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert ads.requests
    assert granted()


@COMMANDS
def test_command_without_a_redis_keeps_a_pace_of_its_own(
    environment, ads, granted, tmp_path, app, arguments
):
    environment.delenv("CHANDRA_REDIS_URL")
    workers.get_settings.cache_clear()
    done = CliRunner().invoke(app, [*arguments, "--data-dir", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert ads.requests
    assert granted() is None


@COMMANDS
def test_command_asks_nobody_while_it_cannot_know_what_the_workers_ask(
    environment, ads, tmp_path, app, arguments
):
    environment.setenv("CHANDRA_REDIS_URL", "redis://127.0.0.1:1/0")
    workers.get_settings.cache_clear()
    done = CliRunner().invoke(app, [*arguments, "--data-dir", str(tmp_path)])
    assert done.exit_code != 0
    assert "CHANDRA_REDIS_URL" in f"{done.exception}"
    assert not ads.requests
