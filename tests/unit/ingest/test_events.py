from datetime import UTC, datetime

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from common.binning import BIN_EDGES_KEV, N_BINS
from common.errors import InvalidSpectrumError
from ingest.spectra.discover import read_observed
from ingest.spectra.events import read_events
from tests.support.fits_files import COUNTS, column, ebounds_hdu, events_hdu, gzip_to, write

ENERGY_EV = [499.0, 501.0, 1000.0, 1001.0, 7999.0, 8001.0, np.nan]


@pytest.mark.parametrize(("unit", "per_ev"), [("eV", 1.0), ("keV", 1e-3), (None, 1.0)])
def test_events_are_counted_on_the_bins(tmp_path, unit, per_ev):
    path = write(tmp_path / "a.fits", events_hdu(np.array(ENERGY_EV) * per_ev, unit))
    (one,) = read_events(path)
    assert one.spectrum.counts.shape == (N_BINS,)
    np.testing.assert_array_equal(np.flatnonzero(one.spectrum.counts), [0, 26, 399])
    assert one.spectrum.counts[26] == 2
    assert one.spectrum.exposure_s == 100.0


@given(st.lists(st.floats(0.0, 12_000.0), min_size=1, max_size=200))
def test_every_event_of_the_band_is_counted_once(tmp_path_factory, energies):
    path = tmp_path_factory.mktemp("events") / "a.fits"
    energy_kev = np.array([*energies, 1234.0]) / 1000
    write(path, events_hdu(energy_kev * 1000))
    (one,) = read_events(path)
    inside = (energy_kev >= 0.5) & (energy_kev <= 8.0)
    edge = np.min(np.abs(energy_kev[:, None] - [0.5, 8.0]), axis=1) < 1e-12
    assert abs(one.spectrum.counts.sum() - inside.sum()) <= edge.sum()


def test_events_are_what_binned_counts_give_back(tmp_path):
    rng = np.random.default_rng(1)
    energy_kev = rng.uniform(0.3, 9.0, 5000)
    path = write(tmp_path / "a.fits", events_hdu(energy_kev * 1000))
    (one,) = read_events(path)
    expected, _ = np.histogram(energy_kev, BIN_EDGES_KEV)
    np.testing.assert_allclose(one.spectrum.binned_counts(), expected, atol=1e-6)


def test_events_of_a_catalogue_product_have_its_key(tmp_path):
    hdu = events_hdu([1000.0, 2000.0], OBS_ID="1575", **{"DATE-OBS": "2001-10-05T00:33:43"})
    path = write(tmp_path / "acisf01575_001N021_r0475_regevt3.fits", hdu)
    (one,) = read_events(path)
    assert one.detection.key == "csc2.0/1575/1/475"
    assert one.detection.observed_at == datetime(2001, 10, 5, 0, 33, 43, tzinfo=UTC)
    assert one.spectrum.warnings == ()


def test_other_event_lists_carry_a_warning_about_their_region(tmp_path):
    (one,) = read_events(write(tmp_path / "acis_evt2.fits", events_hdu([1000.0, 2000.0])))
    assert one.detection.key.startswith("file/CHANDRA/ACIS/1/")
    assert "cut out its region" in one.spectrum.warnings[0]


@pytest.mark.parametrize("keyword", ["EXPOSURE", "LIVETIME", "ONTIME"])
def test_exposure_comes_from_the_best_keyword_there_is(tmp_path, keyword):
    hdu = events_hdu([1000.0, 2000.0])
    del hdu.header["EXPOSURE"]
    hdu.header["ONTIME"] = 999.0
    hdu.header[keyword] = 321.0
    assert read_events(write(tmp_path / "a.fits", hdu))[0].spectrum.exposure_s == 321.0


@pytest.mark.parametrize("packed", [True, False])
def test_read_observed_recognises_event_lists(tmp_path, packed):
    path = write(tmp_path / "a.fits", events_hdu([1000.0, 2000.0]))
    if packed:
        path = gzip_to(tmp_path / "b.fits.gz", path.read_bytes())
    assert read_observed(path)[0].spectrum.counts.sum() == 2


@pytest.mark.parametrize(
    ("hdu", "says"),
    [
        (events_hdu([1000.0], INSTRUME="HRC"), "no energy resolution"),
        (events_hdu([1000.0], EXPOSURE=0.0), "EXPOSURE is 0.0, it must be positive"),
        (events_hdu([1000.0], EXPOSURE=-5), "EXPOSURE is -5, it must be positive"),
        (events_hdu([1000.0], EXPOSURE="long"), "none of EXPOSURE, LIVETIME, ONTIME"),
        (events_hdu([9000.0, 100.0]), "no counts in 0.5-8 keV"),
        (events_hdu([]), "no counts in 0.5-8 keV"),
        (events_hdu([1000.0], unit="adu"), "ENERGY is in ADU"),
        (ebounds_hdu(), "a response matrix"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusable_event_lists_are_refused_with_the_reason(tmp_path, hdu, says):
    path = write(tmp_path / "a.fits", hdu)
    with pytest.raises(InvalidSpectrumError, match=rf"a\.fits: .*{says}"):
        read_events(path)


def test_events_without_energies_are_refused(tmp_path):
    hdu = fits.BinTableHDU.from_columns([column("PI", COUNTS)], name="EVENTS")
    path = write(tmp_path / "a.fits", hdu)
    with pytest.raises(InvalidSpectrumError, match="without a column ENERGY: give"):
        read_events(path)
