"""What spectra of each kind look like, and which concepts hold of them."""

from dataclasses import replace

import numpy as np
import pytest
from sources_of_kind import population_of

from common.concepts import ATTRIBUTES, NAMES
from common.source_class import normalise
from ingest.simulation import models
from ingest.simulation.concepts import attributes_of, concepts_of
from ingest.simulation.emission import emission, photons
from ingest.simulation.instrument import bins_of, responses
from ingest.simulation.population import KINDS, draw_population

ENERGY = models.ENERGY_KEV
ACIS = responses()[0]


def counts_of(name, n=20, **parameters):
    return photons(population_of(name, n, **parameters)) @ ACIS.folding


def share(counts, low, high):
    return counts[:, bins_of(low, high)].sum(axis=1) / counts.sum(axis=1)


def width_kev(spectrum, line_kev, reach_kev=0.06):
    """Return the equivalent width of a line over what is seen on both its sides."""
    inside = np.abs(ENERGY - line_kev) < reach_kev
    beside = (np.abs(ENERGY - line_kev) < 2 * reach_kev) & ~inside
    level = spectrum[:, beside].mean(axis=1)
    return (spectrum[:, inside] - level[:, None]).sum(axis=1) * models.STEP_KEV / level


def holding(name, **parameters):
    """Return the share of sources of a kind of which each concept holds."""
    sources = population_of(name, 40, **parameters)
    return dict(zip(NAMES, concepts_of(sources, emission(sources)).mean(axis=0), strict=True))


def test_there_are_kinds_for_all_that_x_ray_astronomers_meet():
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 56
    assert all(normalise(kind.source_class) for kind in KINDS)
    assert all(kind.weight > 0 for kind in KINDS)
    assert all({*kind.concepts} <= {*NAMES} for kind in KINDS)


def test_every_concept_is_true_of_some_source_and_false_of_others():
    sources = draw_population(np.random.default_rng(1), 2000, "even")
    share_true = concepts_of(sources, emission(sources)).mean(axis=0)
    assert np.all((share_true > 0.002) & (share_true < 0.7))


def test_no_component_sends_less_than_nothing():
    parts = emission(draw_population(np.random.default_rng(2), 500, "even"))
    for name in ("power_law", "disc", "body", "plasma", "lines", "iron"):
        assert np.all(getattr(parts, name) >= 0), name
    # A line may lie on top of others: the plasma holds all lines but that of iron.
    assert np.all(parts.lines <= (parts.plasma + parts.iron) * (1 + 1e-9))


@pytest.mark.parametrize("name", [kind.name for kind in KINDS])
def test_every_kind_sends_photons_that_acis_sees(name):
    counts = counts_of(name, 5)
    assert np.all(np.isfinite(counts))
    assert np.all(counts >= 0)
    assert np.all(counts.sum(axis=1) > 0)


def test_young_remnants_have_lines_of_silicon_sulphur_and_iron():
    sources = population_of(
        "young_remnant", 10, silicon_ew_kev=1.2, sulphur_ew_kev=0.8, iron_ew_kev=1.5, iron_kev=6.5
    )
    spectrum = photons(sources)
    assert np.all(width_kev(spectrum, 1.855) > 0.9)
    assert np.all(width_kev(spectrum, 2.45) > 0.6)
    assert np.all(width_kev(spectrum, 6.5) > 1.2)


def test_wind_nebulae_and_blazars_are_featureless():
    for name in ("pulsar_wind_nebula", "bl_lac", "flat_spectrum_blazar", "afterglow"):
        parts = emission(population_of(name, 10))
        assert parts.lines.sum() == 0, name
        assert np.all(parts.power_law.sum(axis=1) > 0.9 * parts.total().sum(axis=1)), name


@pytest.mark.parametrize(
    "name",
    ["soft_tidal_disruption", "supersoft_binary", "cooling_neutron_star", "supersoft_nova"],
)
def test_supersoft_sources_have_nearly_all_photons_below_1_kev(name):
    assert np.median(share(counts_of(name), 0.5, 1.0)) > 0.8


def test_galactic_centre_sources_are_absorbed_with_three_iron_lines():
    spectrum = photons(population_of("galactic_centre_binary", 20, iron_ew_kev=0.2))
    assert np.all(share(spectrum @ ACIS.folding, 0.5, 2.0) < 0.1)
    for line_kev in (6.4, 6.68, 6.965):
        assert np.median(width_kev(spectrum, line_kev)) > 0.08


def test_warm_absorber_takes_photons_at_the_oxygen_edges_only():
    sources = population_of("warm_absorber_seyfert1", 5, warm_tau=1.0, redshift=0.0, body=0.0)
    ratio = photons(sources) / photons(replace(sources, warm_tau=np.zeros(5)))
    at_edge, below, far = (np.searchsorted(ENERGY, energy) for energy in (0.9, 0.7, 5.0))
    assert np.all(ratio[:, at_edge] < 0.4)
    np.testing.assert_allclose(ratio[:, below], 1.0)
    assert np.all(ratio[:, far] > 0.98)


def test_cutoff_bends_the_power_law_down():
    sources = population_of("cutoff_pulsar", 5, cutoff_kev=5.0, body=0.0, iron_ew_kev=0.0)
    without = replace(sources, cutoff_kev=np.zeros(5))
    ratio = photons(sources) / photons(without)
    np.testing.assert_allclose(ratio, np.exp(-ENERGY / 5.0) * np.ones((5, 1)), rtol=1e-9)


def test_reflection_is_flat_and_passes_no_soft_photons():
    albedo = models.albedo(0.0)[0]
    assert np.all(np.diff(albedo[np.searchsorted(ENERGY, [2.0, 3.0, 5.0, 7.0])]) > 0)
    assert albedo[np.searchsorted(ENERGY, 1.0)] < 0.01
    assert 0.1 < albedo[np.searchsorted(ENERGY, 6.4)] < 0.5


@pytest.mark.parametrize(
    ("name", "true", "false"),
    [
        ("coronal_star", {"soft", "thermal", "lines", "unabsorbed", "star"}, {"hard", "power_law"}),
        ("hot_cluster", {"thermal", "hot_plasma", "iron_line"}, {"cool_plasma", "power_law"}),
        ("cooling_neutron_star", {"supersoft", "blackbody", "isolated_neutron_star"}, {"star"}),
        ("obscured_supergiant", {"hard", "absorbed", "power_law", "iron_line"}, {"unabsorbed"}),
        ("pulsating_ulx", {"ulx", "power_law", "neutron_star_binary"}, {"thermal", "absorbed"}),
        ("transient_soft_state", {"blackbody", "black_hole_binary"}, {"thermal", "power_law"}),
        ("magnetar", {"magnetar", "pulsar", "isolated_neutron_star"}, {"massive_star", "star"}),
        ("hot_gas_galaxy", {"galaxy_gas", "cool_plasma", "lines"}, {"hard"}),
        ("maser_nucleus", {"agn", "seyfert2", "low_luminosity_agn", "absorbed"}, {"quasar"}),
        ("young_remnant", {"supernova_remnant", "lines", "thermal"}, {"blackbody", "supersoft"}),
        ("narrow_line_seyfert1", {"seyfert1", "agn", "unabsorbed"}, {"hard", "absorbed"}),
        ("galactic_centre_gas", {"galactic_centre", "hard", "iron_line"}, {"soft"}),
    ],
)
def test_concepts_that_must_and_cannot_hold(name, true, false):
    shares = holding(name)
    assert {concept: shares[concept] for concept in true if shares[concept] < 0.7} == {}
    assert {concept: shares[concept] for concept in false if shares[concept] > 0.1} == {}


@pytest.mark.parametrize(
    ("log_nh", "holds"),
    [
        (20.5, {"unabsorbed"}),
        (21.6, set()),
        (22.3, {"absorbed"}),
        (23.2, {"absorbed", "heavily_absorbed"}),
    ],
)
def test_absorption_is_told_by_its_column(log_nh, holds):
    shares = holding("pulsar_wind_nebula", log_nh=log_nh)
    told = {name for name in ("unabsorbed", "absorbed", "heavily_absorbed") if shares[name] == 1}
    assert told == holds


@pytest.mark.parametrize(("gamma", "holds"), [(1.2, {"flat"}), (1.9, set()), (2.6, {"steep"})])
def test_slope_is_told_by_the_photon_index(gamma, holds):
    shares = holding("bl_lac", gamma=gamma)
    assert {name for name in ("flat", "steep") if shares[name] == 1} == holds


def test_lines_nobody_could_see_do_not_count():
    # A corona of 3 million kelvin has an iron line in principle, and no photons there.
    assert holding("dim_dwarf", kt=0.25, hot=0.0)["iron_line"] == 0
    # Behind 1e22 the oxygen lines of an old remnant are gone, but a galaxy's are there.
    assert holding("hot_gas_galaxy", log_nh=20.3)["lines"] == 1


def test_absorber_far_away_absorbs_less_than_its_column_says():
    near = holding("obscured_quasar", log_nhz=22.2, redshift=0.1, log_nh=20.3)
    far = holding("obscured_quasar", log_nhz=22.2, redshift=3.0, log_nh=20.3)
    assert near["absorbed"] == 1
    assert far["absorbed"] == 0


def test_attributes_are_those_of_the_concepts():
    sources = population_of("agn", 3)
    assert {*attributes_of(sources, emission(sources))} == {concept.name for concept in ATTRIBUTES}
