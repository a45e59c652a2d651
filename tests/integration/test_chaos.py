"""Everything is killed again and again, archives answer badly, and nothing is lost or doubled.

All the while the store is brought to another model, on three replicas, by two workers that encode
and who wait there for others to write first. In the second world writes also fail after they have
reached one replica.
"""

import random
import time

import pytest
from held_writers import Board
from institute import Institute
from two_models import BetterEncoder, differences, open_pipeline
from world import bibcode_of, key_of, match_of, nature, number_at, place_of

from search.collections.schema import DETECTIONS, PAPERS, model_of
from workers.ledger.items import State
from workers.maintenance.reindex import drop_old
from workers.maintenance.verify import Verifier

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROUNDS = 20
SEED = 2026
VICTIMS = ("io-1", "io-2", "encode-1", "encode-2", "beat", "reindex", "redis", "engine")
HALF_WRITES = {"writes fail whole": (0,), "writes fail half-way": (0, 1, 2, 6)}
LETHAL = 7
EVERY_FEW_SECONDS = 4 / 86_400


@pytest.fixture(scope="module", params=HALF_WRITES)
def after_chaos(module_folder, request):
    """An institute that has come to rest after everything in it was killed."""
    chance = random.Random(SEED)
    institute = Institute(
        module_folder("institute"),
        n_replicas=3,
        lease_s=8,
        retry_s=1,
        max_attempts=3,
        fetch_batch=8,
        batch=64,
        visibility_timeout_s=20,
        poll_csc_days=EVERY_FEW_SECONDS,
        poll_ads_days=EVERY_FEW_SECONDS,
        rematch_days=EVERY_FEW_SECONDS,
    )
    institute.environment["WORLD_HOLD"] = "0.3"
    victims = [*VICTIMS, *chance.choices(VICTIMS, k=ROUNDS - len(VICTIMS))]
    chance.shuffle(victims)
    institute.world.csc.max_rows = 200  # fewer than a page: every sweep meets OVERFLOW
    institute.world.make(detections=100, papers=50, faults=0.05, lethal=[LETHAL])
    with institute:
        institute.start("io-1", "io-2", "encode-1", "encode-2", "beat", "reindex")
        for victim in victims:
            institute.world.grow(detections=25, papers=10)
            institute.engine.fail_half(writes=chance.choice(HALF_WRITES[request.param]))
            time.sleep(chance.uniform(0.5, 5))
            institute.strike(victim)
            institute.processes.revive()
        institute.world.stumble(0.0)
        institute.engine.fail_half(writes=0)
        known = {"csc": institute.world.detections, "ads": institute.world.papers}
        institute.settled(known, 240)
        given_up = institute.ledger.retry()  # by chance: what failed for good fails again
        institute.settled(known, 240)
        institute.given_up = given_up
        institute.job_done("rematch", 60)
        institute.until(lambda: model_of(institute.store) == "fake1", 120)
        institute.processes.end("reindex")
        institute.unequal = differences(institute.store)
        drop_old(institute.store, grace_s=2.0)
        yield institute


@pytest.fixture(scope="module")
def detections(after_chaos):
    return range(after_chaos.world.detections)


@pytest.fixture(scope="module")
def papers(after_chaos):
    return range(after_chaos.world.papers)


@pytest.fixture(scope="module")
def stored(after_chaos):
    return after_chaos.payloads(DETECTIONS)


def test_every_detection_is_stored_once(stored, detections):
    expected = {key_of(n) for n in detections if nature(n) != "misplaced" and n != LETHAL}
    assert sorted(one["key"] for one in stored) == sorted(expected)


def test_every_spectrum_is_stored(stored, detections):
    expected = {key_of(n) for n in detections if not nature(n) and n != LETHAL}
    assert {one["key"] for one in stored if one["has_spectrum"]} == expected


def test_classes_and_papers_of_detections_are_right(stored):
    for one in stored:
        class_path, bibcodes = match_of(number_at(one["obsid"], one["obi"], one["region_id"]))
        assert one.get("class_path", []) == [*class_path]
        assert one.get("bibcodes", []) == [*bibcodes]


def test_every_paper_is_stored_once(after_chaos, papers):
    stored = [one["bibcode"] for one in after_chaos.payloads(PAPERS)]
    assert sorted(stored) == sorted(map(bibcode_of, papers))


def test_every_failure_is_in_the_ledger_with_its_reason(after_chaos, detections):
    items = after_chaos.items("csc")
    failed = {key: item.error for key, item in items.items() if item.state == State.FAILED}
    broken = {key_of(n) for n in detections if nature(n) == "broken"}
    refused = {key_of(n) for n in detections if nature(n) == "misplaced"}
    assert failed.keys() == broken | refused
    assert all("FITS" in failed[key] for key in broken)
    assert all("is no position" in failed[key] for key in refused)


def test_what_kills_workers_is_set_aside_alone(after_chaos):
    items = after_chaos.items("csc").values()
    poison = {item.key: item.error for item in items if item.state == State.QUARANTINED}
    assert poison.keys() == {key_of(LETHAL)}, poison
    assert "never came back" in poison[key_of(LETHAL)]


def test_both_models_said_the_same_until_one_was_dropped(after_chaos):
    assert after_chaos.unequal == []
    assert model_of(after_chaos.store) == "fake1"


def test_writers_did_meet(after_chaos):
    assert Board(after_chaos.folder / "data" / "writes").n_too_late() > 0


def test_no_replica_is_apart(after_chaos):
    assert after_chaos.engine.apart() == {}


def test_verify_finds_nothing(after_chaos):
    pipeline = open_pipeline(after_chaos.store, BetterEncoder())
    assert Verifier(pipeline).run().findings == []


def test_watermarks_are_at_the_end(after_chaos, detections):
    obsid, obi, region_id = place_of(detections[-1])
    last = f"{obsid:06d}/{obi:03d}/{region_id:06d}"

    def at_the_end():  # between two sweeps, which go on all the time
        feeds = {name: after_chaos.ledger.notes.feed(name) for name in ("csc", "ads")}
        settled = all(known.settled == known.page for known in feeds.values())
        return settled and feeds["csc"].watermark.endswith(last)

    after_chaos.until(at_the_end, 60)


def test_another_poll_finds_nothing(after_chaos):
    before = after_chaos.counts()
    for feed in ("csc", "ads"):
        done = after_chaos.polled(feed)
        after_chaos.until(lambda feed=feed, done=done: after_chaos.polled(feed) > done, 60)
    assert after_chaos.counts() == before
