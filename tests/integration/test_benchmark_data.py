"""The whole real catalogue, and the benchmark of the paper's size: minutes, so marked slow."""

import pytest
from command import answer

pytestmark = [pytest.mark.integration, pytest.mark.slow]

AMBIGUOUS_ROWS = 109  # 30 detections that the catalogue gives to several sources each


@pytest.fixture(scope="module")
def catalogue(shared_data):
    return shared_data / "csc" / "csc20_detections.csv.gz"


@pytest.fixture(scope="module")
def store(tmp_path_factory, catalogue, shared_data):
    """The real detections, those with published fits completed by spectra drawn from these."""
    data_dir = tmp_path_factory.mktemp("real")
    answer("ingest", "catalog", catalogue, data_dir=data_dir, code=3)
    dataset = shared_data / "csc" / "csc20_fits.npz"
    answer("ingest", "dataset", dataset, data_dir=data_dir, code=3)
    return data_dir


def test_real_catalogue_is_ingested_and_read_again_changes_nothing(tmp_path, catalogue):
    first = answer("ingest", "catalog", catalogue, data_dir=tmp_path, code=3)
    assert (first["ingested"], len(first["refused"])) == (18_510 - AMBIGUOUS_ROWS, AMBIGUOUS_ROWS)
    again = answer("ingest", "catalog", catalogue, data_dir=tmp_path, code=3)
    assert (again["ingested"], again["unchanged"]) == (0, 18_510 - AMBIGUOUS_ROWS)


@pytest.mark.parametrize("name", ["AGN", "XB*", "CV*", "Star"])
def test_answers_are_of_the_class_asked_for_or_below_it(store, name):
    question = "obscured active nucleus with an iron line"
    hits = answer("search", "text", question, "--class", name, "--limit", 50, data_dir=store)
    assert hits
    assert all(name in hit["payload"]["class_path"] for hit in hits)


def test_where_is_kept_to(store):
    condition = "hard_hs > 0.3 and flux_significance_b >= 5"
    hits = answer("search", "text", "hard", "--where", condition, "--limit", 100, data_dir=store)
    assert len(hits) == 100
    for hit in hits:
        assert hit["payload"]["hard_hs"] > 0.3
        assert hit["payload"]["flux_significance_b"] >= 5


def test_benchmark_is_reached_on_the_test_split(shared_data):
    """Guards against a worse model, with room for chance.

    Measured were 9.4% and 9.6% at 1%; the floor is 1.5 standard errors (0.7 points at 1,719
    queries) lower, as another seed or BLAS moves the figure. So it does not show that the
    published first attempt's 9% is passed: the run in README.md does, for its seed.
    """
    result = answer("evaluate", shared_data / "simbench", timeout=3000)
    for scores in result["retrieval"].values():
        assert scores["candidates"] == 1144
        assert scores["recall_at_1_percent"] >= 0.083
        assert scores["recall_at_5_percent"] >= 0.34
        assert scores["recall_at_10_percent"] >= 0.53
        assert scores["median_rank"] / scores["candidates"] <= 0.09
    assert len(result["regression"]) == 20
    ratios = [row["spectrum"] / row["mean_baseline"] for row in result["regression"].values()]
    assert sum(ratios) / len(ratios) <= 0.54
