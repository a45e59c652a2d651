import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.binning import BIN_EDGES_KEV
from ingest.simulation import models
from ingest.simulation.fits import MIN_COUNTS, fit_spectra
from ingest.simulation.instrument import BANDS_KEV, bins_of, responses
from ingest.simulation.measure import draw_light_curves, measure_bands, variability

ENERGY = models.ENERGY_KEV
ACIS_S = next(response for response in responses() if response.instrument == "ACIS-S")


def band_photons(spectrum, low, high):
    return spectrum[..., (low < ENERGY) & (high > ENERGY)].sum(axis=-1) * models.STEP_KEV


def spectra_of(model, counts, copies=40, response=ACIS_S, seed=0):
    folded = (model @ response.folding)[0]
    mean = counts * folded / folded.sum()
    return np.random.default_rng(seed).poisson(mean, size=(copies, 400)).astype(float)


def fit(model, counts, **kwargs):
    spectra = spectra_of(model, counts, **kwargs)
    return fit_spectra(spectra, np.zeros_like(spectra), ACIS_S)


@pytest.mark.parametrize(
    ("energy_kev", "sigma_cm2"),
    [(0.5, 7.36e-22), (1.0, 2.42e-22), (2.0, 4.30e-23), (7.5, 2.04e-24)],
)
def test_cross_section_agrees_with_morrison_and_mccammon(energy_kev, sigma_cm2):
    assert models.cross_section(np.array([energy_kev])) == pytest.approx([sigma_cm2], rel=0.01)


@pytest.mark.parametrize("edge_kev", [0.284, 0.400, 0.532, 0.867, 1.303, 1.840, 2.471, 7.111])
def test_cross_section_jumps_up_at_the_edges_of_the_elements(edge_kev):
    below, above = models.cross_section(np.array([edge_kev - 1e-6, edge_kev + 1e-6]))
    assert 1.0 < above / below < 2.5


@given(st.floats(18.0, 24.5), st.floats(0.0, 3.0))
def test_transmission_falls_with_column_density_and_rises_with_energy(log_nh, redshift):
    thin, thick = models.transmission([10**log_nh, 2 * 10**log_nh], redshift)
    assert np.all((thick <= thin) & (thin <= 1))
    assert thin[ENERGY > 9.9].mean() >= thin[ENERGY < 0.25].mean()


def test_absorption_lowers_the_soft_band_more_than_the_hard_one():
    absorbed = models.power_law(1.8) * models.transmission(1e22)
    soft, hard = (
        band_photons(absorbed, *BANDS_KEV[band]) / band_photons(models.power_law(1.8), *limits)
        for band, limits in BANDS_KEV.items()
        if band != "m"
    )
    assert soft[0] < 0.1
    assert hard[0] > 0.75


@pytest.mark.parametrize("kt_kev", [0.3, 1.0, 2.0])
def test_black_body_peaks_where_its_photon_spectrum_must(kt_kev):
    peak = ENERGY[models.black_body(kt_kev)[0].argmax()]
    assert peak == pytest.approx(1.594 * kt_kev, abs=models.STEP_KEV)


def test_disc_follows_the_minus_two_thirds_slope_below_its_temperature():
    disc = models.disc(9.0)[0]
    low, high = np.searchsorted(ENERGY, [0.15, 0.45])
    slope = np.log(disc[high] / disc[low]) / np.log(ENERGY[high] / ENERGY[low])
    assert slope == pytest.approx(-2 / 3, abs=0.05)


def test_plasma_lines_dominate_cool_gas_and_hardly_matter_in_hot_gas():
    share = [
        1
        - band_photons(models.bremsstrahlung(kt), 0.5, 8) / band_photons(models.plasma(kt), 0.5, 8)
        for kt in (0.5, 8.0)
    ]
    assert share[0] > 0.7
    assert share[1] < 0.15


def test_plasma_iron_line_has_the_equivalent_width_known_from_clusters():
    excess = models.plasma(5.0, 1.0) - models.bremsstrahlung(5.0)
    continuum = np.interp(6.68, ENERGY, models.bremsstrahlung(5.0)[0])
    width_kev = band_photons(excess, 6.5, 6.85)[0] / continuum
    assert 0.5 < width_kev < 1.2


def test_plasma_lines_are_redshifted():
    ratio = models.plasma(5.0, 1.0, 1.0)[0] / models.bremsstrahlung(5.0, 1.0)[0]
    peak = ENERGY[ENERGY > 2.5][ratio[ENERGY > 2.5].argmax()]
    assert peak == pytest.approx(6.68 / 2, abs=2 * models.STEP_KEV)


def lines_at(*energies_kev):
    spectrum = np.zeros((len(energies_kev), len(ENERGY)))
    models.add_line(spectrum, energies_kev, 1.0)
    return spectrum


@given(st.floats(0.2, 9.9))
def test_line_keeps_its_photons_wherever_it_falls(energy_kev):
    line = lines_at(energy_kev)[0]
    assert line.sum() * models.STEP_KEV == pytest.approx(1.0, rel=1e-3)
    assert np.average(ENERGY, weights=line) == pytest.approx(energy_kev, abs=1e-4)


def test_lines_off_the_grid_are_left_out():
    assert lines_at(0.01, 30.0).sum() == 0


@pytest.mark.parametrize("response", responses(), ids=lambda r: f"{r.instrument}-{r.first_year}")
def test_response_detects_no_more_than_its_area_admits(response):
    detected = response.folding.sum(axis=1) / models.STEP_KEV
    assert np.all(detected <= response.area_cm2 * (1 + 1e-9))
    inner = (ENERGY > 1) & (ENERGY < 7)
    np.testing.assert_allclose(detected[inner], response.area_cm2[inner], rtol=1e-3)
    assert response.background.sum() == pytest.approx(1.0)


def test_contamination_takes_the_soft_band_of_later_years():
    soft = [r.band_area_cm2(0.5, 1.2) for r in responses() if r.instrument == "ACIS-S"]
    hard = [r.band_area_cm2(2.0, 7.0) for r in responses() if r.instrument == "ACIS-S"]
    assert soft[0] > 2 * soft[-1]
    assert hard[0] == pytest.approx(hard[-1], rel=0.05)


def test_resolution_of_the_iron_line_is_that_of_a_ccd():
    line = (lines_at(6.4) @ ACIS_S.folding)[0]
    centre = (BIN_EDGES_KEV[:-1] + BIN_EDGES_KEV[1:]) / 2
    mean = np.average(centre, weights=line)
    fwhm = 2.355 * np.sqrt(np.average((centre - mean) ** 2, weights=line))
    assert mean == pytest.approx(6.4, abs=0.02)
    assert 0.12 < fwhm < 0.18


def test_power_law_fit_recovers_slope_and_column_of_a_bright_spectrum():
    fitted = fit(models.power_law(1.8) * models.transmission(2e21), 5000)
    assert fitted["powlaw_gamma"].mean() == pytest.approx(1.8, abs=0.05)
    assert fitted["powlaw_gamma"].std() < 0.15
    assert fitted["powlaw_nh"].mean() == pytest.approx(20.0, abs=3.0)
    assert fitted["powlaw_stat"].mean() == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(("column", "model", "kt_kev", "tolerance"), [
    ("apec", models.plasma, 0.7, 0.05),
    ("apec", models.plasma, 3.0, 0.3),
    ("bb", models.black_body, 0.4, 0.02),
    ("brems", models.bremsstrahlung, 4.0, 0.5),
])  # fmt: skip
def test_thermal_fit_recovers_the_temperature(column, model, kt_kev, tolerance):
    fitted = fit(model(kt_kev) * models.transmission(1e21), 3000)
    assert fitted[f"{column}_kt"].mean() == pytest.approx(kt_kev, abs=tolerance)
    assert fitted[f"{column}_stat"].mean() == pytest.approx(1.0, abs=0.2)


def test_statistic_tells_a_thermal_plasma_from_a_power_law():
    fitted = fit(models.plasma(0.6, 0.8), 2000)
    assert np.all(fitted["powlaw_stat"] > 2 * fitted["apec_stat"])


def test_fit_takes_the_background_into_account():
    source = 400
    mean = 100 * ACIS_S.background
    spectra = spectra_of(models.power_law(2.0), source)
    spectra += np.random.default_rng(1).poisson(mean, size=spectra.shape)
    gamma = fit_spectra(spectra, np.tile(mean, (len(spectra), 1)), ACIS_S)["powlaw_gamma"].mean()
    ignored = fit_spectra(spectra, np.zeros_like(spectra), ACIS_S)["powlaw_gamma"].mean()
    assert gamma == pytest.approx(2.0, abs=0.15)
    assert ignored < 1.8


def test_faint_spectra_are_not_fitted():
    spectra = spectra_of(models.power_law(1.8), 300, copies=2)
    spectra[0] = 0.0
    spectra[0, :20] = (MIN_COUNTS - 1) / 20
    fitted = fit_spectra(spectra, np.zeros_like(spectra), ACIS_S)
    assert all(np.isnan(column[0]) and np.isfinite(column[1]) for column in fitted.values())


def test_hardness_has_the_sign_of_the_spectrum_and_its_limits_enclose_it():
    soft = spectra_of(models.black_body(0.15), 500)
    hard = spectra_of(models.power_law(1.0) * models.transmission(1e23), 500)
    none = np.zeros_like(soft)
    for spectra, sign in ((soft, -1), (hard, 1)):
        measured = measure_bands(spectra, none, ACIS_S)
        assert np.all(sign * measured["hard_hs"] > 0.5)
        assert np.all(measured["hard_hs_lolim"] <= measured["hard_hs"])
        assert np.all(measured["hard_hs"] <= measured["hard_hs_hilim"])


def test_hardness_allows_for_the_area_of_each_band():
    late = next(r for r in responses() if r.instrument == "ACIS-I" and r.first_year > 2015)
    model = models.power_law(1.7)
    hard, soft = (band_photons(model, *BANDS_KEV[band])[0] for band in "hs")
    for response in (ACIS_S, late):
        spectra = spectra_of(model, 20_000, response=response)
        measured = measure_bands(spectra, np.zeros_like(spectra), response)["hard_hs"].mean()
        assert measured == pytest.approx((hard - soft) / (hard + soft), abs=0.25)
    counted_hard, counted_soft = (spectra[:, bins_of(*BANDS_KEV[band])].sum() for band in "hs")
    assert (counted_hard - counted_soft) / (counted_hard + counted_soft) > 0.1


def test_bands_without_counts_have_no_hardness():
    measured = measure_bands(np.zeros((1, 400)), np.zeros((1, 400)), ACIS_S)
    assert np.isnan(measured["hard_hs"][0])
    assert measured["flux_significance_b"][0] == 0


def test_constant_sources_seldom_seem_variable_and_flaring_ones_do():
    rng = np.random.default_rng(0)
    counts = np.full(300, 500)
    constant, index = variability(draw_light_curves(rng, counts, np.zeros(300)))
    flaring, flaring_index = variability(draw_light_curves(rng, counts, np.ones(300)))
    assert np.mean(constant > 0.9) < 0.02
    assert np.mean(flaring > 0.99) > 0.9
    assert np.median(index) == 0
    assert np.median(flaring_index) >= 8


def test_light_curves_keep_every_count():
    counts = np.array([0, 1, 37, 12_000])
    curves = draw_light_curves(np.random.default_rng(0), counts, np.full(4, 0.5))
    np.testing.assert_array_equal(curves.sum(axis=1), counts)
    assert np.all(np.isfinite(variability(curves)[0]))
