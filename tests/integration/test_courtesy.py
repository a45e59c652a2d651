import time

import pytest
from memory_store import MemoryStore
from pydantic import SecretStr
from redis_server import RedisServer

from common.errors import BudgetError, UnavailableError
from workers.ledger.ledger import Ledger
from workers.redis_client import connect
from workers.steps.shared_pacing import Budgets, SharedCourtesy

RATES = {"simbad": 5.0, "ads": 1e6}


@pytest.fixture
def server(tmp_path):
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def open_courtesy(server):
    budgets = Budgets(Ledger(MemoryStore()).notes, {"ads": 2})
    slept = []

    def open_courtesy():
        client = connect(SecretStr(server.url))
        return SharedCourtesy(client, RATES, budgets.spend, slept.append)

    open_courtesy.slept = slept
    return open_courtesy


def test_courtesy_gives_all_processes_together_five_slots_a_second(open_courtesy):
    processes = [open_courtesy() for _ in range(4)]
    started = time.monotonic()
    slots = []
    for n in range(24):
        processes[n % 4].wait("simbad")
        slots.append(time.monotonic() + open_courtesy.slept[-1] - started)
    assert slots[-1] >= 23 / 5
    sixth = [later - first for first, later in zip(slots, slots[5:], strict=False)]
    assert min(sixth) >= 1.0


def test_courtesy_does_not_wait_for_another_archive(open_courtesy):
    courtesy = open_courtesy()
    for archive in ("simbad", "simbad", "ads"):
        courtesy.wait(archive)
    assert open_courtesy.slept[1] > 0.1
    assert open_courtesy.slept[2] == 0


def test_courtesy_asks_for_no_slot_without_a_budget(open_courtesy):
    courtesy = open_courtesy()
    courtesy.wait("ads")
    courtesy.wait("ads")
    with pytest.raises(BudgetError):
        courtesy.wait("ads")
    assert len(open_courtesy.slept) == 2


def test_courtesy_without_redis_lets_nobody_ask(open_courtesy, server):
    courtesy = open_courtesy()
    server.kill()
    with pytest.raises(UnavailableError, match="Redis does not answer"):
        courtesy.wait("simbad")
