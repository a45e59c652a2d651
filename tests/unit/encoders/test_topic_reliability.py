"""Are probabilities of the topic what they say they are?"""

import numpy as np
import pytest

from common.ports import MIN_TOPIC
from encoders.evaluation.topic import topic_reliability

RNG = np.random.default_rng(0)


def test_what_comes_true_as_often_as_promised_is_reliable():
    promised = RNG.uniform(size=50_000)
    found = topic_reliability(promised, promised > RNG.uniform(size=50_000))
    assert found.expected_calibration_error < 0.01
    assert sum(bin.n for bin in found.bins) == 50_000
    for bin in found.bins:
        assert bin.topical == pytest.approx(bin.probability, abs=0.02)


def test_what_is_too_sure_of_itself_is_not():
    promised = RNG.uniform(size=20_000)
    sure = np.where(promised > 0.5, 0.99, 0.01)
    found = topic_reliability(sure, promised > RNG.uniform(size=20_000))
    assert found.expected_calibration_error == pytest.approx(0.24, abs=0.02)


def test_what_a_search_shows_by_default_is_counted():
    probability = np.array([MIN_TOPIC, MIN_TOPIC - 0.01, 0.99, 0.01, MIN_TOPIC])
    topical = np.array([True, True, True, False, False])
    found = topic_reliability(probability, topical)
    assert found.shown_of_topical == pytest.approx(2 / 3)
    assert found.shown_of_others == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    ("probability", "topical"),
    [([], []), ([0.1, 0.9], [True, True]), ([np.nan, np.nan], [True, False])],
)
def test_nothing_is_said_of_texts_of_one_kind(probability, topical):
    found = topic_reliability(np.array(probability, dtype=float), np.array(topical, dtype=bool))
    assert found is None
