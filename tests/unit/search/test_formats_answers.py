import json
from io import BytesIO, StringIO

import astropy.units as u
import pytest
from astropy.io import votable
from astropy.table import QTable, Table
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from vo_answers import CLASSES, DESCRIPTION, EVERY, FACETS, OUTLIERS, POINT, estimate, estimates

from common.variables import BY_NAME, VARIABLES
from search.rendering.formats import (
    render_classification,
    render_description,
    render_estimates,
    render_facets,
    render_outliers,
)
from search.results import Description, Reference, Statement

TABLES = ["csv", "ecsv", "votable"]


def wide():
    return Console(file=StringIO(), width=140)


def read(text, fmt):
    if fmt == "votable":
        document = votable.parse(BytesIO(text.encode()), verify="exception")
        return document.get_first_table().to_table(use_names_over_ids=True)
    return Table.read(text, format=f"ascii.{fmt}")


@pytest.mark.parametrize("what", EVERY)
@pytest.mark.parametrize("fmt", TABLES)
def test_every_answer_is_a_table_that_can_be_read_back(what, fmt):
    give, answer = EVERY[what]

    assert len(read(give(answer, fmt, title="a & b"), fmt)) > 0


@pytest.mark.parametrize("what", EVERY)
def test_every_answer_is_strict_json(what):
    give, answer = EVERY[what]

    json.loads(give(answer, "json"), parse_constant=pytest.fail)


@pytest.mark.parametrize("what", EVERY)
@pytest.mark.parametrize("width", [40, 120])
def test_every_answer_fits_a_terminal(what, width):
    give, answer = EVERY[what]

    text = give(answer, "table", console=Console(file=StringIO(), width=width))

    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("fmt", ["ecsv", "votable"])
def test_estimates_are_one_wide_row_with_units_for_each_spectrum(fmt):
    table = read(render_estimates([estimates("a"), estimates("b")], fmt), fmt)

    assert table["name"].tolist() == ["a", "b"]
    for variable in VARIABLES:
        for suffix in ("", "_lo68", "_hi68", "_lo90", "_hi90", "_stored"):
            unit = table[f"{variable.name}{suffix}"].unit or u.dimensionless_unscaled
            assert unit == u.Unit(variable.unit)
    row = table[0]
    assert [row[f"bb_kt{end}"] for end in ("", "_lo68", "_hi68", "_lo90", "_hi90")] == [
        1.5, 1.25, 1.75, 1.0, 2.0,
    ]  # fmt: skip


def test_ends_of_intervals_have_the_ucd_of_their_variable():
    table = read(render_estimates([estimates()], "votable"), "votable")

    for name, variable in BY_NAME.items():
        assert table[name].meta["ucd"] == variable.ucd
        assert table[f"{name}_lo68"].meta["ucd"] == f"{variable.ucd};stat.min"
        assert table[f"{name}_hi90"].meta["ucd"] == f"{variable.ucd};stat.max"


@pytest.mark.parametrize("fmt", ["ecsv", "votable"])
def test_estimates_without_a_calibration_have_masked_intervals(fmt):
    bare = estimates("a", estimate("bb_kt", width=None), calibrated_on=None)
    table = read(render_estimates([bare], fmt), fmt)

    assert table["bb_kt"][0] == 1.5
    assert table["bb_kt_lo68"].mask.all()
    assert table["bb_kt_stored"].mask.all()


def test_quantities_survive_the_round_trip():
    text = render_estimates([estimates("a", estimate("powlaw_nh", 12.5))], "votable")
    table = QTable.read(BytesIO(text.encode()), format="votable")

    assert table["powlaw_nh"][0] == 12.5e20 * u.cm**-2


def test_estimates_on_a_terminal_have_value_interval_unit_and_catalogue_value():
    chosen = estimates("2CXO J1", estimate("powlaw_nh", 12.51, stored=11.0, width=1.32))
    text = render_estimates([chosen], "table", console=wide())

    line = next(line for line in text.splitlines() if "powlaw_nh" in line)
    assert line.split() == ["powlaw_nh", "12.5", "11.2", "…", "13.8", "1e20", "cm**-2", "11.0"]
    assert "2CXO J1" in text
    assert "intervals: simbench, validation" in text
    assert "outside" not in text


def test_estimates_of_a_strange_spectrum_are_flagged_everywhere():
    strange = [estimates("src", outside=True)]

    assert "outside what the store knows" in render_estimates(strange, "table", console=wide())
    assert json.loads(render_estimates(strange, "json"))[0]["outside"] is True
    assert read(render_estimates(strange, "votable"), "votable")["outside"].tolist() == [True]


def test_estimates_as_json_name_unit_rule_and_neighbours():
    one = json.loads(render_estimates([estimates()], "json"))[0]["estimates"]["powlaw_nh"]

    assert one["unit"] == "1e20 cm**-2"
    assert (one["k"], one["weighting"], one["representations"]) == (3, "mean", ["both"])
    assert one["neighbours"][0] == {
        "id": str(POINT),
        "name": "2CXO J1",
        "distance": 0.125,
        "value": 1.5,
        "source_class": ["Galaxy", "AGN"],
    }


def test_classification_is_one_row_for_each_class():
    table = read(render_classification(CLASSES, "votable"), "votable")

    assert table["class_path"].tolist() == ["Galaxy", "Star", "Star > Y*O", "Galaxy > AGN"]
    assert table["level"].tolist() == [1, 1, 2, 2]
    assert table["probability"].tolist() == [0.7, 0.3, 0.2, 0.6]


def test_classification_on_a_terminal_is_a_tree():
    text = render_classification(CLASSES, "table", console=wide())

    lines = (line.split() for line in text.splitlines())
    assert [line for line in lines if line and line[-1].endswith("%")] == [
        ["Galaxy", "70%", "60%"],
        ["·", "AGN", "60%", "50%"],
        ["Star", "30%", "40%"],
        ["·", "Y*O", "20%", "30%"],
    ]
    assert "in the catalogue: Galaxy > AGN" in text


def test_outliers_say_why_and_whether_they_are_likely_real():
    row = read(render_outliers(OUTLIERS, "ecsv"), "ecsv")[0]

    assert (row["rank"], row["score"], row["verdict"]) == (1, 0.93, "likely artefact")
    assert row["reasons"].startswith("powlaw_nh 950 1e20 cm**-2, neighbours 12 (+8.2 sigma); ")
    assert row["checks"] == "pile-up failed: 0.4 counts a frame; off-axis not known: no theta"


def test_outliers_on_a_terminal_say_why_and_what_is_simulated():
    text = render_outliers(OUTLIERS, "table", console=Console(file=StringIO(), width=200))

    for said in ("likely artefact — pile-up: 0.4 counts a frame", "powlaw_nh 950", "one note"):
        assert said in text
    assert "1 of 1 rows: simulated, not observed" in text


def test_description_keeps_the_references_of_each_statement():
    table = read(render_description(DESCRIPTION, "ecsv"), "ecsv")
    text = render_description(DESCRIPTION, "table", console=wide())

    assert table["references"].tolist() == ["[1]", "[1] [2]"]
    assert table["evidence"][1] == "[1] hard_hs 0.8; [2] A survey"
    assert table["identifiers"][1] == "2004A&A...426...11P"
    assert "It is hard. [1] An AGN fits. [1] [2]" in text
    assert "[2] A survey (2004A&A...426...11P)" in text
    assert "written by template" in text


def test_facets_are_counts_by_field_and_value():
    table = read(render_facets(FACETS, "csv"), "csv")

    assert json.loads(render_facets(FACETS, "json")) == FACETS
    assert table["value"].tolist() == ["AGN", "Star", "2004"]
    assert table["count"].tolist() == [1200, 3, 5]
    assert "1,200" in render_facets(FACETS, "table", console=wide())


values = st.floats(-1e6, 1e6)


@settings(max_examples=50)
@given(value=values, width=st.none() | st.floats(0, 1e6), stored=st.none() | values)
def test_any_estimate_can_be_shown_and_read_back(value, width, stored):
    one = estimates("a", estimate("bb_kt", value, stored, width))

    row = read(render_estimates([one], "votable"), "votable")[0]

    assert row["bb_kt"] == value
    assert "bb_kt" in render_estimates([one], "table", console=wide())


@settings(max_examples=50)
@given(text=st.text())
def test_any_text_can_be_described(text):
    said = Description(text, [Statement(text, (text,))], [Reference("paper", text, text)], text)

    for fmt in ("json", "table", *TABLES):
        assert "\x1b" not in render_description(said, fmt, title=text)
    read(render_description(said, "votable", title=text), "votable")


def test_title_of_estimates_stands_above_their_tables():
    text = render_estimates([estimates("a"), estimates("b")], "table", title="two spectra")
    assert text.startswith("two spectra\n")
