import gzip
import json
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidPaperError, NotFoundError
from common.records import Paper
from ingest.papers.bibtex import BIBCODE
from ingest.papers.papers import clean, read_papers
from ingest.settings import IngestSettings

BIBCODES = ["2003A&A...402..477M", "2004ApJ...600..000S", "2026arXiv260304516P"]


def record(number=0, **changes):
    return {"bibcode": BIBCODES[number], "title": "A title", "abstract": "An abstract."} | changes


@pytest.fixture
def write(tmp_path):
    def _write(name, content):
        path = tmp_path / name
        if isinstance(content, list):
            content = "\n".join(x if isinstance(x, str) else json.dumps(x) for x in content)
        elif not isinstance(content, str | bytes):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


@pytest.fixture
def refusal_of(write):
    """Refusal of one record, which stands in line 2 after a good one."""

    def _refusal_of(line):
        papers, (refusal,) = read_papers(write("p.jsonl", [record(2), line]))
        assert [paper.bibcode for paper in papers] == [BIBCODES[2]]
        assert refusal.input.startswith("p.jsonl line 2")
        return refusal

    return _refusal_of


# JSON lines


def test_all_real_abstracts_are_read(shared_data):
    papers, refusals = read_papers(shared_data / "papers" / "papers.jsonl")
    assert (len(papers), refusals) == (1_000, [])
    assert papers[0].title == "The Chemical Basis of Morphogenesis"
    assert (papers[0].bibcode, papers[0].year) == ("1952RSPTB.237...37T", 1952)
    assert papers[0].abstract.endswith("elementary facts are explained, which can be found in "
        "text-books, but whose omission would make the paper difficult reading.")  # fmt: skip
    journals = Counter(paper.journal for paper in papers)
    assert journals["The Astrophysical Journal"] > 50


def test_no_tag_is_left_in_real_abstracts_and_no_average_is_taken_for_one(shared_data):
    papers, _ = read_papers(shared_data / "papers" / "papers.jsonl")
    text = {paper.bibcode: paper.abstract for paper in papers}
    tags = ("<a", "</a", "<br", "<sub", "<sup", "<mml", "</mml")
    found = {tag for t in text.values() for tag in tags if re.search(rf"{tag}\b[^<]*>", t, re.I)}
    assert found == set()
    assert "<g-r>=0.7 mag" in text["2007ApJ...670...92G"]
    assert "<M BH >=1.3" in text["2007ApJ...670...92G"]
    assert "<0001> oriented" in text["2001Sci...292.1897H"]


def test_fields_of_json_lines_are_kept(write):
    line = record(
        title=["Part one", "Part two"], year="2003", journal="A&A", keywords=["X-rays", ""],
        authors="Müller, A.", identifier=["10.1051/x", "2003astro.ph..2328M", BIBCODES[0]],
        alternate_bibcode=["2003astro.ph..2328M", "2002A&A...999..477M"],
    )  # fmt: skip
    papers, _ = read_papers(write("p.jsonl", [line]))
    assert papers == [
        Paper(
            bibcode=BIBCODES[0],
            title="Part one Part two",
            abstract="An abstract.",
            year=2003,
            authors=("Müller, A.",),
            journal="A&A",
            keywords=("X-rays",),
            alternate_bibcodes=("2003astro.ph..2328M", "2002A&A...999..477M"),
        )
    ]


def test_year_is_that_of_the_bibcode_when_not_given(write):
    assert read_papers(write("p.jsonl", [record(year=None)]))[0][0].year == 2003


def test_identical_records_are_taken_once(write):
    assert read_papers(write("p.jsonl", [record(), "", record()])) == (
        read_papers(write("q.jsonl", [record()]))[0], [],
    )  # fmt: skip


def test_bibcode_with_other_content_is_refused_and_the_first_kept(write):
    papers, refusals = read_papers(
        write("p.jsonl", [record(), record(abstract="Another."), record()])
    )
    assert [paper.abstract for paper in papers] == ["An abstract."]
    (refusal,) = refusals
    assert refusal.input == "p.jsonl line 2 (2003A&A...402..477M)"
    assert refusal.reason == "same bibcode as line 1 with other content: keep one of the two"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (record(bibcode=None), "no bibcode"),
        (record(bibcode="2003A&A...402..477"), "is no bibcode"),
        (record(bibcode="2003A&A...402..477MM"), "is no bibcode"),
        (record(bibcode="2003A&A   402  477M"), "is no bibcode"),
        (record(bibcode="arXiv:2603.04516abc"), "is no bibcode"),
        (record(bibcode=2003), "is no bibcode"),
        (record(abstract=""), "no abstract"),
        (record(abstract=None), "no abstract"),
        (record(abstract=" <BR /> \x00 "), "no abstract"),
        (record(abstract="x" * 50_001), "abstract of 50,001 characters, more than 50,000"),
        (record(title="x" * 50_001), "title of 50,001 characters"),
        (record(abstract=3), "abstract is int"),
        (record(title={"en": "x"}), "title is dict"),
        (record(keywords=[1]), "keywords is list"),
        (record(year=[2003]), "year is list"),
        (record(year=True), "year is bool"),
        (record(year="soon"), "'soon' is no year"),
        ('{"bibcode": ', "not valid JSON"),
        ("[1, 2]", "not a JSON object"),
        ('"text"', "not a JSON object"),
        ("[" * 100_000, "not valid JSON"),
        ('{"year": ' + "9" * 5_000 + "}", "not valid JSON"),
    ],
)
def test_records_that_cannot_be_used_are_refused_and_the_others_read(refusal_of, line, message):
    assert message in refusal_of(line).reason


def test_refusals_name_the_bibcode(refusal_of):
    assert refusal_of(record(abstract="")).input == "p.jsonl line 2 (2003A&A...402..477M)"


@given(st.text(max_size=30))
def test_bibcodes_are_a_year_and_fifteen_printable_characters(text):
    if BIBCODE.fullmatch(text):
        assert len(text) == 19
        assert text.isascii()
        assert not any(x.isspace() for x in text)


# ADS API


def test_ads_answer_is_read(write):
    doc = {
        "bibcode": "2008MNRAS.390..113M",
        "title": ["X-ray &amp; radio: the N<SUB>H</SUB> of M&lt;10<SUP>9</SUP>"],
        "abstract": "We find L<SUB>X</SUB> &gt; 10<SUP>38</SUP> erg s<SUP>-1</SUP>.<P />It varies.",
        "author": ["Maitra, D.", "Bailyn, C. D."],
        "year": "2008",
        "keyword": ["accretion", "X-rays: binaries"],
        "pub": "Monthly Notices of the Royal Astronomical Society",
        "alternate_bibcode": ["2008arXiv0807.1234M"],
        "identifier": ["10.1111/j.1365", "arXiv:0807.1234", "2008arXiv0807.1234M"],
    }
    answer = {"responseHeader": {"status": 0}, "response": {"numFound": 1, "docs": [doc, "no"]}}
    (paper,), (refusal,) = read_papers(write("answer", answer))
    assert paper == Paper(
        bibcode="2008MNRAS.390..113M",
        title="X-ray & radio: the N_H of M<10^9",
        abstract="We find L_X > 10^38 erg s^-1. It varies.",
        year=2008,
        authors=("Maitra, D.", "Bailyn, C. D."),
        journal="Monthly Notices of the Royal Astronomical Society",
        keywords=("accretion", "X-rays: binaries"),
        alternate_bibcodes=("2008arXiv0807.1234M",),
    )
    assert refusal.input == "answer record 2"


def test_list_of_records_and_single_record_are_read(write):
    assert len(read_papers(write("list.json", [[record(0), record(1)]]))[0]) == 2
    assert len(read_papers(write("one.json", json.dumps(record(), indent=2)))[0]) == 1


@pytest.mark.parametrize("content", ["3", "null", '{"response": {"docs": 3}}'])
def test_json_without_papers_is_refused(write, content):
    with pytest.raises(InvalidPaperError, match="JSON without papers"):
        read_papers(write("p.json", content))


# BibTeX

ENTRY = r"""
@ARTICLE{2003A&A...402..477M,
       author = {{M{\"u}ller}, A. and {Nie{\l}ba{\l}a}, B. and {O'Brien}, {\'E}.},
        title = "{Obscured AGN at z {\textgreater} 1: N$_{H}$ in {\ensuremath{\gamma}}-rays}",
      journal = {\aap},
     keywords = {galaxies: active, X-rays: galaxies},
         year = 2003,
        month = may,
     abstract = "{We find {\ensuremath{\sim}}95\% of {\textless}10 keV photons \&
        \raisebox{-0.5ex}\textasciitilde3 lines. About 5% are lost in M{\'e}ndez' sample.}",
       adsurl = {https://ui.adsabs.harvard.edu/abs/2003A%26A...402..477M},
      adsnote = {Provided by the SAO/NASA Astrophysics Data System}
}
"""


def test_ads_bibtex_is_decoded(write):
    papers, refusals = read_papers(write("export.bib", ENTRY))
    assert refusals == []
    assert papers == [
        Paper(
            bibcode="2003A&A...402..477M",
            title="Obscured AGN at z > 1: N$_{H}$ in γ-rays",  # noqa: RUF001
            abstract="We find ∼95% of <10 keV photons & ~3 lines. "  # noqa: RUF001
            "About 5% are lost in Méndez' sample.",
            year=2003,
            authors=("Müller, A.", "Niełbała, B.", "O'Brien, É."),
            journal="Astronomy and Astrophysics",
            keywords=("galaxies: active", "X-rays: galaxies"),
        )
    ]


@pytest.mark.parametrize(
    "entry",
    [
        "@article{x, adsurl = {https://ui.adsabs.harvard.edu/abs/2003A%26A...402..477M/abstract},",
        r"@article{x, adsurl = {http://adsabs.harvard.edu/abs/2003A\%26A...402..477M},",
        "@article{x, bibcode = {2003A&A...402..477M},",
        "@article{2003A&A...402..477M,",
    ],
)
def test_bibcode_is_found_in_url_field_or_key(write, entry):
    papers, _ = read_papers(
        write("x.bib", entry + " title = {T}, abstract = {A.}, journal = {ApJ}}")
    )
    assert [(p.bibcode, p.journal) for p in papers] == [("2003A&A...402..477M", "ApJ")]


def test_bibtex_entries_that_cannot_be_used_are_refused_with_their_line(write):
    entries = [
        ENTRY.strip(),
        "@article{Mueller2003, title = {T}, abstract = {A}}",
        "@article{2004ApJ...600..000S, title = {No abstract}}",
        "@article{2005ApJ...600..000S, title = {Twice}, title = {twice}, abstract = {A}}",
        ENTRY.strip(),
        ENTRY.strip().replace("95", "96"),
        "@article{2006ApJ...600..000S, title = {Open",
    ]
    papers, refusals = read_papers(write("x.bib", "\n".join(entries)))
    assert len(papers) == 1
    assert [(refusal.input, re.split(" [(]|: ", refusal.reason)[0]) for refusal in refusals] == [
        ("x.bib line 13 (Mueller2003)",
         "'Mueller2003' is no bibcode"),
        ("x.bib line 14 (2004ApJ...600..000S)", "no abstract"),
        ("x.bib line 15", "a field is given twice"),
        ("x.bib line 28 (2003A&A...402..477M)", "same bibcode as line 1 with other content"),
        ("x.bib line 40", "not valid BibTeX"),
    ]  # fmt: skip


# Text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("10<SUP>38</SUP> erg s<SUP>-1</SUP>", "10^38 erg s^-1"),
        ("2&lt;z&lt;3 &amp; T&nbsp;= 4", "2<z<3 & T = 4"),
        ("1 < z < 2 and p < 0.05", "1 < z < 2 and p < 0.05"),
        ("r<0.1 and <g-r> with a > b", "r<0.1 and <g-r> with a > b"),
        ("&lt;b is small&gt;", "<b is small>"),
        ('see <A href="http://x.y/">here</A>.<BR />Then', "see here. Then"),
        ("<mml:math><mml:mi>z</mml:mi></mml:math>", "z"),
        ("nul\x00l, bell\x07, half \ud800 pair", "null, bell, half pair"),
        ("  two\n lines\t", "two lines"),
    ],
)
def test_text_is_cleaned_without_losing_meaning(text, cleaned):
    assert clean(text) == cleaned


@given(st.text())
def test_cleaned_text_can_be_stored(text):
    cleaned = clean(text)
    assert cleaned.encode().decode() == cleaned
    assert "\x00" not in cleaned
    assert cleaned == " ".join(cleaned.split())


# Files


@pytest.mark.parametrize("name", ["p.jsonl.gz", "p"])
def test_gzipped_files_are_read_whatever_their_name(write, name):
    path = write(name, gzip.compress(json.dumps(record()).encode()))
    assert len(read_papers(path)[0]) == 1
    assert len(read_papers(write("x.bib.gz", gzip.compress(ENTRY.encode())))[0]) == 1


def test_files_beyond_the_limit_are_refused_before_or_while_expanding(write):
    limits = IngestSettings(max_file_mb=1)
    for name, data in (("p", bytes(2**20 + 1)), ("p.gz", gzip.compress(bytes(20 * 2**20)))):
        with pytest.raises(InvalidPaperError, match=r"more than 1 MiB.*CHANDRA_MAX_FILE_MB"):
            read_papers(write(name, data), limits)


def test_longest_abstract_is_a_setting(write):
    _, (refusal,) = read_papers(write("p", [record()]), IngestSettings(max_text_characters=11))
    assert "abstract of 12 characters, more than 11" in refusal.reason


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("Dear colleague,\nhere are the papers.", "neither JSON lines, an ADS API answer"),
        (json.dumps({"response": {"docs": [record()]}}, indent=2)[:-20], "line 1: not valid JSON"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (gzip.compress(json.dumps(record()).encode(), mtime=0)[:-12], "cannot be read"),
        ("% only a comment", "no BibTeX entries"),
    ],
)
def test_files_of_no_known_format_are_refused(write, content, message):
    with pytest.raises(InvalidPaperError, match=message):
        read_papers(write("file", content))


def test_missing_file_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match="nothing"):
        read_papers(tmp_path / "nothing")
    with pytest.raises(InvalidPaperError, match="is a folder"):
        read_papers(tmp_path)
