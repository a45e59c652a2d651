from dataclasses import replace

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from qdrant_client import models
from small_store import EXPOSURE_S, detection, hard_counts, summary

from common.binning import BIN_EDGES_KEV
from common.errors import NotFoundError
from common.records import Spectrum
from common.variables import VARIABLE_NAMES
from search.collections import schema
from search.collections.schema import BOTH, SHARED_SPECTRUM, SHARED_TEXT, SPECTRUM, TEXT
from search.collections.stored_vectors import ENOUGH_SOURCES, read_vectors
from search.store.embedded import EmbeddedStore

ENCODER = FakeEncoder()


@pytest.fixture
def store(tmp_path):
    with EmbeddedStore(tmp_path / "store") as store:
        yield store


def put(store, one, text=None, seed=None):
    """Store a detection with a spectrum, and with a text where one is given."""
    counts = hard_counts(one.region_id if seed is None else seed)
    spectrum = Spectrum(counts, BIN_EDGES_KEV[:-1], BIN_EDGES_KEV[1:], EXPOSURE_S)
    encoded = ENCODER.encode_spectra(counts[None, :], np.array([EXPOSURE_S]))
    vectors = {SPECTRUM: encoded.own[0].tolist(), SHARED_SPECTRUM: encoded.shared[0].tolist()}
    if text:
        words = ENCODER.encode_summaries([summary(text)])
        vectors |= {TEXT: words.own[0].tolist(), SHARED_TEXT: words.shared[0].tolist()}
        vectors |= schema.both_vector(vectors)
    payload = schema.detection_payload(one, spectrum, summary=summary(text) if text else None)
    schema.open_collections(store, ENCODER)
    store.upsert(
        schema.DETECTIONS, [models.PointStruct(id=str(one.id), vector=vectors, payload=payload)]
    )
    return counts, vectors


def fill(store, n, text=lambda i: f"text number {i}", **more):
    return {
        detection(i, **more).key: put(store, detection(i, **more), text(i)) for i in range(1, n + 1)
    }


def test_stored_vectors_are_what_was_stored(store):
    stored = fill(store, 40)
    found = read_vectors(store)
    assert found.model_id == "fake0"
    assert set(found.vectors) == {SPECTRUM, TEXT, SHARED_SPECTRUM, SHARED_TEXT, BOTH}
    assert len(found.names) == len(stored) == len(found.source)
    for row, key in enumerate(found.names):
        counts, vectors = stored[key]
        assert found.counts[row] == counts.sum()
        for name, vector in vectors.items():
            assert found.vectors[name][row] == pytest.approx(vector, abs=1e-6)


def test_many_pages_are_read_whole(store, monkeypatch):
    monkeypatch.setattr("search.collections.stored_vectors.PAGE", 7)
    fill(store, 30)
    seen = []
    found = read_vectors(store, lambda _stage, done, total: seen.append((done, total)))
    assert len(set(found.names)) == 30
    assert seen[-1] == (30, 30)


def test_variables_and_classes_come_from_the_payload(store):
    put(store, detection(1, variables={"hard_hs": 0.5}, source_class=("Galaxy", "AGN")))
    put(store, detection(2, source_name="2CXO J000000.0+000000"))
    found = read_vectors(store)
    named = found.names.index("2CXO J000000.0+000000")
    assert set(found.variables) == set(VARIABLE_NAMES)
    assert found.variables["hard_hs"][1 - named] == 0.5
    assert np.isnan(found.variables["hard_hs"][named])
    assert found.source_class[1 - named] == ("Galaxy", "AGN")
    assert found.source_class[named] == ()


def test_no_source_is_in_two_splits(store):
    # Two detections share a name; those without a name, their text.
    for i in range(1, 161):
        name = {"source_name": f"2CXO J{i // 2:06d}.0+000000"} if i < 80 else {}
        put(store, detection(i, **name), f"text number {i // 2}")
    found = read_vectors(store)
    assert len(np.unique(found.source)) == 81
    parts = [set(found.source[rows]) for rows in found.split.values()]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts))


def test_what_is_held_out_stays_so_when_the_store_grows(store):
    fill(store, 60)
    before = held_out(read_vectors(store))
    for i in range(61, 121):
        put(store, detection(i), f"text number {i}")
    assert before < held_out(read_vectors(store))


def held_out(found):
    return {found.names[row] for part in ("validation", "test") for row in found.split[part]}


def test_detections_without_spectrum_are_left_out_and_counted(store):
    fill(store, 30)
    bare = detection(31)
    payload = schema.detection_payload(bare)
    point = models.PointStruct(id=str(bare.id), vector={}, payload=payload)
    store.upsert(schema.DETECTIONS, [point])
    found = read_vectors(store)
    assert len(found.names) == 30
    assert found.notes == ["1 of 31 detections have no spectrum"]


def test_withdrawn_detections_take_no_part(store):
    fill(store, 30)
    withdrawn = {detection(i).id: {schema.WITHDRAWN: "2026-01-01T00:00:00+00:00"} for i in (3, 4)}
    store.set_payload(schema.DETECTIONS, withdrawn)
    found = read_vectors(store)
    assert len(found.names) == 28
    assert not {detection(3).key, detection(4).key} & {*found.names}
    assert found.notes == []


def test_detections_without_text_take_no_part_where_there_are_texts(store):
    fill(store, 40, text=lambda i: None if i % 4 == 0 else f"text number {i}")
    found = read_vectors(store)
    assert len(found.names) == 30
    assert found.source.max() + 1 == len(np.unique(found.source)) == 30
    assert "10 of 40 detections with a spectrum have no text" in found.notes[0]


def test_a_few_texts_are_left_out_rather_than_the_other_detections(store):
    fill(store, 30, text=lambda i: f"text number {i}" if i < ENOUGH_SOURCES else None)
    found = read_vectors(store)
    assert set(found.vectors) == {SPECTRUM, SHARED_SPECTRUM}
    assert len(found.names) == 30
    assert "texts are left out: 19 sources have a text" in found.notes[0]


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_spectra_are_called_so(store, simulated):
    fill(store, 2, simulated=simulated)
    assert read_vectors(store).simulated is simulated


def test_a_store_without_spectra_is_refused(store):
    with pytest.raises(NotFoundError, match=r"none of the 0 detections.*ingest spectra"):
        read_vectors(store)


def test_detections_to_judge_by_take_no_part(store):
    fill(store, 3)
    fill_test = [replace(detection(i), catalogue={"use": "test"}) for i in (4, 5)]
    for one in fill_test:
        put(store, one)
    found = read_vectors(store)
    assert len(found.names) == 3
    assert "2 detections of datasets for tests only take no part" in found.notes


def test_a_store_to_judge_by_alone_teaches_nothing(store):
    put(store, replace(detection(1), catalogue={"use": "test"}))
    with pytest.raises(NotFoundError, match=r"none of the 0 detections .* may be learnt from"):
        read_vectors(store)
