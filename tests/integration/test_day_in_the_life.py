"""Three polls of a day: everything new comes in, then nothing, then just what was added.

Archives are servers that speak TAP, csccli and the API of ADS.
"""

import pytest
from fake_encoder import FakeEncoder
from institute import Institute
from world import bibcode_of, key_of, nature

from search.collections.schema import DETECTIONS, PAPERS
from search.filters.filters import DetectionFilter
from search.service import SearchService

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DETECTED, PUBLISHED = 5000, 2000
MORE_DETECTED, MORE_PUBLISHED = 40, 15


@pytest.fixture(scope="module")
def institute(module_folder):
    institute = Institute(module_folder("institute"), poll_csc_days=30, poll_ads_days=1)
    institute.world.make(DETECTED, PUBLISHED)
    with institute:
        institute.start("io-1", "encode-1", "encode-2", "beat")
        yield institute


@pytest.fixture(scope="module")
def service(institute):
    return SearchService(institute.store, FakeEncoder())


@pytest.fixture(scope="module")
def first(institute):
    institute.settled({"csc": DETECTED, "ads": PUBLISHED}, 560)
    return institute.counts()


def usable(numbers):
    return {key_of(n) for n in numbers if nature(n) != "misplaced"}


def stored(institute, kind, field):
    return [payload[field] for payload in institute.payloads(kind)]


def test_first_poll_stores_everything(institute, first):
    assert sorted(stored(institute, DETECTIONS, "key")) == sorted(usable(range(DETECTED)))
    assert len(stored(institute, PAPERS, "bibcode")) == PUBLISHED
    assert first["ads"] == {"stored": PUBLISHED}
    failed = [n for n in range(DETECTED) if nature(n) in ("misplaced", "broken")]
    assert first["csc"] == {"stored": DETECTED - len(failed), "failed": len(failed)}


def test_what_came_in_is_found(service, first):
    papers = service.by_text("Which sources are binaries?", "papers").hits
    assert {hit.payload["bibcode"] for hit in papers} <= set(map(bibcode_of, range(PUBLISHED)))
    agn = DetectionFilter(classes=("AGN",))
    like = service.like(key_of(1), "detections", agn).hits
    assert papers
    assert like
    assert all("AGN" in hit.payload["class_path"] for hit in like)


def test_second_poll_finds_nothing(institute, first):
    points = institute.touched()
    for feed in ("csc", "ads"):
        institute.job_done(f"discover {feed}", 120)
    assert institute.counts() == first
    assert institute.touched() == points


def test_third_poll_finds_just_what_was_added(institute, first):
    before = institute.touched()
    institute.world.grow(MORE_DETECTED, MORE_PUBLISHED)
    for feed in ("csc", "ads"):
        institute.job_done(f"discover {feed}", 120)
    institute.settled({"csc": DETECTED + MORE_DETECTED, "ads": PUBLISHED + MORE_PUBLISHED}, 120)
    after = institute.touched()
    added = {key_of(DETECTED + n) for n in range(MORE_DETECTED)}
    added |= {bibcode_of(PUBLISHED + n) for n in range(MORE_PUBLISHED)}
    assert {key for key, at in after.items() if before.get(key) != at} == added
