import numpy as np
import pytest

from common.binning import N_BINS
from common.concepts import CLASSES, N_CONCEPTS, NAMES
from common.dataset import Dataset
from common.records import Detection
from common.source_class import normalise
from encoders.spectral_targets import SAID, spectral_targets


def dataset(*classes, source=None, concepts=None):
    n = len(classes)
    return Dataset(
        name="classes",
        counts=np.ones((n, N_BINS)),
        exposure_s=np.ones(n),
        source=np.arange(n) if source is None else np.array(source),
        variables={},
        detections=[
            Detection(f"file/{i}", "CHANDRA", "ACIS", source_class=normalise(name) if name else ())
            for i, name in enumerate(classes)
        ],
        texts=(),
        simulated=False,
        concepts=concepts,
    )


def probabilities(n, value=np.nan, **named):
    rows = np.full((n, N_CONCEPTS), value, dtype=np.float32)
    for name, probability in named.items():
        rows[:, NAMES.index(name)] = probability
    return rows


def of(targets, name):
    return targets[:, NAMES.index(name)].tolist()


def test_nothing_is_known_of_a_source_without_class_and_text():
    targets = spectral_targets(dataset(""), probabilities(1), None)
    assert targets.shape == (1, N_CONCEPTS)
    assert targets.dtype == np.float32
    assert np.isnan(targets).all()


def test_the_class_of_a_catalogue_counts_more_than_what_a_text_says():
    told = probabilities(2, 0.1, star=0.9, seyfert1=0.8)
    targets = spectral_targets(dataset("Sy1", ""), told, probabilities(2, 0.3))
    assert of(targets, "star") == pytest.approx([0.0, 0.9])
    assert of(targets, "seyfert1") == pytest.approx([1.0, 0.8])
    assert of(targets, "agn") == pytest.approx([1.0, 0.3])


def test_what_a_text_says_counts_more_than_what_the_model_recognises():
    targets = spectral_targets(
        dataset(""), probabilities(1, 0.1, soft=0.9), probabilities(1, 0.2, soft=0.4, lines=0.7)
    )
    assert of(targets, "soft") == pytest.approx([0.9])
    assert of(targets, "lines") == pytest.approx([0.7])


def test_that_a_text_does_not_say_a_thing_tells_nothing():
    targets = spectral_targets(dataset(""), probabilities(1, SAID, soft=SAID + 0.01), None)
    assert of(targets, "soft") == pytest.approx([SAID + 0.01])
    assert np.isnan(targets).sum() == N_CONCEPTS - 1


def test_a_class_leaves_open_what_it_does_not_exclude():
    targets = spectral_targets(dataset("AGN"), probabilities(1), None)
    assert np.isnan(targets[:, len(CLASSES) :]).all()
    assert np.isnan(of(targets, "seyfert2")).all()


def test_each_detection_has_the_texts_of_its_source():
    told = np.concatenate([probabilities(1, soft=0.9), probabilities(1, hard=0.8)])
    targets = spectral_targets(dataset("", "", "", source=(0, 1, 0)), told, None)
    np.testing.assert_allclose(of(targets, "soft"), [0.9, np.nan, 0.9], rtol=1e-6)
    np.testing.assert_allclose(of(targets, "hard"), [np.nan, 0.8, np.nan], rtol=1e-6)


def test_what_a_simulation_knows_is_all_that_counts():
    known = np.zeros((1, N_CONCEPTS), dtype=bool)
    known[0, 3] = True
    targets = spectral_targets(
        dataset("Star", concepts=known), probabilities(1, 0.9), probabilities(1, 0.9)
    )
    assert targets.dtype == np.float32
    np.testing.assert_array_equal(targets, known)
