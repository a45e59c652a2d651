import dataclasses

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from small_store import detection, hard_counts, summary

from common.binning import BIN_EDGES_KEV
from common.dataset import part_of
from common.errors import NotFoundError
from common.records import Paper, Spectrum, point_id
from ingest.dataset.dataset import read_dataset, write_dataset
from search.collections.schema import DETECTIONS, PAPERS, TOPIC_PROBABILITY
from search.collections.training_pairs import MOST_SOURCES, stored_pairs
from search.store.embedded import EmbeddedStore
from workers.writing.pipeline import DetectionItem, Pipeline


class NoSummarizer:
    def summarize(self, texts, **_kwargs):
        raise AssertionError("every paper of these tests comes with its summary")


@pytest.fixture
def store(tmp_path):
    with EmbeddedStore(tmp_path / "store") as store:
        yield store


def name(i):
    return f"2CXO J{i:06d}.0+000000"


def ingest(store, detections=(), papers=()):
    """Ingest ``(detection, text beside it or None)`` and papers, as the commands do."""
    pipeline = Pipeline(store, FakeEncoder(), NoSummarizer())
    items = [
        DetectionItem(
            one.key,
            one,
            Spectrum(hard_counts(one.region_id), BIN_EDGES_KEV[:-1], BIN_EDGES_KEV[1:], 5e3),
            summary=summary(text) if text else None,
        )
        for one, text in detections
    ]
    for outcomes in (pipeline.ingest_papers(papers), pipeline.ingest_items(items)):
        assert not [outcome for outcome in outcomes if outcome.status == "refused"]


def paper(bibcode, text, *names):
    return Paper(bibcode, f"title of {bibcode}", "", source_names=names, summary=summary(text))


def texts_by_source(store):
    dataset, _ = stored_pairs(store)
    found = {}
    for row, source in enumerate(dataset.source.tolist()):
        texts = {text.summary.nature for text in dataset.texts_of(source)}
        found[dataset.detections[row].source_name or dataset.detections[row].key] = texts
    return found


def test_every_paper_about_a_source_is_one_of_its_texts(store):
    linked = dataclasses.replace(detection(1, source_name=name(1)), bibcodes=("by-bibcode",))
    ingest(
        store,
        [(linked, "beside it"), (detection(2, source_name=name(1)), None)],
        [
            paper("by-bibcode", "named by the detection"),
            paper("by-name", "names the source", name(1)),
            paper("other", "about another source", name(2)),
        ],
    )
    assert texts_by_source(store) == {
        name(1): {summary(text).nature for text in
                  ("beside it", "named by the detection", "names the source")}
    }  # fmt: skip


def test_the_text_beside_a_detection_is_not_counted_twice(store):
    linked = dataclasses.replace(detection(1, source_name=name(1)), bibcodes=("paper",))
    ingest(store, [(linked, "the same")], [paper("paper", "the same", name(1))])
    dataset, _ = stored_pairs(store)
    assert [text.bibcode for text in dataset.texts] == ["paper"]


def test_spectra_values_and_flags_are_those_stored(store):
    given = detection(
        1, source_name=name(1), variables={"hard_hs": 0.5}, source_class=("Galaxy", "AGN"),
        simulated=True,
    )  # fmt: skip
    ingest(store, [(given, "a text"), (detection(2), None)])
    dataset, _ = stored_pairs(store)
    row = [one.key for one in dataset.detections].index(given.key)
    np.testing.assert_array_equal(dataset.counts[row], hard_counts(1))
    assert dataset.exposure_s[row] == 5e3
    assert dataset.variables["hard_hs"][row] == 0.5
    assert np.isnan(dataset.variables["hard_hs"][1 - row])
    assert dataset.detections[row].source_class == ("Galaxy", "AGN")
    assert [one.simulated for one in dataset.detections] == [row == 0, row == 1]
    assert dataset.simulated


def test_parts_hang_on_names_alone_and_survive_a_file(store, tmp_path):
    ingest(store, [(detection(i, source_name=name(i)), f"text {i}") for i in range(1, 41)])
    dataset, _ = stored_pairs(store)
    expected = {name(i): part_of(name(i)) for i in range(1, 41)}
    write_dataset(dataset, tmp_path / "dataset")
    for one in (dataset, read_dataset(tmp_path / "dataset")):
        parts = {
            one.detections[row].source_name: one.parts[source]
            for row, source in enumerate(one.source.tolist())
        }
        assert parts == expected
        assert sum(map(len, one.split().values())) == 40


def test_detections_without_names_are_one_source_where_they_share_their_text(store):
    ingest(store, [(detection(i), f"text {i // 2}") for i in range(2, 10)])
    dataset, _ = stored_pairs(store)
    assert dataset.n_sources == 4
    assert len(dataset.texts) == 4


def test_a_text_of_sources_in_several_parts_is_left_to_those_held_out(store):
    parts = {part_of(name(i)): name(i) for i in range(1, 60)}
    held, learnt = parts["test"], parts["train"]
    ingest(
        store,
        [(detection(1, source_name=held), None), (detection(2, source_name=learnt), None)],
        [paper("both", "about both", held, learnt), paper("one", "about one", learnt)],
    )
    assert texts_by_source(store) == {
        held: {summary("about both").nature},
        learnt: {summary("about one").nature},
    }
    assert "1 pairs are left out" in stored_pairs(store)[1][0]


def test_a_text_about_everything_is_about_nothing(store):
    names = [name(i) for i in range(MOST_SOURCES + 1)]
    ingest(
        store,
        [(detection(i + 1, source_name=one), None) for i, one in enumerate(names)],
        [paper("survey", "a survey", *names)],
    )
    dataset, notes = stored_pairs(store)
    assert not dataset.texts
    assert "1 texts about more than 20 sources each are left out" in notes[0]


def test_papers_that_are_off_topic_are_not_paired(store):
    ingest(
        store,
        [(detection(1, source_name=name(1)), "off topic")],
        [paper("off", "off topic", name(1)), paper("on", "on topic", name(1))],
    )
    probability = {
        point_id("paper", "off"): {TOPIC_PROBABILITY: 0.2},
        point_id("paper", "on"): {TOPIC_PROBABILITY: 0.9},
    }
    store.set_payload(store.resolve(PAPERS), probability)
    assert texts_by_source(store) == {name(1): {summary("on topic").nature}}
    assert "1 papers are not about X-ray sources" in stored_pairs(store)[1][0]


def test_what_was_withdrawn_is_not_learnt_from(store):
    ingest(
        store,
        [(detection(i, source_name=name(i)), None) for i in (1, 2)],
        [paper("gone", "gone", name(2)), paper("here", "here", name(2))],
    )
    pipeline = Pipeline(store, FakeEncoder(), NoSummarizer())
    pipeline.withdraw(DETECTIONS, [detection(1).id])
    pipeline.withdraw(PAPERS, [point_id("paper", "gone")])
    assert texts_by_source(store) == {name(2): {summary("here").nature}}


def test_a_store_without_spectra_has_nothing_to_teach(store):
    with pytest.raises(NotFoundError, match="keeps no spectrum"):
        stored_pairs(store)
