import pytest
from known_neighbours import KnownNeighbours


@pytest.fixture(scope="module")
def large_dir(module_folder):
    data_dir = module_folder("large")
    with KnownNeighbours(data_dir / "store").store:
        return data_dir


def test_outliers_of_few_detections_are_scored_with_a_caution(ask, large_dir):
    few = ask("outliers", "score", "--where", "hard_hs > 0.95", "--data-dir", large_dir)
    assert "detections scored" in few.out
    assert "caution: with fewer than 256" in few.err
    many = ask("outliers", "score", "--data-dir", large_dir)
    assert "2,000 detections scored" in many.out
    assert "caution" not in many.err
