import numpy as np
import pytest

from common.concepts import (
    CLASSES,
    N_CONCEPTS,
    NAMES,
    concepts_of_class,
    format_concepts,
    parse_concepts,
    targets_of_class,
)
from common.errors import InvalidTableError
from common.source_class import normalise

UNNAMED = {"neutron_star_binary", "magnetar", "supersoft_source", "galactic_centre"}
"""Classes that no SIMBAD type tells."""


def told(name):
    """The classes that a SIMBAD type makes true, and those that it leaves open."""
    targets = targets_of_class(normalise(name))
    assert targets.shape == (N_CONCEPTS,)
    assert targets.dtype == np.float32
    assert set(targets[np.isfinite(targets)]) <= {0.0, 1.0}
    names = np.array(NAMES)
    return {*names[targets == 1]}, {*names[np.isnan(targets)]} & {one.name for one in CLASSES}


def test_an_unknown_class_tells_nothing():
    assert np.isnan(targets_of_class(())).all()


def test_no_class_tells_what_a_spectrum_looks_like():
    assert np.isnan(targets_of_class(normalise("Sy1"))[len(CLASSES) :]).all()


@pytest.mark.parametrize(
    ("name", "true"),
    [
        ("Sy1", {"agn", "seyfert1"}),
        ("BLL", {"agn", "quasar", "blazar"}),
        ("LXB", {"xray_binary", "low_mass_binary"}),
        ("No*", {"cataclysmic_variable", "nova"}),
        ("TT*", {"star", "young_star"}),
    ],
)
def test_a_class_makes_those_above_it_true_and_excludes_all_others(name, true):
    assert told(name) == (true, UNNAMED)


def test_a_class_leaves_those_below_it_open():
    true, left_open = told("AGN")
    assert true == {"agn"}
    assert left_open == UNNAMED | {
        "seyfert1", "seyfert2", "quasar", "blazar", "low_luminosity_agn"
    }  # fmt: skip


def test_who_is_a_star_for_simbad_may_be_a_binary_and_is_no_nucleus():
    true, left_open = told("Star")
    assert true == {"star"}
    assert {"xray_binary", "cataclysmic_variable", "young_star", "active_binary"} < left_open
    assert not {"agn", "supernova_remnant", "cluster_of_galaxies"} & left_open


@pytest.mark.parametrize("name", ["XB*", "CV*", "Psr", "SN*"])
def test_what_shines_otherwise_is_no_star_though_simbad_files_it_there(name):
    assert "Star" in normalise(name)
    assert targets_of_class(normalise(name))[NAMES.index("star")] == 0


def test_a_binary_of_stars_is_a_star_and_no_x_ray_binary():
    assert told("SB*") == ({"star"}, UNNAMED)


def test_a_neutron_star_is_no_longer_the_massive_star_that_it_was():
    assert concepts_of_class(normalise("Psr")) == {"isolated_neutron_star", "pulsar"}


def test_concepts_are_read_as_they_are_written():
    holds = np.zeros(N_CONCEPTS, dtype=bool)
    holds[[0, 7, N_CONCEPTS - 1]] = True
    assert np.array_equal(parse_concepts(format_concepts(holds)), holds)
    assert not parse_concepts("").any()


def test_unknown_concepts_are_named():
    with pytest.raises(InvalidTableError, match="unknown concepts greenish, vast"):
        parse_concepts("agn vast greenish")
