from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.options.filters import FilterOptions
from common.errors import InvalidQueryError
from search.filters.cone import Cone
from search.filters.filters import DetectionFilter, PaperFilter

NUMBERS = st.none() | st.floats(-1e6, 1e6)


def test_narrowing_fills_every_field_of_the_filter_of_detections():
    narrowing = FilterOptions(
        classes=["AGN"],
        exclude_classes=["Sy2"],
        where="hard_hs > 0",
        obsid=[1, 2],
        instrument=["ACIS"],
        first="2001-05-31",
        last="2004",
        ranges=["hard_hs:-0.3:0.8", "counts:100:"],
        has=["bb_kt"],
        lacks=["apec_z"],
        cone="10.68 41.27 5arcmin",
        source=["2CXO J004242.9+411543"],
    )
    built = narrowing.filter("detections")
    assert built == DetectionFilter(
        classes=("AGN",),
        exclude_classes=("Sy2",),
        where="hard_hs > 0",
        obsid=(1, 2),
        instrument=("ACIS",),
        observed_from=date(2001, 5, 31),
        observed_to=date(2004, 12, 31),
        ranges={"hard_hs": (-0.3, 0.8), "counts": (100.0, None)},
        has=("bb_kt",),
        lacks=("apec_z",),
        cone=Cone.parse("10.68 41.27 5arcmin"),
        source_name=("2CXO J004242.9+411543",),
    )
    assert built.model_fields_set == DetectionFilter.model_fields.keys()


def test_narrowing_fills_every_field_of_the_filter_of_papers():
    narrowing = FilterOptions(
        classes=["AGN"],
        exclude_classes=["Sy2"],
        where="year > 2000",
        first="2001-05-31",
        last="2004",
        has=["journal"],
        lacks=["source"],
        source=["M 31"],
        author=["Ueda, Y."],
        bibcode=["2004A&A...426...11P"],
        min_topic=0.9,
    )
    built = narrowing.filter("papers")
    assert (built.year_from, built.year_to) == (2001, 2004)
    assert built.model_fields_set == PaperFilter.model_fields.keys() - {"any_topic"}
    assert FilterOptions(any_topic=True).filter("papers") == PaperFilter(any_topic=True)


def test_narrowing_lowest_probability_of_zero_is_something_else_than_none():
    assert FilterOptions(min_topic=0.0).filter("papers").min_topic == 0


@pytest.mark.parametrize("given_", [{"min_topic": 1.2}, {"min_topic": float("nan")}])
def test_narrowing_refuses_what_is_no_probability(given_):
    with pytest.raises(InvalidQueryError, match="--min-topic: "):
        FilterOptions(**given_).filter("papers")


def test_narrowing_refuses_two_words_on_the_topic():
    with pytest.raises(InvalidQueryError, match="--min-topic: any topic is asked for as well"):
        FilterOptions(min_topic=0.9, any_topic=True).filter("papers")


@pytest.mark.parametrize(
    ("to", "given_", "said"),
    [
        ("papers", {"obsid": [1], "instrument": ["ACIS"]}, "--obsid, --instrument"),
        ("papers", {"cone": "1 2 3arcmin"}, "--cone"),
        ("papers", {"ranges": ["year:2000:"]}, "--range"),
        ("detections", {"author": ["Ueda, Y."]}, "--author"),
        ("detections", {"bibcode": ["2004A&A...426...11P"]}, "--bibcode"),
        ("detections", {"min_topic": 0.9}, "--min-topic"),
        ("detections", {"any_topic": True}, "--any-topic"),
    ],
)
def test_narrowing_refuses_what_the_target_does_not_have_and_says_what_it_has(to, given_, said):
    with pytest.raises(InvalidQueryError, match=f"{said} cannot narrow down {to}.*--class"):
        FilterOptions(**given_).filter(to)


@pytest.mark.parametrize("text", ["hard_hs", "hard_hs:1", "hard_hs:a:", "hard_hs:1:2:3", "", ":"])
def test_narrowing_refuses_what_is_no_range(text):
    with pytest.raises(InvalidQueryError, match="field:low:high"):
        FilterOptions(ranges=[text]).detections()


def test_narrowing_refuses_two_ranges_of_one_field():
    with pytest.raises(InvalidQueryError, match="twice"):
        FilterOptions(ranges=["hard_hs:0:", "hard_hs::1"]).detections()


@pytest.mark.parametrize("day", ["yesterday", "2004-13-01", "04", "20040531x"])
def test_narrowing_refuses_what_is_no_day(day):
    with pytest.raises(InvalidQueryError, match="2004-05-31, or a year"):
        FilterOptions(first=day).detections()


@given(low=NUMBERS, high=NUMBERS)
def test_narrowing_reads_any_range_it_could_write(low, high):
    ends = sorted(end for end in (low, high) if end is not None)
    if len(ends) == 2:
        low, high = ends
    text = f"hard_hs:{'' if low is None else low}:{'' if high is None else high}"
    if low is None and high is None:
        with pytest.raises(InvalidQueryError, match="hard_hs"):
            FilterOptions(ranges=[text]).detections().to_qdrant()
    else:
        assert FilterOptions(ranges=[text]).detections().ranges == {"hard_hs": (low, high)}


@pytest.mark.parametrize(
    ("to", "given_", "said"),
    [
        ("detections", {"first": "2005", "last": "2001"}, "^--from 2005-01-01 is beyond --until"),
        ("papers", {"first": "2005", "last": "2001"}, "^--from 2005 is beyond --until 2001"),
        ("detections", {"ranges": ["instrument:0:1"]}, "^--range: instrument"),
        ("detections", {"has": ["source"]}, "^--has: .*source_name"),
        ("detections", {"source": [""]}, r"^--source \(0\): "),
        ("papers", {"classes": [""], "author": [""]}, r"^--class \(0\): .*; --author \(0\): "),
    ],
)
def test_narrowing_refuses_in_terms_of_its_options(to, given_, said):
    with pytest.raises(InvalidQueryError, match=said):
        FilterOptions(**given_).filter(to)
