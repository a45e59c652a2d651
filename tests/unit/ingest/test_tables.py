import gzip
import math
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InvalidTableError, NotFoundError
from ingest.catalogue.rows import UNITS, rows_of
from ingest.catalogue.tables import read_table

ROW = "2CXO J000000.0+000000,0.0,0.0,1,0,1\n"


def read(path):
    rows, refused = rows_of(read_table(path, UNITS), "2.1")
    assert refused == []
    return rows


FORMATS = {
    "csv": {"format": "csv"},
    "ecsv": {"format": "ascii.ecsv"},
    "fits": {"format": "fits"},
    # not as text: astropy 8.0.2 writes one byte beyond its buffer when a row fills it exactly
    "vot": {"format": "votable", "tabledata_format": "binary2"},
}

optional = st.none() | st.floats(-1e3, 1e3)


@settings(max_examples=30)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "name": st.none() | st.integers(0, 9).map("2CXO J{}".format),
                "ra": st.floats(0, 360),
                "dec": st.floats(-90, 90),
                "instrument": st.sampled_from(["ACIS", "HRC"]),
                "powlaw_gamma": optional,
                "powlaw_gamma_hilim": optional,
                "hard_hs": optional,
                "pileup_flag": st.none() | st.booleans(),
                "matched_object": st.none() | st.sampled_from(["M 31", "G21.5-0.9"]),
                "source_class": st.none() | st.sampled_from(["AGN", "Seyfert_1", "CataclyV*"]),
            }
        ),
        min_size=1,
        max_size=5,
    )
)
def test_a_table_reads_the_same_in_every_format(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("formats")
    table = Table({"obsid": np.arange(1, len(rows) + 1)})
    table["obi"], table["region_id"] = 0, 1
    empty = {"pileup_flag": False, "name": "", "matched_object": "", "source_class": ""}
    for name in rows[0]:
        values = [one[name] for one in rows]
        table[name] = MaskedColumn(
            [empty.get(name, 0.0) if value is None else value for value in values],
            mask=[value is None for value in values],
        )
    found = {}
    for suffix, how in FORMATS.items():
        written = table.copy()
        if suffix == "fits":  # has no null for its truth values
            written["pileup_flag"] = written["pileup_flag"].astype(str).filled("")
        path = folder / f"csc21.{suffix}"
        written.write(path, overwrite=True, **how)
        found[suffix] = read(path)
    assert found["csv"] == found["ecsv"] == found["fits"] == found["vot"]
    assert [one.catalogue.get("pileup_flag") for one in found["csv"]] == [
        one["pileup_flag"] for one in rows
    ]


@pytest.mark.parametrize("suffix", ["ecsv", "fits", "vot"])
def test_units_are_honoured(tmp_path, suffix):
    table = Table(
        {
            "obsid": [1],
            "obi": [0],
            "region_id": [1],
            "ra": [math.pi],
            "dec": [-math.pi / 4],
            "powlaw_nh": [2.5e21],
            "powlaw_nh_hilim": [3e21],
            "bb_kt": [500.0],
            "livetime": [2.0],
        },
        units={
            "ra": "rad",
            "dec": "rad",
            "powlaw_nh": "cm-2",
            "powlaw_nh_hilim": "cm-2",
            "bb_kt": "eV",
            "livetime": "h",
        },
    )
    path = tmp_path / f"csc21.{suffix}"
    table.write(path, format=FORMATS[suffix]["format"])
    detection = read(path)[0]
    assert detection.variables == pytest.approx({"powlaw_nh": 25.0, "bb_kt": 0.5})
    assert detection.catalogue == pytest.approx({"powlaw_nh_hilim": 30.0})
    assert (detection.ra_deg, detection.dec_deg) == pytest.approx((180.0, -45.0))
    assert detection.exposure_s == 7200.0


def test_a_unit_that_cannot_be_meant_is_an_error(tmp_path):
    table = Table({"name": ["a"], "powlaw_nh": [3.0]}, units={"powlaw_nh": "keV"})
    table.write(tmp_path / "t.ecsv")
    with pytest.raises(InvalidTableError, match=r"powlaw_nh is in keV, expected 1e20 cm\*\*-2"):
        read(tmp_path / "t.ecsv")


def test_a_unit_nobody_knows_is_taken_as_the_catalogues(tmp_path, caplog):
    table = Table({"name": ["a"], "bb_kt": [3.0]})
    table["bb_kt"].meta["note"] = "free text"
    table.write(tmp_path / "t.fits")
    data = (tmp_path / "t.fits").read_bytes()
    card = b"TTYPE2  = 'bb_kt   '"
    unit = b"TUNIT2  = 'N_HI atoms'".ljust(80)
    at = data.index(card) + 80
    patched = data[:at] + unit + data[at:]
    end = patched.index(b"END ".ljust(80), at)
    block = patched.index(b" " * 80, end)  # one padding card less
    (tmp_path / "t.fits").write_bytes(patched[:block] + patched[block + 80 :])
    assert read(tmp_path / "t.fits")[0].variables == {"bb_kt": 3.0}
    assert "unit N_HI atoms of column bb_kt taken as keV" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"name,ra,dec\n", "holds no rows"),
        (b"name,ra\na,1,2,3\n", "cannot be read as CSV"),
        (b"\x00\x01\x02", "is binary"),
        (b"\xff\xfe\xfd name", "cannot be read as CSV"),
        (b"<?xml version='1.0'?><VOTABLE><RESO", "cannot be read as CSV"),
        (b"SIMPLE  =                    T", "cannot be read as CSV"),
        (gzip.compress(ROW.encode() * 999)[:60], "cannot be read"),
    ],
    ids=["empty", "no-rows", "ragged", "binary", "latin", "votable", "fits", "gzip"],
)
def test_a_damaged_file_is_an_error_with_its_name(tmp_path, content, message):
    path = tmp_path / "damaged.dat"
    path.write_bytes(content)
    with pytest.raises(InvalidTableError, match=rf"damaged\.dat.*{message}"):
        read(path)


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"none\.csv: no such file"):
        read(tmp_path / "none.csv")


@pytest.mark.parametrize("rows", [10, 10**12])
def test_a_fits_table_that_declares_more_than_it_holds_is_an_error(tmp_path, rows):
    Table({"name": ["a" * 20] * 1000}).write(tmp_path / "t.fits")
    data = (tmp_path / "t.fits").read_bytes()
    declared = b"NAXIS2  = %20d" % (rows * 1000)
    damaged = data.replace(b"NAXIS2  = %20d" % 1000, declared)
    (tmp_path / "t.fits").write_bytes(damaged)
    with pytest.raises(InvalidTableError, match=rf"declares {rows * 20_000} bytes.*cut short"):
        read(tmp_path / "t.fits")


@pytest.mark.parametrize("how", ["tabledata", "binary"])
def test_a_votable_that_declares_more_than_it_holds_is_an_error(tmp_path, how):
    path = tmp_path / "t.vot"
    Table({"name": ["a"]}).write(path, format="votable", tabledata_format=how)
    path.write_text(path.read_text().replace("<TABLE>", f'<TABLE nrows="{10**14}">'))
    with pytest.raises(InvalidTableError, match=rf"declares {10**14} rows"):
        read(path)


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(FORMATS)),
    st.integers(0, 10_000),
    st.dictionaries(st.integers(0, 10_000), st.integers(0, 255), max_size=3),
)
def test_damage_never_leads_to_any_other_error(tmp_path_factory, suffix, length, damage):
    path = tmp_path_factory.mktemp("damage") / f"t.{suffix}"
    Table({"name": ["a", "b"], "ra": [1.0, 2.0], "dec": [3.0, 4.0]}).write(path, **FORMATS[suffix])
    data = bytearray(path.read_bytes()[:length])
    for at, byte in damage.items():
        data[at % max(len(data), 1) : at % max(len(data), 1) + 1] = bytes([byte])
    path.write_bytes(data)
    with suppress(InvalidTableError):
        assert read_table(path, UNITS).n_rows > 0


def test_a_fits_table_cut_short_is_an_error(tmp_path):
    Table({"name": ["a" * 20] * 1000, "ra": np.arange(1000.0)}).write(tmp_path / "t.fits")
    whole = (tmp_path / "t.fits").read_bytes()
    (tmp_path / "t.fits").write_bytes(whole[: len(whole) - 5000])
    with pytest.raises(InvalidTableError, match=r"t\.fits: "):
        read(tmp_path / "t.fits")


def test_columns_of_several_values_a_row_are_left_out(tmp_path):
    Table({"name": ["a"], "pair": [[1.0, 2.0]]}).write(tmp_path / "t.fits")
    assert list(read_table(tmp_path / "t.fits", {}).columns) == ["name"]


def test_upper_case_names_and_a_byte_order_mark_do_not_matter(tmp_path):
    (tmp_path / "t.csv").write_text("NAME,RA,DEC\na,1,2\n", encoding="utf-8-sig")
    assert read(tmp_path / "t.csv")[0].ra_deg == 1.0


def test_a_gzip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(bytes(5 * 2**20)))
    monkeypatch.setattr(
        "ingest.catalogue.tables.get_settings", lambda: SimpleNamespace(max_file_mb=1.0)
    )
    with pytest.raises(InvalidTableError, match=r"larger than 1 MiB.*CHANDRA_MAX_FILE_MB"):
        read(path)


def test_an_answer_the_service_cut_short_is_an_error(tmp_path):
    path = tmp_path / "tap.vot"
    Table({"name": ["a"]}).write(path, format="votable")
    overflow = "<INFO name='QUERY_STATUS' value='OVERFLOW'/>\n </RESOURCE>"
    path.write_text(path.read_text().replace("</RESOURCE>", overflow))
    with pytest.raises(InvalidTableError, match=r"OVERFLOW.*ask for fewer rows"):
        read(path)


def test_a_votable_that_refers_to_data_elsewhere_is_an_error(tmp_path):
    path = tmp_path / "remote.vot"
    Table({"name": ["a"]}).write(path, format="votable", tabledata_format="binary")
    path.write_text(path.read_text().replace("<STREAM ", "<STREAM href='file:///etc/passwd' "))
    with pytest.raises(InvalidTableError, match="refers to data elsewhere"):
        read(path)
