from dataclasses import replace

import numpy as np
import pytest
from sources_of_kind import population_of

from common.binning import count_rate, min_max
from common.errors import InputError
from common.source_class import normalise
from common.variables import VARIABLES
from ingest.simulation.emission import photons
from ingest.simulation.instrument import bins_of, responses
from ingest.simulation.observe import observe
from ingest.simulation.population import KINDS, Population, draw_population
from ingest.simulation.simulate import simulate
from ingest.simulation.text import describe


@pytest.fixture(scope="module")
def dataset():
    return simulate(1500, 11)


def source_classes(dataset):
    return np.array([detection.source_class[-1] for detection in dataset.detections])


def test_simulation_gives_as_many_detections_as_asked_for(dataset):
    assert len(dataset) == 1500
    assert dataset.simulated
    assert 1.3 < len(dataset) / dataset.n_sources < 1.7
    assert np.bincount(dataset.source).max() <= 6
    assert set(dataset.source) == set(range(dataset.n_sources))


def test_spectra_are_whole_counts_within_the_limits_of_the_catalogue(dataset):
    total = dataset.counts.sum(axis=1)
    np.testing.assert_array_equal(dataset.counts, np.round(dataset.counts))
    assert dataset.counts.min() == 0
    assert 90 < np.median(total) < 200
    assert total.max() < 500_000
    assert dataset.exposure_s.min() >= 800
    assert dataset.exposure_s.max() <= 1.85e5
    assert np.isfinite(min_max(count_rate(dataset.counts, dataset.exposure_s))).all()


def test_every_variable_is_valid_or_missing_and_mostly_there(dataset):
    for variable in VARIABLES:
        values = dataset.variables[variable.name]
        there = values[np.isfinite(values)]
        assert len(there) > 0.9 * len(values), variable.name
        assert all(variable.is_valid(value) for value in there), variable.name
        assert there.std() > 0, variable.name


def test_detections_carry_the_values_of_the_table_and_never_nan(dataset):
    for row in range(0, len(dataset), 97):
        detection = dataset.detections[row]
        for name, values in dataset.variables.items():
            assert detection.variables.get(name, np.nan) == pytest.approx(values[row], nan_ok=True)
        assert all(np.isfinite(value) for value in detection.catalogue.values())


def test_records_are_unmistakably_simulated(dataset):
    assert len({detection.key for detection in dataset.detections}) == len(dataset)
    assert len({text.bibcode for text in dataset.texts}) == dataset.n_sources
    for detection, source in zip(dataset.detections, dataset.source, strict=True):
        assert detection.simulated
        assert detection.key.startswith("simulated/11/")
        assert detection.source_name.startswith("SIM J")
        assert len(detection.source_name) == len("SIM J123456.7-012345")
        assert detection.telescope == "SIMULATED"
        assert detection.release is None
        assert detection.bibcodes == (dataset.texts[source].bibcode,)
        assert -90 <= detection.dec_deg <= 90
        assert 0 <= detection.ra_deg < 360
    codes = [text.bibcode for text in dataset.texts]
    assert all(len(code) == 19 and code.startswith("2026Sim.00011") for code in codes)


def test_detections_of_a_source_share_its_name_position_and_class(dataset):
    by_source = {}
    for detection, source in zip(dataset.detections, dataset.source, strict=True):
        same = (detection.source_name, detection.ra_deg, detection.source_class)
        assert by_source.setdefault(source, same) == same
    assert len({name for name, *_ in by_source.values()}) == dataset.n_sources


def test_most_classes_occur_in_plausible_proportions(dataset):
    labels, number = np.unique(source_classes(dataset), return_counts=True)
    assert len(labels) > 20
    assert {*labels} <= {normalise(kind.source_class)[-1] for kind in KINDS}
    assert labels[number.argmax()] in {"AGN", "QSO"}
    assert number.min() / len(dataset) < 0.03


def test_simulation_repeats_itself_and_a_longer_one_begins_with_the_shorter(dataset):
    calls = []
    short, again = simulate(25, 11), simulate(25, 11, lambda *call: calls.append(call))
    assert list(short.detections) == list(again.detections)
    assert list(short.texts) == list(dataset.texts[: short.n_sources])
    np.testing.assert_array_equal(short.counts, dataset.counts[:25])
    for name, values in short.variables.items():
        np.testing.assert_array_equal(values, again.variables[name])
        np.testing.assert_allclose(values, dataset.variables[name][:25], rtol=0.01, atol=0.01)
    assert ("simulate spectra", 25, 25) in calls
    assert calls[-1] == ("measure spectra", 25, 25)


def test_another_seed_is_another_sky():
    first, second = (draw_population(np.random.default_rng([seed, 0]), 500) for seed in (5, 6))
    assert not np.intersect1d(first.ra_deg, second.ra_deg).size


@pytest.mark.parametrize(("n", "seed"), [(0, 1), (-5, 1), (100_001, 1), (10, -1), (10, 100_000)])
def test_numbers_out_of_range_are_refused(n, seed):
    with pytest.raises(InputError, match=r"give a number from \d+ to \d+"):
        simulate(n, seed)


def test_counts_are_poisson_around_the_folded_model():
    sources = population_of("agn", 4)
    spectra = np.repeat(photons(sources)[:1], 4000, axis=0)
    many = draw_population(np.random.default_rng(1), 4000)
    seen = observe(np.random.default_rng(2), many, spectra)
    rows = seen.response == 0
    mean = seen.counts[rows].sum(axis=0)
    expected = spectra[0] @ responses()[0].folding
    source_share = 1 - seen.background[rows].sum() / mean.sum()
    model = source_share * expected / expected.sum()
    model += (1 - source_share) * responses()[0].background
    chi = (mean - mean.sum() * model) / np.sqrt(mean.sum() * model)
    assert chi.std() == pytest.approx(1.0, abs=0.15)


def test_iron_line_shows_in_the_counts_of_an_obscured_nucleus():
    with_line = population_of("thick_seyfert2", 3, iron_ew_kev=1.5, redshift=0.005)
    without = replace(with_line, iron_ew_kev=np.zeros(3))
    folding = responses()[0].folding
    line, bare = (photons(sources) @ folding for sources in (with_line, without))
    inside = bins_of(6.2, 6.55)
    assert np.all(line[:, inside].sum(axis=1) > 2 * bare[:, inside].sum(axis=1))
    np.testing.assert_allclose(line[:, bins_of(3, 5)], bare[:, bins_of(3, 5)], rtol=1e-6)


def rank_correlation(first, second):
    return np.corrcoef(first.argsort().argsort(), second.argsort().argsort())[0, 1]


def test_measured_values_follow_the_truth_of_bright_sources(dataset):
    blocks = [draw_population(np.random.default_rng([11, block]), 500) for block in range(3)]
    truth = Population.join(blocks)
    bright = np.flatnonzero(dataset.counts.sum(axis=1) > 400)
    source = dataset.source[bright]
    others = truth.plasma + truth.disc + truth.body + truth.scattered + truth.cutoff_kev
    power_law = (others == 0)[source]
    # A column at redshift z absorbs like one of (1 + z)**-2.6 its size here.
    column_density = 10**truth.log_nh + 10**truth.log_nhz / (1 + truth.redshift) ** 2.6
    for name, true, chosen in (
        ("powlaw_gamma", truth.gamma, power_law),
        ("powlaw_nh", column_density, power_law),
        ("apec_kt", truth.kt, truth.plasma[source] == 1),
    ):
        measured = dataset.variables[name][bright]
        assert chosen.sum() > 30, name
        assert rank_correlation(measured[chosen], true[source][chosen]) > 0.8, name


def test_similar_spectra_have_similar_hardness(dataset):
    shape = min_max(dataset.counts)
    smooth = shape.reshape(-1, 40, 10).sum(axis=2)
    smooth /= np.linalg.norm(smooth, axis=1, keepdims=True)
    similarity = smooth @ smooth.T
    similarity[dataset.source[:, None] == dataset.source] = -1
    nearest = np.argsort(-similarity, axis=1)[:, :3]
    hardness = dataset.variables["hard_hs"]
    predicted = np.nanmean(hardness[nearest], axis=1)
    there = np.isfinite(predicted) & np.isfinite(hardness)
    assert np.corrcoef(predicted[there], hardness[there])[0, 1] > 0.9


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("thick_seyfert2", ("Compton-thick", "Seyfert 2", "buried", "narrow-line", "type 2")),
        ("neutron_star_binary", ("neutron star", "LMXB", "low-mass", "atoll")),
        ("t_tauri", ("T Tauri", "young", "pre-main-sequence")),
        ("cluster", ("cluster",)),
        ("quasar", ("quasar", "QSO", "quasi-stellar")),
        ("dwarf_nova", ("dwarf nova", "cataclysmic", "white dwarf", "CV")),
    ],
)
def test_first_section_names_the_class(kind, words):
    sources = population_of(kind, 25)
    for summary in describe(np.random.default_rng(0), sources, photons(sources)):
        assert any(word in summary.nature for word in words), summary.nature


def test_second_section_tells_heavy_absorption_from_none():
    def text(log_nhz):
        sources = population_of("obscured_agn", 40, log_nhz=log_nhz, log_nh=20.2, iron_ew_kev=0.0)
        return " ".join(
            summary.xray
            for summary in describe(np.random.default_rng(1), sources, photons(sources))
        )

    assert "unabsorbed" in text(20.0)
    assert "obscur" not in text(20.0)
    assert "unabsorbed" not in text(23.4)
    assert "10^23" in text(23.4)


def test_second_section_quotes_the_photon_index_with_small_scatter():
    sources = population_of("radio_quasar", 60, gamma=1.5)
    texts = [s.xray for s in describe(np.random.default_rng(2), sources, photons(sources))]
    quoting = [text for text in texts if any(value in text for value in ("1.4", "1.5", "1.6"))]
    assert len(quoting) > 25
    assert not any("very steep" in text for text in texts)


def test_texts_are_varied_complete_and_never_call_themselves_simulated(dataset):
    for name in ("nature", "xray", "interpretation"):
        sections = [getattr(text.summary, name) for text in dataset.texts]
        assert len(set(sections)) > 0.5 * len(sections), name
        for section in sections:
            assert section
            assert section.endswith(".")
            assert "{" not in section
            assert "simulat" not in section.lower()
            assert "nan" not in section.split()
    assert {text.summary.method for text in dataset.texts} == {"simulated"}


def test_every_kind_has_its_phrases():
    for kind in KINDS:
        sources = population_of(kind.name, 5)
        assert (
            len(describe(np.random.default_rng(3), sources, photons(sources))) == len(sources) > 0
        )


def test_mixed_population_takes_blocks_of_both_by_turns():
    mixed = simulate(1400, 1, population="mixed")
    catalogue, even = simulate(600, 1), simulate(1400, 1, population="even")
    assert np.array_equal(mixed.counts[:600], catalogue.counts)
    first, same = mixed.source.searchsorted(500), even.source.searchsorted(500)
    assert np.array_equal(mixed.counts[first : first + 100], even.counts[same : same + 100])
