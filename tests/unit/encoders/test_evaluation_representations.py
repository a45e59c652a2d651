import dataclasses

import numpy as np
import pytest

from common.errors import InvalidTableError
from common.ports import TextVectors, Vectors, no_progress
from common.representations import REPRESENTATIONS
from encoders.evaluation.representations import represent


class TableEncoder:
    """An encoder whose vectors tell which detection or source they are of."""

    model_id = "table"
    text_model = "words"

    def __init__(self, dataset):
        self._rows = {counts.tobytes(): row for row, counts in enumerate(dataset.counts)}
        self._sources = {text.summary.hash(): text.source for text in dataset.texts}

    def encode_spectra(self, counts, exposure_s, progress=no_progress):
        own = np.array([[self._rows[one.tobytes()], 1] for one in counts], dtype=np.float32)
        return Vectors(own, -own)

    def encode_summaries(self, summaries, progress=no_progress):
        own = np.array([[self._sources[one.hash()], 2] for one in summaries], dtype=np.float32)
        return TextVectors(own, -own, np.ones(len(own), np.float32))


@pytest.fixture
def encoder(dataset):
    return TableEncoder(dataset)


def test_each_detection_has_its_own_spectrum_and_the_text_of_its_source(dataset, encoder):
    found = represent(dataset, encoder)
    assert tuple(found.vectors) == REPRESENTATIONS
    assert found.vectors["spectrum"][:, 0].tolist() == list(range(len(dataset)))
    assert found.vectors["text"][:, 0].tolist() == dataset.source.tolist()
    assert np.array_equal(
        found.vectors["both"],
        np.hstack([found.vectors["shared_spectrum"], found.vectors["shared_text"]]),
    )
    assert (found.model_id, found.text_model) == ("table", "words")
    assert found.counts == pytest.approx(dataset.counts.sum(axis=1))
    assert found.notes == ()


def test_the_split_is_that_of_the_sources(dataset, encoder):
    found = represent(dataset, encoder)
    expected = dataset.split()
    for part, rows in found.split.items():
        assert set(found.source[rows]) == set(expected[part])


def test_sources_without_summary_are_left_out_and_noted(dataset, encoder):
    found = represent(dataclasses.replace(dataset, texts=dataset.texts[1:]), encoder)
    assert 0 not in found.source
    assert len(found.names) == len(dataset) - 2
    assert found.vectors["text"][:, 0].tolist() == found.source.tolist()
    assert found.notes == ("2 of 120 detections left out: no summary",)


def test_a_dataset_without_summaries_has_spectra_only(dataset, encoder):
    none = dataclasses.replace(dataset, texts=())
    found = represent(none, encoder)
    assert tuple(found.vectors) == ("spectrum", "shared_spectrum")
    assert len(found.names) == len(dataset)
    assert "no source has a summary" in found.notes[0]


def test_one_source_under_two_numbers_in_two_splits_is_refused(dataset, encoder):
    split = dataset.split()
    twice = {int(split["train"][0]), int(split["test"][0])}
    detections = [
        dataclasses.replace(one, source_name="2CXO J1" if source in twice else None)
        for one, source in zip(dataset.detections, dataset.source, strict=True)
    ]
    with pytest.raises(InvalidTableError, match=r"2CXO J1 appears as several sources.*give all"):
        represent(dataclasses.replace(dataset, detections=detections), encoder)


def test_a_detection_is_called_by_its_source_and_key(dataset, encoder):
    named = [dataclasses.replace(one, source_name="2CXO J1") for one in dataset.detections[:2]]
    detections = [*named, *dataset.detections[2:]]
    found = represent(dataclasses.replace(dataset, detections=detections), encoder)
    assert found.names[0] == "2CXO J1 (file/0)"
    assert found.names[2] == "file/2"


def test_a_source_in_two_splits_is_refused(dataset, encoder):
    found = represent(dataset, encoder)
    split = {**found.split, "test": np.append(found.split["test"], found.split["train"][0])}
    with pytest.raises(InvalidTableError, match="is in train and in test: split by source"):
        dataclasses.replace(found, split=split)


def test_a_split_without_validation_is_refused(dataset, encoder):
    found = represent(dataset, encoder)
    with pytest.raises(InvalidTableError, match="the split has no validation, test"):
        dataclasses.replace(found, split={"train": found.split["train"]})


def test_vectors_that_are_not_finite_are_refused(dataset, encoder):
    found = represent(dataset, encoder)
    broken = found.vectors["text"].copy()
    broken[3, 0] = np.nan
    with pytest.raises(InvalidTableError, match="vectors text hold NaN"):
        dataclasses.replace(found, vectors={**found.vectors, "text": broken})


def test_vectors_of_other_lengths_or_names_are_refused(dataset, encoder):
    found = represent(dataset, encoder)
    with pytest.raises(InvalidTableError, match="lengths differ"):
        dataclasses.replace(found, counts=found.counts[:-1])
    with pytest.raises(InvalidTableError, match=r"called \['x'\]: give one or more of spectrum"):
        dataclasses.replace(found, vectors={"x": found.vectors["text"]})
