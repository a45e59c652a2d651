import json
from datetime import UTC, datetime, timedelta

import pytest
from fake_archives import FakeArchives, Observed
from hypothesis import given
from hypothesis import strategies as st

from common.records import Detection, Paper, Refusal, Summary
from workers.ledger.items import packed
from workers.steps.feeds.ads import BEGINNING, OVERLAP, ADSFeed
from workers.steps.feeds.cda import CDAFeed
from workers.steps.feeds.csc import CSCFeed
from workers.steps.feeds.records import detection_record, paper_record, read_detection, read_paper


@pytest.fixture
def archives(tmp_path):
    return FakeArchives(tmp_path / "files")


names = st.text(min_size=1, max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
detections = st.builds(
    Detection,
    key=names,
    telescope=names,
    instrument=names,
    obsid=st.none() | st.integers(0, 99_999),
    obi=st.none() | st.integers(0, 5),
    region_id=st.none() | st.integers(0, 9_999),
    source_name=st.none() | names,
    ra_deg=st.none() | numbers,
    observed_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    source_class=st.lists(names).map(tuple),
    variables=st.dictionaries(names, numbers),
    catalogue=st.dictionaries(names, numbers | names | st.booleans()),
    bibcodes=st.lists(names).map(tuple),
    simulated=st.booleans(),
)
summaries = st.builds(Summary, names, names, names, st.just("given"))
papers = st.builds(
    Paper,
    bibcode=names,
    title=st.text(max_size=20),
    abstract=st.text(max_size=20),
    year=st.none() | st.integers(1999, 2030),
    authors=st.lists(names).map(tuple),
    summary=st.none() | summaries,
)


@given(detections)
def test_records_give_a_detection_back_from_its_json(detection):
    assert read_detection(json.loads(packed(detection_record(detection)))) == detection


@given(papers)
def test_records_give_a_paper_back_from_its_json(paper):
    assert read_paper(json.loads(packed(paper_record(paper)))) == paper


def test_csc_feed_goes_on_after_its_cursor(archives):
    archives.add_detections(10)
    feed = CSCFeed(archives, page=4)
    pages = [*feed.pages("")]
    assert [len(page.entries) for page in pages] == [4, 4, 2]
    rest = [*feed.pages(pages[0].cursor)]
    assert [entry.key for page in rest for entry in page.entries] == [
        entry.key for page in pages[1:] for entry in page.entries
    ]
    assert sorted(page.end for page in pages) == [page.end for page in pages]


def test_csc_feed_positions_sort_as_keys_do(archives):
    archives.add_detections(2, obsid=999)
    archives.add_detections(1, obsid=25_000)
    [page] = CSCFeed(archives).pages("")
    positions = [entry.position for entry in page.entries]
    assert positions == sorted(positions)


def test_csc_feed_brings_rows_that_cannot_be_used_with_their_reason(archives):
    archives.add_detections(2)
    place = max(archives.rows)
    archives.rows[place] = Refusal("row 2", "dec is 123: correct it")
    [page] = CSCFeed(archives).pages("")
    assert [entry.error for entry in page.entries] == [None, "dec is 123: correct it"]
    assert page.cursor == page.entries[0].position


def test_cda_feed_overlaps_and_ends_at_the_moment_it_was_asked(archives):
    before = datetime.now(UTC)
    archives.observed += [
        Observed(25_000, before - timedelta(hours=2)),
        Observed(24_000, before - timedelta(days=400)),
    ]
    feed = CDAFeed(archives, archives)
    *_, last = feed.pages("")
    assert datetime.fromisoformat(last.cursor) >= before
    again = [*feed.pages(last.cursor)]
    assert [entry.key for page in again for entry in page.entries] == ["obs/25000"]
    assert again[0].entries[0].record["obsid"] == 25_000


def test_cda_feed_takes_only_what_belongs_to_the_observation(archives):
    archives.add_detections(3, obsid=25_000, where=archives.recent)
    archives.add_detections(2, obsid=25_001, where=archives.recent)
    feed = CDAFeed(archives, archives)
    assert len(feed.detections_of(25_000, "")) == 3
    assert feed.detections_of(25_002, "") == []


def paper_at(number, at):
    return at, Paper(f"20{number}ApJ...000..100X", "title", "abstract")


def test_ads_feed_reads_the_past_in_windows_and_closes_each(archives):
    early, late = BEGINNING + timedelta(days=3), datetime.now(UTC) - timedelta(days=1)
    for number, at in ((1, early), (2, late)):
        archives.papers[number] = paper_at(number, at)
    pages = [*ADSFeed(archives).pages("")]
    filled = [page for page in pages if page.entries]
    assert [page.entries[0].key for page in filled] == [
        "201ApJ...000..100X",
        "202ApJ...000..100X",
    ]
    ends = [page.end for page in pages]
    assert ends == sorted(ends)
    assert filled[0].end == BEGINNING.isoformat()  # its window is not closed yet
    assert datetime.now(UTC) - datetime.fromisoformat(ends[-1]) < timedelta(minutes=1)


def test_ads_feed_asks_again_for_the_last_day_only(archives):
    *_, last = ADSFeed(archives).pages("")
    archives.asked.clear()
    for _ in ADSFeed(archives).pages(last.cursor):
        pass
    [(_, since)] = archives.asked
    assert datetime.fromisoformat(json.loads(last.cursor)["added"]) - since == OVERLAP


def test_ads_feed_does_not_miss_what_changes_while_the_past_is_read(archives):
    first, *_ = ADSFeed(archives).pages("")
    started = datetime.fromisoformat(json.loads(first.cursor)["changed"])
    archives.papers[1] = paper_at(1, datetime.now(UTC))
    changed = [*ADSFeed(archives).pages(first.cursor)][-2]
    assert datetime.fromisoformat(changed.entries[0].position) > started
