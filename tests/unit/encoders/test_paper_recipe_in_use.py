"""A bundle of the paper's recipe fills a store and answers as any other does."""

from dataclasses import replace

import numpy as np
import pytest

from common.errors import InputError
from common.records import Summary
from search.app import build_services
from search.results import PageOptions
from search.settings import SearchSettings
from search.store.embedded import EmbeddedStore
from workers.writing.pipeline import Pipeline


class NoSummarizer:
    def summarize(self, texts, **_kwargs):
        return [Summary(title, abstract, abstract, "extractive") for title, abstract in texts]


def with_values(dataset):
    """Return the dataset with its variables in the catalogue rows, as datasets read have them."""
    values = dataset.variables["hard_hs"].tolist()
    detections = [
        replace(detection, variables={"hard_hs": value})
        for detection, value in zip(dataset.detections, values, strict=True)
    ]
    return replace(dataset, detections=detections)


@pytest.fixture(scope="module")
def services(dataset, printed_bundle, module_folder):
    store = EmbeddedStore(module_folder("data") / "store")
    with Pipeline(store, printed_bundle, NoSummarizer()) as pipeline:
        outcomes = list(pipeline.ingest_dataset(with_values(dataset)))
        assert {outcome.status for outcome in outcomes} == {"ingested"}
        yield build_services(store, printed_bundle, SearchSettings())


def kinds(page, dataset):
    of_key = {d.key: int(s) % 3 for d, s in zip(dataset.detections, dataset.source, strict=True)}
    return [of_key[hit.payload["key"]] for hit in page.hits]


def test_a_text_finds_the_spectra_that_fit(services, dataset, printed_bundle):
    texts = printed_bundle.encode_summaries([text.summary for text in dataset.texts[:3]])
    for kind, vector in enumerate(texts.shared):
        page = services.search.by_vector(
            vector, printed_bundle.model_id, "detections", arrange=PageOptions(limit=20)
        )
        assert np.mean(np.array(kinds(page, dataset)) == kind) > 0.7


def test_a_question_is_answered(services):
    page = services.search.by_text("a soft source", "detections", arrange=PageOptions(limit=20))
    assert len(page.hits) == 20


def test_a_spectrum_finds_the_papers_that_fit(services, dataset):
    page = services.search.by_spectrum(dataset.counts[0], dataset.exposure_s[0], "papers")
    assert len(page.hits) == 10


def test_variables_are_estimated_from_neighbours(services, dataset):
    subject = services.search.subject_of(dataset.counts[2], dataset.exposure_s[2])
    found = services.estimator.estimate(subject).estimates["hard_hs"]
    assert found.value == pytest.approx(1, abs=0.4)


def test_a_vector_must_have_the_width_of_all_members_side_by_side(services, printed_bundle):
    width = printed_bundle.shared_width
    vector = np.ones(width, dtype=np.float32) / width**0.5
    model = printed_bundle.model_id
    assert services.search.by_vector(vector, model, "detections").hits
    with pytest.raises(InputError, match=f"{width} numbers"):
        services.search.by_vector(vector[:8], model, "detections")
