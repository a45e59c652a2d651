import csv

import numpy as np
import pytest

from common.errors import InvalidTableError
from common.records import Detection
from ingest.catalogue.catalogue import read_catalogue
from ingest.simulation.comparison import COMPARED, MIN_VALUES, compare
from ingest.simulation.simulate import simulate


def detection(row, counts=200.0, exposure_s=1e4, **variables):
    return Detection(
        key=f"x/{row}",
        telescope="T",
        instrument="I",
        exposure_s=exposure_s,
        variables=variables,
        catalogue={"src_cnts_aper_b": counts},
    )


def detections(values, **more):
    return [detection(row, hard_hs=value, **more) for row, value in enumerate(values)]


def by_name(compared):
    return {one.variable: one for one in compared}


def test_equal_populations_are_at_no_distance():
    same = detections(np.linspace(-1, 1, 50))
    compared = by_name(compare(same, same, "table"))
    assert {*compared} == {"hard_hs", "src_cnts_aper_b", "livetime"}
    assert compared["hard_hs"].distance == 0
    assert compared["hard_hs"].simulated == compared["hard_hs"].observed
    assert compared["hard_hs"].simulated == pytest.approx((-0.68, 0.0, 0.68))


def test_disjoint_populations_are_at_distance_one_and_shifted_ones_between():
    low, high = detections(np.linspace(-1, 0, 100)), detections(np.linspace(0.01, 1, 100))
    shifted = detections(np.linspace(-0.5, 0.5, 100))
    assert by_name(compare(low, high, "t"))["hard_hs"].distance == 1
    assert by_name(compare(low, shifted, "t"))["hard_hs"].distance == pytest.approx(0.5, abs=0.02)


def test_detections_too_faint_are_left_out():
    bright, faint = detections(np.zeros(30)), detections(np.ones(30), counts=39.0)
    compared = by_name(compare(bright, bright + faint, "t"))
    assert compared["hard_hs"].distance == 0
    assert compared["hard_hs"].n_observed == 30


def test_fits_are_compared_where_the_catalogue_fits():
    ours = [detection(row, 100.0 + row, powlaw_gamma=1.0 + row / 100) for row in range(100)]
    compared = by_name(compare(ours, ours, "t"))
    assert compared["powlaw_gamma"].n_simulated == 50


def test_columns_a_hair_above_zero_are_none():
    none = [detection(row, powlaw_nh=0.0) for row in range(30)]
    hair = [detection(row, powlaw_nh=4e-7) for row in range(30)]
    assert by_name(compare(none, hair, "t"))["powlaw_nh"].distance == 0


def test_too_few_values_tell_nothing():
    few, many = detections(np.zeros(MIN_VALUES - 1)), detections(np.zeros(50))
    with pytest.raises(InvalidTableError, match=r"few\.csv: nothing to compare with: give a table"):
        compare(many, few, "few.csv")


def test_tables_without_a_variable_are_refused(tmp_path):
    table = tmp_path / "positions.csv"
    with table.open("w") as file:
        csv.writer(file).writerows([["name", "ra", "dec"], *(["a", i, 0] for i in range(50))])
    with pytest.raises(InvalidTableError, match=r"positions\.csv: nothing to compare with"):
        compare(detections(np.zeros(50)), read_catalogue(table).detections, table.name)


def test_simulated_catalogue_is_near_the_real_one(shared_data):
    real = read_catalogue(shared_data / "csc" / "csc20_detections.csv.gz").detections
    compared = by_name(compare(simulate(2500, 1).detections, real, "csc20"))
    assert {*compared} == {name for name in COMPARED if not name.startswith("apec")}
    distances = {name: one.distance for name, one in compared.items()}
    assert max(distances.values()) < 0.24, distances
    assert np.mean([*distances.values()]) < 0.12
    even = by_name(compare(simulate(1500, 1, population="even").detections, real, "csc20"))
    assert even["src_cnts_aper_b"].distance > distances["src_cnts_aper_b"]
