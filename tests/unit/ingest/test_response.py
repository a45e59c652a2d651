import os

import numpy as np
import pytest
from astropy.io import fits

from common.errors import InvalidSpectrumError, NotFoundError
from ingest.spectra.response import energies_for, read_ebounds
from tests.support.fits_files import EDGES_KEV, N_CHANNEL, ebounds_hdu, gzip_to, spectrum_hdu, write

LO, HI = EDGES_KEV[:-1], EDGES_KEV[1:]
NUSTAR = ("NUSTAR", "FPMA")


def test_ebounds_agree_with_astropy(shared_data):
    path = shared_data / "spectra" / "csc_01575_r0085" / "acisf01575_001N001_r0085_rmf3.fits.gz"
    with fits.open(path) as hdus:
        table = hdus["EBOUNDS"].data
        lo, hi, channels = (np.array(table[name]) for name in ("E_MIN", "E_MAX", "CHANNEL"))
    energies = read_ebounds(path)
    np.testing.assert_array_equal(energies.energy_lo_kev, lo)
    np.testing.assert_array_equal(energies.energy_hi_kev, hi)
    np.testing.assert_array_equal(energies.channels, channels)


@pytest.mark.parametrize(("unit", "per_kev"), [("keV", 1.0), ("eV", 1000.0), (None, 1.0)])
def test_ebounds_are_converted_to_kev(tmp_path, unit, per_kev):
    path = write(tmp_path / "a.rmf", ebounds_hdu(LO * per_kev, HI * per_kev, unit=unit))
    np.testing.assert_allclose(read_ebounds(path).energy_lo_kev, LO)


def test_ebounds_in_another_unit_are_refused(tmp_path):
    path = write(tmp_path / "a.rmf", ebounds_hdu(unit="Angstrom"))
    with pytest.raises(InvalidSpectrumError, match="ANGSTROM, not in keV"):
        read_ebounds(path)


def test_descending_energies_are_sorted_with_their_channels(tmp_path):
    path = write(tmp_path / "a.rmf", ebounds_hdu(LO[::-1], HI[::-1]))
    energies = read_ebounds(path)
    np.testing.assert_array_equal(energies.energy_lo_kev, LO)
    np.testing.assert_array_equal(energies.channels, np.arange(N_CHANNEL, 0, -1))


def test_channels_stored_as_floats_are_numbers_all_the_same(tmp_path):
    path = write(tmp_path / "a.rmf", ebounds_hdu(channels=np.arange(float(N_CHANNEL))))
    np.testing.assert_array_equal(read_ebounds(path).channels, np.arange(N_CHANNEL))


def test_overlap_by_rounding_is_removed(tmp_path):
    path = write(tmp_path / "a.rmf", ebounds_hdu(LO, HI + 1e-6))
    energies = read_ebounds(path)
    assert np.all(energies.energy_hi_kev[:-1] <= energies.energy_lo_kev[1:])


@pytest.mark.parametrize(
    ("lo", "hi", "says"),
    [
        (LO, LO, "without a width"),
        (HI, LO, "without a width"),
        (LO * np.nan, HI, "without a width"),
        (LO, HI + 0.1, "channels 1 and 2 overlap"),
        (LO[:0], HI[:0], "without a width"),
    ],
)
def test_impossible_ebounds_are_refused(tmp_path, lo, hi, says):
    path = write(tmp_path / "a.rmf", ebounds_hdu(lo, hi))
    with pytest.raises(InvalidSpectrumError, match=rf"a\.rmf: .*{says}"):
        read_ebounds(path)


@pytest.mark.parametrize("number", [np.nan, 1e300])
def test_channel_numbers_that_are_none_are_refused(tmp_path, number):
    path = write(tmp_path / "a.rmf", ebounds_hdu(channels=np.full(N_CHANNEL, number)))
    with pytest.raises(InvalidSpectrumError, match="no channels"):
        read_ebounds(path)


def test_file_without_ebounds_is_refused_by_what_it_is(shared_data):
    with pytest.raises(InvalidSpectrumError, match=r"source\.arf: it holds an effective area"):
        read_ebounds(shared_data / "spectra" / "m33_1730" / "source.arf")


def test_missing_response_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"nothing\.rmf"):
        read_ebounds(tmp_path / "nothing.rmf")


def test_changed_response_is_read_again(tmp_path):
    path = write(tmp_path / "a.rmf", ebounds_hdu())
    before = read_ebounds(path)
    path.unlink()
    write(path, ebounds_hdu(LO + 1, HI + 1))
    os.utime(path, ns=(0, 0))
    np.testing.assert_allclose(read_ebounds(path).energy_lo_kev, before.energy_lo_kev + 1)


@pytest.fixture
def header():
    return dict(spectrum_hdu().header)


def test_respfile_beside_the_spectrum_is_used(tmp_path, header):
    write(tmp_path / "small.rmf", ebounds_hdu())
    write(tmp_path / "other.rmf", ebounds_hdu(LO + 1, HI + 1))
    scale = energies_for(tmp_path / "a.pha", header, NUSTAR, N_CHANNEL)
    assert (scale.source, scale.warnings) == ("RMF small.rmf", ())
    np.testing.assert_array_equal(scale.energies.energy_lo_kev, LO)


@pytest.mark.parametrize("respfile", ["small.rmf", "/far/away/small.rmf", "small.rmf[EBOUNDS]"])
def test_respfile_is_found_gzipped_and_without_its_folder(tmp_path, header, respfile):
    plain = write(tmp_path / "plain", ebounds_hdu())
    gzip_to(tmp_path / "small.rmf.gz", plain.read_bytes())
    scale = energies_for(tmp_path / "a.pha", header | {"RESPFILE": respfile}, NUSTAR, N_CHANNEL)
    assert (scale.source, scale.warnings) == ("RMF small.rmf.gz", ())


@pytest.mark.parametrize("respfile", ["none", "NONE", "", "gone.rmf"])
def test_only_fitting_rmf_of_the_folder_is_taken_with_a_warning(tmp_path, header, respfile):
    write(tmp_path / "mine.rmf", ebounds_hdu())
    write(tmp_path / "other_instrument.rmf", ebounds_hdu(INSTRUME="FPMB"))
    write(tmp_path / "other_size.rmf", ebounds_hdu(LO[:-1], HI[:-1]))
    (tmp_path / "broken.rmf").write_bytes(b"nothing")
    scale = energies_for(tmp_path / "a.pha", header | {"RESPFILE": respfile}, NUSTAR, N_CHANNEL)
    assert scale.source == "RMF mine.rmf"
    assert "took mine.rmf, the only RMF here that fits" in scale.warnings[0]


def test_between_two_fitting_rmfs_nothing_is_guessed(tmp_path, header):
    for name in ("one.rmf", "two.rmf"):
        write(tmp_path / name, ebounds_hdu())
    with pytest.raises(InvalidSpectrumError, match=r"one\.rmf and two\.rmf both fit"):
        energies_for(tmp_path / "a.pha", header, NUSTAR, N_CHANNEL)


def test_no_rmf_is_refused_naming_the_one_to_put_there(tmp_path, header):
    with pytest.raises(InvalidSpectrumError, match=r"a\.pha: .*same folder under the name small"):
        energies_for(tmp_path / "a.pha", header, NUSTAR, N_CHANNEL)


def test_rmf_with_another_number_of_channels_is_refused(tmp_path, header):
    write(tmp_path / "small.rmf", ebounds_hdu())
    with pytest.raises(InvalidSpectrumError, match=r"1024 channels, but its RMF small\.rmf has 16"):
        energies_for(tmp_path / "a.pha", header, NUSTAR, 1024)


def test_acis_pi_channels_have_nominal_energies_with_a_warning(tmp_path, header):
    scale = energies_for(tmp_path / "a.pha", header, ("CHANDRA", "ACIS"), 1024)
    assert "14.6 eV" in scale.warnings[0]
    assert scale.energies.energy_hi_kev[0] == pytest.approx(0.0146)
    assert scale.energies.energy_hi_kev[-1] == pytest.approx(14.9504)


@pytest.mark.parametrize(
    ("instrument", "chantype", "n_channel"),
    [
        (("CHANDRA", "ACIS"), "PHA", 1024),
        (("CHANDRA", "ACIS"), "PI", 4096),
        (("SWIFT", "XRT"), "PI", 1024),
    ],
)
def test_other_channels_have_no_nominal_energies(tmp_path, header, instrument, chantype, n_channel):
    with pytest.raises(InvalidSpectrumError, match="no energies for the channels"):
        energies_for(tmp_path / "a.pha", header | {"CHANTYPE": chantype}, instrument, n_channel)
