import pytest

from common.errors import InvalidTableError
from ingest.catalogue.rows import UNITS, rows_of
from ingest.catalogue.tables import read_table

HEADER = "name,ra,dec,obsid,obi,region_id\n"
ROW = "2CXO J000000.0+000000,0.0,0.0,1,0,1\n"


@pytest.fixture
def read(tmp_path):
    def read(text, name="csc20.csv", release=None):
        path = tmp_path / name
        path.write_text(text)
        return rows_of(read_table(path, UNITS), release)

    return read


def test_rows_that_cannot_be_used_are_refused_with_the_reason(read):
    rows, refused = read(
        HEADER
        + "a,10.0,20.0,1,0,1\n"
        + "b,400.0,20.0,2,0,1\n"
        + "c,10.0,-95.0,3,0,1\n"
        + "d,10.0,,4,0,1\n"
        + "e,10.0,20.0,-5,0,1\n"
        + "f,10.0,20.0,6.5,0,1\n"
        + "g,10.0,20.0,7,,1\n"
        + "h,,,8,0,1\n"
    )
    assert [row.source_name for row in rows] == ["a", "h"]
    reasons = {refusal.input: refusal.reason for refusal in refused}
    assert list(reasons) == [f"csc20.csv row {n}" for n in range(2, 8)]
    assert reasons["csc20.csv row 2"].startswith("ra 400.0, dec 20.0 is no position: give")
    assert "dec -95.0" in reasons["csc20.csv row 3"]
    assert "dec nothing" in reasons["csc20.csv row 4"]
    assert reasons["csc20.csv row 5"].startswith("obsid is -5.0: give a whole number")
    assert reasons["csc20.csv row 6"].startswith("obsid is 6.5")
    assert reasons["csc20.csv row 7"].startswith("obi is nothing")


def test_a_cell_that_is_no_number_spoils_its_row_alone(read):
    rows, refused = read(HEADER + ROW + "b,18:33:33,20.0,2,0,1\n")
    assert len(rows) == 1
    assert "ra '18:33:33', dec 20.0 is no position" in refused[0].reason


def test_a_source_needs_a_name_or_a_position(read):
    rows, refused = read("name,ra,dec\na,,\n,1,2\n,,\n")
    assert [(row.source_name, row.ra_deg) for row in rows] == [("a", None), (None, 1.0)]
    assert refused[0].input == "csc20.csv row 3"
    assert refused[0].reason == "neither name nor position: fill one in"


def test_equal_rows_are_taken_once(read):
    rows, refused = read(HEADER + ROW * 3)
    assert (len(rows), refused) == (1, [])


def test_rows_that_differ_in_a_value_are_refused_by_its_name(read):
    header, one = HEADER.replace("\n", ",theta\n"), ROW.replace("\n", ",1.0\n")
    rows, refused = read(header + one + one.replace(",1.0\n", ",2.0\n"))
    assert rows == []
    assert [refusal.input for refusal in refused] == [
        "csc20.csv row 1 (csc2.0/1/0/1)",
        "csc20.csv row 2 (csc2.0/1/0/1)",
    ]
    assert "2 rows (1, 2) differ in theta" in refused[0].reason


def test_values_outside_their_range_and_sentinels_are_left_out(read, caplog):
    rows, _ = read("name,hard_hs,powlaw_nh,theta,bb_kt\na,-1.5,-9999,-999,inf\nb,0.5,3,2,NULL\n")
    assert (rows[0].variables, rows[0].catalogue) == ({}, {})
    assert rows[1].variables == {"hard_hs": 0.5, "powlaw_nh": 3.0}
    assert rows[1].catalogue == {"theta": 2.0}
    assert "outside the valid range left out: hard_hs 1, powlaw_nh 1" in caplog.text


def test_an_unknown_class_keeps_the_row(read, caplog):
    rows, _ = read("name,main_type\na,Seyfert_1\nb,Blorb\nc,Blorb\nd,\n")
    assert [row.source_class[-1:] for row in rows] == [("Sy1",), (), (), ()]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no such source class, left empty: Blorb;" in caplog.text


def test_the_source_class_comes_before_simbads_main_type(read):
    rows, _ = read("name,main_type,source_class\na,X,AGN\n")
    assert rows[0].source_class == ("Galaxy", "AGN")
    assert rows[0].catalogue == {"main_type": "X"}


def test_bibcodes_are_kept(read):
    rows, _ = read("name,bibcodes\na,2010A&A...518A..10V|2003A&A...404..301R\nb,none\n")
    assert rows[0].bibcodes == ("2010A&A...518A..10V", "2003A&A...404..301R")
    assert rows[1].bibcodes == ()


@pytest.mark.parametrize(
    ("columns", "values", "instrument"),
    [("instrument", "ACIS", "ACIS"), ("detector", "HRC-I", "HRC"), ("theta", "1", "unknown")],
)
def test_the_instrument_is_that_of_the_row(read, columns, values, instrument):
    rows, _ = read(f"name,{columns}\na,{values}\n")
    assert rows[0].instrument == instrument


@pytest.mark.parametrize(
    ("name", "given", "release"),
    [
        ("csc20.csv", None, "2.0"),
        ("my_CSC2.1_sources.csv", None, "2.1"),
        ("csc20.csv", "2.1", "2.1"),
        ("t.csv", "csc2.0", "2.0"),
    ],
)
def test_the_release_is_given_or_in_the_file_name(read, name, given, release, caplog):
    rows, _ = read(HEADER + ROW, name, given)
    assert rows[0].release == release
    assert caplog.records == []


def test_a_release_that_nothing_tells_is_assumed_with_a_warning(read, caplog):
    rows, _ = read(HEADER + ROW, "t.csv")
    assert rows[0].key == "csc2.1/1/0/1"
    assert "taken as 2.1" in caplog.text


def test_the_release_of_a_row_comes_first(read):
    text = "name,obsid,obi,region_id,release\na,1,0,1,2.0\nb,1,0,1,csc21\nc,1,0,1,XMM\nd,1,0,2,\n"
    rows, refused = read(text, release="2.1")
    assert [row.key for row in rows] == ["csc2.0/1/0/1", "csc2.1/1/0/1", "csc2.1/1/0/2"]
    assert refused[0].reason == "its release is not known: give 2.0 or 2.1"


def test_an_unknown_release_is_an_error(read):
    with pytest.raises(InvalidTableError, match=r"'DR3' is not known: give 2\.0 or 2\.1"):
        read(HEADER + ROW, release="DR3")


def test_missing_columns_are_named_with_those_found_and_the_nearest(read):
    with pytest.raises(InvalidTableError) as caught:
        read("name,obsid,obi,regionid\na,1,0,1\n")
    assert str(caught.value) == (
        "csc20.csv: no column region_id (found: name, obsid, obi, regionid; "
        "nearest: regionid for region_id): add or rename columns, "
        "or drop the other ids to join by name or position"
    )


def test_a_table_without_name_and_position_is_an_error(read):
    with pytest.raises(InvalidTableError, match=r"no column name, ra, dec.*found: flux, ra_"):
        read("flux,ra_deg\n1,2\n")
