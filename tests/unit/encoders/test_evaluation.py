import dataclasses

import numpy as np
import pytest

from common.dataset import detections_of, split_by_source
from common.errors import InvalidTableError
from common.ports import Vectors, no_progress
from encoders.evaluation import REPRESENTATIONS, VariableErrors, evaluate

VARIABLE_KEYS = {"mean_baseline", *REPRESENTATIONS, "moe", "moe_choice"}


class TableEncoder:
    """An encoder whose vectors are looked up: each source has one, its spectra may have others."""

    def __init__(self, dataset, spectra, texts):
        self._spectra = {row.tobytes(): v for row, v in zip(dataset.counts, spectra, strict=True)}
        pairs = zip(dataset.summaries, texts, strict=True)
        self._texts = {s.hash(): v for s, v in pairs if s is not None}

    def encode_spectra(self, counts, exposure_s, progress=no_progress):
        rows = np.array([self._spectra[row.tobytes()] for row in counts], dtype=np.float32)
        return Vectors(rows, rows)

    def encode_summaries(self, summaries, progress=no_progress):
        rows = np.array([self._texts[s.hash()] for s in summaries], dtype=np.float32)
        return Vectors(rows, rows)


def unit_rows(n, seed):
    rows = np.random.default_rng(seed).normal(size=(n, 8))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def perfect(dataset):
    texts = unit_rows(dataset.n_sources, 0)
    return TableEncoder(dataset, texts[dataset.source], texts)


@pytest.fixture
def blind(dataset):
    same = np.ones((dataset.n_sources, 8))
    return TableEncoder(dataset, same[dataset.source], same)


def test_perfect_vectors_find_every_source_first(dataset, perfect):
    n_test = len(split_by_source(dataset.n_sources)["test"])
    for figures in evaluate(dataset, perfect).to_dict()["retrieval"].values():
        assert figures == {
            "recall_at_1_percent": 1.0,
            "recall_at_5_percent": 1.0,
            "recall_at_10_percent": 1.0,
            "median_rank": 1.0,
            "candidates": n_test,
        }


def test_vectors_that_tell_nothing_come_last(dataset, blind):
    for figures in evaluate(dataset, blind).to_dict()["retrieval"].values():
        assert figures["median_rank"] == figures["candidates"]
        assert figures["recall_at_10_percent"] == 0


def test_evaluation_has_exactly_the_promised_keys(dataset, perfect):
    result = evaluate(dataset, perfect).to_dict()
    assert set(result) == {"retrieval", "regression", "improvement"}
    assert set(result["retrieval"]) == {"spectrum_to_text", "text_to_spectrum"}
    assert set(result["improvement"]) == {"both", "moe"}
    assert set(result["regression"]["hard_hs"]) == VARIABLE_KEYS


def test_a_variable_without_values_is_left_out(dataset, perfect):
    assert set(evaluate(dataset, perfect).regression) == {"hard_hs"}


def test_an_estimate_is_the_mean_of_the_nearest_training_detections(dataset, perfect):
    place = dataset.source.astype(float)  # a text's own number: its neighbours' are unrelated
    errors = evaluate(
        dataclasses.replace(dataset, variables={"hard_hs": place}), perfect, k=2
    ).regression["hard_hs"]
    split = split_by_source(dataset.n_sources)
    train, test = (detections_of(dataset, split[part]) for part in ("train", "test"))
    texts = unit_rows(dataset.n_sources, 0)
    order = np.argsort(-texts[dataset.source[test]] @ texts[dataset.source[train]].T, axis=1)
    expected = place[train][order[:, :2]].mean(axis=1)  # both detections of the nearest source
    assert errors.spectrum == pytest.approx(np.abs(expected - place[test]).mean())
    assert errors.mean_baseline == pytest.approx(np.abs(place[train].mean() - place[test]).mean())


def test_the_mixture_of_experts_takes_the_representation_that_validates_best(dataset):
    kind = np.eye(8)[np.arange(dataset.n_sources) % 3]
    noise = unit_rows(dataset.n_sources, 4)
    encoder = TableEncoder(dataset, noise[dataset.source], kind + 0.01 * noise)
    errors = evaluate(dataset, encoder).regression["hard_hs"]
    assert errors.moe_choice in ("text", "shared_text")
    assert errors.moe == errors.text < 0.1 < errors.spectrum


def test_improvement_is_the_gain_over_the_better_single_modality():
    errors = VariableErrors(
        mean_baseline=4, spectrum=2, text=3, shared_spectrum=1, shared_text=3, both=1.5, moe=1,
        moe_choice="shared_spectrum",
    )  # fmt: skip
    assert errors.gain(errors.both) == 0.25
    assert errors.gain(errors.moe) == 0.5


def test_missing_values_are_neither_estimated_nor_used(dataset, perfect):
    values = dataset.variables["hard_hs"].copy()
    values[::2] = np.nan  # of each source, one detection remains
    some = dataclasses.replace(dataset, variables={"hard_hs": values})
    assert all(
        np.isfinite(error)
        for key, error in evaluate(some, perfect).to_dict()["regression"]["hard_hs"].items()
        if key != "moe_choice"
    )


def test_sources_without_summary_are_no_candidates(dataset, perfect):
    test = split_by_source(dataset.n_sources)["test"]
    summaries = list(dataset.summaries)
    summaries[test[0]] = None
    result = evaluate(dataclasses.replace(dataset, summaries=summaries), perfect)
    assert result.spectrum_to_text.candidates == len(test) - 1
    assert len(result.spectrum_to_text.ranks) == 2 * (len(test) - 1)


def test_a_dataset_without_summaries_is_refused(dataset, perfect):
    none = dataclasses.replace(dataset, summaries=[None] * dataset.n_sources)
    with pytest.raises(InvalidTableError, match=r"'test': 0.*give a dataset"):
        evaluate(none, perfect)


def test_evaluation_of_a_trained_bundle_beats_guessing(dataset, bundle):
    result = evaluate(dataset, bundle).to_dict()
    errors = result["regression"]["hard_hs"]
    assert errors["shared_spectrum"] < 0.2 * errors["mean_baseline"]
    for figures in result["retrieval"].values():
        assert figures["median_rank"] <= (figures["candidates"] + 1) / 2
