"""The ledger on every engine."""

from datetime import UTC, date, datetime, timedelta

import pytest
from qdrant_client import models

from search.collections.schema import INGEST_LOG
from workers.ledger.items import Entry, State, all_of, is_item
from workers.ledger.ledger import ALONE_AFTER, Ledger

LEASE = timedelta(minutes=15)
ALL = (State.FOUND,)


def now():
    return datetime.now(UTC)


@pytest.fixture
def ledger(store):
    if INGEST_LOG in store.collections():
        store.delete_collection(INGEST_LOG)
    yield Ledger(store)
    store.delete_collection(INGEST_LOG)


def entry(number, **record):
    return Entry(f"k{number}", {"value": number / 3, **record}, f"{number:03d}")


def found(ledger, *numbers, **more):
    return ledger.found("csc", [entry(number, **more) for number in numbers], page=1, sweep=1)


def state_of(ledger, number):
    return ledger.items("csc", [f"k{number}"])[0].state


def take(ledger, *numbers, states=ALL, most=5):
    return ledger.deliver("csc", [f"k{n}" for n in numbers], states, most, LEASE)[0]


def test_ledger_gives_back_what_was_found(ledger):
    assert found(ledger, 1, 2, name="2CXO J000000.0+000000", empty=None) == 2
    one, two = ledger.items("csc", ["k1", "k2", "k3"])
    assert one.record == {"value": 1 / 3, "name": "2CXO J000000.0+000000", "empty": None}
    assert (two.key, two.state, two.position, two.page) == ("k2", State.FOUND, "002", 1)
    assert ledger.counts() == {"csc": {"found": 2}}


def test_ledger_finding_the_same_again_changes_nothing_but_the_sweep(ledger):
    found(ledger, 1)
    ledger.advance(take(ledger, 1), State.STORED)
    before = ledger.items("csc", ["k1"])[0]
    assert ledger.found("csc", [entry(1)], page=2, sweep=2) == 0
    after = ledger.items("csc", ["k1"])[0]
    assert (after.state, after.sweep, after.page) == (State.STORED, 2, 1)
    assert after.updated_at == before.updated_at


def test_ledger_a_changed_record_is_worked_on_again(ledger):
    found(ledger, 1, 2)
    ledger.advance(take(ledger, 1), State.STORED, complete=True)
    ledger.fail(dict.fromkeys(take(ledger, 2), "no such file"), None)
    assert found(ledger, 1, 2, name="renamed") == 2
    complete, bare = ledger.items("csc", ["k1", "k2"])
    assert complete.state == State.FETCHED  # its file is stored, only the row is another
    assert (bare.state, bare.error, bare.attempts) == (State.FOUND, None, 0)


def test_ledger_an_outcome_of_an_old_record_does_not_hide_the_new_one(ledger):
    found(ledger, 1, 2)
    old = take(ledger, 1, 2)
    found(ledger, 1, name="changed meanwhile")
    ledger.advance(old, State.STORED)
    assert state_of(ledger, 1) == State.FOUND
    assert state_of(ledger, 2) == State.STORED


def test_ledger_a_kill_between_an_outcome_and_its_check_is_seen_by_the_next_discovery(
    ledger, store
):
    found(ledger, 1)
    item = ledger.items("csc", ["k1"])[0]
    found(ledger, 1, name="changed")
    store.set_payload(INGEST_LOG, {item.id: {"state": "stored", "done": item.content}})
    assert found(ledger, 1, name="changed") == 1
    assert state_of(ledger, 1) == State.FOUND


def test_ledger_leased_items_are_due_again_when_the_lease_ends(ledger):
    found(ledger, 1, 2)
    items = ledger.due("csc", ALL, 10, now())
    assert {item.key for item in items} == {"k1", "k2"}
    ledger.lease(items[:1], now() + LEASE)
    assert [i.key for i in ledger.due("csc", ALL, 10, now())] == [items[1].key]
    assert len(ledger.due("csc", ALL, 10, now() + 2 * LEASE)) == 2
    ledger.free()
    assert len(ledger.due("csc", ALL, 10, now())) == 2


def test_ledger_due_items_are_no_more_than_asked_for(ledger):
    found(ledger, *range(30))
    assert len(ledger.due("csc", ALL, 7, now())) == 7
    assert ledger.due("csc", ALL, -1, now()) == []
    assert ledger.due("ads", ALL, 7, now()) == []


def test_ledger_what_failed_is_due_at_its_time_and_never_when_it_was_given_up(ledger):
    found(ledger, 1, 2)
    states = (State.FOUND, State.FAILED)
    later, never = take(ledger, 1, 2)
    ledger.fail({later: "time-out"}, now() + LEASE)
    ledger.fail({never: "no FITS"}, None)
    assert ledger.due("csc", states, 10, now()) == []
    due = ledger.due("csc", states, 10, now() + 2 * LEASE)
    assert [(i.key, i.attempts, i.error) for i in due] == [(later.key, 1, "time-out")]


def test_ledger_released_items_rest_and_have_not_been_tried(ledger):
    found(ledger, 1)
    ledger.release(take(ledger, 1), now() + LEASE)
    assert ledger.due("csc", ALL, 10, now()) == []
    [item] = ledger.due("csc", ALL, 10, now() + 2 * LEASE)
    assert (item.deliveries, item.attempts) == (0, 0)


def test_ledger_deliveries_are_counted_until_an_item_is_quarantined(ledger):
    found(ledger, 1)
    for n in range(3):
        [item] = take(ledger, 1, most=3)
        assert item.deliveries == n
    to_do, given_up = ledger.deliver("csc", ["k1"], ALL, 3, LEASE)
    assert (to_do, [i.key for i in given_up]) == ([], ["k1"])
    [item] = ledger.items("csc", ["k1"])
    assert item.state == State.QUARANTINED
    assert "3 times" in item.error
    states = (State.FOUND, State.FETCHED, State.FAILED, State.WAITING)
    assert ledger.due("csc", states, 10, now() + 9 * LEASE) == []


def test_ledger_an_item_that_moves_on_is_not_suspected_any_more(ledger):
    found(ledger, 1)
    for _ in range(2):
        items = take(ledger, 1)
    ledger.advance(items, State.FETCHED)
    [item] = ledger.items("csc", ["k1"])
    assert (item.deliveries, item.leased_until) == (0, None)


def test_ledger_a_suspect_is_left_out_of_a_batch(ledger):
    found(ledger, 1, 2)
    for _ in range(ALONE_AFTER):
        take(ledger, 1)
    assert [item.key for item in take(ledger, 1, 2)] == ["k2"]
    assert [item.key for item in take(ledger, 1)] == ["k1"]


def test_ledger_what_has_moved_on_is_not_delivered(ledger):
    found(ledger, 1)
    ledger.advance(take(ledger, 1), State.STORED)
    assert take(ledger, 1) == []
    assert take(ledger, 99) == []


def test_ledger_retry_lets_what_was_given_up_be_tried_afresh(ledger):
    found(ledger, 1, 2, 3)
    one, two, three = take(ledger, 1, 2, 3)
    ledger.fail({one: "bad", two: "bad"}, None)
    ledger.advance([three], State.STORED)
    assert ledger.retry("ads") == 0
    assert ledger.retry("csc", ["k1"]) == 1
    assert ledger.retry() == 1
    items = ledger.due("csc", ALL, 10, now())
    assert {(i.key, i.attempts, i.error) for i in items} == {("k1", 0, None), ("k2", 0, None)}


def test_ledger_retry_leaves_rows_that_the_archive_has_to_correct(ledger):
    ledger.found("csc", [Entry("k1", {}, "1", error="the declination is 123 degrees")])
    assert ledger.retry() == 0
    assert state_of(ledger, 1) == State.FAILED


def test_ledger_withdrawn_items_come_back_when_they_are_found_again(ledger):
    found(ledger, 1)
    ledger.advance(take(ledger, 1), State.STORED, complete=True)
    ledger.withdraw("csc", {"k1": "gone", "k2": "never known"})
    assert ledger.counts() == {"csc": {"withdrawn": 1}}
    assert found(ledger, 1) == 1
    assert state_of(ledger, 1) == State.FETCHED


def test_ledger_a_row_that_cannot_be_used_is_failed_with_its_reason_until_it_changes(ledger):
    wrong = Entry("row 7", {}, "007", "dec is 123")
    assert ledger.found("csc", [wrong], 1, 1) == 1
    assert ledger.found("csc", [wrong], 2, 1) == 0
    [item] = ledger.items("csc", ["row 7"])
    assert (item.state, item.error) == (State.FAILED, "dec is 123")


def test_ledger_watermark_waits_for_the_first_page_with_something_under_way(ledger):
    notes = ledger.notes
    for page in (1, 2, 3):
        ledger.found("csc", [entry(page)], page, 1)
    notes.save_feed("csc", page=3, pages=[(1, "a"), (2, "b"), (3, "c")])
    assert ledger.settle("csc") == ""
    ledger.advance(take(ledger, 1, 3), State.STORED)
    assert ledger.settle("csc") == "a"
    ledger.fail({take(ledger, 2)[0]: "time-out"}, now() + LEASE)
    assert ledger.settle("csc") == "a"  # it will be tried again
    ledger.fail({ledger.items("csc", ["k2"])[0]: "time-out"}, None)
    assert ledger.settle("csc") == "c"
    assert (notes.feed("csc").settled, notes.feed("csc").watermark) == (3, "c")


def test_ledger_selects_many_items(ledger):
    ledger.found("csc", [entry(n) for n in range(2500)], 1, 1)
    assert len({item.key for item in ledger.select(all_of(is_item()), 2400, light=True)}) == 2400
    assert ledger.count(all_of(is_item())) == 2500
    assert len(ledger.items("csc", [f"k{n}" for n in range(2500)])) == 2500


def test_notes_keep_what_is_not_changed(ledger):
    notes = ledger.notes
    notes.save_feed("ads", cursor="x", pages=[(1, "a")], polled_at=now())
    notes.save_feed("ads", watermark="a", settled=1)
    known = notes.feed("ads")
    assert (known.cursor, known.pages, known.watermark) == ("x", ((1, "a"),), "a")
    assert known.polled_at.tzinfo is not None
    assert notes.feed("csc").cursor == ""


def test_notes_grant_what_is_left_of_a_day(ledger):
    notes, today, other = ledger.notes, date(2026, 5, 1), date(2026, 5, 2)
    assert notes.spend("ads", today, 20, limit=50) == 20
    assert notes.spend("ads", today, 20, limit=50) == 20
    assert notes.spend("ads", other, 5, limit=50) == 5
    assert notes.spend("simbad", today, 7, limit=50) == 7
    assert notes.spent("ads", today) == 40
    assert notes.spend("ads", today, 20, limit=50) == 10
    assert notes.spend("ads", today, 20, limit=50) == 0


def test_notes_count_what_was_spent_by_the_version_before(store, ledger):
    """It wrote a point for each process."""
    today = date(2026, 5, 3)
    for number in (1, 2):
        payload = {"kind": "budget", "name": "ads", "day": f"{today}", "spent": 20}
        store.upsert(INGEST_LOG, [models.PointStruct(id=number, vector={}, payload=payload)])
    assert ledger.notes.spend("ads", today, 20, limit=50) == 10
    assert ledger.notes.spent("ads", today) == 50
