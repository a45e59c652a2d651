import numpy as np
import pytest

from common.calibration import RuleSet
from encoders.evaluation.nearness import COUNTS, FEWEST, Distances, nearness_of
from encoders.evaluation.neighbours import Nearest


def made(spread, counts, n=2000, seed=0):
    rng = np.random.default_rng(seed)
    return Distances(np.abs(rng.normal(0, spread, n)), np.full(n, float(counts)))


def joined(*parts):
    return Distances(
        np.concatenate([one.distance for one in parts]),
        np.concatenate([one.counts for one in parts]),
    )


def rules(usual):
    return RuleSet(
        variables={}, classes=None, near=usual.near, near_k=usual.near_k,
        near_counts=usual.near_counts, near_scale=usual.near_scale,
    )  # fmt: skip


def test_distances_are_those_to_the_tenth_neighbour_with_the_counts_of_the_ten():
    near = Nearest(np.arange(12)[None, :], np.linspace(0.1, 1.2, 12)[None, :])
    found = Distances.of(near, np.arange(12) * 10.0)
    assert found.distance == pytest.approx([1.0])
    assert found.counts == pytest.approx([45.0])


def test_one_in_a_hundred_lies_farther_than_its_scale_whatever_the_counts():
    faint, bright = made(0.1, 20), made(0.3, 5000)
    found = rules(nearness_of([joined(faint, bright)]))
    for one, counts in ((faint, 20.0), (bright, 5000.0)):
        assert (one.distance > found.scale_at(counts)).mean() == pytest.approx(0.01, abs=0.002)
    assert found.near[198] == pytest.approx(1, abs=0.02)
    assert found.scale_at(20.0) < found.scale_at(5000.0) / 2


def test_the_larger_distance_of_several_kinds_counts():
    near, far = made(0.1, 500), made(0.2, 500, seed=1)
    both, alone = nearness_of([near, far]), nearness_of([far])
    assert both.near_scale == alone.near_scale
    assert (np.array(both.near) >= np.array(alone.near)).all()
    assert both == nearness_of([far, near])


def test_bins_with_few_detections_are_like_the_one_beside_them():
    few, faint, bright = made(9.0, 20, n=FEWEST - 1), made(0.1, 50), made(0.3, 5000)
    found = rules(nearness_of([joined(few, faint, bright)]))
    assert len(found.near_scale) == len(COUNTS)
    assert found.scale_at(20.0) == found.scale_at(50.0) < 0.3
    assert found.scale_at(1e7) == found.scale_at(5000.0) > 0.5


def test_a_single_bright_line_cannot_hide_among_the_faintest():
    """Its neighbours have 20 counts; so faint ones are few, and near each other."""
    usual = rules(nearness_of([joined(made(0.1, 50), made(0.2, 5000))]))
    assert 0.4 / usual.scale_at(22.0) > usual.near[-2]
    assert 0.4 / usual.scale_at(5000.0) < usual.near[-2]


def test_few_detections_in_all_have_one_scale():
    found = nearness_of([made(0.1, 50, n=5)])
    assert len(set(found.near_scale)) == 1


def test_spectra_that_are_all_the_same_have_a_scale():
    found = rules(nearness_of([Distances(np.zeros(50), np.full(50, 100.0))]))
    assert found.scale_at(100.0) > 0


def test_neighbours_of_unknown_counts_are_judged_by_the_largest_scale():
    found = rules(nearness_of([joined(made(0.1, 20), made(0.3, 5000))]))
    assert found.scale_at(None) == max(found.near_scale)
    bare = RuleSet(variables={}, classes=None, near=(0.1, 0.2), near_k=10)
    assert (bare.scale_at(None), bare.scale_at(10.0)) == (1.0, 1.0)
