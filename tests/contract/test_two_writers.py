"""Two writers of one point, interleaved at the encoder: what both bring is there afterwards.

Encoding takes seconds, and in these seconds a second writer reads, encodes and stores. The two
share nothing but the store, as two workers, or the queues of one process, do.
"""

import os

import numpy as np
import pytest
from fake_encoder import FakeEncoder

from common.binning import BIN_EDGES_KEV
from common.records import Detection, Paper, Spectrum, Summary, catalogue_key
from search.collections.kept_inputs import read_inputs
from search.collections.schema import (
    BOTH,
    DETECTIONS,
    PAPERS,
    SHARED,
    SHARED_SPECTRUM,
    SHARED_TEXT,
    WITHDRAWN,
)
from workers.writing.pipeline import DetectionItem, Pipeline

REAL = ["server"] if os.environ.get("CHANDRA_QDRANT_URL") else []
pytestmark = pytest.mark.parametrize(
    "engine", ["embedded", "standin", "cluster", *REAL], indirect=True, scope="session"
)

KEY = catalogue_key("2.1", 100, 0, 1)
TEXT = Summary("a quasar", "hard, obscured", "an active nucleus", "extractive")
OTHER_TEXT = Summary("a nova", "soft", "a white dwarf", "extractive")


class Summarizer:
    def summarize(self, texts, **_kwargs):
        return [Summary(title, text, text, "extractive") for title, text in texts]


class MeddledEncoder(FakeEncoder):
    """An encoder in whose seconds something else happens, once."""

    def __init__(self, meanwhile=lambda: None):
        super().__init__()
        self.meanwhile = meanwhile
        self.n_encoded = 0

    def _pass_time(self, n):
        self.n_encoded += n
        happening, self.meanwhile = self.meanwhile, lambda: None
        happening()

    def encode_spectra(self, counts, exposure_s, **kwargs):
        encoded = super().encode_spectra(counts, exposure_s, **kwargs)
        self._pass_time(len(counts))
        return encoded

    def encode_summaries(self, summaries, **kwargs):
        encoded = super().encode_summaries(summaries, **kwargs)
        self._pass_time(len(summaries))
        return encoded


@pytest.fixture
def open_writer(store):
    """Open a pipeline on the store; all that it left is removed afterwards."""

    def open_writer(meanwhile=lambda: None):
        return Pipeline(store, MeddledEncoder(meanwhile), Summarizer())

    yield open_writer
    for name in store.collections():
        if not name.startswith("test-"):
            store.delete_collection(name)


@pytest.fixture
def other(open_writer):
    return open_writer()


def detection(**more):
    return Detection(KEY, "CHANDRA", "ACIS", release="2.1", obsid=100, **more)


def with_spectrum(seed=0, **more):
    counts = np.random.default_rng(seed).poisson(3.0, 400).astype(float)
    spectrum = Spectrum(counts, BIN_EDGES_KEV[:-1], BIN_EDGES_KEV[1:], 1000.0)
    return DetectionItem("spectrum.pi", detection(**more), spectrum)


def with_text(text=TEXT):
    return DetectionItem("text", detection(), summary=text)


def a_row(**more):
    return DetectionItem("row", detection(**more))


def ingest(pipeline, *items):
    return [outcome.status for outcome in pipeline.ingest_items(items)]


def point(pipeline):
    records = pipeline.store.retrieve(DETECTIONS, [detection().id], with_vectors=True)
    return records[0].payload, records[0].vector


def whole(pipeline):
    """The stored detection, once it has all that a spectrum and a text make."""
    payload, vectors = point(pipeline)
    assert {SHARED_SPECTRUM, SHARED_TEXT, BOTH} <= vectors.keys()
    halves = np.concatenate([vectors[SHARED_SPECTRUM], vectors[SHARED_TEXT]]) / np.sqrt(2)
    assert vectors[BOTH] == pytest.approx(halves, abs=1e-5)
    kept = read_inputs(pipeline.store, [detection().id])[detection().id]
    assert payload["spectrum_hash"] == kept.spectrum_hash
    assert payload["summary_hash"] == kept.summary_hash
    return payload


@pytest.mark.parametrize("stored", [(), (a_row(),)], ids=["new", "a row"])
@pytest.mark.parametrize("first", ["spectrum", "text"])
def test_neither_a_spectrum_nor_a_text_erases_the_other(open_writer, other, stored, first):
    ingest(other, *stored)
    items = {"spectrum": with_spectrum(), "text": with_text()}
    slow = items.pop(first)
    (quick,) = items.values()
    writer = open_writer(lambda: ingest(other, quick))
    assert ingest(writer, slow) == ["ingested"]
    whole(writer)


def test_what_is_written_again_is_not_encoded_again(open_writer, other):
    writer = open_writer(lambda: ingest(other, with_text()))
    ingest(writer, with_spectrum())
    assert writer.encoder.n_encoded == 1


@pytest.mark.parametrize("known", [{}, {"source_class": ("Galaxy",)}], ids=["no", "a former"])
def test_a_correction_of_a_class_is_not_erased_by_a_spectrum(open_writer, other, known):
    """The spectrum comes with no class, or with that of before."""
    ingest(other, a_row(source_class=("Galaxy",)))
    fields = {detection().id: {"class_path": ["Galaxy", "AGN"]}}
    writer = open_writer(lambda: other.correct(DETECTIONS, fields))
    ingest(writer, with_spectrum(**known))
    assert point(writer)[0]["class_path"] == ["Galaxy", "AGN"]
    assert point(writer)[0]["has_spectrum"]


def test_a_withdrawal_is_not_erased_by_who_read_before_it(open_writer, other):
    """Who ingests after a withdrawal brings a detection back; here the withdrawal is the later."""
    ingest(other, with_text())
    writer = open_writer(lambda: other.withdraw(DETECTIONS, [detection().id]))
    ingest(writer, with_spectrum())
    assert WITHDRAWN in point(writer)[0]
    assert whole(writer)["has_spectrum"]
    ingest(writer, with_spectrum())
    assert WITHDRAWN not in point(writer)[0]


def test_a_withdrawal_of_a_paper_is_not_erased_by_who_read_before_it(open_writer, other):
    paper = Paper("2020ApJ...900....2A", "A quasar", "An obscured quasar.", 2020)
    changed = Paper("2020ApJ...900....2A", "A quasar", "A heavily obscured quasar.", 2020)
    [*other.ingest_papers([paper])]
    writer = open_writer(lambda: other.withdraw(PAPERS, [paper.id]))
    [*writer.ingest_papers([changed])]
    (record,) = writer.store.retrieve(PAPERS, [paper.id])
    assert WITHDRAWN in record.payload
    assert record.payload["abstract"] == "A heavily obscured quasar."


def test_of_two_spectra_the_kept_inputs_are_those_of_the_vectors(open_writer, other):
    ingest(other, with_text())
    writer = open_writer(lambda: ingest(other, with_spectrum(1)))
    ingest(writer, with_spectrum(2))
    assert whole(writer)["spectrum_hash"] == with_spectrum(2).spectrum.hash()


def test_of_two_texts_the_kept_inputs_are_those_of_the_vectors(open_writer, other):
    ingest(other, with_spectrum())
    writer = open_writer(lambda: ingest(other, with_text(OTHER_TEXT)))
    ingest(writer, with_text())
    assert whole(writer)["summary_hash"] == TEXT.hash()


def test_only_the_points_that_another_changed_are_written_again(open_writer, other):
    others = [
        DetectionItem(f"{n}", Detection(catalogue_key("2.1", 100, 0, n), "CHANDRA", "ACIS"),
                      with_spectrum(n).spectrum)
        for n in range(2, 6)
    ]  # fmt: skip
    writer = open_writer(lambda: ingest(other, with_text()))
    assert ingest(writer, with_spectrum(), *others) == ["ingested"] * 5
    assert writer.store.count(DETECTIONS) == 5
    whole(writer)


def test_citations_that_come_while_a_paper_is_encoded_stay(open_writer, other):
    paper = Paper("2020ApJ...900....1A", "A quasar", "An obscured quasar.", 2020)
    changed = Paper("2020ApJ...900....1A", "A quasar", "A heavily obscured quasar.", 2020)
    [*other.ingest_papers([paper])]
    writer = open_writer(lambda: other.correct(PAPERS, {paper.id: {"citation_count": 12}}))
    [*writer.ingest_papers([changed])]
    (record,) = writer.store.retrieve(PAPERS, [paper.id], with_vectors=True)
    assert record.payload["citation_count"] == 12
    assert record.payload["abstract"] == "A heavily obscured quasar."
    assert SHARED in record.vector
