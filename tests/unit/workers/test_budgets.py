from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from memory_store import MemoryStore

from common.errors import BudgetError
from workers.ledger.ledger import Ledger
from workers.steps.shared_pacing import BLOCK, Budgets

LIMITS = {"ads": 50, "ads-bigquery": 3}


@pytest.fixture
def notes():
    return Ledger(MemoryStore()).notes


def spend_all(budgets, archive="ads"):
    spent = 0
    while True:
        try:
            budgets.spend(archive)
        except BudgetError:
            return spent
        spent += 1


def test_budgets_grant_exactly_the_limit(notes):
    assert spend_all(Budgets(notes, LIMITS)) == 50
    assert spend_all(Budgets(notes, LIMITS), "ads-bigquery") == 3
    assert Budgets(notes, LIMITS).left("ads") == 0


def test_budgets_are_not_forgotten_over_a_restart(notes):
    for _ in range(5):
        Budgets(notes, LIMITS).spend("ads")  # killed after one request: its block counts
        if Budgets(notes, LIMITS).left("ads") < BLOCK:
            break
    assert spend_all(Budgets(notes, LIMITS)) <= 50 - 2 * BLOCK


def test_budgets_of_processes_at_the_same_time_come_to_the_limit(notes):
    with ThreadPoolExecutor(4) as pool:
        spent = pool.map(spend_all, [Budgets(notes, LIMITS) for _ in range(4)])
    assert sum(spent) == 50


def test_budgets_say_when_they_are_renewed(notes):
    budgets = Budgets(notes, {"ads": 0})
    with pytest.raises(BudgetError, match="used up") as raised:
        budgets.spend("ads")
    at = raised.value.retry_at
    assert (at.hour, at.minute, at.second) == (0, 0, 0)
    assert timedelta() < at - datetime.now(UTC) <= timedelta(days=1)


def test_budgets_count_nothing_without_a_limit(notes):
    budgets = Budgets(notes, LIMITS)
    for _ in range(100):
        budgets.spend("simbad")
    assert notes.spent("simbad", datetime.now(UTC).date()) == 0
