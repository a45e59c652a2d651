import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import app
from common.errors import InputError, InvalidTableError, NotFoundError
from ingest.dataset.dataset import read_dataset
from ingest.simulation.population import KINDS

HEADER = "name,ra,dec,obsid,obi,region_id,src_cnts_aper_b,livetime,hard_hs,powlaw_gamma,powlaw_nh"


def simulate(*arguments):
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        f"2CXO J0000{i:02d}.0+000000,{i},1,{i + 1},0,1,{200 + i},20000,{rng.uniform(-1, 1):.3f},"
        f"{rng.normal(1.8, 0.3):.3f},{rng.uniform(0, 30):.2f}"
        for i in range(60)
    ]
    path = tmp_path / "csc21.csv"
    path.write_text("\n".join([HEADER, *rows]))
    return path


def test_a_dataset_is_written_with_its_concepts(tmp_path):
    done = simulate("--n", 30, "--out", tmp_path / "sky", "--population", "even")
    assert done.exit_code == 0
    dataset = read_dataset(tmp_path / "sky")
    assert len(dataset) == 30
    assert dataset.concepts.any()
    assert "30 simulated detections" in done.stderr


def test_populations_differ_and_wrong_names_are_refused(tmp_path):
    for population in ("catalogue", "even"):
        simulate("--n", 150, "--out", tmp_path / population, "--population", population)
    catalogue, even = (
        {d.source_class for d in read_dataset(tmp_path / name).detections}
        for name in ("catalogue", "even")
    )
    assert len(catalogue) < len(even) <= len({kind.source_class for kind in KINDS})
    wrong = simulate("--n", 30, "--out", tmp_path / "x", "--population", "uneven")
    assert wrong.exit_code == 2
    assert "uneven" in wrong.stderr


def test_comparison_prints_each_variable_and_writes_nothing(table, tmp_path):
    done = simulate("--n", 150, "--compare", table)
    assert done.exit_code == 0
    assert "csc21.csv" in done.stdout
    for variable in ("hard_hs", "powlaw_gamma", "powlaw_nh", "src_cnts_aper_b", "livetime"):
        assert variable in done.stdout
    assert "bb_kt" not in done.stdout
    assert [*tmp_path.iterdir()] == [table]


def test_comparison_as_json(table, tmp_path):
    done = simulate("--n", 150, "--compare", table, "--out", tmp_path / "sky", "--json")
    document = json.loads(done.stdout)
    assert document["detections"] == 150
    assert document["dataset"] == str(tmp_path / "sky")
    compared = {one["variable"]: one for one in document["compared"]}
    assert all(0 <= one["distance"] <= 1 for one in compared.values())
    assert compared["livetime"]["observed"] == [20000, 20000, 20000]
    assert compared["hard_hs"]["n_observed"] == 60


def test_nothing_to_do_is_said():
    with pytest.raises(InputError, match="give --out FOLDER or --compare TABLE"):
        simulate("--n", 30)


def test_a_table_that_is_missing_is_told_before_simulating(tmp_path):
    with pytest.raises(NotFoundError, match="nothing"):
        simulate("--n", 100_000, "--compare", tmp_path / "nothing.csv")


def test_a_table_of_too_few_detections_is_refused(table):
    table.write_text("\n".join(table.read_text().splitlines()[:15]))
    with pytest.raises(InvalidTableError, match="nothing to compare with"):
        simulate("--n", 60, "--compare", table)


def test_folders_with_something_in_them_are_refused(tmp_path):
    (tmp_path / "sky").mkdir()
    (tmp_path / "sky" / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="is not an empty folder"):
        simulate("--n", 30, "--out", tmp_path / "sky")
