from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from qdrant_client import models
from small_services import small_services
from small_store import (
    AGN,
    AGN_AGAIN,
    AGN_NAME,
    AGN_PAPER,
    BINARY,
    EXPOSURE_S,
    QUESTION,
    SmallStore,
    hard_counts,
    paper,
)
from two_models import ENCODERS, BetterEncoder, NoSummarizer, differences

from common.ports import no_progress
from common.records import point_id
from search.collections.schema import DETECTIONS, PAPERS, SHARED_SPECTRUM, WITHDRAWN
from search.filters.cone import Cone
from search.filters.filters import DetectionFilter
from search.inference.outliers import MIN_DETECTIONS, SCORE
from search.results import PageOptions
from workers.bootstrap import score_outliers
from workers.maintenance.reindex import Reindex
from workers.writing.pipeline import DetectionItem, Pipeline

WHEN = datetime(2026, 1, 2, tzinfo=UTC)
HAS_SCORE = models.FieldCondition(key=SCORE, range=models.Range(gte=0))


@pytest.fixture
def small(tmp_path):
    small = SmallStore(tmp_path / "store")
    with small.store:
        yield small


@pytest.fixture
def pipeline(small):
    return Pipeline(small.store, small.encoder, NoSummarizer())


@pytest.fixture
def services(small, pipeline):
    """Services over a store whose brightest AGN and whose AGN paper have been withdrawn."""
    pipeline.withdraw(DETECTIONS, [AGN.id], WHEN)
    pipeline.withdraw(PAPERS, [AGN_PAPER.id], WHEN)
    return small_services(small)


def ids(page):
    return {str(hit.id) for hit in page.hits}


def everything_asked(services):
    """Ask in every way in which an answer could hold the withdrawn detection or paper."""
    search = services.search
    own = AGN_AGAIN.key
    filtered = DetectionFilter(classes=("AGN",))
    spectrum = hard_counts(1), EXPOSURE_S
    yield "text", search.by_text(QUESTION, "detections")
    yield "text, filtered", search.by_text(QUESTION, "detections", filtered)
    yield "text to papers", search.by_text(QUESTION, "papers")
    yield "words to papers", search.by_text(QUESTION, "papers", ranking="keywords")
    yield "spectrum", search.by_spectrum(*spectrum, "detections")
    yield "spectrum to papers", search.by_spectrum(*spectrum, "papers")
    yield "like", search.like(own, "detections")
    yield "like, papers", search.like(own, "papers")
    yield "all", search.select("detections")
    yield "all, filtered", search.select("detections", filtered)
    yield "all papers", search.select("papers")
    yield "diverse", search.by_text(QUESTION, "detections", arrange=PageOptions(diversity=0.5))
    yield "grouped", search.by_text(QUESTION, "detections", arrange=PageOptions(by_source=True))


def test_withdrawn_detections_and_papers_are_in_no_answer(services):
    for question, page in everything_asked(services):
        assert not ids(page) & {str(AGN.id), str(AGN_PAPER.id)}, question
        assert page.hits or "papers" in question, question


def test_withdrawn_detections_are_in_no_region(services):
    around = Cone(ra_deg=10.679, dec_deg=41.262, radius_deg=0.1)
    assert services.search.cone(around).hits == []


def test_withdrawn_detections_are_not_counted(services):
    search = services.search
    assert search.status().detections == 4
    assert search.status().papers == 1
    counts = search.store.facet(DETECTIONS, "source_name")
    assert counts[AGN_NAME] == 1


def test_withdrawn_detections_are_no_neighbours_of_estimates(services):
    estimate = services.estimator.estimate(services.search.subject(AGN_AGAIN.key))
    assert AGN.key not in repr(estimate)


def test_withdrawn_detections_are_in_no_scheduled_run_of_outliers(small, pipeline):
    rows = [
        models.PointStruct(
            id=str(point_id("detection", f"csc2.0/{row}/0/1")),
            vector={SHARED_SPECTRUM: [1.0, row / 100] + [0.0] * (small.encoder.shared_width - 2)},
            payload={"key": f"csc2.0/{row}/0/1"},
        )
        for row in range(2 * MIN_DETECTIONS)
    ]
    small.store.upsert(DETECTIONS, rows)
    scored = models.Filter(must=[HAS_SCORE])
    total = score_outliers(small.store, no_progress)
    assert total == small.store.count(DETECTIONS, scored) >= len(rows)
    pipeline.withdraw(DETECTIONS, [UUID(rows[0].id), UUID(rows[5].id)], WHEN)
    assert score_outliers(small.store, no_progress) == total - 2
    known = {record.id for record in small.store.scroll(DETECTIONS, scored, limit=100)[0]}
    assert known.isdisjoint({rows[0].id, rows[5].id})
    assert len(known) == total - 2


def test_a_tombstone_is_still_there_under_its_own_address(services):
    hit = services.search.detection(AGN.key)
    assert hit.payload[WITHDRAWN] == WHEN.isoformat()


def test_a_tombstone_that_is_ingested_again_is_found_again(services, pipeline):
    assert [o.status for o in pipeline.ingest_items([DetectionItem("row", AGN)])] == ["ingested"]
    assert [o.status for o in pipeline.ingest_papers([AGN_PAPER])] == ["ingested"]
    assert str(AGN.id) in ids(services.search.by_text(QUESTION, "detections"))
    assert str(AGN_PAPER.id) in ids(services.search.by_text(QUESTION, "papers"))


def test_withdrawing_keeps_vectors_and_repeats_without_harm(small, pipeline):
    before = small.store.retrieve(DETECTIONS, [AGN.id], with_vectors=True)[0].vector
    for _ in range(2):
        pipeline.withdraw(DETECTIONS, [AGN.id, point_id("detection", "unknown")], WHEN)
    assert small.store.retrieve(DETECTIONS, [AGN.id], with_vectors=True)[0].vector == before
    assert small.store.count(DETECTIONS) == 5


def test_renamed_sources_and_changed_classes_are_not_encoded_again(small, pipeline, monkeypatch):
    before = small.store.retrieve(DETECTIONS, [BINARY.id], with_vectors=True)[0]
    monkeypatch.setattr(small.encoder, "encode_spectra", None)
    renamed = replace(
        BINARY, source_name="2CXO J174702.7-285258", source_class=("Star", "**", "XB*", "HXB")
    )
    assert [o.status for o in pipeline.ingest_items([DetectionItem("r", renamed)])] == ["ingested"]
    after = small.store.retrieve(DETECTIONS, [BINARY.id], with_vectors=True)[0]
    assert after.vector == before.vector
    assert after.payload["source_name"] == "2CXO J174702.7-285258"
    assert after.payload["class_path"][-1] == "HXB"
    assert after.payload["counts"] == before.payload["counts"]


PREPRINT = paper("2004astro.ph..1234P", QUESTION, year=2004)
PRINTED = replace(
    PREPRINT, bibcode="2004ApJ...600....1P", alternate_bibcodes=("2004astro.ph..1234P",)
)


@pytest.fixture
def preprint(small, pipeline):
    list(pipeline.ingest_papers([PREPRINT]))
    small.store.set_payload(DETECTIONS, {AGN.id: {"bibcodes": ["2001X", PREPRINT.bibcode]}})
    small.store.set_payload(PAPERS, {PREPRINT.id: {"citation_count": 7}})
    return PREPRINT


def test_a_changed_bibcode_moves_the_point_without_encoding(small, pipeline, preprint, monkeypatch):
    before = small.store.retrieve(PAPERS, [PREPRINT.id], with_vectors=["shared"])[0].vector
    monkeypatch.setattr(small.encoder, "encode_summaries", None)
    assert [o.status for o in pipeline.ingest_papers([PRINTED])] == ["ingested"]
    assert small.store.retrieve(PAPERS, [PREPRINT.id]) == []
    moved = small.store.retrieve(PAPERS, [PRINTED.id], with_vectors=["shared"])[0]
    assert moved.vector == before
    assert moved.payload["bibcode"] == PRINTED.bibcode
    assert moved.payload["citation_count"] == 7
    held = small.store.retrieve(DETECTIONS, [AGN.id])[0].payload
    assert held["bibcodes"] == ["2001X", PRINTED.bibcode]


def test_a_move_interrupted_before_its_end_is_completed(small, pipeline, preprint, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(small.store, "delete_points", die)
        with pytest.raises(Killed):
            list(pipeline.ingest_papers([PRINTED]))
    assert small.store.count(PAPERS) == 4
    assert [o.status for o in pipeline.ingest_papers([PRINTED])] == ["unchanged"]
    assert small.store.count(PAPERS) == 3
    assert small.store.retrieve(DETECTIONS, [AGN.id])[0].payload["bibcodes"][1] == PRINTED.bibcode


def test_a_former_bibcode_that_comes_again_stores_no_second_paper(small, pipeline, preprint):
    list(pipeline.ingest_papers([PRINTED]))
    (outcome,) = pipeline.ingest_papers([PREPRINT])
    assert (outcome.status, outcome.detail) == ("unchanged", PRINTED.bibcode)
    assert small.store.count(PAPERS) == 3


@pytest.mark.parametrize("batch", [[PREPRINT, PRINTED], [PRINTED, PREPRINT]])
def test_both_bibcodes_in_one_batch_store_one_paper(small, pipeline, batch):
    list(pipeline.ingest_papers(batch))
    assert small.store.retrieve(PAPERS, [PREPRINT.id]) == []
    assert len(small.store.retrieve(PAPERS, [PRINTED.id])) == 1


def test_corrections_reach_both_models_of_a_reindex(small, pipeline, preprint):
    both = Pipeline(small.store, small.encoder, NoSummarizer(), lambda name: ENCODERS[name]())
    change = Reindex(small.store, BetterEncoder(), sleep=lambda _s: None)
    change.begin()
    change.fill()
    both.withdraw(DETECTIONS, [BINARY.id], WHEN)
    list(both.ingest_papers([PRINTED]))
    assert differences(small.store) == []
    held = small.store.retrieve("detections@fake1", [AGN.id, BINARY.id])
    assert held[0].payload["bibcodes"] == ["2001X", PRINTED.bibcode]
    assert held[1].payload[WITHDRAWN] == WHEN.isoformat()
