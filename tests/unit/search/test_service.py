from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import models
from small_store import (
    AGN,
    AGN_AGAIN,
    AGN_NAME,
    AGN_PAPER,
    BINARY,
    BINARY_PAPER,
    CATALOGUE_ONLY,
    EXPOSURE_S,
    QUESTION,
    SIMULATED,
    SmallStore,
    hard_counts,
    soft_counts,
)

from common.errors import InvalidQueryError, InvalidSpectrumError, NotFoundError
from common.records import point_id
from search.collections.schema import DETECTIONS, detection_payload
from search.filters.filters import DetectionFilter, PaperFilter
from search.queries.pages import MAX_LIMIT
from search.results import PageOptions
from search.service import SearchService


@pytest.fixture
def service(small):
    return small.service


def ids(page):
    return {hit.id for hit in page.hits}


def test_text_finds_the_paper_that_says_it(service):
    hits = service.by_text(QUESTION, "papers", ranking="dense").hits

    assert [hit.id for hit in hits] == [AGN_PAPER.id, BINARY_PAPER.id]
    assert hits[0].score == pytest.approx(1.0, abs=1e-5)
    assert hits[0].payload["title"] == QUESTION


def test_text_finds_every_detection_with_a_spectrum_best_first(service):
    page = service.by_text(QUESTION, "detections")
    hits = page.hits

    assert ids(page) == {AGN.id, AGN_AGAIN.id, BINARY.id, SIMULATED.id}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_spectrum_finds_itself_and_then_its_like(service):
    hits = service.by_spectrum(soft_counts(3), EXPOSURE_S, "detections").hits

    assert hits[0].id == BINARY.id
    assert hits[0].score == pytest.approx(1.0, abs=1e-5)


def test_spectrum_finds_the_same_whatever_the_exposure(service):
    short = service.by_spectrum(hard_counts(9), 10.0, "detections").hits
    long = service.by_spectrum(hard_counts(9), 1e6, "detections").hits

    assert [hit.id for hit in short] == [hit.id for hit in long]


def test_spectrum_finds_papers(service):
    assert ids(service.by_spectrum(hard_counts(), EXPOSURE_S, "papers")) == {
        AGN_PAPER.id,
        BINARY_PAPER.id,
    }


def test_spectrum_without_counts_is_refused(service):
    with pytest.raises(InvalidSpectrumError, match="shape is not defined"):
        service.by_spectrum(np.zeros(400), EXPOSURE_S, "detections")


def test_filter_on_a_class_answers_with_its_descendants_only(service):
    hits = service.by_text(QUESTION, "detections", DetectionFilter(classes=("AGN",)))

    assert ids(hits) == {AGN.id, AGN_AGAIN.id, SIMULATED.id}


def test_filter_shows_what_has_no_spectrum_yet_after_the_ranked_and_without_a_score(service):
    everything = DetectionFilter(where="obsid > 0")
    hits = service.by_text("anything", "detections", everything).hits
    unranked = [hit for hit in hits if hit.score is None]
    assert unranked
    assert hits[-len(unranked) :] == unranked
    assert not any(hit.payload["has_spectrum"] for hit in unranked)
    assert all(hit.payload["has_spectrum"] for hit in hits if hit.score is not None)
    assert len(service.by_text("anything", "detections", everything, PageOptions(1)).hits) == 1


def test_filter_on_variables_leaves_out_what_has_no_value(service):
    wanted = DetectionFilter(where="hard_hs > 0.3 and flux_significance_b >= 5")

    assert ids(service.by_text(QUESTION, "detections", wanted)) == {AGN.id}


def test_filter_on_papers_by_year(service):
    assert ids(service.by_text(QUESTION, "papers", PaperFilter(year_from=2005))) == {
        BINARY_PAPER.id
    }


def test_filter_that_nothing_passes_gives_no_hits(service):
    assert service.by_text(QUESTION, "detections", DetectionFilter(obsid=(999,))).hits == []


def test_filter_of_the_other_kind_is_a_programming_error(service):
    wrong = PaperFilter(year_from=2005)
    for ask in (
        lambda: service.by_text(QUESTION, "detections", wrong),
        lambda: service.select("detections", wrong),
        lambda: service.facets("detections", ["class"], wrong),
    ):
        with pytest.raises(ValueError, match="detections are filtered by DetectionFilter"):
            ask()


@pytest.mark.parametrize("limit", [1, 2, MAX_LIMIT])
def test_limit_bounds_the_answer_and_keeps_its_order(service, limit):
    everything = service.by_text(QUESTION, "detections", arrange=PageOptions(100)).hits

    assert (
        service.by_text(QUESTION, "detections", arrange=PageOptions(limit)).hits
        == everything[:limit]
    )


@pytest.mark.parametrize("limit", [-1, 0, MAX_LIMIT + 1])
def test_limit_out_of_range_is_refused(service, limit):
    with pytest.raises(InvalidQueryError, match=f"limit is {limit}"):
        service.by_text(QUESTION, "detections", arrange=PageOptions(limit))


def test_like_leaves_out_every_detection_of_the_same_source(service):
    assert ids(service.like(str(AGN.id), "detections")) == {BINARY.id, SIMULATED.id}


def test_like_keeps_to_the_filter_and_still_leaves_out_the_source(service):
    wanted = DetectionFilter(classes=("AGN",))

    assert ids(service.like(str(AGN.id), "detections", wanted)) == {SIMULATED.id}


def test_like_of_an_unnamed_source_leaves_out_the_detection_itself(service):
    assert SIMULATED.id not in ids(service.like(SIMULATED.key, "detections"))


def test_like_leads_from_detections_to_papers_and_back(service):
    assert ids(service.like(AGN.key, "papers")) == {AGN_PAPER.id, BINARY_PAPER.id}
    assert AGN.id in ids(service.like(AGN_PAPER.bibcode, "detections"))


def test_like_a_paper_leaves_out_the_paper(service):
    assert ids(service.like(AGN_PAPER.bibcode, "papers")) == {BINARY_PAPER.id}


def test_like_what_has_only_catalogue_values_says_what_to_do(service):
    with pytest.raises(InvalidQueryError, match="ingest its spectrum first"):
        service.like(CATALOGUE_ONLY.key, "detections")


@pytest.mark.parametrize("identifier", [str(BINARY.id), BINARY.key, BINARY.source_name])
def test_detection_is_found_by_id_key_and_name(service, identifier):
    hit = service.detection(identifier)

    assert hit.id == BINARY.id
    assert hit.payload["instrument"] == "EPN"


def test_detection_is_found_by_a_name_that_several_share(service):
    assert service.detection(AGN_NAME).id in {AGN.id, AGN_AGAIN.id}


@pytest.mark.parametrize(
    "identifier", [str(AGN_PAPER.id), AGN_PAPER.bibcode, AGN_PAPER.alternate_bibcodes[0]]
)
def test_paper_is_found_by_id_and_present_and_former_bibcode(service, identifier):
    assert service.paper(identifier).id == AGN_PAPER.id


@pytest.mark.parametrize(
    "identifier", ["", "no such", "' OR 1=1 --", "../../etc/passwd", "\x00", "*", "a" * 10_000]
)
def test_unknown_identifier_is_not_found(service, identifier):
    with pytest.raises(NotFoundError, match="no detection"):
        service.detection(identifier)


def test_paper_is_no_detection(service):
    with pytest.raises(NotFoundError, match="no detection"):
        service.detection(AGN_PAPER.bibcode)
    with pytest.raises(NotFoundError, match="no paper"):
        service.paper(str(point_id("detection", AGN.key)))


@pytest.mark.parametrize("question", ["", "  \n\t "])
def test_empty_question_is_refused(service, question):
    with pytest.raises(InvalidQueryError, match="question is empty"):
        service.by_text(question, "papers")


def test_question_too_long_is_refused_with_both_lengths(small):
    service = SearchService(small.store, small.encoder, max_query_characters=1000)

    assert service.by_text("x" * 1000, "papers").hits
    with pytest.raises(InvalidQueryError, match=r"1,001 characters, at most 1,000"):
        service.by_text("x" * 1001, "papers")


def test_status_counts_what_the_store_holds(service):
    status = service.status()

    assert (status.engine, status.model_id) == ("embedded", "fake0")
    assert (status.detections, status.detections_with_spectrum) == (5, 4)
    assert (status.detections_simulated, status.papers, status.papers_simulated) == (1, 2, 0)
    assert status.classes["AGN"] == 3
    assert status.instruments == {"ACIS": 4, "EPN": 1}


def test_a_source_name_means_a_detection_that_has_a_spectrum_where_there_is_one(tmp_path):
    fresh = SmallStore(tmp_path / "store")
    with fresh.store:
        for number in range(20):  # ids are hashes: about half of these come before the real one
            row = replace(
                CATALOGUE_ONLY, key=f"csc2.0/{number}/1/1", source_name=BINARY.source_name
            )
            point = models.PointStruct(id=str(row.id), vector={}, payload=detection_payload(row))
            fresh.store.upsert(DETECTIONS, [point])
        assert fresh.service.detection(BINARY.source_name).id == BINARY.id
        assert fresh.service.subject(BINARY.source_name).payload["key"] == BINARY.key
