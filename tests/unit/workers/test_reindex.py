from dataclasses import replace

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from two_models import (
    Background,
    BetterEncoder,
    differences,
    filled,
    open_pipeline,
    payloads,
    simulate,
)

from common.errors import InputError, NotFoundError, UnavailableError
from search.collections.kept_inputs import SPECTRA
from search.collections.schema import (
    DETECTIONS,
    OUTLIER_FIELDS,
    PAPERS,
    SHARED_SPECTRUM,
    UNENCODED,
    model_of,
)
from search.collections.store_format import ABOUT
from search.store.embedded import EmbeddedStore
from workers.maintenance.reindex import Reindex, drop_old, incomplete, roll_back
from workers.writing.dual_write import read_state
from workers.writing.pipeline import DetectionItem


@pytest.fixture
def store(tmp_path):
    with EmbeddedStore(tmp_path / "store") as store:
        yield store


@pytest.fixture
def dataset(store):
    return filled(store)


def reindex(store, encoder=None):
    return Reindex(store, encoder or BetterEncoder(), sleep=lambda _s: None)


def drop(store):
    return drop_old(store, grace_s=0)


def vectors(store, point):
    return store.retrieve(DETECTIONS, [point], with_vectors=True)[0].vector


def test_reindex_gives_every_point_the_vectors_of_the_new_model(store, dataset):
    before = payloads(store, DETECTIONS, "fake0")
    done = reindex(store).run()
    assert (done.detections, done.papers) == (40, dataset.n_sources)
    assert done.incomplete == []
    assert model_of(store) == model_of(store, PAPERS) == "fake1"
    assert differences(store) == []
    encoder = BetterEncoder()
    for row in (0, 7, 39):
        point = dataset.detections[row].id
        spectrum = dataset.spectrum(row)
        expected = encoder.encode_spectra(
            spectrum.binned_counts()[None, :], np.array([spectrum.exposure_s])
        )
        found = vectors(store, point)
        assert set(found) == {"spectrum", "text", "shared_spectrum", "shared_text", "both"}
        np.testing.assert_allclose(found["spectrum"], expected.own[0], atol=1e-5)
        np.testing.assert_allclose(found["shared_spectrum"], expected.shared[0], atol=1e-5)
        assert len(found["both"]) == 2 * encoder.shared_width
    assert len(before) == 40


def test_reindex_needs_neither_files_nor_archives(tmp_path):
    with EmbeddedStore(tmp_path / "store") as store:
        filled(store)
    with EmbeddedStore(tmp_path / "store") as store:
        assert reindex(store).run().incomplete == []


def test_reindex_leaves_one_models_own_opinions_behind(store, dataset):
    point = dataset.detections[0].id
    store.set_payload(DETECTIONS, {point: dict.fromkeys(OUTLIER_FIELDS, 1)})
    reindex(store).run()
    held = store.retrieve(DETECTIONS, [point])[0].payload
    assert not held.keys() & set(OUTLIER_FIELDS)
    assert held["model_id"] == "fake1"


def test_reindex_gives_papers_the_new_models_opinion_of_their_topic(store, dataset):
    class Doubting(BetterEncoder):
        def encode_summaries(self, summaries, **kwargs):
            encoded = super().encode_summaries(summaries, **kwargs)
            return replace(encoded, topic_probability=encoded.topic_probability / 2)

    reindex(store, Doubting()).run()
    for model_id, topic in (("fake0", 0.98), ("fake1", 0.49)):
        held = payloads(store, PAPERS, model_id).values()
        assert {one["topic_probability"] for one in held} == {topic}
    assert differences(store) == []


def test_reindex_repeated_after_an_interruption_encodes_only_the_rest(store, dataset):
    class Killed(BaseException):
        pass

    class Dying(BetterEncoder):
        def encode_spectra(self, counts, exposure_s, **kwargs):
            raise Killed

    dying = reindex(store, Dying())
    with pytest.raises(Killed):
        dying.run()
    assert model_of(store) == "fake0"
    assert read_state(store).phase == "filling"
    encoder = BetterEncoder()
    reindex(store, encoder).fill()
    assert encoder.spectra == 40
    again = BetterEncoder()
    assert reindex(store, again).fill() == 0
    assert again.spectra == 0
    reindex(store, again).run()
    assert model_of(store) == "fake1"


def test_reindex_switches_nothing_when_answers_are_wrong(store, dataset):
    class Forgetful(BetterEncoder):
        def encode_spectra(self, counts, exposure_s, **kwargs):
            noise = np.random.default_rng().random(np.shape(counts)) * 50
            return super().encode_spectra(counts + noise, exposure_s, **kwargs)

    with pytest.raises(UnavailableError, match="found by their own content"):
        reindex(store, Forgetful()).run()
    assert model_of(store) == "fake0"


def test_reindex_switches_nothing_when_counts_differ(store, dataset, monkeypatch):
    monkeypatch.setattr(Reindex, "_carry", lambda *_: 0)
    with pytest.raises(UnavailableError, match="0 of 40 detections, not switched"):
        reindex(store).run()
    assert model_of(store) == "fake0"


def test_ingestion_during_a_reindex_goes_to_both_models(store, dataset):
    reindex(store).begin()
    pipeline = open_pipeline(store)
    list(pipeline.ingest_dataset(simulate(60, 6)))
    assert store.count("detections@fake1") == 60
    reindex(store).fill()
    assert store.count("detections@fake1") == 100
    assert differences(store) == []


def test_ingestion_during_a_reindex_wins_over_what_was_there(store, dataset):
    change = reindex(store)
    change.begin()
    change.fill()
    item = DetectionItem("row", replace(dataset.detections[0], source_name="2CXO J111111.1+111111"))
    list(open_pipeline(store).ingest_items([item]))
    assert differences(store) == []
    change.check()
    change.switch()
    held = store.retrieve(DETECTIONS, [dataset.detections[0].id])[0].payload
    assert held["source_name"] == "2CXO J111111.1+111111"


def test_a_changed_spectrum_is_encoded_by_both_models(store, dataset):
    change = reindex(store)
    change.begin()
    change.fill()
    other = simulate(40, 99)
    item = DetectionItem("new.pha", dataset.detections[0], other.spectrum(3))
    list(open_pipeline(store).ingest_items([item]))
    spectrum = other.spectrum(3)
    expected = BetterEncoder().encode_spectra(
        spectrum.binned_counts()[None, :], np.array([spectrum.exposure_s])
    )
    change.check()
    change.switch()
    found = vectors(store, dataset.detections[0].id)
    np.testing.assert_allclose(found[SHARED_SPECTRUM], expected.shared[0], atol=1e-5)


def test_a_writer_killed_between_its_two_writes_is_made_good_before_the_switch(store, dataset):
    change = reindex(store)
    change.begin()
    change.fill()
    point = dataset.detections[0].id
    store.set_payload("detections@fake0", {point: {"source_name": "changed"}})
    store.delete_points("papers@fake0", [next(iter(dataset.papers())).id])
    assert len(differences(store)) == 2
    change.check()
    assert differences(store) == []


def test_filling_and_ingesting_at_once_ends_with_equal_collections(store, dataset):
    pipeline = open_pipeline(store)
    names = ["2CXO J111111.1+111111", "2CXO J222222.2+222222", "2CXO J333333.3+333333"]
    spectra = [simulate(40, seed).spectrum(1) for seed in (1, 2, 3)]

    def ingest(turn):
        items = [
            DetectionItem(f"{turn}", replace(one, source_name=names[turn % 3]), spectra[turn % 3])
            for one in dataset.detections[:8]
        ]
        list(pipeline.ingest_items(items))

    change = reindex(store)
    change.begin()
    with Background(ingest) as writer:
        for _ in range(6):
            change.fill()
            change.check()
    assert writer.done > 3
    assert differences(store) == []
    change.switch()
    held = store.retrieve(DETECTIONS, [dataset.detections[0].id])[0].payload
    spectrum = spectra[names.index(held["source_name"])]
    expected = BetterEncoder().encode_spectra(
        spectrum.binned_counts()[None, :], np.array([spectrum.exposure_s])
    )
    found = vectors(store, dataset.detections[0].id)
    np.testing.assert_allclose(found[SHARED_SPECTRUM], expected.shared[0], atol=1e-5)


def test_rollback_loses_nothing_that_was_ingested_after_the_switch(store, dataset):
    reindex(store).run()
    list(open_pipeline(store).ingest_dataset(simulate(60, 6)))
    roll_back(store)
    assert model_of(store) == model_of(store, PAPERS) == "fake0"
    assert store.count(DETECTIONS) == 100
    assert differences(store) == []


def test_reindex_after_a_rollback_switches_again(store, dataset):
    reindex(store).run()
    roll_back(store)
    assert reindex(store).run().encoded == 0
    assert model_of(store) == "fake1"


def test_drop_old_leaves_the_model_in_use_alone(store, dataset):
    reindex(store).run()
    assert drop(store) == "fake1"
    assert store.collections() == [ABOUT, "detections@fake1", "papers@fake1", SPECTRA]
    assert read_state(store) is None


def test_drop_old_after_a_rollback_gives_up_the_new_model(store, dataset):
    reindex(store).run()
    roll_back(store)
    assert drop(store) == "fake0"
    assert store.collections() == [ABOUT, "detections@fake0", "papers@fake0", SPECTRA]


def test_drop_old_interrupted_goes_on(store, dataset):
    class Killed(BaseException):
        pass

    def die(_seconds):
        raise Killed

    reindex(store).run()
    with pytest.raises(Killed):
        drop_old(store, grace_s=1000, sleep=die)
    with pytest.raises(InputError, match="has not ended"):
        reindex(store).run()
    assert drop(store) == "fake1"
    assert read_state(store) is None


def test_drop_old_waits_for_what_is_under_way(store, dataset):
    reindex(store).run()
    waited = []

    def wait(seconds):
        waited.append(seconds)
        assert "detections@fake0" in store.collections()
        if len(waited) == 3:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        drop_old(store, grace_s=1000, sleep=wait)


def test_a_pipeline_follows_the_store_to_the_model_that_is_left(store, dataset):
    pipeline = open_pipeline(store)
    reindex(store).run()
    drop(store)
    more = simulate(60, 6)
    list(pipeline.ingest_dataset(more))
    assert store.count("detections@fake1") == 100
    assert pipeline.encoder.model_id == "fake1"
    assert len(vectors(store, more.detections[59].id)[SHARED_SPECTRUM]) == 5


def test_a_batch_whose_collections_are_dropped_under_way_is_one_to_repeat(store, dataset):
    class Slow(FakeEncoder):
        def encode_spectra(self, counts, exposure_s, **kwargs):
            if "detections@fake0" in store.collections():
                reindex(store).run()
                drop(store)
            return super().encode_spectra(counts, exposure_s, **kwargs)

    pipeline = open_pipeline(store, Slow())
    more = simulate(60, 6)
    item = DetectionItem("0", more.detections[0], more.spectrum(0))
    with pytest.raises(UnavailableError, match="dropped while a batch"):
        list(pipeline.ingest_items([item]))
    assert [outcome.status for outcome in pipeline.ingest_items([item])] == ["ingested"]
    assert SHARED_SPECTRUM in vectors(store, more.detections[0].id)


def test_detections_whose_counts_are_not_kept_are_named_and_keep_their_payload(store, dataset):
    lost = dataset.detections[3]
    store.delete_points(SPECTRA, [lost.id])
    done = reindex(store).run()
    assert done.incomplete == [lost.key]
    held = store.retrieve(DETECTIONS, [lost.id], with_vectors=True)[0]
    assert held.payload["source_name"] == lost.source_name
    assert held.vector == {}


def test_ingesting_them_again_completes_them(store, dataset):
    lost = dataset.detections[3]
    store.delete_points(SPECTRA, [lost.id])
    reindex(store).run()
    item = DetectionItem(
        "3", lost, dataset.spectrum(3), summary=dataset.summary_of(dataset.source[3])
    )
    list(open_pipeline(store).ingest_items([item]))
    assert incomplete(store) == []
    assert "both" in vectors(store, lost.id)
    assert UNENCODED not in store.retrieve(DETECTIONS, [lost.id])[0].payload


def test_ingesting_them_again_after_the_reindex_completes_them_too(store, dataset):
    lost = dataset.detections[3]
    store.delete_points(SPECTRA, [lost.id])
    reindex(store).run()
    drop(store)
    item = DetectionItem("3", lost, dataset.spectrum(3))
    list(open_pipeline(store, BetterEncoder()).ingest_items([item]))
    assert store.retrieve(DETECTIONS, [lost.id])[0].payload[UNENCODED] == ["text"]
    assert SHARED_SPECTRUM in vectors(store, lost.id)


@pytest.mark.parametrize("damage", ["AAAA", "no base64!", "eJw="])
def test_damaged_counts_are_not_encoded(store, dataset, damage):
    lost = dataset.detections[3]
    store.set_payload(SPECTRA, {lost.id: {"counts": damage}})
    assert reindex(store).run().incomplete == [lost.key]


def test_reindex_to_the_model_in_use_is_refused(store, dataset):
    with pytest.raises(InputError, match="has model fake0 already"):
        reindex(store, FakeEncoder()).run()


def test_reindex_of_an_empty_store_is_refused(store):
    with pytest.raises(NotFoundError, match="nothing is stored"):
        reindex(store).run()


def test_reindex_to_a_third_model_waits_for_the_second(store, dataset):
    class Third(BetterEncoder):
        model_id = "fake2"

    reindex(store).run()
    with pytest.raises(InputError, match="change to model fake1 is under way"):
        reindex(store, Third()).run()
    drop(store)
    reindex(store, Third()).run()
    assert model_of(store) == "fake2"


def test_nothing_under_way_can_be_rolled_back_or_dropped(store, dataset):
    with pytest.raises(InputError, match="nothing to go back to"):
        roll_back(store)
    with pytest.raises(InputError, match="nothing to drop"):
        drop(store)
    reindex(store).begin()
    with pytest.raises(InputError, match="not in use yet"):
        drop(store)
