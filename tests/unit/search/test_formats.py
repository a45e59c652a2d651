import csv
import json
import re
from dataclasses import replace
from io import BytesIO, StringIO
from uuid import UUID, uuid5

import astropy.units as u
import numpy as np
import pytest
from astropy.io import votable
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from common.variables import VARIABLES
from search.rendering.formats import render
from search.results import Hit

POINT = UUID("6f1f5a2e-6a0b-5c58-9a3e-0b1d6d1f4c11")


def hit(number=0, score=0.5, **payload):
    return Hit(uuid5(POINT, str(number)), score, {"simulated": False, **payload})


DETECTION = hit(
    1,
    0.87,
    key="csc2.0/1575/1/475",
    source_name="2CXO J004242.9+411543",
    release="2.0",
    telescope="CHANDRA",
    instrument="ACIS",
    obsid=1575,
    obi=1,
    region_id=475,
    ra_deg=10.679,
    dec_deg=41.262,
    observed_at="2001-10-05T00:00:00+00:00",
    exposure_s=38151.5,
    counts=412.0,
    class_path=["Galaxy", "AGN", "Sy1"],
    bibcodes=["2004A&A...426...11P", "2007A&A...468...49V"],
    hard_hs=0.25,
    powlaw_nh=12.5,
    catalogue={"hard_hs_lolim": 0.2, "hard_hs_hilim": 0.3, "theta": 1.5, "piled_up": True},
)
PAPER = hit(
    2,
    0.61,
    bibcode="2004A&A...426...11P",
    title="Deep <Chandra> & XMM survey of M\u202031",
    year=2004,
    authors=["Pietsch, W.", "Freyberg, M."],
    abstract="One line\nand another\x1b[31m",
    summary={"nature": "A galaxy.", "xray": "Soft.", "interpretation": "Nearby."},
)
SIMULATED = hit(3, 0.4, key="csc2.0/1/1/1", simulated=True)


def read_votable(text):
    document = votable.parse(BytesIO(text.encode()), verify="exception")
    return document, document.get_first_table().to_table(use_names_over_ids=True)


def read_back(text, fmt):
    if fmt == "votable":
        return read_votable(text)[1]
    if fmt == "ecsv":
        return Table.read(text, format="ascii.ecsv")
    text_columns = {"id": str, "key": str, "source_name": str, "title": str, "bibcode": str}
    return Table.read(text, format="ascii.csv", converters=text_columns)


def infos(text):
    return {info.name: info.value for info in read_votable(text)[0].resources[0].infos}


def value(cell):
    return None if cell is np.ma.masked or cell == "" else cell


@pytest.mark.parametrize("fmt", ["csv", "ecsv", "votable"])
def test_table_keeps_the_values_of_a_detection(fmt):
    row = read_back(render([DETECTION], fmt), fmt)[0]

    assert row["id"] == str(DETECTION.id)
    assert row["score"] == 0.87
    assert row["obsid"] == 1575
    assert row["ra_deg"] == 10.679
    assert row["observed_at"] == "2001-10-05T00:00:00Z"
    assert row["class"] == "Sy1"
    assert row["class_path"] == "Galaxy > AGN > Sy1"
    assert row["bibcodes"] == "2004A&A...426...11P; 2007A&A...468...49V"
    assert row["hard_hs"] == 0.25
    assert str(row["simulated"]) == "False"


@pytest.mark.parametrize("fmt", ["csv", "ecsv", "votable"])
def test_table_keeps_the_values_of_a_paper(fmt):
    row = read_back(render([PAPER], fmt), fmt)[0]

    assert row["bibcode"] == "2004A&A...426...11P"
    assert row["title"] == "Deep <Chandra> & XMM survey of M\u202031"
    assert row["year"] == 2004
    assert row["authors"] == "Pietsch, W.; Freyberg, M."
    assert row["abstract"] == "One line and another [31m"
    assert row["nature"] == "A galaxy."


@pytest.mark.parametrize("fmt", ["ecsv", "votable"])
def test_table_has_the_units_of_the_variables(fmt):
    table = read_back(render([DETECTION], fmt), fmt)

    for variable in VARIABLES:
        assert (table[variable.name].unit or u.dimensionless_unscaled) == u.Unit(variable.unit)
    assert table["ra_deg"].unit == u.deg
    assert table["exposure_s"].unit == u.s
    assert table["counts"].unit == u.ct


def test_votable_has_the_ucds_and_descriptions_of_the_variables():
    fields = {
        f.name: f for f in read_votable(render([DETECTION], "votable"))[0].iter_fields_and_params()
    }

    for variable in VARIABLES:
        assert fields[variable.name].ucd == variable.ucd
        assert fields[variable.name].description.split() == variable.description.split()
    assert fields["id"].ucd == "meta.id;meta.main"
    assert fields["ra_deg"].ucd == "pos.eq.ra;meta.main"
    assert fields["dec_deg"].ucd == "pos.eq.dec;meta.main"
    assert fields["observed_at"].xtype == "timestamp"


@pytest.mark.parametrize("fmt", ["ecsv", "votable"])
def test_table_masks_what_is_missing(fmt):
    table = read_back(render([DETECTION, SIMULATED], fmt), fmt)

    for name in ("obsid", "ra_deg", "hard_hs", "powlaw_nh", "theta", "piled_up"):
        assert table[name].mask.tolist() == [False, True]
    assert np.all(table["bb_kt"].mask)


@pytest.mark.parametrize("fmt", ["csv", "ecsv", "votable"])
def test_table_never_shows_nan(fmt):
    text = render([hit(hard_hs=float("nan"), powlaw_nh=float("inf"))], fmt)

    assert not re.search(r"\b(nan|inf|-999)\b", text, flags=re.IGNORECASE)


@pytest.mark.parametrize("fmt", ["ecsv", "votable"])
def test_table_gives_68_percent_limits_unit_and_meaning(fmt):
    bounds = {"powlaw_nh_lolim": 10.0, "powlaw_nh_hilim": 14.0}
    table = read_back(render([hit(powlaw_nh=12.5, catalogue=bounds)], fmt), fmt)

    assert table["powlaw_nh_lolim"].unit == u.Unit("1e20 cm**-2")
    assert table["powlaw_nh_lolim"].description == "lower 68% limit of powlaw_nh"
    assert table["powlaw_nh_hilim"].meta["ucd"] == "phys.columnDensity;stat.max"


def test_table_does_not_mix_a_catalogue_column_with_its_own_of_that_name():
    row = read_back(render([hit(catalogue={"counts": 7.0})], "ecsv"), "ecsv")[0]

    assert row["catalogue_counts"] == 7.0
    assert row["counts"] is np.ma.masked


@pytest.mark.parametrize("to", ["detections", "papers"])
@pytest.mark.parametrize("fmt", ["csv", "ecsv", "votable"])
def test_empty_answer_has_the_columns_and_units_of_a_full_one(fmt, to):
    plain = {"detections": hit(key="k"), "papers": PAPER}[to]

    empty = read_back(render([], fmt, to=to), fmt)
    full = read_back(render([plain], fmt, to=to), fmt)

    assert len(empty) == 0
    assert empty.colnames == full.colnames
    assert [empty[c].unit for c in empty.colnames] == [full[c].unit for c in full.colnames]


def test_votable_says_what_was_asked_and_what_is_simulated():
    text = render([DETECTION, SIMULATED], "votable", title="hard & obscured")

    assert infos(text) == {
        "QUERY_STATUS": "OK",
        "title": "hard & obscured",
        "simulated": "1 of 2 rows: simulated, not observed",
    }


def test_votable_says_overflow():
    found = infos(render([DETECTION], "votable", truncated=True))

    assert found["QUERY_STATUS"] == "OVERFLOW"
    assert found["overflow"] == "cut off at 1 rows, more may match"


def test_ecsv_says_what_was_asked_overflow_and_what_is_simulated():
    meta = Table.read(
        render([SIMULATED], "ecsv", title="iron line", truncated=True), format="ascii.ecsv"
    ).meta

    assert meta["title"] == "iron line"
    assert meta["simulated"] == "1 of 1 rows: simulated, not observed"
    assert meta["overflow"] == "cut off at 1 rows, more may match"


@pytest.mark.parametrize("fmt", ["table", "csv", "ecsv", "votable", "json"])
def test_observed_answer_is_not_called_simulated(fmt):
    assert "simulated, not observed:" not in render([DETECTION], fmt)
    assert "rows: simulated" not in render([DETECTION], fmt)


def test_json_has_the_answers_and_the_cursor():
    document = json.loads(render([DETECTION, PAPER], "json", cursor="next"))

    assert document["cursor"] == "next"
    assert document["answers"][0] == {
        "id": str(DETECTION.id),
        "score": 0.87,
        "compared": None,
        "cosine": None,
        "keyword_score": None,
        "highlights": [],
        "separation_arcsec": None,
        "n_detections": None,
        "payload": dict(DETECTION.payload),
    }
    assert [answer["id"] for answer in document["answers"]] == [str(DETECTION.id), str(PAPER.id)]
    assert json.loads(render([], "json")) == {"answers": [], "cursor": None, "off_topic": 0}


@pytest.mark.parametrize("fmt", ["ecsv", "votable"])
def test_table_tells_how_an_answer_was_found_where_that_is_known(fmt):
    found = replace(
        PAPER,
        compared="text+bm25",
        cosine=0.71,
        keyword_score=8.25,
        highlights=("First sentence.", "Second."),
    )
    table = read_back(render([found, PAPER], fmt), fmt)

    assert table["compared"][0] == "text+bm25"
    assert table["cosine"][0] == 0.71
    assert table["keyword_score"].mask.tolist() == [False, True]
    assert table["highlights"][0] == "First sentence.; Second."
    assert "separation_arcsec" not in table.colnames
    assert "n_detections" not in table.colnames


@pytest.mark.parametrize("fmt", ["ecsv", "votable"])
def test_table_of_a_cone_has_separations_in_arcsec(fmt):
    near = replace(DETECTION, score=None, separation_arcsec=0.25, n_detections=3)
    table = read_back(render([near], fmt), fmt)

    assert table["separation_arcsec"].unit == u.arcsec
    assert table["separation_arcsec"][0] == 0.25
    assert table["n_detections"][0] == 3


def test_answers_that_need_no_score_are_not_called_unranked():
    near = replace(DETECTION, score=None, separation_arcsec=0.25)

    assert "not ranked" not in render([near], "table", console=wide())
    assert "not ranked" in render([hit(1, None, key="k", has_spectrum=False)], "table")


def test_a_cursor_means_that_the_answer_is_cut_off():
    assert infos(render([DETECTION], "votable", cursor="next"))["QUERY_STATUS"] == "OVERFLOW"


def wide(**options):
    return Console(file=StringIO(), width=140, **options)


def test_terminal_table_shows_a_detection():
    text = render([DETECTION], "table", title="hard sources", console=wide())

    for shown in ("hard sources", "0.870", "2CXO J004242.9+411543", "Sy1", "1575", "412", "+0.25"):
        assert shown in text


def test_terminal_table_names_an_unnamed_detection_by_its_key():
    assert "csc2.0/1/1/1" in render([SIMULATED], "table", console=wide())


def test_terminal_table_shows_a_paper():
    text = render([PAPER], "table", console=wide())

    for shown in ("0.610", "2004A&A...426...11P", "2004", "Deep <Chandra> & XMM survey"):
        assert shown in text


def test_terminal_table_shows_separation_and_best_sentence_where_there_are_any():
    near = replace(DETECTION, score=None, separation_arcsec=0.25, n_detections=3)
    told = replace(PAPER, highlights=("The best sentence.", "Another."), keyword_score=8.25)

    assert "0.25" in render([near], "table", console=wide())
    assert "score" not in render([near], "table", console=wide())
    assert "“The best sentence.”" in render([told], "table", console=wide())
    assert "8.2" in render([told], "table", console=wide())


def test_terminal_table_says_simulated_and_cut_off():
    text = render([DETECTION, SIMULATED], "table", truncated=True, console=wide())

    assert "1 of 2 rows: simulated, not observed" in text
    assert "cut off at 2 rows, more may match" in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_terminal_table_fits_its_width_and_loses_no_letter(width):
    console = Console(file=StringIO(), width=width)
    title = "A very long title " * 10

    text = render([hit(bibcode="2004A&A...426...11P", title=title)], "table", console=console)

    assert max(map(len, text.splitlines())) <= width
    assert text.count("title") >= 10


def test_terminal_table_has_colours_only_on_a_terminal():
    assert "\x1b" not in render([DETECTION, SIMULATED], "table", console=wide())
    assert "\x1b" in render(
        [DETECTION], "table", console=wide(force_terminal=True, color_system="standard")
    )


def test_terminal_table_obeys_neither_markup_nor_escapes_of_a_payload():
    evil = hit(bibcode="b", title="[red]x[/red] \x1b[31mred \x9b31m")

    text = render([evil], "table", console=wide())

    assert "[red]x[/red]" in text
    assert "\x1b" not in text
    assert "\x9b" not in text


texts = st.text(max_size=30)
numbers = st.floats(allow_nan=False, allow_infinity=False)
detections = st.builds(
    hit,
    number=st.integers(),
    score=st.floats(-1, 1),
    source_name=texts,
    ra_deg=st.none() | numbers,
    obsid=st.none() | st.integers(0, 2**53),
    hard_hs=st.none() | numbers,
    powlaw_nh=st.none() | numbers,
    simulated=st.booleans(),
    catalogue=st.fixed_dictionaries({}, optional={"theta": numbers, "flag": st.booleans()}),
)


@pytest.mark.parametrize("fmt", ["csv", "ecsv", "votable"])
@settings(max_examples=30)
@given(hits=st.lists(detections, max_size=4))
def test_table_read_back_gives_the_same_values(fmt, hits):
    table = read_back(render(hits, fmt), fmt)

    assert len(table) == len(hits)
    for row, one in zip(table, hits, strict=True):
        assert row["id"] == str(one.id)
        assert row["score"] == one.score
        assert str(row["simulated"]) == str(one.payload["simulated"])
        for name in ("ra_deg", "obsid", "hard_hs", "powlaw_nh"):
            assert value(row[name]) == one.payload[name]


@settings(max_examples=60)
@given(title=st.text(), name=st.text())
def test_votable_of_any_text_is_legal(title, name):
    document, table = read_votable(render([hit(bibcode=name, title=title)], "votable", title=title))

    kept = [character for character in title if character.isprintable() and ord(character) < 0xD800]
    assert not set(kept) - set(table["title"][0]) - {" "}
    assert document.resources[0].type == "results"


@settings(max_examples=30)
@given(names=st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4, unique=True))
def test_csv_has_one_field_for_each_column(names):
    rows = list(csv.reader(StringIO(render([hit(source_name=n) for n in names], "csv"))))

    assert {len(row) for row in rows} == {len(rows[0])}
    assert len(rows) == len(names) + 1
