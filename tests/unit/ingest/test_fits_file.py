import warnings
from contextlib import suppress

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import ChandraSearchError, InvalidSpectrumError, NotFoundError
from ingest.spectra.fits_file import BLOCK, peek_headers, read_fits
from tests.support.fits_files import COUNTS, column, gzip_to, spectrum_hdu, write


@pytest.fixture
def spectrum_file(tmp_path):
    return write(tmp_path / "source.pha", spectrum_hdu(), primary={"OBJECT": "O'Neill / 'x'"})


def with_card(content, number, card):
    """Return the file with the value of a keyword in its number-th HDU replaced."""
    keyword = card[:8].encode()
    at = -1
    for _ in range(number + 1):
        at = content.index(keyword, at + 1)
    return content[:at] + card.ljust(80).encode("latin-1") + content[at + 80 :]


def test_headers_agree_with_astropy_keyword_by_keyword(shared_data):
    path = shared_data / "spectra" / "m33_1730" / "source.pi"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path) as hdus:
            for ours, theirs in zip(read_fits(path), hdus, strict=True):
                plain = {k for k in theirs.header if k not in ("COMMENT", "HISTORY", "")}
                assert ours.header == {key: theirs.header[key] for key in plain}


def test_values_keep_quotes_slashes_and_types(spectrum_file):
    primary, table = read_fits(spectrum_file)
    assert primary.header["OBJECT"] == "O'Neill / 'x'"
    assert primary.header["SIMPLE"] is True
    assert table.header["EXPOSURE"] == 1000.0
    assert table.header["DETCHANS"] == 16


def test_long_strings_are_put_together(tmp_path):
    name = "a_folder_name_that_nobody_would_choose/" * 4 + "source.rmf"
    path = write(tmp_path / "a.pha", spectrum_hdu(RESPFILE=name))
    assert read_fits(path)[1].header["RESPFILE"] == name


def test_columns_come_as_floats_and_absent_ones_are_left_out(spectrum_file):
    table = read_fits(spectrum_file)[1]
    columns = table.columns("COUNTS", "RATE")
    assert set(columns) == {"COUNTS"}
    assert columns["COUNTS"].dtype == np.float64
    np.testing.assert_array_equal(columns["COUNTS"], COUNTS)


def test_unsigned_columns_keep_their_offset(tmp_path):
    unsigned = fits.Column("COUNTS", "J", bzero=2**31, array=np.array([1, 2**32 - 1], np.uint32))
    path = write(tmp_path / "a.fits", fits.BinTableHDU.from_columns([unsigned]))
    np.testing.assert_array_equal(read_fits(path)[1].columns("COUNTS")["COUNTS"], [1, 2**32 - 1])


@pytest.mark.parametrize("name", ["source.pha.gz", "source.pha"])
def test_gzip_is_recognised_by_content(tmp_path, spectrum_file, name):
    folder = tmp_path / "packed"
    folder.mkdir()
    packed = gzip_to(folder / name, spectrum_file.read_bytes())
    np.testing.assert_array_equal(read_fits(packed)[1].columns("COUNTS")["COUNTS"], COUNTS)


def test_missing_file_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"nothing\.pha: there is no such file"):
        read_fits(tmp_path / "nothing.pha")


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "empty"), (b"channel,counts\n1,2\n", "not a FITS file")]
)
def test_what_is_not_fits_is_refused(tmp_path, content, says):
    path = tmp_path / "a.pha"
    path.write_bytes(content)
    with pytest.raises(InvalidSpectrumError, match=rf"a\.pha: .*{says}"):
        read_fits(path)


@pytest.mark.parametrize("name", ["a.pha", "a.pha.gz"])
@pytest.mark.parametrize("cut", [100, BLOCK + 100, 2 * BLOCK, 2 * BLOCK + 50])
def test_truncated_file_is_refused(tmp_path, spectrum_file, name, cut):
    path = tmp_path / name
    content = spectrum_file.read_bytes()[:cut]
    gzip_to(path, content) if name.endswith(".gz") else path.write_bytes(content)
    with pytest.raises(InvalidSpectrumError, match=r"truncated"):
        read_fits(path)


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b[:300] + b"\0" * 9 + b[309:]])
def test_damaged_gzip_is_refused(tmp_path, spectrum_file, damage):
    path = gzip_to(tmp_path / "a.pha.gz", spectrum_file.read_bytes())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InvalidSpectrumError, match=r"a\.pha\.gz: .*truncated or damaged"):
        read_fits(path)


@pytest.mark.parametrize(
    "card",
    [
        "NAXIS2  =        1000000000000000",
        "NAXIS1  =        1000000000000000",
        "PCOUNT  =        1000000000000000",
        "GCOUNT  =        1000000000000000",
        "NAXIS2  =                   100000",
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_declared_size_is_checked_before_data_is_read(tmp_path, spectrum_file, card, packed):
    content = with_card(spectrum_file.read_bytes(), 0, card)
    path = tmp_path / "bomb.pha"
    gzip_to(path, content) if packed else path.write_bytes(content)
    with pytest.raises(InvalidSpectrumError, match=r"HDU 1 declares [\d,]+ bytes of data"):
        read_fits(path)


@pytest.mark.parametrize(
    "card", ["NAXIS2  =                   -5", "NAXIS2  = 'many'", "BITPIX  =    1.5"]
)
def test_impossible_sizes_are_refused(tmp_path, spectrum_file, card):
    path = tmp_path / "odd.pha"
    path.write_bytes(with_card(spectrum_file.read_bytes(), 0, card))
    with pytest.raises(InvalidSpectrumError, match=r"odd\.pha: HDU \d"):
        read_fits(path)


def test_gzip_bomb_is_refused_before_it_fills_memory(tmp_path):
    header = fits.PrimaryHDU().header.tostring().encode()
    path = gzip_to(tmp_path / "bomb.fits.gz", header + b"\0" * 20_000_000)
    assert path.stat().st_size < 50_000
    with pytest.raises(InvalidSpectrumError, match=r"more than 1,048,576 bytes when decompressed"):
        read_fits(path, max_mb=1)


def test_file_larger_than_the_limit_is_refused(tmp_path, spectrum_file):
    with pytest.raises(InvalidSpectrumError, match="CHANDRA_MAX_FILE_MB"):
        read_fits(spectrum_file, max_mb=0.001)


def test_header_without_end_is_refused(tmp_path):
    path = tmp_path / "endless.fits"
    path.write_bytes(b"SIMPLE  =                    T".ljust(80) + b" " * 80 * 5000)
    with pytest.raises(InvalidSpectrumError, match="no END"):
        read_fits(path)


def test_bytes_after_the_last_hdu_are_allowed(tmp_path, spectrum_file):
    path = tmp_path / "a.pha"
    path.write_bytes(spectrum_file.read_bytes() + b"\0" * 5000)
    assert len(read_fits(path)) == 2


def test_columns_of_variable_length_are_refused(tmp_path):
    rows = np.array([np.arange(3), np.arange(5)], dtype=object)
    hdu = fits.BinTableHDU.from_columns([fits.Column("COUNTS", "PJ()", array=rows)])
    table = read_fits(write(tmp_path / "a.fits", hdu))[1]
    with pytest.raises(InvalidSpectrumError, match="not of plain numbers"):
        table.columns("COUNTS")


def test_non_standard_headers_are_no_obstacle(tmp_path, spectrum_file):
    content = with_card(spectrum_file.read_bytes(), 0, "EXPOSURE= 1.0D3 / [s]")
    content = with_card(content, 0, "DETCHANS=16")
    content = with_card(content, 0, "OBS_ID  = 60001\x80 no quotes")
    path = tmp_path / "odd.pha"
    path.write_bytes(content)
    table = read_fits(path)[1]
    assert table.header["EXPOSURE"] == 1000.0
    np.testing.assert_array_equal(table.columns("COUNTS")["COUNTS"], COUNTS)


def test_peek_stops_at_the_first_header_that_is_enough(tmp_path):
    path = write(tmp_path / "a.fits", *[spectrum_hdu(EXTVER=n) for n in (1, 2, 3)])
    headers = peek_headers(path, lambda header: header.get("EXTVER") == 2)
    assert [header.get("EXTVER") for header in headers] == [None, 1, 2]


def test_peek_does_not_reach_damage_behind_what_is_enough(tmp_path):
    path = write(tmp_path / "a.fits", spectrum_hdu(), fits.ImageHDU(np.zeros(50_000)))
    packed = gzip_to(tmp_path / "b.fits.gz", path.read_bytes()[:-200_000])
    headers = peek_headers(packed, lambda header: header.get("EXTNAME") == "SPECTRUM")
    assert len(headers) == 2
    with pytest.raises(InvalidSpectrumError):
        read_fits(packed)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 3 * BLOCK), st.integers(0, 255)), min_size=1, max_size=30
    )
)
def test_damaged_bytes_are_read_or_refused_and_nothing_else(tmp_path, changes):
    path = tmp_path / "damaged.pha"
    path.unlink(missing_ok=True)
    hdu = fits.BinTableHDU.from_columns([column("COUNTS", COUNTS), column("RATE", COUNTS / 7)])
    write(path, hdu)
    content = bytearray(path.read_bytes())
    for position, value in changes:
        content[position % len(content)] = value
    path.write_bytes(content)
    with suppress(ChandraSearchError):
        for hdu in read_fits(path):
            for values in hdu.columns("COUNTS", "RATE").values():
                assert values.dtype == np.float64
