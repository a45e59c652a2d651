from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from fits_files import ebounds_hdu, spectrum_hdu, write
from qdrant_client import models
from two_models import BetterEncoder, differences, filled, open_pipeline

from common.records import point_id
from search.collections.kept_inputs import SPECTRA, read_inputs
from search.collections.schema import BM25, BOTH, DETECTIONS, PAPERS, SHARED_SPECTRUM
from search.store.base import CollectionSchema
from search.store.embedded import EmbeddedStore
from workers.maintenance.reindex import Reindex
from workers.maintenance.verify import LEDGER, Verifier


@pytest.fixture
def store(tmp_path):
    with EmbeddedStore(tmp_path / "store") as store:
        yield store


@pytest.fixture
def dataset(store):
    return filled(store)


@pytest.fixture
def pipeline(store, dataset):
    return open_pipeline(store)


@pytest.fixture
def pha(tmp_path):
    write(tmp_path / "small.rmf", ebounds_hdu())
    return write(tmp_path / "one.pha", spectrum_hdu())


def found(pipeline, repair=False, files=()):
    verified = Verifier(pipeline, repair).run(files)
    return [(one.kind, one.key) for one in verified.open]


def mended(pipeline):
    verified = Verifier(pipeline, repair=True).run()
    return [(one.kind, one.key) for one in verified.findings if one.mended]


def strip(store, collection, point):
    """Take the vectors from a point."""
    record = store.retrieve(collection, [point])[0]
    store.upsert(collection, [models.PointStruct(id=point, vector={}, payload=record.payload)])


def test_a_store_as_ingested_is_in_order(pipeline, dataset):
    verified = Verifier(pipeline).run()
    assert verified.findings == []
    assert verified.checked == {PAPERS: dataset.n_sources, DETECTIONS: 40, SPECTRA: 40}


def test_missing_vectors_are_encoded_again_as_they_were(store, pipeline, dataset):
    lost, paper = dataset.detections[3], next(iter(dataset.papers()))
    before = store.retrieve(DETECTIONS, [lost.id], with_vectors=True)[0]
    words = store.retrieve(PAPERS, [paper.id], with_vectors=[BM25])[0].vector
    strip(store, DETECTIONS, str(lost.id))
    strip(store, PAPERS, str(paper.id))
    wrong = [("vectors missing", paper.bibcode), ("vectors missing", lost.key)]
    assert found(pipeline) == wrong
    assert mended(pipeline) == wrong
    assert found(pipeline) == []
    after = store.retrieve(DETECTIONS, [lost.id], with_vectors=True)[0]
    assert after.payload == before.payload
    for name, vector in before.vector.items():
        np.testing.assert_allclose(after.vector[name], vector, atol=1e-6)
    assert store.retrieve(PAPERS, [paper.id], with_vectors=[BM25])[0].vector == words


def test_missing_topics_of_papers_are_told_and_given(store, pipeline, dataset):
    paper = next(iter(dataset.papers()))
    before = store.retrieve(PAPERS, [paper.id])[0].payload
    only = models.Filter(must=[models.HasIdCondition(has_id=[str(paper.id)])])
    store.delete_payload(PAPERS, ["topic_probability"], only)
    wrong = [("topic missing", paper.bibcode)]
    assert found(pipeline) == wrong
    assert mended(pipeline) == wrong
    assert found(pipeline) == []
    assert store.retrieve(PAPERS, [paper.id])[0].payload == before


def test_missing_inputs_are_told_and_read_from_files(store, pipeline, dataset, pha):
    list(pipeline.ingest_spectra([pha]))
    key = next(
        record.payload["key"]
        for record in store.scroll(DETECTIONS, limit=100)[0]
        if record.payload.get("file") == pha.name
    )
    point = point_id("detection", key)
    before = read_inputs(store, [point])[point]
    store.delete_points(SPECTRA, [point])
    assert found(pipeline) == [("inputs missing", key)]
    assert found(pipeline, repair=True) == [("inputs missing", key)]
    assert found(pipeline, repair=True, files=[pha]) == []
    np.testing.assert_array_equal(read_inputs(store, [point])[point].counts, before.counts)
    assert found(pipeline) == []


def test_files_that_are_not_ingested_are_told(pipeline, pha, tmp_path):
    (tmp_path / "two.pha").write_text("no FITS")
    assert found(pipeline, files=[pha, tmp_path / "two.pha"]) == [
        ("not ingested", str(pha)),
        ("unreadable file", str(tmp_path / "two.pha")),
    ]


def test_damaged_counts_are_told(store, pipeline, dataset):
    lost = dataset.detections[3]
    store.set_payload(SPECTRA, {lost.id: {"counts": "AAAA"}})
    assert found(pipeline, repair=True) == [("inputs missing", lost.key)]


@pytest.mark.parametrize("lost", ["spectrum", "summary"])
def test_kept_inputs_that_no_vector_was_made_of_are_encoded_once_they_are_old(
    store, pipeline, dataset, lost
):
    """So a loss is seen that leaves a detection looking whole: another wrote over it."""
    detection = dataset.detections[3]
    (before,) = store.retrieve(DETECTIONS, [detection.id], with_vectors=True)
    fields = {"spectrum": ("spectrum_hash", "counts", "exposure_s"), "summary": ("summary_hash",)}
    payload = {k: v for k, v in before.payload.items() if k not in fields[lost]}
    gone = {"spectrum": "spectrum", "summary": "text"}[lost]
    vectors = {k: v for k, v in before.vector.items() if gone not in k and k != BOTH}
    erased = models.PointStruct(id=before.id, vector=vectors, payload=payload)
    store.upsert(DETECTIONS, [erased])
    assert found(pipeline) == []
    long_ago = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    store.set_payload(SPECTRA, {detection.id: {"written_at": long_ago}})
    wrong = [("inputs not encoded", detection.key)]
    assert found(pipeline) == wrong
    assert mended(pipeline) == wrong
    assert found(pipeline) == []
    (after,) = store.retrieve(DETECTIONS, [detection.id], with_vectors=True)
    assert after.payload == before.payload
    assert after.vector.keys() == before.vector.keys()


def test_inputs_without_a_detection_are_removed_once_they_are_old(store, pipeline, dataset):
    lost = dataset.detections[3]
    store.delete_points(DETECTIONS, [lost.id])
    assert found(pipeline) == []
    long_ago = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    store.set_payload(SPECTRA, {lost.id: {"written_at": long_ago}})
    assert mended(pipeline) == [("inputs without a detection", lost.key)]
    assert store.count(SPECTRA) == 39


def test_a_point_of_another_model_is_encoded_again(store, pipeline, dataset):
    lost = dataset.detections[3]
    before = store.retrieve(DETECTIONS, [lost.id], with_vectors=True)[0].vector
    other = store.retrieve(DETECTIONS, [dataset.detections[5].id], with_vectors=True)[0].vector
    payload = store.retrieve(DETECTIONS, [lost.id])[0].payload | {"model_id": "other"}
    store.upsert(DETECTIONS, [models.PointStruct(id=str(lost.id), vector=other, payload=payload)])
    assert mended(pipeline) == [("another model's point", lost.key)]
    after = store.retrieve(DETECTIONS, [lost.id], with_vectors=True)[0]
    assert after.payload["model_id"] == "fake0"
    np.testing.assert_allclose(after.vector[SHARED_SPECTRUM], before[SHARED_SPECTRUM], atol=1e-6)


def test_former_bibcodes_of_detections_become_present_ones(store, pipeline, dataset):
    one, paper = dataset.detections[3], next(iter(dataset.papers()))
    store.set_payload(DETECTIONS, {one.id: {"bibcodes": ["2003astro.ph.12345P", paper.bibcode]}})
    store.set_payload(PAPERS, {paper.id: {"alternate_bibcodes": ["2003astro.ph.12345P"]}})
    assert mended(pipeline) == [("former bibcode", one.key)]
    assert store.retrieve(DETECTIONS, [one.id])[0].payload["bibcodes"] == [paper.bibcode]


def test_items_that_the_ledger_calls_stored_are_found_again_when_they_are_lost(
    store, pipeline, dataset
):
    store.create_collection(LEDGER, CollectionSchema({}, sparse=("none",)))
    items = [("csc", dataset.detections[3].key, "stored"), ("csc", "csc2.1/1/1/1", "stored")]
    items += [("ads", "2030ApJ...999....1X", "stored"), ("ads", "2030ApJ...999....2X", "failed")]
    store.upsert(
        LEDGER,
        [
            models.PointStruct(
                id=n, vector={}, payload={"feed": feed, "key": key, "state": state, "attempts": 1}
            )
            for n, (feed, key, state) in enumerate(items)
        ],
    )
    lost = [("lost item", "csc csc2.1/1/1/1"), ("lost item", "ads 2030ApJ...999....1X")]
    assert found(pipeline) == lost
    assert mended(pipeline) == lost
    states = [record.payload["state"] for record in store.retrieve(LEDGER, [0, 1, 2, 3])]
    assert states == ["stored", "found", "found", "failed"]
    assert found(pipeline) == []


def test_what_was_not_carried_to_the_new_model_is(store, pipeline, dataset):
    Reindex(store, BetterEncoder(), sleep=lambda _s: None).run()
    one = dataset.detections[3]
    store.set_payload("detections@fake0", {one.id: {"source_name": "changed behind our back"}})
    assert mended(pipeline) == [("not carried to the new model", one.key)]
    assert differences(store) == []
