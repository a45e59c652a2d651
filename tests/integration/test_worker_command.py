"""``worker`` and ``beat`` as an institute starts them, with the shipped bundle."""

import subprocess
from urllib.request import urlopen

import pytest
from command import COMMAND, run
from institute import Institute
from world import key_of

from search.collections.schema import DETECTIONS

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DETECTED, PUBLISHED = 30, 10
METRICS_PORT = 8769


@pytest.fixture(scope="module")
def institute(module_folder):
    institute = Institute(module_folder("institute"))
    institute.world.make(DETECTED, PUBLISHED)
    with institute:
        institute.processes.start("io-1", "worker", "--queue", "io")
        institute.processes.start("encode-1", "worker", "--queue", "encode")
        institute.processes.environment["CHANDRA_WORKER_METRICS_PORT"] = str(METRICS_PORT)
        institute.processes.start("beat", "beat")
        yield institute


def test_workers_and_beat_ingest_what_archives_know(institute):
    institute.settled({"csc": DETECTED, "ads": PUBLISHED}, 180)
    stored = {payload["key"]: payload for payload in institute.payloads(DETECTIONS)}
    assert sorted(stored) == sorted(map(key_of, range(DETECTED)))
    assert stored[key_of(0)]["class_path"][-1] == "QSO"
    assert stored[key_of(0)]["summary_hash"]


def test_beat_tells_prometheus_of_the_queues(institute):
    with urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics") as answer:
        assert 'chandra_queue_stalled{queue="io"} 0.0' in answer.read().decode()


def test_logs_are_json_lines_with_step_and_keys(institute):
    said = institute.processes.said("encode-1")
    assert '"step": "store"' in said
    assert '"keys": ["' in said


def test_second_beat_ends_and_names_the_first(institute):
    done = subprocess.run(
        [*COMMAND, "beat"],
        env=institute.processes.environment | {"CHANDRA_WORKER_METRICS_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 2
    assert f"process {institute.processes.running['beat'].pid}" in done.stderr


def test_workers_on_an_embedded_store_are_refused_with_the_cure(tmp_path):
    done = run("worker", "--queue", "io", data_dir=tmp_path, code=2)
    assert "belongs to one process" in done.stderr
    assert "serve --ingest" in done.stderr


def test_worker_told_to_stop_ends_well(institute):
    assert institute.processes.stop("io-1") == 0
