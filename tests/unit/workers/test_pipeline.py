import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from qdrant_client import models

from common.binning import BIN_EDGES_KEV
from common.errors import InputError
from common.records import Detection, Paper, Refusal, Spectrum, Summary, catalogue_key
from ingest.catalogue.catalogue import Catalogue
from ingest.simulation.simulate import simulate
from search.collections.schema import BM25, DETECTIONS, PAPERS
from search.store.embedded import EmbeddedStore
from search.store.keywords import keywords_of_question
from workers.writing.pipeline import DetectionItem, Pipeline


class CountingEncoder(FakeEncoder):
    def __init__(self):
        super().__init__()
        self.spectra = 0
        self.summaries = 0

    def encode_spectra(self, counts, exposure_s, **kwargs):
        self.spectra += len(counts)
        return super().encode_spectra(counts, exposure_s, **kwargs)

    def encode_summaries(self, summaries, **kwargs):
        self.summaries += len(summaries)
        return super().encode_summaries(summaries, **kwargs)


class FirstSentences:
    def summarize(self, texts, **_kwargs):
        return [Summary(title, abstract, abstract, "extractive") for title, abstract in texts]


@pytest.fixture
def encoder():
    return CountingEncoder()


@pytest.fixture
def pipeline(tmp_path, encoder):
    with Pipeline(EmbeddedStore(tmp_path / "store"), encoder, FirstSentences()) as pipeline:
        yield pipeline


def spectrum(seed=0, exposure_s=1000.0):
    counts = np.random.default_rng(seed).poisson(3.0, 400).astype(float)
    return Spectrum(counts, BIN_EDGES_KEV[:-1], BIN_EDGES_KEV[1:], exposure_s)


def row(region_id=1, **more):
    return Detection(
        key=catalogue_key("2.1", 100, 0, region_id),
        telescope="CHANDRA",
        instrument="ACIS",
        release="2.1",
        obsid=100,
        obi=0,
        region_id=region_id,
        source_name=f"2CXO J0000{region_id:02d}.0+000000",
        ra_deg=200.0,
        dec_deg=-5.0,
        **more,
    )


def store_items(pipeline, *items):
    return [outcome.status for outcome in pipeline.ingest_items(items)]


def point(pipeline, detection):
    return pipeline.store.retrieve(DETECTIONS, [detection.id], with_vectors=True)[0]


def test_pipeline_ingesting_a_dataset_twice_encodes_nothing_the_second_time(pipeline, encoder):
    dataset = simulate(30, seed=3)
    first = [outcome.status for outcome in pipeline.ingest_dataset(dataset)]
    encoded = encoder.spectra, encoder.summaries
    second = [outcome.status for outcome in pipeline.ingest_dataset(dataset)]
    assert set(first) == {"ingested"}
    assert encoded[0] == 30
    assert set(second) == {"unchanged"}
    assert (encoder.spectra, encoder.summaries) == encoded
    assert pipeline.store.count(DETECTIONS) == 30
    assert pipeline.store.count(PAPERS) == dataset.n_sources


def test_pipeline_dataset_points_carry_all_five_vectors(pipeline):
    dataset = simulate(20, seed=4)
    list(pipeline.ingest_dataset(dataset))
    stored = point(pipeline, dataset.detections[0])
    assert set(stored.vector) == {"spectrum", "text", "shared_spectrum", "shared_text", "both"}
    halves = np.split(np.array(stored.vector["both"]), 2)
    np.testing.assert_allclose(halves[0] * np.sqrt(2), stored.vector["shared_spectrum"], atol=1e-6)
    np.testing.assert_allclose(halves[1] * np.sqrt(2), stored.vector["shared_text"], atol=1e-6)
    assert stored.payload["simulated"] is True
    assert stored.payload["model_id"] == pipeline.encoder.model_id


def test_pipeline_completes_a_catalogue_row_under_the_same_id_when_its_spectrum_comes(pipeline):
    detection = row(variables={"hard_hs": 0.25})
    assert store_items(pipeline, DetectionItem("row", detection)) == ["ingested"]
    assert point(pipeline, detection).payload["has_spectrum"] is False
    bare = Detection(detection.key, "CHANDRA", "ACIS", obsid=100, obi=0, region_id=1, release="2.1")
    assert store_items(pipeline, DetectionItem("a.pha", bare, spectrum())) == ["ingested"]
    stored = point(pipeline, detection)
    assert stored.payload["hard_hs"] == 0.25
    assert stored.payload["has_spectrum"] is True
    assert set(stored.vector) == {"spectrum", "shared_spectrum"}
    assert pipeline.store.count(DETECTIONS) == 1


def test_pipeline_a_row_read_again_after_its_spectrum_changes_nothing(pipeline, encoder):
    detection = row(variables={"hard_hs": 0.25}, exposure_s=777.0)
    store_items(pipeline, DetectionItem("a.pha", detection, spectrum(exposure_s=1000.0)))
    assert store_items(pipeline, DetectionItem("row", detection)) == ["unchanged"]
    assert point(pipeline, detection).payload["exposure_s"] == 1000.0
    assert encoder.spectra == 1


def test_pipeline_a_corrected_value_is_stored_without_encoding_again(pipeline, encoder):
    detection = row(variables={"hard_hs": 0.25})
    store_items(pipeline, DetectionItem("a.pha", detection, spectrum()))
    vector = point(pipeline, detection).vector
    corrected = replace(detection, variables={"hard_hs": 0.5})
    assert store_items(pipeline, DetectionItem("row", corrected)) == ["ingested"]
    stored = point(pipeline, detection)
    assert stored.payload["hard_hs"] == 0.5
    assert stored.vector == vector
    assert encoder.spectra == 1


def test_pipeline_a_changed_spectrum_is_encoded_again(pipeline, encoder):
    detection = row()
    store_items(pipeline, DetectionItem("a.pha", detection, spectrum(seed=1)))
    assert store_items(pipeline, DetectionItem("a.pha", detection, spectrum(seed=2))) == [
        "ingested"
    ]
    assert encoder.spectra == 2


def test_pipeline_scores_of_a_spectrum_go_when_it_changes_and_stay_when_the_row_does(pipeline):
    detection = row()
    store_items(pipeline, DetectionItem("a.pha", detection, spectrum(seed=1)))
    pipeline.store.set_payload(DETECTIONS, {detection.id: {"outlier_score": 0.9}})
    corrected = replace(detection, variables={"hard_hs": 0.5})
    store_items(pipeline, DetectionItem("row", corrected))
    assert point(pipeline, detection).payload["outlier_score"] == 0.9
    store_items(pipeline, DetectionItem("a.pha", detection, spectrum(seed=2)))
    assert "outlier_score" not in point(pipeline, detection).payload


def test_pipeline_a_simulated_spectrum_never_takes_the_place_of_an_observed_one(pipeline):
    drawn = DetectionItem("drawn", row(simulated=True), spectrum(seed=1))
    observed = DetectionItem("a.pha", row(), spectrum(seed=2))
    assert store_items(pipeline, drawn) == ["ingested"]
    assert store_items(pipeline, observed) == ["ingested"]
    assert point(pipeline, row()).payload["simulated"] is False
    assert store_items(pipeline, drawn) == ["refused"]
    assert store_items(pipeline, observed) == ["unchanged"]


def test_pipeline_a_catalogue_row_does_not_make_a_drawn_spectrum_look_observed(pipeline):
    store_items(pipeline, DetectionItem("drawn", row(simulated=True), spectrum()))
    store_items(pipeline, DetectionItem("row", row(variables={"hard_hs": 0.1})))
    assert point(pipeline, row()).payload["simulated"] is True


def test_pipeline_refuses_a_second_spectrum_of_one_detection_in_one_run(pipeline):
    first = DetectionItem("a.pha", row(), spectrum(seed=1))
    second = DetectionItem("b.pha", row(), spectrum(seed=2))
    outcomes = list(pipeline.ingest_items([first, second]))
    assert [outcome.status for outcome in outcomes] == ["refused", "ingested"]
    assert "a.pha" in outcomes[0].detail


def test_pipeline_reports_a_repeated_spectrum_only_after_the_first_is_stored(pipeline):
    first = DetectionItem("a.pha", row(), spectrum())
    outcomes = list(pipeline.ingest_items([first, DetectionItem("copy.pha", row(), spectrum())]))
    assert [(o.input, o.status) for o in outcomes] == [
        ("a.pha", "ingested"),
        ("copy.pha", "unchanged"),
    ]


def test_pipeline_refuses_a_second_spectrum_however_long_ago_the_first_came(pipeline, monkeypatch):
    others = [DetectionItem(f"{n}.pha", row(n), spectrum(seed=n)) for n in range(2, 5)]
    monkeypatch.setattr("workers.writing.pipeline.BATCH", 1)
    first, copy, second = (
        DetectionItem(name, row(), spectrum(seed))
        for name, seed in (("a\udcff.pha", 0), ("copy.pha", 0), ("b.pha", 1))
    )
    *_, repeated, refused = pipeline.ingest_items([first, *others, copy, second])
    assert (repeated.status, repeated.notes) == ("unchanged", ("same content as a\udcff.pha",))
    assert (refused.status, refused.input) == ("refused", "b.pha")
    assert "a\udcff.pha" in refused.detail


def test_pipeline_takes_no_more_memory_the_more_comes_in_a_run(pipeline, monkeypatch):
    monkeypatch.setattr(pipeline, "_store_detections", lambda _items: ())  # what is stored is gone
    detection = row()

    def items(n):
        for number in range(n):
            key = catalogue_key("2.1", 100, 0, number)
            yield DetectionItem(f"/data/{number}.pha", replace(detection, key=key))

    peaks = []
    for n in (2_000, 12_000):
        tracemalloc.start()
        list(pipeline.ingest_items(items(n)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_pipeline_one_bad_spectrum_does_not_spoil_its_batch(pipeline):
    flat = replace(spectrum(), counts=np.ones(400))
    good = DetectionItem("good.pha", row(1), spectrum())
    outcomes = list(pipeline.ingest_items([DetectionItem("flat.pha", row(2), flat), good]))
    assert {outcome.input: outcome.status for outcome in outcomes} == {
        "flat.pha": "refused",
        "good.pha": "ingested",
    }


def test_pipeline_papers_keep_their_summary_when_only_metadata_change(pipeline, encoder):
    paper = Paper("2020ApJ...900....1A", "A title", "An abstract of a paper.", year=2020)
    assert [o.status for o in pipeline.ingest_papers([paper])] == ["ingested"]
    assert [o.status for o in pipeline.ingest_papers([paper])] == ["unchanged"]
    moved = replace(paper, journal="ApJ")
    assert [o.status for o in pipeline.ingest_papers([moved])] == ["ingested"]
    stored = pipeline.store.retrieve(PAPERS, [paper.id], with_vectors=True)[0]
    assert stored.payload["journal"] == "ApJ"
    assert stored.payload["summary"]["nature"] == "A title"
    assert set(stored.vector) == {"text", "shared", "bm25"}
    assert encoder.summaries == 1


def test_pipeline_papers_are_found_by_the_words_of_title_abstract_and_summary(pipeline):
    summary = Summary("A magnetar.", "Bursts of soft gamma rays.", "Starquakes.", "given")
    papers = [
        Paper("2020ApJ...900....1A", "Flares of SGR 1806-20", "An abstract.", summary=summary),
        Paper("2020ApJ...900....2B", "Cooling flows in A1795", "Filaments of cold gas."),
    ]
    list(pipeline.ingest_papers(papers))
    for words, found in {
        "SGR 1806-20": [papers[0]],
        "starquake": [papers[0]],
        "a cold filament": [papers[1]],
        "pulsar": [],
    }.items():
        hits = pipeline.store.query(PAPERS, keywords_of_question(words), BM25)
        assert [hit.payload["bibcode"] for hit in hits] == [paper.bibcode for paper in found]


def test_pipeline_papers_stored_before_there_were_keywords_get_them_without_encoding(
    pipeline, encoder
):
    paper = Paper("2020ApJ...900....1A", "A title", "An abstract of a magnetar.", year=2020)
    list(pipeline.ingest_papers([paper]))
    (stored,) = pipeline.store.retrieve(PAPERS, [paper.id], with_vectors=True)
    older = {name: vector for name, vector in stored.vector.items() if name != BM25}
    payload = {name: value for name, value in stored.payload.items() if name != "keyword_model"}
    point = models.PointStruct(id=stored.id, vector=older, payload=payload)
    pipeline.store.upsert(PAPERS, [point])
    assert pipeline.store.query(PAPERS, keywords_of_question("magnetar"), BM25) == []
    assert [o.status for o in pipeline.ingest_papers([paper])] == ["ingested"]
    assert len(pipeline.store.query(PAPERS, keywords_of_question("magnetar"), BM25)) == 1
    assert encoder.summaries == 1


def test_pipeline_papers_carry_the_models_opinion_of_their_topic(pipeline, encoder):
    papers = [
        Paper("2020ApJ...900....1A", "A pulsar", "Hard X-rays of a pulsar."),
        Paper("2020JCli...33....1A", "The weather", "The weather of a planet."),
    ]
    list(pipeline.ingest_papers(papers))
    assert topics(pipeline) == {papers[0].bibcode: 0.98, papers[1].bibcode: 0.02}
    changed = replace(papers[1], title="A nova", abstract="X-rays of a nova.")
    list(pipeline.ingest_papers([papers[0], changed]))
    assert topics(pipeline) == {papers[0].bibcode: 0.98, papers[1].bibcode: 0.98}
    assert encoder.summaries == 3


def test_pipeline_papers_stored_before_there_were_topics_get_theirs_when_ingested_again(
    pipeline, encoder
):
    paper = Paper("2020ApJ...900....1A", "A title", "An abstract of a magnetar.", year=2020)
    list(pipeline.ingest_papers([paper]))
    (before,) = pipeline.store.retrieve(PAPERS, [paper.id], with_vectors=True)
    pipeline.store.delete_payload(PAPERS, ["topic_probability"])
    assert topics(pipeline) == {paper.bibcode: None}
    assert [o.status for o in pipeline.ingest_papers([paper])] == ["ingested"]
    (after,) = pipeline.store.retrieve(PAPERS, [paper.id], with_vectors=True)
    assert (after.payload, after.vector) == (before.payload, before.vector)
    assert [o.status for o in pipeline.ingest_papers([paper])] == ["unchanged"]
    assert encoder.summaries == 2


def topics(pipeline):
    records, _ = pipeline.store.scroll(PAPERS)
    return {r.payload["bibcode"]: r.payload.get("topic_probability") for r in records}


def test_pipeline_detections_carry_the_year_of_observation(pipeline):
    dated = row(1, observed_at=datetime(2003, 12, 31, 23, tzinfo=UTC))
    store_items(pipeline, DetectionItem("a", dated), DetectionItem("b", row(2)))
    assert point(pipeline, dated).payload["observed_year"] == 2003
    assert "observed_year" not in point(pipeline, row(2)).payload
    assert pipeline.store.facet(DETECTIONS, "observed_year") == {"2003": 1}


def test_pipeline_reports_refusals_of_the_readers(pipeline):
    catalogue = Catalogue([row()], [Refusal("row 2", "no obsid")])
    outcomes = list(pipeline.ingest_catalogue(catalogue))
    assert [(o.input, o.status) for o in outcomes] == [
        ("row 2", "refused"),
        (row().key, "ingested"),
    ]


def test_pipeline_refuses_a_store_of_another_model(tmp_path, encoder):
    path = tmp_path / "store"
    with Pipeline(EmbeddedStore(path), encoder, FirstSentences()) as pipeline:
        list(pipeline.ingest_items([DetectionItem("a", row(), spectrum())]))
    other = FakeEncoder()
    other.model_id = "another-model"
    store = EmbeddedStore(path)
    with store, pytest.raises(InputError, match="filled by model"):
        Pipeline(store, other, FirstSentences())
