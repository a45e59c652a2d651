import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.evaluation.bootstrap import Bootstrap, interval
from encoders.evaluation.dimensions import correlation
from encoders.evaluation.neighbours import Nearest, NeighbourSearch
from encoders.evaluation.result import Rule
from encoders.evaluation.rules import (
    AVERAGES,
    apply,
    best_expert,
    best_rule,
    estimate_all,
    largest_error,
)

NAMES = ("spectrum", "text", "both")
NUMBERS = (3, 5, 10)


def estimates_of(seed, n=40):
    rng = np.random.default_rng(seed)
    found = {
        name: Nearest(rng.integers(0, 60, (n, 10)), np.sort(rng.uniform(0, 1, (n, 10))))
        for name in NAMES
    }
    values = rng.normal(size=60)
    return estimate_all(found, values, NUMBERS), rng.normal(size=n)


def test_averages_of_known_neighbours():
    found = {"text": Nearest(np.array([[2, 0, 1]]), np.array([[0.1, 0.2, 0.4]]))}
    estimates = estimate_all(found, np.array([2.0, 9.0, 1.0]), [3])
    assert estimates["text", 3, "mean"] == pytest.approx([4])
    assert estimates["text", 3, "median"] == pytest.approx([2])
    weighted = (10 * 1 + 5 * 2 + 2.5 * 9) / 17.5
    assert estimates["text", 3, "distance-weighted mean"] == pytest.approx([weighted])


def test_an_identical_neighbour_weighs_much_but_finitely():
    found = {"text": Nearest(np.array([[0, 1, 2]]), np.array([[0.0, 1.0, 1.0]]))}
    estimate = estimate_all(found, np.array([1.0, 2.0, 3.0]), [3])
    assert estimate["text", 3, "distance-weighted mean"] == pytest.approx([1], abs=0.01)


@given(st.integers(0, 2**31))
def test_the_chosen_rule_is_at_least_as_good_as_each_single_one_on_validation(seed):
    estimates, truth = estimates_of(seed)

    def error(rule):
        return np.abs(apply(rule, estimates) - truth).mean()

    chosen = error(best_rule(estimates, NAMES, NUMBERS, truth))
    singles = [Rule((name,), k, how) for name in NAMES for k in NUMBERS for how in AVERAGES]
    assert chosen <= min(map(error, singles)) + 1e-12


def test_a_perfect_pair_of_representations_is_found():
    estimates, truth = estimates_of(0)
    noise = np.random.default_rng(1).normal(size=len(truth))
    estimates["text", 5, "median"] = truth + noise
    estimates["both", 5, "median"] = truth - noise
    rule = best_rule(estimates, NAMES, NUMBERS, truth)
    assert rule == Rule(("text", "both"), 5, "median")
    assert apply(rule, estimates) == pytest.approx(truth)


def test_the_simplest_of_equally_good_rules_is_chosen():
    same = np.linspace(0, 1, 20)
    estimates = {(name, k, how): same for name in NAMES for k in NUMBERS for how in AVERAGES}
    assert best_rule(estimates, NAMES, NUMBERS, same + 0.1) == Rule(("spectrum",), 3, "mean")


def test_a_few_failed_fits_do_not_choose_the_rule():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=1000)
    truth[:3] = 1e4
    estimates = {(name, k, how): rng.normal(size=1000)
                 for name in NAMES for k in NUMBERS for how in AVERAGES}  # fmt: skip
    estimates["both", 10, "median"] = np.where(truth > 100, 0.0, truth + 0.1)
    estimates["text", 3, "mean"] = np.where(truth > 100, truth, rng.normal(size=1000))
    assert largest_error(truth) < 10
    assert best_rule(estimates, NAMES, NUMBERS, truth).representations == ("both",)


@pytest.mark.parametrize("values", [np.linspace(0, 1, 99), np.zeros(9), np.geomspace(1, 99, 200)])
def test_errors_of_ordinary_variables_are_not_limited(values):
    assert largest_error(values) == np.inf


def test_an_expert_that_says_nothing_is_never_the_best():
    estimates, truth = estimates_of(3)
    estimates["spectrum", 3, "mean"] = np.zeros(len(truth))
    estimates["text", 3, "mean"] = -truth + 0.1
    estimates["both", 3, "mean"] = truth * 2
    assert best_expert(estimates, NAMES, 3, truth) == "both"
    assert best_expert(estimates, ("spectrum", "both"), 3, truth) == "both"


def test_neighbours_are_sorted_and_among_the_reference():
    x = np.array([[0.0], [1.0], [1.5], [9.0]], dtype=np.float32)
    search = NeighbourSearch({"text": x}, 5)
    found = search.among(np.array([1, 2, 3]), np.array([0]))["text"]
    assert found.rows.tolist() == [[1, 2, 3]]  # as many as there are
    assert found.distance == pytest.approx(np.array([[1.0, 1.5, 9.0]]))


def test_bootstrap_draws_whole_sources():
    draws = Bootstrap(np.array([7, 7, 9]), seed=0)
    counted = draws.sums(np.array([[1.0, 0], [1, 0], [0, 1]]))  # (n_resample, 2)
    assert set(map(tuple, counted.tolist())) == {(0, 2), (2, 1), (4, 0)}


def test_bootstrap_error_of_a_mean_is_that_of_theory():
    values = np.random.default_rng(0).normal(size=(400, 1))
    found = interval(values.mean(), Bootstrap(np.arange(400), 1).means(values)[:, 0])
    assert found.error == pytest.approx(values.std() / 20, rel=0.1)
    assert found.low < found.value < found.high


def test_detections_of_one_source_are_not_independent():
    values = np.repeat(np.random.default_rng(0).normal(size=100), 4)[:, None]
    alone = Bootstrap(np.arange(400), 1).means(values).std()
    together = Bootstrap(np.arange(400) // 4, 1).means(values).std()
    assert together == pytest.approx(2 * alone, rel=0.2)


def test_bootstrap_of_rows_without_values_leaves_them_out():
    draws = Bootstrap(np.array([0, 1]), 0).means(np.array([[5.0]]), np.array([1]))[:, 0]
    assert np.isnan(draws).any()  # source 1 is not always drawn
    assert interval(5.0, draws) == interval(5.0, [5.0])


def test_bootstrap_medians_are_medians_of_what_is_drawn():
    values = np.array([3.0, 1.0, 2.0])
    draws = Bootstrap(np.arange(3), 0).medians(values)
    assert set(draws) == {1, 2, 3}
    assert interval(2.0, Bootstrap(np.zeros(3, int), 0).medians(values)) == interval(2.0, [2.0])


@given(st.integers(0, 2**31))
def test_correlation_agrees_with_numpy(seed):
    rng = np.random.default_rng(seed)
    x, values = rng.normal(size=(12, 3)), rng.normal(size=12)
    values[:2] = np.nan
    expected = [np.corrcoef(column, values[2:])[0, 1] for column in x[2:].T]
    assert correlation(x, values) == pytest.approx(expected)


@pytest.mark.parametrize("values", [[1.0, 1, 1, 1], [np.nan] * 4, [1, 2, np.nan, np.nan]])
def test_correlation_is_undefined_with_too_little_to_go_by(values):
    assert np.isnan(correlation(np.eye(4), np.array(values))).all()


def test_correlation_with_a_constant_dimension_is_undefined():
    x = np.column_stack([np.ones(4), np.arange(4)])
    found = correlation(x, np.arange(4.0))
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(1)
