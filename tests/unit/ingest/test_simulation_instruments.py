"""Instruments of other observatories, and what goes wrong in observations of all kinds."""

import numpy as np
import pytest

from common.errors import InputError
from ingest.simulation import models
from ingest.simulation.backgrounds import SHAPES
from ingest.simulation.distortions import area_errors, shift_energies
from ingest.simulation.emission import photons
from ingest.simulation.fits import fit_spectra
from ingest.simulation.instrument import N_ACIS, bins_of, responses
from ingest.simulation.measure import measure_bands
from ingest.simulation.observe import Conditions, background_shapes, observe
from ingest.simulation.population import KINDS, draw_population
from ingest.simulation.simulate import simulate

ENERGY = models.ENERGY_KEV
ALL = Conditions(len(responses()), 0.12, wide=True)


def response(instrument):
    return next(one for one in responses() if one.instrument == instrument)


@pytest.fixture(scope="module")
def even():
    return simulate(900, 3, population="even")


@pytest.fixture(scope="module")
def observed():
    rng = np.random.default_rng(0)
    population = draw_population(rng, 2000, "even")
    return observe(rng, population, photons(population), conditions=ALL)


def test_acis_comes_first_and_other_observatories_follow():
    assert {one.family for one in responses()[:N_ACIS]} == {"ACIS"}
    assert {one.family for one in responses()[N_ACIS:]} == {
        "EPIC-pn", "EPIC-MOS", "XRT", "SIS", "GIS", "XIS-FI", "XIS-BI"
    }  # fmt: skip


def fwhm_kev(one, line_kev):
    spectrum = np.zeros((1, len(ENERGY)))
    models.add_line(spectrum, line_kev, 1.0)
    line = (spectrum @ one.folding)[0]
    centre = 0.5 + 0.01875 * (np.arange(400) + 0.5)
    mean = np.average(centre, weights=line)
    return 2.355 * np.sqrt(np.average((centre - mean) ** 2, weights=line))


@pytest.mark.parametrize(
    ("instrument", "fwhm"),
    [("EPIC-pn", 0.145), ("EPIC-MOS", 0.14), ("XIS-FI", 0.135), ("SIS", 0.14), ("GIS", 0.48)],
)
def test_resolution_at_iron_is_that_of_the_instrument(instrument, fwhm):
    assert fwhm_kev(response(instrument), 6.0) == pytest.approx(fwhm, rel=0.12)


def test_proportional_counters_blur_the_lines_that_a_ccd_tells_apart():
    hot = models.plasma(6.0, 1.0)
    blurred, sharp = ((hot @ response(name).folding)[0] for name in ("GIS", "XIS-FI"))
    peak, beside = bins_of(6.6, 6.75), bins_of(6.1, 6.25)
    assert sharp[peak].sum() > 3 * sharp[beside].sum()
    assert blurred[peak].sum() < 2 * blurred[beside].sum()


def test_hardness_is_measured_with_the_response_of_the_detection():
    model = models.power_law(1.9) * models.transmission(1e21)
    measured = []
    for name in ("ACIS-S", "EPIC-pn", "XRT", "XIS-BI"):
        folded = model @ response(name).folding
        counts = 50_000 * folded / folded.sum()
        measured.append(measure_bands(counts, np.zeros_like(counts), response(name))["hard_hs"][0])
    assert np.ptp(measured) < 0.25


def test_fits_recover_the_slope_whatever_the_instrument():
    model = models.power_law(1.8) * models.transmission(2e21)
    for one in responses():
        folded = (model @ one.folding)[0]
        counts = np.random.default_rng(0).poisson(5000 * folded / folded.sum(), (8, 400))
        counts = counts.astype(float)
        fitted = fit_spectra(counts, np.zeros_like(counts), one)
        assert fitted["powlaw_gamma"].mean() == pytest.approx(1.8, abs=0.1), one.instrument


@pytest.mark.parametrize("shape", range(1 + len(SHAPES)))
def test_fits_allow_for_a_background_of_any_shape(shape):
    one = response("EPIC-pn")
    source = (models.power_law(1.8) * models.transmission(1e21) @ one.folding)[0]
    source *= 3000 / source.sum()
    background = 1500 * background_shapes(one)[shape]
    counts = np.random.default_rng(1).poisson(source + background, (30, 400)).astype(float)
    fitted = fit_spectra(counts, np.tile(background, (30, 1)), one)
    assert fitted["powlaw_gamma"].mean() == pytest.approx(1.8, abs=0.15)


def test_bright_spectra_are_fitted_between_the_templates():
    one = response("ACIS-S")
    for gamma in (1.7, 1.85, 2.03):
        folded = (models.power_law(gamma) * models.transmission(3.1e21) @ one.folding)[0]
        counts = np.random.default_rng(2).poisson(100_000 * folded / folded.sum(), (10, 400))
        fitted = fit_spectra(counts.astype(float), np.zeros((10, 400)), one)
        np.testing.assert_allclose(fitted["powlaw_gamma"], gamma, atol=0.05)
        assert fitted["powlaw_stat"].mean() < 1.3


def test_backgrounds_have_shapes_of_their_own():
    shapes = background_shapes(response("ACIS-I"))
    assert shapes.shape == (1 + len(SHAPES), 400)
    np.testing.assert_allclose(shapes.sum(axis=1), 1.0)
    soft = shapes[:, bins_of(0.5, 1.0)].sum(axis=1)
    hard = shapes[:, bins_of(4.0, 8.0)].sum(axis=1)
    assert soft[1 + SHAPES.index("soft sky")] > 0.9
    assert hard[1 + SHAPES.index("particles")] > 0.5
    assert hard[1 + SHAPES.index("hard sky")] > hard[1 + SHAPES.index("Galactic plasma")]


def test_area_errors_are_smooth_and_as_large_as_asked_for():
    errors = np.log(area_errors(np.random.default_rng(0), 4000, 0.12))
    np.testing.assert_allclose(errors[:, [50, 200, 500, 900]].std(axis=0), 0.12, rtol=0.07)
    near, far = (
        np.corrcoef(errors[:, np.searchsorted(ENERGY, 1.0)], errors[:, index])[0, 1]
        for index in np.searchsorted(ENERGY, [1.1, 5.0])
    )
    assert near > 0.95
    assert abs(far) < 0.1


def test_shifted_energies_keep_the_counts_and_move_a_line_a_little():
    mean = np.zeros((3000, 400))
    mean[:, 200] = 100.0
    moved = shift_energies(np.random.default_rng(0), mean)
    np.testing.assert_allclose(moved.sum(axis=1), 100.0)
    place = moved @ np.arange(400) / 100.0 - 200
    assert np.abs(place.mean()) < 0.05
    assert 0.3 < place.std() < 1.5  # bins of 19 eV


def test_even_population_has_each_kind_alike():
    kind = draw_population(np.random.default_rng(0), 100 * len(KINDS), "even").kind
    number = np.bincount(kind, minlength=len(KINDS))
    assert number.min() > 60
    assert number.max() < 145


def test_wide_observations_span_the_counts_of_all_data(observed):
    total = observed.counts.sum(axis=1)
    assert 0.4 < np.mean(total < 2000) < 0.6
    assert 0.005 < np.mean(total > 1e6) < 0.04
    assert np.quantile(total, 0.02) < 40
    share = observed.background / total
    assert share[total > 300].max() < 0.72
    assert 0.05 < np.median(share) < 0.2
    assert np.bincount(observed.response, minlength=len(responses())).min() > 50
    np.testing.assert_allclose(observed.background_mix.sum(axis=1), 1.0)


def test_catalogue_knows_acis_and_its_own_background_only():
    rng = np.random.default_rng(0)
    population = draw_population(rng, 300)
    seen = observe(rng, population, photons(population))
    assert seen.response.max() < N_ACIS
    assert np.all(seen.background_mix[:, 0] == 1)


def test_records_tell_the_instrument_simulated(even):
    names = {detection.instrument for detection in even.detections}
    assert {"ACIS-like", "EPIC-pn-like", "GIS-like", "XRT-like"} <= names
    assert {detection.telescope for detection in even.detections} == {"SIMULATED"}


def test_even_population_has_values_of_nearly_all_variables(even):
    for name, values in even.variables.items():
        assert np.isfinite(values).mean() > 0.9, name


def test_even_simulation_begins_with_the_shorter_one(even):
    short = simulate(40, 3, population="even")
    np.testing.assert_array_equal(short.counts, even.counts[:40])
    np.testing.assert_array_equal(short.concepts, even.concepts[:40])
    assert list(short.texts) == list(even.texts[: short.n_sources])


def test_calibration_error_is_an_option():
    exact, wrong = (simulate(200, 5, calibration_error=error) for error in (0.0, 0.5))
    exact_again = simulate(200, 5)
    np.testing.assert_array_equal(exact.counts, exact_again.counts)
    assert np.any(exact.counts != wrong.counts)
    with pytest.raises(InputError, match=r"calibration error of 1\.5: give a number from 0 to 1"):
        simulate(10, 0, calibration_error=1.5)


def test_detections_of_a_source_share_its_concepts(even):
    for source in np.unique(even.source)[:100]:
        assert len(np.unique(even.concepts[even.source == source], axis=0)) == 1
