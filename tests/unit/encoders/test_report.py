import base64
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from small_evaluation import N, small_evaluation, small_representations, variable

from common.errors import InputError, UnavailableError
from encoders.evaluation.figures import draw, label_of
from encoders.evaluation.reconstructions import Reconstructions
from encoders.evaluation.report import (
    check_report_folder,
    render,
    write_report,
)
from encoders.evaluation.result import DimensionCorrelations

MADE = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def representations():
    return small_representations()


@pytest.fixture(scope="module")
def evaluation():
    return small_evaluation()


@pytest.fixture(scope="module")
def reconstructions():
    rng = np.random.default_rng(2)
    counts = rng.poisson(np.linspace(5, 0.2, 400), (3, 400)).astype(float)
    return Reconstructions(["faint", "middling", "bright"], counts, rng.uniform(0, 1, (3, 400)))


@pytest.fixture(scope="module")
def figures(evaluation, representations, reconstructions):
    return draw(evaluation, representations, reconstructions)


@pytest.fixture(scope="module")
def page(evaluation, figures):
    return render(evaluation, figures, MADE)


class Reader(HTMLParser):
    """What a browser would fetch, and the text that it would show."""

    def __init__(self):
        super().__init__()
        self.fetched = []
        self.text = ""

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.fetched += [given[x] for x in ("src", "xlink:href") if x in given]
        if tag in ("link", "script"):
            self.fetched.append(tag)

    def handle_data(self, data):
        self.text += f" {data}"


def read(page):
    reader = Reader()
    reader.feed(page)
    return reader


def empty(evaluation):
    return replace(
        evaluation, spectrum_to_text=None, text_to_spectrum=None, regression={}, dimensions=[],
        outliers=None, classification=[], maps=[], notes=["there are no summaries"],
        mean_ratio={}, mean_gain={},
    )  # fmt: skip


def test_figures_cover_every_part_of_the_evaluation(figures):
    assert set(figures) == {
        "retrieval", "estimation", "dimensions_spectrum", "dimensions_shared_spectrum", "map_both",
        "outliers", "confusion_spectrum", "confusion_both", "reconstructions",
    }  # fmt: skip
    for svg in figures.values():
        assert ET.fromstring(svg).tag.endswith("svg")


def test_figures_are_the_same_each_time(figures, evaluation, representations, reconstructions):
    assert draw(evaluation, representations, reconstructions) == figures


def test_points_of_a_map_are_pixels_and_its_labels_text(figures):
    assert figures["map_both"].count("<image") >= 1
    assert "powlaw_nh [10²⁰ cm⁻²]" in figures["map_both"]
    assert len(figures["map_both"]) < 2_000_000


def test_a_map_leaves_out_a_variable_without_values(evaluation, representations):
    only = replace(representations, variables={"bb_kt": np.full(N, np.nan)})
    assert "bb_kt" not in draw(evaluation, only)["map_both"]


def test_a_map_of_a_constant_variable_is_drawn(evaluation, representations):
    constant = replace(representations, variables={"hard_hs": np.zeros(N)})
    assert "hard_hs" in draw(evaluation, constant)["map_both"]


def test_a_map_without_classes_says_so(evaluation, representations):
    nameless = replace(representations, source_class=[()] * N, variables={})
    assert "no source class is known" in draw(evaluation, nameless)["map_both"]


def test_very_wide_vectors_show_the_telling_dimensions(evaluation, representations):
    table = np.random.default_rng(0).uniform(-0.1, 0.1, (500, 1))
    table[432, 0] = 0.9
    wide = [DimensionCorrelations("text", ("hard_hs",), table)]
    one = replace(empty(evaluation), dimensions=wide)
    svg = draw(one, representations)["dimensions_text"]
    assert "128 of 500" in svg
    text = read(render(one, {"dimensions_text": svg}, MADE)).text
    assert "dim 432" in text
    assert "+0.90" in text


@pytest.mark.parametrize(
    ("name", "label"),
    [("bb_kt", "bb_kt [keV]"), ("apec_nh", "apec_nh [10²⁰ cm⁻²]"), ("hard_hs", "hard_hs")],
)
def test_a_variable_is_labelled_with_its_unit(name, label):
    assert label_of(name) == label


def test_page_needs_nothing_from_elsewhere(page):
    assert all(address.startswith(("data:", "#")) for address in read(page).fetched)
    assert not re.search(r"url\((?!['\"]?#)|@import", page)


def test_page_says_what_it_was_made_from(page):
    text = read(page).text
    for fact in ("pairs <A&B>", "0123456789abcdef", "all-MiniLM-L6-v2", "fixed split",
                 "train 400", "2026-03-04 12:30 UTC", "bb_kt has no values"):  # fmt: skip
        assert fact in text


def test_page_escapes_names(page):
    assert "<A&B>" not in page
    assert "pairs &lt;A&amp;B&gt;" in page


def test_page_calls_simulated_what_is_simulated(evaluation, figures, page):
    title = re.search(r"<title>(.*?)</title>", page)[1]
    assert "simulated spectra" in title
    captions = re.findall(r"<caption>(.*?)</caption>|<figcaption>(.*?)</figcaption>", page)
    about_data = [c for pair in captions for c in pair if c]
    assert len(about_data) >= 15
    assert all("imulated spectra" in caption for caption in about_data)
    observed = render(replace(evaluation, simulated=False), figures, MADE)
    assert "imulated spectra" not in observed
    assert "observed spectra" in observed


def test_page_shows_errors_beside_the_mean_baseline_and_lists_what_is_worse(page):
    text = " ".join(read(page).text.split())
    assert "apec_z worse 120 4 2 3 1.8 2.9 1.5 1 0.01 2.6 0.026" in text
    assert "more than the interval: apec_z." in text


def test_page_shows_mean_ratios_and_gains_as_they_come(page):
    text = " ".join(read(page).text.split())
    assert "always the mean 1 0.500 0.750 0.450 0.725 0.375 0.250 0.0025 0.224 0.0022" in text
    assert "both aligned +25.0% ± 0.2% , mixture of experts +50.0% ± 0.5%" in text


def test_page_without_results_still_says_why(evaluation, representations):
    nothing = empty(evaluation)
    text = read(render(nothing, draw(nothing, representations), MADE)).text
    assert "there are no summaries" in text
    assert "Retrieval" not in text


def test_spectra_alone_are_reported_without_texts(evaluation, representations):
    row = variable()
    own = {name: row.by_representation[name] for name in ("spectrum", "shared_spectrum")}
    alone = replace(
        empty(evaluation),
        regression={"hard_hs": replace(row, by_representation=own)},
        mean_ratio={name: row.moe for name in (*own, "moe", "refined")},
    )
    page = render(alone, draw(alone, representations), MADE)
    assert page.count('<th scope="col">spectrum</th>') == 2
    assert '<th scope="col">text</th>' not in page
    assert '<th scope="col">both</th>' not in page
    assert "Mean gain" not in page


def test_report_is_one_page_its_figures_and_the_document(evaluation, representations, tmp_path):
    folder = tmp_path / "a" / "report"
    page = write_report(evaluation, representations, folder, made=MADE)
    assert page == folder / "report.html"
    assert json.loads((folder / "evaluation.json").read_text())["model_id"] == "0123456789abcdef"
    files = {path.stem for path in (folder / "figures").iterdir()}
    assert files == set(draw(evaluation, representations))
    images = re.findall(r'xlink:href="data:image/png;base64,([^"]+)"', page.read_text())
    assert all(base64.b64decode(one).startswith(b"\x89PNG") for one in images)
    assert images


def test_report_replaces_an_earlier_one(evaluation, representations, tmp_path):
    write_report(evaluation, representations, tmp_path)
    write_report(empty(evaluation), representations, tmp_path)
    assert list((tmp_path / "figures").iterdir()) == []
    assert "there are no summaries" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("name", ["notes.txt", "figures/photo.png"])
def test_a_folder_with_other_files_is_refused(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name}, which is no part of a report: give a new"):
        check_report_folder(tmp_path)


def test_a_file_is_no_report_folder(tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(InputError, match="is a file: give another folder"):
        check_report_folder(tmp_path / "x")


def test_a_report_that_cannot_be_written_says_so(evaluation, representations, tmp_path):
    (tmp_path / "x").write_text("in the way")
    with pytest.raises(UnavailableError, match=r"cannot be written.*make room"):
        write_report(evaluation, representations, tmp_path / "x" / "report")


def test_page_of_a_cross_validation_does_not_speak_of_a_test_split(evaluation):
    scheme = "cross-validated by source"
    text = read(render(replace(evaluation, scheme=scheme), {}, MADE)).text
    assert "Mean absolute error on all detections, cross-validated by source" in text
    assert "the test split" not in text
