import numpy as np
import pytest
from astropy.io import fits

from common.binning import ENERGY_HI_KEV, ENERGY_LO_KEV
from common.errors import InvalidSpectrumError
from ingest.spectra.discover import read_observed
from ingest.spectra.pha import read_pha
from tests.support.fits_files import read_manifest

COMPLETE = [
    "3c273_459",
    "4c1944_6903",
    "4c1944_6904",
    "4c1944_7302",
    "4c1944_7303",
    "asca_sis0_a2029",
    "asca_sis0_he1104",
    "csc_01575_r0043",
    "csc_01575_r0085",
    "csc_04938_r0043",
    "gcs25_2278",
    "gcs28_2286",
    "m33_1730",
    "ngc4258_1618",
    "q0740_3098_bubble",
    "swift_xrt_00092220001",
    "xmm_pn_ngc7793ulx4_0693760101",
]
ACIS_WITHOUT_RMF = [
    "noresp_b3_0710_12845",
    "noresp_g21.5_1838",
    "noresp_pks0537_4274",
    "noresp_pks1127_5708",
    "noresp_r1grspec",
]
REFUSED = {
    "hrci_arlac_24564_csc21": "HRC has no energy resolution",
    "noresp_3c120_heg_m1_16221": "a grating spectrum",
    "noresp_3c120_heg_p1_16221": "a grating spectrum",
    "noresp_3c120_meg_m1_16221": "a grating spectrum",
    "noresp_3c120_meg_p1_16221": "a grating spectrum",
    "swift_xrt_grb070110": "RESPFILE names no RMF",
    "xmm_mos1_ngc7793ulx4_0693760101": "under the name MOS1.rmf",
    "xmm_mos2_bxa": "under the name mos.rmf",
    "xmm_mos2_ngc7793ulx4_0693760101": "under the name MOS2.rmf",
}


@pytest.fixture(scope="module")
def manifest(shared_data):
    return read_manifest(shared_data)


@pytest.fixture
def read_set(shared_data, manifest):
    def read(name):
        (one,) = read_observed(shared_data / "spectra" / name / manifest[name]["pha"])
        return one

    return read


def raw_column(path, column, extension="SPECTRUM"):
    with fits.open(path) as hdus:
        return np.array(hdus[extension].data[column], dtype=np.float64)


def test_every_set_is_expected_to_be_read_or_refused(manifest):
    assert set(manifest) == {*COMPLETE, *ACIS_WITHOUT_RMF, *REFUSED}
    complete = {name for name, row in manifest.items() if row["complete"] == "1"}
    assert complete - {"hrci_arlac_24564_csc21"} == {*COMPLETE}


@pytest.mark.parametrize("name", COMPLETE)
def test_complete_set_agrees_with_astropy_channel_by_channel(read_set, shared_data, manifest, name):
    folder, row = shared_data / "spectra" / name, manifest[name]
    spectrum = read_set(name).spectrum
    np.testing.assert_array_equal(spectrum.counts, raw_column(folder / row["pha"], "COUNTS"))
    for column, ours in (("E_MIN", spectrum.energy_lo_kev), ("E_MAX", spectrum.energy_hi_kev)):
        np.testing.assert_array_equal(ours, raw_column(folder / row["rmf"], column, "EBOUNDS"))


@pytest.mark.parametrize("name", [*COMPLETE, *ACIS_WITHOUT_RMF])
def test_set_has_the_counts_and_exposure_of_the_manifest(read_set, manifest, name):
    spectrum, row = read_set(name).spectrum, manifest[name]
    assert spectrum.counts.sum() == float(row["total_counts"])
    assert spectrum.exposure_s == pytest.approx(float(row["EXPOSURE"]))
    # The manifest counts whole channels; we share out those that lie across an edge of the band.
    lo, hi = spectrum.energy_lo_kev, spectrum.energy_hi_kev
    near_edge = [
        (lo <= edge + 0.02) & (hi >= edge - 0.02) for edge in (ENERGY_LO_KEV, ENERGY_HI_KEV)
    ]
    tolerance = spectrum.counts[np.logical_or(*near_edge)].sum()
    assert abs(spectrum.binned_counts().sum() - float(row["counts_0.5_8keV"])) <= tolerance


@pytest.mark.parametrize("name", ACIS_WITHOUT_RMF)
def test_acis_without_response_is_read_with_a_warning(read_set, name):
    spectrum = read_set(name).spectrum
    assert spectrum.energy_source == "ACIS PI channels of 14.6 eV"
    assert "took ACIS PI channels as 14.6 eV wide" in spectrum.warnings[0]


@pytest.mark.parametrize("name", REFUSED)
def test_unusable_set_is_refused_by_name_with_the_reason(read_set, manifest, name):
    with pytest.raises(InvalidSpectrumError) as refused:
        read_set(name)
    assert str(refused.value).startswith(manifest[name]["pha"])
    assert REFUSED[name] in str(refused.value)


@pytest.mark.parametrize("name", [*COMPLETE, *ACIS_WITHOUT_RMF])
def test_set_says_what_the_manifest_says_of_its_origin(read_set, manifest, name):
    detection, row = read_set(name).detection, manifest[name]
    assert (detection.telescope, detection.instrument) == (row["TELESCOP"], row["INSTRUME"])
    if row["OBS_ID"]:
        assert detection.obsid == int(row["OBS_ID"])


@pytest.mark.parametrize(
    ("name", "key", "ra_deg"),
    [
        ("csc_01575_r0085", "csc1.1/1575/1/85", 10.630253),
        ("csc_01575_r0043", "csc1.1/1575/1/43", 10.684851),
        ("csc_04938_r0043", "csc1.1/4938/0/43", 349.872264),
    ],
)
def test_catalogue_products_have_key_and_position_of_their_region(read_set, name, key, ra_deg):
    one = read_set(name)
    assert one.detection.key == key
    assert one.detection.ra_deg == pytest.approx(ra_deg, abs=1e-6)
    assert one.target_ra_deg is None


def test_catalogue_product_has_its_background_from_the_same_file(read_set, shared_data, manifest):
    name = "csc_01575_r0085"
    background = read_set(name).spectrum.background
    path = shared_data / "spectra" / name / manifest[name]["pha"]
    np.testing.assert_array_equal(background.counts, raw_column(path, "COUNTS", ("SPECTRUM", 2)))
    with fits.open(path) as hdus:
        source, other = hdus["SPECTRUM", 1].header, hdus["SPECTRUM", 2].header
        assert background.scaling == pytest.approx(source["BACKSCAL"] / other["BACKSCAL"])


@pytest.mark.parametrize(
    "name",
    [n for n in COMPLETE if n.startswith(("3c273", "4c", "ngc", "q07", "xmm"))],
)
def test_background_beside_the_spectrum_agrees_with_astropy(read_set, shared_data, manifest, name):
    path = shared_data / "spectra" / name / manifest[name]["bkg"]
    background = read_set(name).spectrum.background
    np.testing.assert_array_equal(background.counts, raw_column(path, "COUNTS"))


def test_zeroth_order_of_a_grating_observation_is_read(read_set):
    assert read_set("3c273_459").spectrum.counts.sum() == 736


def test_spectrum_with_hardly_any_header_gets_its_observation_from_elsewhere(read_set):
    detection = read_set("noresp_r1grspec").detection
    assert (detection.obsid, detection.observed_at.year) == (2707, 2002)


def test_old_date_is_read(read_set):
    assert read_set("asca_sis0_a2029").detection.observed_at.isoformat()[:10] == "1994-02-19"


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("m33_1730/source.arf", "it holds an effective area"),
        ("m33_1730/source.rmf", "it holds a response matrix"),
        ("gcs25_2278/rmf2278.fits", "it holds a response matrix"),
        ("noresp_3c120_heg_m1_16221/3c120_heg_-1.arf.gz", "it holds an effective area"),
    ],
)
def test_responses_are_refused_by_what_they_are(shared_data, file, says):
    with pytest.raises(InvalidSpectrumError, match=says):
        read_observed(shared_data / "spectra" / file)


def test_response_of_another_instrument_is_refused(shared_data):
    folder = shared_data / "spectra"
    with pytest.raises(InvalidSpectrumError, match=r"1024 channels, but its RMF PN\.rmf has 4096"):
        read_pha(
            folder / "m33_1730" / "source.pi",
            rmf=folder / "xmm_pn_ngc7793ulx4_0693760101" / "PN.rmf",
        )


@pytest.mark.parametrize(
    ("name", "frame_time_s"),
    [
        ("3c273_459", 3.2),
        ("4c1944_6903", 0.8),
        ("noresp_pks1127_5708", 0.4),
        ("csc_01575_r0043", None),
        ("asca_sis0_a2029", None),
        ("swift_xrt_00092220001", None),
    ],
)
def test_frame_time_is_that_of_acis_without_the_time_of_reading_out(read_set, name, frame_time_s):
    assert read_set(name).spectrum.frame_time_s == (frame_time_s and pytest.approx(frame_time_s))
