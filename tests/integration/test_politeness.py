"""What archives see of four worker processes, some of them killed meanwhile."""

import pytest
from institute import Institute

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DETECTIONS, PAPERS = 240, 100
ADS_BUDGET = 30


@pytest.fixture(scope="module")
def seen(module_folder):
    """Archives that four workers asked for a small sky."""
    institute = Institute(
        module_folder("institute"),
        fetch_batch=4,
        lease_s=8,
        retry_s=1,
        visibility_timeout_s=20,
        poll_ads_days=1 / 86_400,
        ads_daily_budget=ADS_BUDGET,
    )
    workers = [f"io-{n}" for n in range(1, 5)]
    institute.world.make(DETECTIONS, PAPERS)
    with institute:
        institute.start("encode-1", "beat", *workers)
        institute.until(lambda: len(institute.world.simbad.requests) > 20, 60)
        for worker in workers[:2]:
            institute.strike(worker)
        institute.settled({"csc": DETECTIONS}, 120)
        institute.until(lambda: institute.ledger.notes.job("discover ads").error, 120)
        institute.world.ads_error = institute.ledger.notes.job("discover ads").error
    return institute.world


def most_within(times, seconds):
    """Return the greatest number of times in any window of so many seconds."""
    return max(sum(start <= at < start + seconds for at in times) for start in times)


def test_simbad_gets_at_most_five_requests_in_any_second(seen):
    assert len(seen.simbad.requests) >= DETECTIONS / 4
    assert most_within(seen.simbad.times(), seconds=1) <= 5


def test_ads_gets_no_more_than_its_budget(seen):
    assert 0 < len(seen.ads.requests) <= ADS_BUDGET
    assert "used up" in seen.ads_error
