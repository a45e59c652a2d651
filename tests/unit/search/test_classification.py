import numpy as np
import pytest
from known_neighbours import KnownNeighbours, calibration

from common.errors import InvalidQueryError
from common.estimation import vote
from search.filters.filters import DetectionFilter
from search.inference.classification import Classifier


@pytest.fixture(scope="module")
def known(module_folder):
    known = KnownNeighbours(module_folder("voters") / "store")
    with known.store:
        yield known


def all_of(found):
    return {one.path: one for level in found.levels for one in level}


def test_votes_are_those_of_the_nearest_of_known_class(known):
    found = Classifier(known.store, None).classify(known.subject(4), k=15)
    can = [i for i, path in enumerate(known.paths) if path and known.source[i] != known.source[4]]
    x = known.vectors["shared_spectrum"].astype(np.float64)
    distance = np.linalg.norm(x[can] - x[4], axis=1)
    nearest = np.argsort(distance)[:15]
    expected = vote([known.paths[can[i]] for i in nearest], distance[nearest])
    assert {path: one.vote for path, one in all_of(found).items()} == pytest.approx(
        expected, abs=1e-5
    )
    assert len(found.neighbours) == 15
    assert found.calibrated_on is None


def test_an_ancestor_is_never_less_probable_than_what_is_below_it(known):
    for row in range(20):
        classes = all_of(Classifier(known.store, calibration()).classify(known.subject(row)))
        for path, one in classes.items():
            assert all(
                classes[path[:d]].probability >= one.probability for d in range(1, len(path))
            )


def test_probabilities_are_votes_through_the_calibrated_map(known):
    found = Classifier(known.store, calibration()).classify(known.subject(4))
    for one in all_of(found).values():
        assert one.probability == pytest.approx(0.1 + 0.5 * one.vote)
    assert found.calibrated_on == calibration().in_words()
    assert found.stored == known.paths[4]
    assert [len(one.path) for level in found.levels for one in level] == sorted(
        len(one.path) for level in found.levels for one in level
    )


def test_another_number_of_voters_gives_bare_shares(known):
    found = Classifier(known.store, calibration()).classify(known.subject(4), k=3)
    assert all(one.probability == one.vote for one in all_of(found).values())
    assert found.calibrated_on is None
    assert any("k=20" in note for note in found.notes)


def test_without_a_known_class_nobody_votes(known):
    nobody = DetectionFilter(lacks=("class_path",))
    found = Classifier(known.store, calibration()).classify(known.subject(4), query_filter=nobody)
    assert (list(found.levels), found.neighbours) == ([], ())
    assert any("nobody votes" in note for note in found.notes)


def test_a_wrong_number_of_voters_is_refused(known):
    with pytest.raises(InvalidQueryError, match="k is 0"):
        Classifier(known.store, None).classify(known.subject(4), k=0)
