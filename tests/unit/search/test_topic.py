"""Papers that are not about X-ray sources: left out by default where spectra are compared."""

import json
from dataclasses import replace

import numpy as np
import pytest
from api_requests import SPECTRUM, array, assert_problem
from fastapi.testclient import TestClient
from small_services import small_services
from small_store import (
    AGN,
    AGN_PAPER,
    BINARY_PAPER,
    EXPOSURE_S,
    WEATHER_PAPER,
    SmallStore,
    hard_counts,
    paper_point,
)

from search.api import create_api
from search.collections.schema import PAPERS, TOPIC_PROBABILITY
from search.filters.cone import Cone
from search.filters.filters import PaperFilter
from search.queries.pages import PLAIN
from search.queries.questions import Question
from search.rendering.columns import remark_on_topic
from search.rendering.formats import render
from search.results import PageOptions
from search.settings import SearchSettings

LINKED = replace(AGN_PAPER, bibcode="2011ApJ...000..000A", source_names=(AGN.source_name,))
UNKNOWN = replace(WEATHER_PAPER, bibcode="1999Natur.400..000A", title="Of unknown topic")
ON_TOPIC = {AGN_PAPER.bibcode, BINARY_PAPER.bibcode, LINKED.bibcode}
EVERYTHING = ON_TOPIC | {WEATHER_PAPER.bibcode}
AROUND = Cone(AGN.ra_deg, AGN.dec_deg, 1.0)


@pytest.fixture(scope="module")
def small(module_folder):
    small = SmallStore(module_folder("topic") / "store")
    for one in (WEATHER_PAPER, LINKED):
        small.add_paper(one)
    with small.store:
        yield small


@pytest.fixture
def service(small):
    return small.service


@pytest.fixture
def with_unknown(small):
    """Add a paper as it was stored before papers had a topic."""
    point = paper_point(small.encoder, UNKNOWN)
    point.payload.pop(TOPIC_PROBABILITY)
    small.store.upsert(PAPERS, [point])
    yield
    small.store.delete_points(PAPERS, [UNKNOWN.id])


def by_spectrum(service, query_filter=None, arrange=PLAIN):
    return service.by_spectrum(hard_counts(), EXPOSURE_S, "papers", query_filter, arrange)


def bibcodes(page):
    return {hit.payload["bibcode"] for hit in page.hits}


def shared_vector(small):
    return small.encoder.encode_question("anything").shared[0]


ASKED = {
    "spectrum": lambda s, f: by_spectrum(s.service, f),
    "like": lambda s, f: s.service.like(AGN.key, "papers", f),
    "examples": lambda s, f: s.service.by_examples([AGN.key], [BINARY_PAPER.bibcode], "papers", f),
    "vector": lambda s, f: s.service.by_vector(shared_vector(s), "fake0", "papers", f),
    "batch": lambda s, f: s.service.batch(
        [Question("examples", "papers", positive=[AGN.key], query_filter=f)]
    )[0],
    "region": lambda s, f: s.service.papers_in(AROUND, f),
}


@pytest.mark.parametrize("how", ASKED)
def test_question_by_a_spectrum_or_region_finds_papers_about_x_ray_sources(small, how):
    page = ASKED[how](small, None)
    assert WEATHER_PAPER.bibcode not in bibcodes(page)
    assert page.hits
    assert page.off_topic == 1


@pytest.mark.parametrize("how", ASKED)
@pytest.mark.parametrize(
    "anything",
    [PaperFilter(any_topic=True), PaperFilter(min_topic=0.0), PaperFilter(min_topic=0.01)],
)
def test_question_for_any_topic_finds_papers_about_anything(small, how, anything):
    page = ASKED[how](small, anything)
    assert WEATHER_PAPER.bibcode in bibcodes(page)
    assert page.off_topic == 0


@pytest.mark.parametrize("how", ASKED)
def test_paper_of_unknown_topic_is_not_left_out(small, how, with_unknown):
    page = ASKED[how](small, None)
    assert UNKNOWN.bibcode in bibcodes(page)
    assert page.off_topic == 1


@pytest.mark.parametrize("ranking", ["hybrid", "dense", "keywords"])
def test_question_in_words_finds_papers_about_anything(service, ranking):
    page = service.by_text("global weather", "papers", ranking=ranking)
    assert WEATHER_PAPER.bibcode in bibcodes(page)


def test_paper_like_a_paper_may_be_about_anything(service):
    assert WEATHER_PAPER.bibcode in bibcodes(service.like(AGN_PAPER.bibcode, "papers"))


def test_list_of_papers_is_not_restricted(service):
    assert bibcodes(service.select("papers")) == EVERYTHING


def test_condition_on_the_topic_takes_the_place_of_the_default(service):
    off_topic = PaperFilter(where="Topic_Probability < 0.5".lower())
    assert bibcodes(by_spectrum(service, off_topic)) == {WEATHER_PAPER.bibcode}
    assert bibcodes(service.papers_in(AROUND, off_topic)) == {WEATHER_PAPER.bibcode}
    assert bibcodes(by_spectrum(service, PaperFilter(min_topic=0.99))) == set()


def test_other_restrictions_hold_beside_the_default(service):
    page = by_spectrum(service, PaperFilter(bibcode=(WEATHER_PAPER.bibcode,)))
    assert not page.hits
    assert page.off_topic == 1
    page = by_spectrum(service, PaperFilter(year_from=2000))
    assert bibcodes(page) == ON_TOPIC
    assert page.off_topic == 0


def test_of_a_full_page_it_is_not_counted_what_was_left_out(service):
    first = by_spectrum(service, arrange=PageOptions(limit=1))
    assert first.off_topic == 0
    assert first.cursor
    last = by_spectrum(service, arrange=PageOptions(limit=10, cursor=first.cursor))
    assert bibcodes(first) | bibcodes(last) == ON_TOPIC
    assert last.off_topic == 1


def test_detections_have_no_topic(service):
    page = service.by_spectrum(hard_counts(), EXPOSURE_S, "detections")
    assert page.hits
    assert page.off_topic == 0


def test_answers_show_the_probability_in_every_format(service):
    page = by_spectrum(service)
    shown = {
        fmt: render(page.hits, fmt, to="papers", off_topic=page.off_topic)
        for fmt in ("json", "csv", "ecsv", "votable", "table")
    }
    document = json.loads(shown["json"])
    assert document["off_topic"] == 1
    assert {one["payload"][TOPIC_PROBABILITY] for one in document["answers"]} == {0.98}
    assert "topic_probability" in shown["csv"].splitlines()[0]
    for fmt in ("ecsv", "votable"):
        assert "stat.probability" in shown[fmt]
        assert "probability that the paper is about X-ray sources" in shown[fmt]
    for fmt in ("ecsv", "votable", "table"):
        assert remark_on_topic(1) in " ".join(shown[fmt].split())
    assert " topic " in shown["table"]
    assert "0.98" in shown["table"]


def test_table_of_papers_without_topics_has_no_column_of_them(service):
    page = by_spectrum(service)
    bare = [
        replace(hit, payload={k: v for k, v in hit.payload.items() if k != TOPIC_PROBABILITY})
        for hit in page.hits
    ]
    assert " topic " not in render(bare, "table", to="papers")


def test_remark_counts_in_words_that_fit():
    assert remark_on_topic(0) == ""
    assert remark_on_topic(1).startswith("1 paper that fits is left out")
    assert remark_on_topic(1234).startswith("1,234 papers that fit are left out")
    assert "--any-topic" in remark_on_topic(2)


def test_probabilities_are_stored_as_numbers_that_can_be_read(small):
    (record,) = small.store.retrieve(PAPERS, [WEATHER_PAPER.id])
    assert record.payload[TOPIC_PROBABILITY] == float(np.round(0.02, 4))


# Over HTTP

REGION = {"cone": "10.68 41.27 1deg"}


@pytest.fixture(scope="module")
def http(small):
    with TestClient(create_api(small_services(small), SearchSettings())) as client:
        yield client


def test_any_topic_is_a_parameter_of_spectra_examples_and_regions(http):
    for asked in ({}, {"any_topic": True}, {"min_topic": 0}, {"min_topic": 0.99}):
        answers = [
            http.post(SPECTRUM, json=array(to="papers", **asked)),
            http.get(f"/v1/search/like/{AGN.key}", params={"to": "papers", **asked}),
            http.get("/v1/papers/region", params=REGION | asked),
        ]
        for response in answers:
            assert response.status_code == 200, response.text
            found = {one["payload"]["bibcode"] for one in response.json()["answers"]}
            assert (WEATHER_PAPER.bibcode in found) == (
                asked in ({"any_topic": True}, {"min_topic": 0})
            )
            assert response.json()["off_topic"] == (0 if asked else 1)
            assert bool(found) == (asked != {"min_topic": 0.99})


def test_any_topic_is_a_field_of_the_questions_of_a_batch(http):
    one = {"kind": "examples", "positive": [AGN.key], "to": "papers"}
    response = http.post("/v1/search/batch", json={"questions": [one, one | {"any_topic": True}]})
    pages = response.json()["pages"]
    assert [len(page["answers"]) for page in pages] == [3, 4]
    assert [page["off_topic"] for page in pages] == [1, 0]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"min_topic": "1.5"}, ["min_topic is '1.5'"]),
        ({"min_topic": "nan"}, ["min_topic is 'nan'"]),
        ({"min_topic": "0.5", "any_topic": "true"}, ["min_topic: any topic is asked for as well"]),
        ({"any_topic": "perhaps"}, ["any_topic is 'perhaps'"]),
        ({"to": "detections", "any_topic": "true"}, ["any_topic cannot narrow down detections"]),
    ],
)
def test_what_says_nothing_of_a_topic_is_refused_by_name(http, asked, said):
    asked = {"to": "papers"} | asked
    assert_problem(http.get(f"/v1/search/like/{AGN.key}", params=asked), 422, *said)
