import numpy as np
import pytest
from known_neighbours import KnownNeighbours, calibration
from sklearn.neighbors import KNeighborsRegressor

from common.errors import InvalidQueryError
from common.variables import VARIABLE_NAMES
from search.filters.filters import DetectionFilter
from search.inference.estimates import Estimator
from search.inference.neighbourhood import REPRESENTATIONS

ROWS = (0, 7, 1234)


@pytest.fixture(scope="module")
def known(module_folder):
    known = KnownNeighbours(module_folder("known") / "store")
    with known.store:
        yield known


class Counting:
    """A store that counts engine queries."""

    def __init__(self, store):
        self.store, self.batches = store, []

    def query_batch(self, collection, queries):
        self.batches.append(len(queries))
        return self.store.query_batch(collection, queries)

    def scroll(self, *args, **more):
        return self.store.scroll(*args, **more)


def by_scikit_learn(known, row, representation, weighting, k, variable):
    x, values = known.vectors[representation].astype(np.float64), known.variables[variable]
    of = (known.source != known.source[row]) & np.isfinite(values)
    weights = "uniform"
    if weighting == "distance-weighted mean":
        weights = lambda distance: 1 / np.maximum(distance, 1e-3)  # noqa: E731
    model = KNeighborsRegressor(k, weights=weights, algorithm="brute").fit(x[of], values[of])
    if weighting == "median":
        return np.median(values[of][model.kneighbors(x[row : row + 1])[1][0]])
    return model.predict(x[row : row + 1])[0]


@pytest.mark.parametrize("representation", REPRESENTATIONS)
@pytest.mark.parametrize("weighting", ["mean", "median", "distance-weighted mean"])
@pytest.mark.parametrize("k", [1, 3, 40])
def test_estimates_are_those_of_scikit_learn(known, representation, weighting, k):
    estimator = Estimator(known.store, None)
    for row in ROWS:
        found = estimator.estimate(
            known.subject(row), k=k, weighting=weighting, representation=representation
        )
        for name in ("hard_hs", "apec_z"):
            expected = by_scikit_learn(known, row, representation, weighting, k, name)
            assert found.estimates[name].value == pytest.approx(expected, abs=1e-5)


def test_all_variables_take_one_batch_of_at_most_five_queries(known):
    counting = Counting(known.store)
    found = Estimator(counting, calibration()).estimate(known.subject(3))
    assert len(counting.batches) == 1
    assert counting.batches[0] <= 5
    assert tuple(found.estimates) == VARIABLE_NAMES


def test_a_calibrated_rule_averages_its_representations_and_gives_intervals(known):
    found = Estimator(known.store, calibration()).estimate(known.subject(7))
    one = found.estimates["hard_hs"]
    names = ("spectrum", "shared_spectrum")
    parts = [by_scikit_learn(known, 7, name, "median", 5, "hard_hs") for name in names]
    assert one.value == pytest.approx(np.mean(parts), abs=1e-5)
    assert (one.representations, one.k, one.weighting) == (names, 5, "median")
    assert one.low_68 < one.value < one.high_68
    assert (one.low_90, one.high_90) == (-1, 1)  # as far as a hardness ratio goes
    assert found.calibrated_on == calibration().in_words()


def test_a_source_of_many_detections_is_left_out_by_the_engine(known, monkeypatch):
    few = Estimator(known.store, calibration()).estimate(known.subject(7))
    monkeypatch.setattr("search.inference.neighbourhood.FEW", 1)
    assert Estimator(known.store, calibration()).estimate(known.subject(7)) == few


def test_no_interval_of_a_redshift_reaches_below_zero(known):
    one = Estimator(known.store, calibration()).estimate(known.subject(7)).estimates["apec_z"]
    assert one.value > 0
    assert (one.low_90, one.high_90) == (0, 20)
    assert 0 <= one.low_68 <= one.value


def test_its_own_source_is_never_a_neighbour(known):
    found = Estimator(known.store, calibration()).estimate(known.subject(7), k=100)
    one = found.estimates["hard_hs"]
    assert "source 3" not in {neighbour.name for neighbour in one.neighbours}
    assert one.stored == pytest.approx(known.variables["hard_hs"][7])
    distances = [neighbour.distance for neighbour in one.neighbours]
    assert distances == sorted(distances)


def test_another_rule_than_the_calibrated_one_has_no_intervals(known):
    found = Estimator(known.store, calibration()).estimate(known.subject(7), k=6)
    assert found.estimates["hard_hs"].low_68 is None
    assert found.calibrated_on is None
    assert any("no intervals for hard_hs" in note for note in found.notes)


def test_a_variable_that_nobody_has_is_not_estimated(known):
    found = Estimator(known.store, None).estimate(known.subject(0))
    assert found.estimates["bb_kt"].value is None
    assert any("too few neighbours" in note and "bb_kt" in note for note in found.notes)
    assert any("chandra-search calibrate" in note for note in found.notes)


@pytest.mark.parametrize(("near", "outside"), [((0.0, 1e-6), True), ((1.9, 2.0), False)])
def test_a_spectrum_far_from_all_others_lies_outside(known, near, outside):
    estimator = Estimator(known.store, calibration(near=near))
    found = estimator.estimate(known.subject(0, "spectrum", "shared_spectrum"))
    assert found.outside is outside
    assert found.nearness == (0 if outside else 1)
    assert any("do not trust" in note for note in found.notes) is outside


def test_a_filter_says_who_may_be_a_neighbour(known):
    only = DetectionFilter(classes=("CV*",))
    found = Estimator(known.store, None).estimate(known.subject(0), query_filter=only)
    names = {neighbour.name for neighbour in found.estimates["hard_hs"].neighbours}
    allowed = {f"source {known.source[i]}" for i, p in enumerate(known.paths) if "CV*" in p}
    assert names <= allowed


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"k": 1001}, "from 1 to 1000"),
        ({"weighting": "mode"}, "unknown weighting 'mode'"),
        ({"representation": "colour"}, "unknown representation 'colour'"),
        ({"representation": "text"}, "no vector text"),
    ],
)
def test_what_cannot_be_estimated_is_refused(known, wrong, message):
    subject = known.subject(0, "spectrum", "shared_spectrum")
    with pytest.raises(InvalidQueryError, match=message):
        Estimator(known.store, None).estimate(subject, **wrong)


def test_a_part_of_the_store_does_not_make_a_spectrum_lie_outside(known):
    estimator = Estimator(known.store, calibration())
    few = DetectionFilter(where="hard_hs > 0.99")
    found = estimator.estimate(known.subject(0), query_filter=few)
    assert not found.outside
    assert found.nearness is None
    assert any("not judged by a part" in note for note in found.notes)


def test_a_filter_that_restricts_nothing_is_no_part_of_the_store(known):
    estimator = Estimator(known.store, calibration())
    bare = estimator.estimate(known.subject(0))
    assert estimator.estimate(known.subject(0), query_filter=DetectionFilter()) == bare
    assert bare.nearness is not None


def test_an_interval_says_whether_anybody_has_compared_it_with_the_sky(known):
    given = calibration()
    real = given.origins[0].model_copy(update={"made_from": "fits", "simulated": False})
    rules = dict(given.spectrum_only.variables)
    rules["hard_hs"] = rules["hard_hs"].model_copy(update={"made_from": "fits", "simulated": False})
    both = given.model_copy(
        update={
            "origins": (real, *given.origins),
            "widened": {"68": 1.5, "90": 1.25},
            "spectrum_only": given.spectrum_only.model_copy(update={"variables": rules}),
        }
    )
    found = Estimator(known.store, both).estimate(known.subject(7))
    by_sky, by_simulation = (found.estimates[name] for name in ("hard_hs", "apec_z"))
    assert (by_sky.interval_simulated, by_simulation.interval_simulated) == (False, True)
    assert by_sky.calibrated_on == "fits: 200 observed detections of 100 sources"
    assert by_simulation.calibrated_on == given.in_words()
    assert found.estimates["powlaw_nh"].interval_simulated is None
    assert any(
        note.startswith("intervals of apec_z rest on simulated values, widened 1.5 times (68%)")
        for note in found.notes
    )


def test_intervals_that_all_rest_on_simulations_say_so_once(known):
    found = Estimator(known.store, calibration()).estimate(known.subject(7))
    assert [note for note in found.notes if "simulated" in note] == [
        "all intervals rest on simulated values: they may hold fewer real ones than they say"
    ]


def test_nearness_is_judged_among_those_whose_neighbours_are_as_bright(known):
    """The neighbours' counts are not known here, so the largest scale counts."""
    subject = known.subject(7)
    strict = calibration(near_counts=(0.0, 100.0), near_scale=(0.01, 0.02))
    lenient = calibration(near_counts=(0.0, 100.0), near_scale=(0.01, 100.0))
    assert Estimator(known.store, strict).estimate(subject).outside
    assert not Estimator(known.store, lenient).estimate(subject).outside
