import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.variables import BY_NAME, VARIABLE_NAMES, VARIABLES


def test_the_variables_are_the_twenty_of_the_paper():
    assert VARIABLE_NAMES == (
        "hard_hs",
        "hard_ms",
        "hard_hm",
        "var_prob_b",
        "var_index_b",
        "powlaw_gamma",
        "powlaw_nh",
        "powlaw_stat",
        "bb_kt",
        "bb_nh",
        "bb_stat",
        "brems_kt",
        "brems_nh",
        "brems_stat",
        "apec_kt",
        "apec_abund",
        "apec_z",
        "apec_nh",
        "apec_stat",
        "flux_significance_b",
    )
    assert [BY_NAME[name] for name in VARIABLE_NAMES] == list(VARIABLES)


@pytest.mark.parametrize("variable", VARIABLES, ids=VARIABLE_NAMES)
def test_each_variable_says_what_it_is(variable):
    assert variable.description
    assert variable.ucd
    assert variable.valid_min < variable.valid_max


@pytest.mark.parametrize("name", [name for name in VARIABLE_NAMES if name.endswith("_nh")])
def test_column_densities_are_in_the_units_of_the_catalogue(name):
    assert BY_NAME[name].unit == "1e20 cm**-2"


@pytest.mark.parametrize("name", [name for name in VARIABLE_NAMES if name.endswith("_kt")])
def test_temperatures_are_in_kev(name):
    assert BY_NAME[name].unit == "keV"


@given(st.sampled_from(VARIABLES), st.floats())
def test_a_value_is_valid_exactly_inside_its_range(variable, value):
    inside = variable.valid_min <= value <= variable.valid_max
    assert variable.is_valid(value) == inside


@pytest.mark.parametrize("variable", VARIABLES, ids=VARIABLE_NAMES)
def test_bounds_are_valid_and_what_is_not_finite_is_not(variable):
    assert variable.is_valid(variable.valid_min)
    assert variable.is_valid(variable.valid_max)
    assert not any(map(variable.is_valid, (math.nan, math.inf, -math.inf)))


@pytest.mark.parametrize(("name", "sentinel"), [("powlaw_nh", -9999.0), ("hard_hs", -99.0)])
def test_sentinels_are_no_values(name, sentinel):
    assert not BY_NAME[name].is_valid(sentinel)


@pytest.mark.parametrize("variable", VARIABLES, ids=VARIABLE_NAMES)
def test_intervals_end_where_values_are_valid(variable):
    assert variable.valid_min <= variable.interval_min < variable.valid_max


def test_a_blueshift_is_a_value_and_no_end_of_an_interval():
    assert BY_NAME["apec_z"].is_valid(-0.001)
    assert BY_NAME["apec_z"].interval_min == 0
