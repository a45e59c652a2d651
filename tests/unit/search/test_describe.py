import re
from uuid import UUID

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import UnavailableError
from common.ports import MIN_TOPIC
from common.variables import VARIABLE_NAMES
from search.collections.schema import SHARED_SPECTRUM
from search.describing.claims import objection, unfounded
from search.describing.describe import Describer
from search.filters.filters import PaperFilter
from search.results import (
    Classification,
    ClassProbability,
    Estimate,
    Estimates,
    Hit,
    Neighbour,
    Page,
    Reference,
    Statement,
    Subject,
)

NEIGHBOUR = UUID(int=7)
PAPER = {
    "bibcode": "2004A&A...426...11P",
    "title": "An obscured nucleus at 6.4 keV http://evil.example",
    "year": 2004,
    "class_path": ["Galaxy", "AGN"],
    "topic_probability": 0.97,
    "summary": {"nature": "A Seyfert 2.", "xray": "N_H = 2.3e23 cm^-2.", "interpretation": ""},
}


class FakeSearch:
    class encoder:  # noqa: N801
        model_id = "fake0"

    def __init__(self, simulated=False, papers=(PAPER,), n_stored=1200):
        self.simulated = simulated
        self.papers = papers
        self.n_stored = n_stored
        self.asked = []
        self.store = self

    def count(self, _collection):
        return self.n_stored

    def by_vector(self, vector, model_id, to, query_filter=None, arrange=None):
        self.asked.append((model_id, to))
        self.filter = query_filter
        return Page([Hit(UUID(int=1), 0.8, paper, cosine=0.8) for paper in self.papers])

    def detection(self, identifier):
        return Hit(UUID(identifier), None, {"key": "csc2.0/1/0/1", "simulated": self.simulated})


class Fixed:
    """An estimator or classifier that always says the same."""

    def __init__(self, answer):
        self.answer = answer

    def estimate(self, _subject):
        return self.answer

    def classify(self, _subject):
        return self.answer


class Scripted:
    name = "openai:scripted"

    def __init__(self, written):
        self.written = written

    def write(self, _subject, _topics, evidence):
        self.evidence = evidence
        if isinstance(self.written, Exception):
            raise self.written
        return self.written


def estimate(variable, value, low=None, high=None, stored=None):
    return Estimate(variable, value, low, high, low, high, ("spectrum",), 3, "mean", (), stored)


def estimates(outside=False, calibrated_on="1,700 simulated spectra", **known):
    values = {name: known.get(name, estimate(name, None)) for name in VARIABLE_NAMES}
    return Estimates("it", values, outside, 0.4, calibrated_on)


HARD = {
    "hard_hs": estimate("hard_hs", 0.62, 0.41, 0.8),
    "powlaw_gamma": estimate("powlaw_gamma", 1.847, 1.52, 2.13),
    "powlaw_nh": estimate("powlaw_nh", 412.0, 215.0, 820.0),
    "var_index_b": estimate("var_index_b", 1.0, stored=7.0),
}

CLASSES = Classification(
    "it",
    [
        [ClassProbability(("Galaxy",), 0.92, 0.9)],
        [ClassProbability(("Galaxy", "AGN"), 0.71, 0.7)],
        [ClassProbability(("Galaxy", "AGN", "Sy2"), 0.3, 0.2)],
    ],
    (Neighbour(NEIGHBOUR, "2CXO J004242.9+411543", 0.1234, None, ("Galaxy", "AGN")),),
    calibrated_on="1,700 simulated spectra",
)

SUBJECT = Subject(
    "it",
    {SHARED_SPECTRUM: np.ones(6, dtype=np.float32)},
    {"counts": 1234.0, "exposure_s": 35_000.0, "key": "csc2.0/9/0/1"},
)


def describe(values=None, writer=None, classes=CLASSES, subject=SUBJECT, search=None):
    values = estimates(**HARD) if values is None else values
    search = search or FakeSearch()
    return Describer(search, Fixed(values), Fixed(classes), writer).describe(subject)


def by_label(description):
    return {one.label: one for one in description.references}


def test_template_says_what_is_known_with_intervals_and_units():
    text = describe().text()
    assert "1,234 counts in 0.5-8 keV, exposure 35,000 s" in text
    assert "most likely Galaxy (92%), AGN (71%)" in text
    assert "Sy2" not in text
    assert "It is hard, hardness ratio (h-s)/(h+s) 0.620" in text
    assert "photon index 1.85 (estimate, 68% interval 1.52 to 2.13)" in text
    assert "obscured, column density 412 x 10^20 cm^-2" in text
    assert "It varied within the observation, variability index 7.00 (catalogue)" in text
    assert "2CXO J004242.9+411543 (AGN)" in text
    assert '"An obscured nucleus at 6.4 keV" (2004)' in text


def test_every_statement_of_the_template_stands_the_check():
    description = describe()
    assert description.written_by == "template"
    for statement in description.statements:
        assert objection(statement, by_label(description)) is None


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (101.0, 800.0, "; obscured,"),
        (50.0, 300.0, "; perhaps obscured,"),
        (5.0, 99.0, "; not obscured,"),
    ],
)
def test_obscured_is_said_only_when_the_whole_interval_says_so(low, high, word):
    known = HARD | {"powlaw_nh": estimate("powlaw_nh", (low + high) / 2, low, high)}
    assert word in describe(estimates(**known)).text()


def test_plasma_is_preferred_only_when_the_statistics_are_apart():
    def text(apec_high):
        known = HARD | {
            "apec_kt": estimate("apec_kt", 2.5, 2.1, 3.0),
            "apec_stat": estimate("apec_stat", 0.9, 0.8, apec_high),
            "powlaw_stat": estimate("powlaw_stat", 1.6, 1.4, 2.0),
        }
        return describe(estimates(**known)).text()

    assert "thermal plasma fits better than a power law, kT 2.50 keV" in text(1.1)
    assert "plasma" not in text(1.5)


def test_outside_uncalibrated_and_simulated_are_all_said():
    values = estimates(outside=True, calibrated_on=None, **HARD)
    text = describe(values, search=FakeSearch(simulated=True)).text()
    assert "no interval can be trusted" in text
    assert "not calibrated" in text
    assert "Simulated data are part of the evidence" in text


def test_estimate_without_an_interval_is_a_number_and_no_word():
    known = {"hard_hs": estimate("hard_hs", 0.62), "powlaw_nh": estimate("powlaw_nh", 412.0)}
    text = describe(estimates(calibrated_on=None, **known)).text()
    assert "Hardness ratio (h-s)/(h+s) 0.620 (estimate)" in text
    assert "hard," not in text
    assert "obscured" not in text.replace("An obscured nucleus", "")


def test_of_equally_probable_levels_only_the_most_special_is_named():
    paths = [("Star",), ("Star", "**"), ("Star", "**", "XB*")]
    classes = Classification("it", [[ClassProbability(path, 0.81, 0.8)] for path in paths], ())
    assert "most likely XB* (81%)" in describe(classes=classes).text()


def test_class_less_likely_than_not_is_named_with_its_alternatives():
    level = [ClassProbability((n,), p, p) for n, p in (("Galaxy", 0.49), ("Star", 0.3), ("?", 0.2))]
    text = describe(classes=Classification("it", [level], ())).text()
    assert "perhaps Galaxy (49%) or Star (30%) or ? (20%)" in text
    assert "most likely" not in text


def test_what_lies_outside_is_warned_of_before_a_class_is_named():
    first = describe(estimates(outside=True, **HARD)).statements[0]
    assert first.text.startswith("It lies outside what the store knows")


def test_interval_names_its_unit_once():
    known = {"powlaw_nh": estimate("powlaw_nh", 12.0, 0.0, 30.0)}
    assert "68% interval 0 to 30.0 x 10^20 cm^-2)" in describe(estimates(**known)).text()


def test_failed_check_is_told_with_its_numbers():
    subject = Subject("it", SUBJECT.vectors, {"counts": 12.0, "exposure_s": 1000.0})
    assert "low counts (12 counts, at least 40 are needed)" in describe(subject=subject).text()


def test_nothing_known_still_makes_a_description():
    nothing = Classification("it", [], ())
    description = describe(estimates(), classes=nothing, subject=Subject("it", {}, {}))
    assert [one.references for one in description.statements] == [("[1]",)]


def test_papers_are_found_in_the_shared_space_by_the_same_model():
    search = FakeSearch()
    describe(search=search)
    assert search.asked == [("fake0", "papers")]


def test_only_papers_known_to_be_on_x_ray_sources_are_asked_for():
    search = FakeSearch()
    describe(search=search)
    assert search.filter == PaperFilter(has=("topic_probability",), min_topic=MIN_TOPIC)


def test_cited_paper_is_given_with_its_cosine_and_the_probability_of_its_topic():
    (cited,) = (one for one in describe().references if one.kind == "paper")
    assert "cosine 0.80, about X-ray sources with a probability of 97%" in cited.text


def test_without_a_paper_on_x_ray_sources_the_description_says_so():
    description = describe(search=FakeSearch(papers=()))
    assert "None of the papers in the store is known to be about X-ray" in description.text()
    assert any("none of the 1,200 papers in the store" in r.text for r in description.references)


def test_of_a_store_without_papers_nothing_is_said_of_them():
    description = describe(search=FakeSearch(papers=(), n_stored=0))
    assert "papers" not in description.text()


def test_address_in_a_title_is_not_passed_on():
    assert not any("://" in one.text for one in describe().references)


def test_statement_of_the_writer_that_stands_is_taken():
    said = Statement("A hard source, photon index about 1.7.", ("[3]",))
    writer = Scripted({"spectrum": said})
    description = describe(writer=writer)
    assert writer.evidence[2].text.endswith("1.85, 68% interval 1.52 to 2.13")
    assert description.written_by == "template"  # 1.85 is not 1.7 rounded
    said = Statement("A hard source, photon index about 1.9.", ("[3]",))
    description = describe(writer=Scripted({"spectrum": said}))
    assert said in description.statements
    assert description.written_by == "openai:scripted"
    assert any(note.startswith("on identity the template stands in") for note in description.notes)


@pytest.mark.parametrize(
    ("text", "references", "reason"),
    [
        ("The photon index is 1.2.", ("[3]",), "1.2 is in none"),
        ("The photon index is 1.85.", ("[1]",), "1.85 is in none"),
        ("The photon index is 1.85.", (), "cites nothing"),
        ("The photon index is 1.85.", ("[99]",), "no reference"),
        ("See https://evil.example for more.", ("[3]",), "address"),
        ("The photon index is 1.85 [3].", ("[3]",), "labels"),
        ("x" * 401, ("[3]",), "401 characters"),
        (" ", ("[3]",), "1 characters"),
        ("Hard\u202e source.", ("[3]",), "cannot be seen"),
        ("It is fifty times brighter.", ("[3]",), "50 is in none"),
    ],
)
def test_statement_that_fails_is_replaced_by_the_template_with_a_note(text, references, reason):
    plain = describe()
    description = describe(writer=Scripted({"spectrum": Statement(text, references)}))
    assert description.statements == plain.statements
    assert any("on spectrum" in note and reason in note for note in description.notes)


def test_silent_service_leaves_the_template_with_a_note():
    description = describe(writer=Scripted(UnavailableError("nobody answers")))
    assert description.written_by == "template"
    assert "written by template: nobody answers" in description.notes


@pytest.mark.parametrize(
    ("claim", "evidence"),
    [
        ("kT is 1.2 keV", "kT = 1.234 keV"),
        ("N_H of 4.1 x 10^22 cm^-2", "column density 412 x 10^20 cm^-2"),
        ("N_H of 4.1 \u00d7 10²² cm⁻²", "412e20 cm**-2"),
        ("N_H = 4.1e22", "412 x 10^20 cm^-2"),
        ("71 percent", "AGN 71%"),
        ("1234 counts", "1,234 counts"),
        ("a slope of \u22120.5", "-0.50"),
        ("0.5\u20138 keV", "0.5-8 keV"),
        ("two temperatures", "there are 2 of them"),
        ("a twofold rise", "2 times as much"),
        ("a slope of minus 0.5", "-0.50"),
        ("2CXO J004242.9+411543 is alike", "2CXO J004242.9+411543, of class AGN"),
    ],
)
def test_number_rounded_or_written_otherwise_is_founded(claim, evidence):
    assert unfounded(claim, [evidence]) is None


@pytest.mark.parametrize(
    ("claim", "evidence"),
    [
        ("kT is 1.3 keV", "kT = 1.234 keV"),
        ("kT is 1.2345 keV", "kT = 1.234 keV"),
        ("kT is 12 keV", "12%"),
        ("a slope of 0.5", "-0.50"),
        ("a slope of -0.5", "0.50"),
        ("N_H = 4.1e23", "412 x 10^20 cm^-2"),
        ("N_H = 10^23", "1e22"),
        ("71%", "0.71"),
        ("nothing, 0", "0.3"),
        ("1,234,567 counts", "1,234 counts"),
        ("½ of it", "2"),
        ("٣ lines", "3 lines"),
        ("a dozen", "11"),
        ("\uff11.\uff19 keV", "1.2 keV"),
        ("1e999", "1"),
        ("varied over 5 days", "5.00 keV"),
        ("5 erg", "5 counts"),
        ("minus 0.5", "0.5"),
        ("negative 0.5", "0.5"),
        ("a threefold rise", "2"),
        ("a trillion", "1"),
    ],
)
def test_number_that_the_evidence_does_not_hold_is_found(claim, evidence):
    assert unfounded(claim, [evidence])


NUMBERS = st.one_of(
    st.integers(-10_000, 10_000).map(str),
    st.floats(-1e4, 1e4).map(lambda x: f"{x:.2f}"),
    st.floats(1e-5, 1e25).map(lambda x: f"{x:.2e}"),
    st.sampled_from(["1.85", "1.9", "92%", "71%", "412", "6.4 keV", "2004", "-0.62", "2.3e23"]),
)
SENTENCES = st.lists(
    st.one_of(NUMBERS, st.sampled_from(["photon index", "keV", "and", "-", "cm^-2", "%", "Sy"])),
    min_size=1,
    max_size=6,
).map(" ".join)
STATEMENTS = st.builds(
    Statement,
    SENTENCES,
    st.lists(st.sampled_from([f"[{n}]" for n in range(0, 14)]), max_size=4).map(tuple),
)


def plain_numbers(text):
    """Read numbers another way than the code does: what each is, and half of its last digit."""
    found = set()
    text = text.replace("cm^-2", "")  # a unit
    for digits, decimals, power in re.findall(r"(\d[\d,]*(?:\.(\d+))?(?:e([-+]?\d+))?)", text):
        last = 10.0 ** (int(power or 0) - len(decimals))
        found.add((float(digits.replace(",", "")), last / 2))
    return found


@example({"identity": Statement("0.00", ("[8]",))})  # which once said "zero for equal vectors"
@given(st.dictionaries(st.sampled_from(["identity", "spectrum", "literature"]), STATEMENTS))
def test_no_description_holds_a_number_that_its_references_do_not(written):
    description = describe(writer=Scripted(written))
    references = by_label(description)
    for statement in description.statements:
        assert statement.references
        evidence = [
            value
            for label in statement.references
            for value, _ in plain_numbers(references[label].text)
        ]
        for value, half in plain_numbers(statement.text):
            slack = half + 1e-9 * value
            assert any(abs(value - known * f) <= slack for known in evidence for f in (1, 1e20))


@given(st.text(max_size=60))
def test_any_text_is_judged_without_breaking(text):
    reference = Reference("estimate", "[1]", text)
    objection(Statement(text, ("[1]",)), {"[1]": reference})
    unfounded(text, ["1.85"])
