from datetime import UTC, datetime

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from common.errors import InvalidSpectrumError, NotFoundError
from ingest.spectra.pha import read_pha
from tests.support.fits_files import (
    COUNTS,
    EDGES_KEV,
    N_CHANNEL,
    ebounds_hdu,
    events_hdu,
    gzip_to,
    spectrum_hdu,
    write,
)

LO, HI = EDGES_KEV[:-1], EDGES_KEV[1:]


@pytest.fixture
def folder(tmp_path):
    """A folder with the response that `spectrum_hdu` names."""
    write(tmp_path / "small.rmf", ebounds_hdu())
    return tmp_path


def read_one(path, **options):
    (one,) = read_pha(path, **options)
    return one


def test_counts_and_energies_come_channel_by_channel(folder):
    spectrum = read_one(write(folder / "a.pha", spectrum_hdu())).spectrum
    np.testing.assert_array_equal(spectrum.counts, COUNTS)
    np.testing.assert_array_equal(spectrum.energy_lo_kev, LO)
    np.testing.assert_array_equal(spectrum.energy_hi_kev, HI)
    assert (spectrum.exposure_s, spectrum.energy_source) == (1000.0, "RMF small.rmf")
    assert (spectrum.background, spectrum.warnings) == (None, ())


def test_rates_become_counts(folder):
    hdu = spectrum_hdu({"COUNTS": None, "RATE": COUNTS / 1000.0})
    spectrum = read_one(write(folder / "a.pha", hdu)).spectrum
    np.testing.assert_allclose(spectrum.counts, COUNTS)


def test_gzipped_file_reads_like_the_plain_one(folder):
    plain = write(folder / "a.pha", spectrum_hdu())
    packed = gzip_to(folder / "b.pha", plain.read_bytes())
    assert read_one(packed).spectrum.hash() == read_one(plain).spectrum.hash()


def test_grouping_and_quality_leave_the_counts_alone(folder):
    flags = {"GROUPING": np.full(N_CHANNEL, -1), "QUALITY": np.full(N_CHANNEL, 5)}
    spectrum = read_one(write(folder / "a.pha", spectrum_hdu(flags))).spectrum
    np.testing.assert_array_equal(spectrum.counts, COUNTS)


def test_channels_are_matched_by_number_not_by_place(folder):
    part = slice(4, 12)
    columns = {"CHANNEL": np.arange(1, N_CHANNEL + 1)[part], "COUNTS": COUNTS[part]}
    spectrum = read_one(write(folder / "a.pha", spectrum_hdu(columns))).spectrum
    np.testing.assert_array_equal(spectrum.energy_lo_kev, LO[part])
    np.testing.assert_array_equal(spectrum.counts, COUNTS[part])


def test_descending_energies_turn_counts_and_background_round(tmp_path):
    write(tmp_path / "small.rmf", ebounds_hdu(LO[::-1], HI[::-1]))
    write(tmp_path / "b.pha", spectrum_hdu({"COUNTS": COUNTS + 1}))
    one = read_one(write(tmp_path / "a.pha", spectrum_hdu(BACKFILE="b.pha")))
    np.testing.assert_array_equal(one.spectrum.energy_lo_kev, LO)
    np.testing.assert_array_equal(one.spectrum.counts, COUNTS[::-1])
    np.testing.assert_array_equal(one.spectrum.background.counts, COUNTS[::-1] + 1)


def test_type_ii_rows_are_a_spectrum_each(folder):
    rows = np.vstack([COUNTS, 2 * COUNTS, COUNTS[::-1]])
    numbers = np.vstack([np.arange(1, N_CHANNEL + 1)] * 3)
    exposures = np.array([10.0, 20.0, 30.0])
    hdu = spectrum_hdu({"CHANNEL": numbers, "COUNTS": rows, "EXPOSURE": exposures}, EXPOSURE=None)
    found = read_pha(write(folder / "a.pha", hdu))
    np.testing.assert_array_equal([one.spectrum.counts for one in found], rows)
    assert [one.spectrum.exposure_s for one in found] == [10.0, 20.0, 30.0]
    assert len({one.detection.key for one in found}) == 3


def test_type_ii_without_channel_column_counts_channels_from_one(folder):
    hdu = spectrum_hdu({"CHANNEL": None, "COUNTS": np.vstack([COUNTS, COUNTS])})
    found = read_pha(write(folder / "a.pha", hdu))
    np.testing.assert_array_equal(found[1].spectrum.energy_lo_kev, LO)


def test_several_source_extensions_are_a_spectrum_each(folder):
    path = write(folder / "a.pha", spectrum_hdu(), spectrum_hdu({"COUNTS": 3 * COUNTS}))
    assert [one.spectrum.counts[1] for one in read_pha(path)] == [1.0, 3.0]


@given(
    counts=npst.arrays(np.int64, N_CHANNEL, elements=st.integers(0, 2**31 - 1)).filter(
        lambda counts: counts[1:-1].any()
    )
)
def test_any_counts_are_read_as_astropy_reads_them(tmp_path_factory, counts):
    folder = tmp_path_factory.mktemp("pha")
    write(folder / "small.rmf", ebounds_hdu())
    path = write(folder / "a.pha", spectrum_hdu({"COUNTS": counts}))
    with fits.open(path) as hdus:
        raw = np.array(hdus["SPECTRUM"].data["COUNTS"])
    np.testing.assert_array_equal(read_one(path).spectrum.counts, raw)


def test_background_of_the_same_file_is_scaled_to_the_source(folder):
    source = spectrum_hdu(BACKSCAL=2e-6, AREASCAL=1.0, BACKFILE="a.pha")
    background = spectrum_hdu(
        {"COUNTS": 5 * COUNTS}, HDUCLAS2="BKG", EXPOSURE=4000.0, BACKSCAL=1e-5, AREASCAL=0.5
    )
    found = read_one(write(folder / "a.pha", source, background)).spectrum.background
    np.testing.assert_array_equal(found.counts, 5 * COUNTS)
    assert found.exposure_s == 4000.0
    assert found.scaling == pytest.approx(1000 * 2e-6 / (4000 * 1e-5 * 0.5))


@pytest.mark.parametrize("backfile", ["back.pha", "/far/away/back.pha", "back.pha.gz"])
def test_background_is_found_beside_the_spectrum(folder, backfile):
    plain = write(folder / "plain", spectrum_hdu({"COUNTS": 5 * COUNTS}))
    gzip_to(folder / "back.pha.gz", plain.read_bytes())
    spectrum = read_one(write(folder / "a.pha", spectrum_hdu(BACKFILE=backfile))).spectrum
    np.testing.assert_array_equal(spectrum.background.counts, 5 * COUNTS)
    assert spectrum.background.scaling == 1.0


def test_background_given_is_preferred_to_the_one_named(folder):
    write(folder / "named.pha", spectrum_hdu())
    given_file = write(folder / "given.pha", spectrum_hdu({"COUNTS": 7 * COUNTS}))
    path = write(folder / "a.pha", spectrum_hdu(BACKFILE="named.pha"))
    found = read_one(path, background=given_file).spectrum.background
    np.testing.assert_array_equal(found.counts, 7 * COUNTS)


def test_scaling_may_come_from_columns(folder):
    per_channel = np.full(N_CHANNEL, 3.0)
    write(folder / "b.pha", spectrum_hdu({"BACKSCAL": 2 * per_channel}))
    path = write(folder / "a.pha", spectrum_hdu({"BACKSCAL": per_channel}, BACKFILE="b.pha"))
    assert read_one(path).spectrum.background.scaling == pytest.approx(0.5)


@pytest.mark.parametrize("backfile", ["none", "NONE", "", None])
def test_no_background_is_nothing_to_warn_of(folder, backfile):
    spectrum = read_one(write(folder / "a.pha", spectrum_hdu(BACKFILE=backfile))).spectrum
    assert (spectrum.background, spectrum.warnings) == (None, ())


@pytest.mark.parametrize(
    ("background", "says"),
    [
        (spectrum_hdu({"COUNTS": -1.0 * COUNTS}), "counts in row 2"),
        (spectrum_hdu({"CHANNEL": np.arange(N_CHANNEL)}), "other channels"),
        (spectrum_hdu(BACKSCAL=0.0), "not all positive"),
        (spectrum_hdu(EXPOSURE=None), "not all positive"),
        (spectrum_hdu({"CHANNEL": None, "COUNTS": np.vstack([COUNTS] * 3)}), "3 background"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusable_background_is_left_out_with_a_warning(folder, background, says):
    bad = write(folder / "bad.pha", background)
    path = write(folder / "a.pha", spectrum_hdu(BACKFILE="bad.pha"))
    spectrum = read_one(path).spectrum
    assert spectrum.background is None
    assert spectrum.warnings[0].startswith("no background: ")
    assert says in spectrum.warnings[0]
    with pytest.raises(InvalidSpectrumError, match=says):
        read_pha(path, background=bad)


def test_background_named_but_missing_is_warned_of(folder):
    spectrum = read_one(write(folder / "a.pha", spectrum_hdu(BACKFILE="gone.pha"))).spectrum
    assert spectrum.warnings == ("no background: gone.pha is not beside the file",)


def test_background_given_but_missing_is_not_found(folder):
    path = write(folder / "a.pha", spectrum_hdu())
    with pytest.raises(NotFoundError, match=r"gone\.pha"):
        read_pha(path, background=folder / "gone.pha")


def test_response_given_is_preferred_to_the_one_named(folder):
    wide = write(folder / "wide.rmf", ebounds_hdu(LO * 0.9, HI * 0.9))
    spectrum = read_one(write(folder / "a.pha", spectrum_hdu()), rmf=wide).spectrum
    np.testing.assert_allclose(spectrum.energy_lo_kev, LO * 0.9)


def test_background_subtracted_spectrum_carries_a_warning(folder):
    spectrum = read_one(write(folder / "a.pha", spectrum_hdu(HDUCLAS2="NET"))).spectrum
    assert "already subtracted" in spectrum.warnings[0]


@pytest.mark.parametrize(
    ("columns", "keywords", "says"),
    [
        ({}, {"INSTRUME": "HRC-I"}, "HRC-I has no energy resolution"),
        ({}, {"TG_M": 1, "TG_PART": 2}, "a grating spectrum .* zeroth-order"),
        ({"BIN_LO": LO, "BIN_HI": HI}, {}, "a grating spectrum"),
        ({}, {"TELESCOP": "XMM", "INSTRUME": "RGS1"}, "a grating spectrum"),
        ({}, {"EXPOSURE": 0.0}, r"EXPOSURE is 0\.0"),
        ({}, {"EXPOSURE": -3.0}, r"EXPOSURE is -3\.0"),
        ({}, {"EXPOSURE": "long"}, "EXPOSURE is long"),
        ({}, {"EXPOSURE": None}, "EXPOSURE is missing"),
        ({"COUNTS": np.where(COUNTS == 3, np.nan, COUNTS)}, {}, "nan counts in row 4"),
        ({"COUNTS": np.where(COUNTS == 3, np.inf, COUNTS)}, {}, "inf counts in row 4"),
        ({"COUNTS": np.where(COUNTS == 3, -2, COUNTS)}, {}, "-2 counts in row 4.*total spectrum"),
        ({"COUNTS": None, "RATE": np.full(N_CHANNEL, 1e308)}, {}, "inf counts in row 1"),
        ({"COUNTS": 0 * COUNTS}, {}, "no counts in 0.5-8 keV"),
        ({"COUNTS": None}, {}, "neither a column COUNTS nor RATE"),
        ({"CHANNEL": np.arange(N_CHANNEL)}, {}, "channels 0-15 do not match channels 1-16"),
        ({"CHANNEL": np.ones(N_CHANNEL, int)}, {}, "channels 1-1 do not match"),
        ({"CHANNEL": np.full(N_CHANNEL, np.nan)}, {}, "CHANNEL holds numbers that are no"),
        ({}, {"DETCHANS": 99}, r"99 channels, but its RMF small\.rmf has 16"),
        ({}, {"RESPFILE": "gone.rmf", "INSTRUME": "FPMB"}, "same folder under the name gone"),
        ({}, {"HDUCLAS2": "BKG"}, "it holds a background spectrum, not a source"),
        ({"CHANNEL": np.array([], int), "COUNTS": np.array([], int)}, {}, r"data of shape \(0,\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusable_spectra_are_refused_with_the_reason(folder, columns, keywords, says):
    path = write(folder / "a.pha", spectrum_hdu(columns, **keywords))
    with pytest.raises(InvalidSpectrumError, match=rf"a\.pha.*{says}"):
        read_pha(path)


def test_counts_only_outside_the_band_are_refused(folder):
    counts = np.zeros(N_CHANNEL, int)
    write(folder / "hard.rmf", ebounds_hdu(LO + 3, HI + 3))
    counts[-2:] = 50
    path = write(folder / "a.pha", spectrum_hdu({"COUNTS": counts}, RESPFILE="hard.rmf"))
    with pytest.raises(InvalidSpectrumError, match=r"no counts in 0\.5-8 keV"):
        read_pha(path)


def test_channels_only_outside_the_band_are_refused(tmp_path):
    write(tmp_path / "small.rmf", ebounds_hdu(LO + 10, HI + 10))
    path = write(tmp_path / "a.pha", spectrum_hdu())
    with pytest.raises(InvalidSpectrumError, match=r"cover 10\.3-18\.3 keV, nothing inside"):
        read_pha(path)


def test_dispersed_spectrum_is_refused_by_its_number_of_channels(tmp_path):
    columns = {"CHANNEL": np.arange(1, 8193), "COUNTS": np.ones(8192, int)}
    path = write(tmp_path / "a.pha", spectrum_hdu(columns, GRATING="LETG", DETCHANS=8192))
    with pytest.raises(InvalidSpectrumError, match=r"a grating spectrum \(8192 channels\)"):
        read_pha(path)


@pytest.mark.parametrize(
    ("hdu", "says"),
    [
        (ebounds_hdu(), "a response matrix"),
        (events_hdu([1000.0]), "an event list"),
        (fits.ImageHDU(np.zeros((3, 3))), "no spectrum"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_files_are_refused_by_what_they_hold(tmp_path, hdu, says):
    path = write(tmp_path / "a.fits", hdu)
    with pytest.raises(InvalidSpectrumError, match=rf"a\.fits: it holds {says}"):
        read_pha(path)


def test_catalogue_product_has_the_key_of_its_detection(folder):
    hdu = spectrum_hdu(TELESCOP="CHANDRA", INSTRUME="ACIS", OBS_ID="1575")
    path = write(folder / "acisf01575_001N021_r0475_pha3.fits", hdu)
    detection = read_one(path, rmf=folder / "small.rmf").detection
    assert detection.key == "csc2.0/1575/1/475"
    assert (detection.obsid, detection.obi, detection.region_id) == (1575, 1, 475)


def test_renamed_catalogue_product_keeps_its_key_by_its_header(folder):
    hdu = spectrum_hdu(OBS_ID="1575", OBI_NUM=1, REGIONID="0475", REVISION=30, RA=10.5, DEC=-41.5)
    detection = read_one(write(folder / "a.pha", hdu)).detection
    assert detection.key == "csc2.1/1575/1/475"
    assert (detection.ra_deg, detection.dec_deg) == (10.5, -41.5)


def test_name_of_another_observation_is_not_believed(folder):
    path = write(folder / "acisf01575_001N021_r0475_pha3.fits", spectrum_hdu(OBS_ID="42"))
    assert read_one(path).detection.key.startswith("file/NUSTAR/FPMA/42/")


def test_other_files_have_a_key_of_their_content(folder):
    one = read_one(write(folder / "a.pha", spectrum_hdu()))
    assert one.detection.key == f"file/NUSTAR/FPMA/60001/{one.spectrum.hash()}"


@pytest.mark.parametrize(
    ("obs_id", "obsid"),
    [("0693760101", 693760101), (459, 459), ("Merged", None), ("9" * 20, None), (None, None)],
)
def test_obsid_is_a_number_or_nothing(folder, obs_id, obsid):
    path = write(folder / "a.pha", spectrum_hdu(OBS_ID=obs_id))
    assert read_one(path).detection.obsid == obsid


@pytest.mark.parametrize(
    ("written", "observed_at"),
    [
        ("2001-10-05T00:33:43", datetime(2001, 10, 5, 0, 33, 43, tzinfo=UTC)),
        ("2001-10-05T00:33:43.25", datetime(2001, 10, 5, 0, 33, 43, 250_000, tzinfo=UTC)),
        ("2001-10-05", datetime(2001, 10, 5, tzinfo=UTC)),
        ("19/02/94", datetime(1994, 2, 19, tzinfo=UTC)),
        ("someday", None),
        ("31/02/94", None),
    ],
)
def test_date_is_read_in_both_forms(folder, written, observed_at):
    path = write(folder / "a.pha", spectrum_hdu(**{"DATE-OBS": written}))
    assert read_one(path).detection.observed_at == observed_at


@pytest.mark.parametrize(
    ("keywords", "position"),
    [
        ({"RA_TARG": 10.0, "DEC_TARG": -20.0, "RA_OBJ": 1.0, "DEC_OBJ": 2.0}, (10.0, -20.0)),
        ({"RA_OBJ": 1.0, "DEC_OBJ": 2.0, "RA_PNT": 5.0, "DEC_PNT": 5.0}, (1.0, 2.0)),
        ({"RA_PNT": 5.0, "DEC_PNT": 5.0, "RA_NOM": 5.0, "DEC_NOM": 5.0}, (None, None)),
        ({"RA_TARG": 999.0, "DEC_TARG": 0.0}, (None, None)),
        ({"RA_TARG": "10:20:30", "DEC_TARG": 0.0}, (None, None)),
    ],
)
def test_target_is_never_the_pointing(folder, keywords, position):
    one = read_one(write(folder / "a.pha", spectrum_hdu(**keywords)))
    assert (one.target_ra_deg, one.target_dec_deg) == position


@pytest.mark.parametrize(
    ("name", "source_name"),
    [
        ("2CXO J004242.9+411543", "2CXO J004242.9+411543"),
        ("CXO J004242.9+411543", "CXO J004242.9+411543"),
        ("CXOU J235750.9-3237", None),
        ("CSC", None),
        ("3C 273", None),
    ],
)
def test_only_catalogue_names_are_source_names(folder, name, source_name):
    one = read_one(write(folder / "a.pha", spectrum_hdu(OBJECT=name)))
    assert one.source_name == one.detection.source_name == source_name


def test_what_the_spectrum_does_not_say_comes_from_the_primary_header(folder):
    primary = {"OBS_ID": "77", "DATE-OBS": "2001-10-05", "RA_OBJ": 1.0, "DEC_OBJ": 2.0}
    one = read_one(write(folder / "a.pha", spectrum_hdu(OBS_ID=None), primary=primary))
    assert (one.detection.obsid, one.target_ra_deg) == (77, 1.0)
    assert one.detection.observed_at == datetime(2001, 10, 5, tzinfo=UTC)
