import json

import numpy as np
import pytest

from common.dataset import Question, Text
from common.errors import InputError, InvalidTableError
from common.records import Paper, Summary
from ingest.dataset.dataset import read_dataset, write_dataset
from ingest.dataset.texts import read_abstracts, read_questions, with_abstracts
from ingest.settings import IngestSettings

ABSTRACT = {"id": "arXiv:1", "title": "A star", "abstract": "It is soft.", "year": 2003}


class Titles:
    """A summarizer that repeats the title."""

    def summarize(self, texts, progress=None):
        return [Summary(title, title, title, "extractive") for title, _ in texts]


@pytest.fixture
def write(tmp_path):
    def _write(description=None, **files):
        rng = np.random.default_rng(0)
        np.savez_compressed(
            tmp_path / "detections.npz",
            counts=rng.poisson(2, size=(3, 400)),
            exposure=np.ones(3),
            name=["a", "b", "b"],
        )
        for name, lines in files.items():
            text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
            (tmp_path / f"{name}.jsonl").write_text(text)
        if description:
            (tmp_path / "dataset.json").write_text(json.dumps(description))
        return tmp_path

    return _write


def line(**changes):
    return {"nature": "A star.", "xray": "Soft.", "interpretation": "A corona."} | changes


# Several texts of a source, and texts of none


def test_a_source_may_have_several_texts_and_a_text_no_source(write):
    lines = [
        line(source=None, bibcode="none", object="NGC 1"),
        line(source="b", bibcode="first", xray="Soft and bright."),
        line(source="a"),
        line(source="b", bibcode="second", xray="Hard.", title="B again", year=2001),
        line(bibcode="also none"),
    ]
    dataset = read_dataset(write(summaries=lines))
    found = [(text.source, text.bibcode) for text in dataset.texts]
    own = f"{dataset.name}:a"
    assert found == [(0, own), (1, "first"), (1, "second"), (None, "none"), (None, "also none")]
    assert [text.bibcode for text in dataset.texts_of(1)] == ["first", "second"]
    assert dataset.summary_of(1).xray == "Soft and bright."
    assert dataset.detections[2].bibcodes == ("first", "second")
    assert (dataset.texts[2].title, dataset.texts[2].year) == ("B again", 2001)


def test_every_text_becomes_a_paper(write):
    lines = [
        line(source="a"),
        line(source="a", bibcode="2", title="A once more", abstract="Words.", year=2001),
        line(bibcode="3", object="NGC 1"),
    ]
    papers = list(read_dataset(write(summaries=lines)).papers())
    assert [paper.title for paper in papers] == ["Summary of a", "A once more", "Summary of NGC 1"]
    assert [paper.source_names for paper in papers] == [("a",), ("a",), ("NGC 1",)]
    assert (papers[1].abstract, papers[1].year) == ("Words.", 2001)


def test_texts_about_sources_that_are_not_there_are_refused(write):
    dataset = read_dataset(write())
    text = Text(2, "x", Summary("A", "B", "C", "given"))
    with pytest.raises(InvalidTableError, match="text x is about source 2, but there are 2"):
        dataset.__class__(**{**_fields(dataset), "texts": [text]})


def _fields(dataset):
    names = ("name", "counts", "exposure_s", "source", "variables", "detections", "simulated")
    return {name: getattr(dataset, name) for name in names}


# Abstracts


def test_abstracts_are_papers_about_an_object(write):
    path = write(texts=[ABSTRACT | {"object": "b"}, {"id": "2", "title": "No object"}])
    assert read_abstracts(path) == [
        Paper("arXiv:1", "A star", "It is soft.", 2003, source_names=("b",)),
        Paper("2", "No object", ""),
    ]


def test_abstracts_join_the_texts_of_their_sources(write):
    lines = [ABSTRACT | {"object": "b"}, ABSTRACT | {"id": "2", "object": "NGC 1"}]
    path = write(texts=lines, summaries=[line(source="b")])
    dataset = with_abstracts(read_dataset(path), read_abstracts(path), Titles())
    assert [(text.source, text.object) for text in dataset.texts] == [
        (1, None), (1, "b"), (None, "NGC 1"),
    ]  # fmt: skip
    assert dataset.texts[1].summary == Summary("A star", "A star", "A star", "extractive")
    assert dataset.texts[1].abstract == "It is soft."
    assert [one.bibcodes[1:] for one in dataset.detections] == [(), ("arXiv:1",), ("arXiv:1",)]


def test_a_dataset_with_abstracts_is_written_and_read_back(write, tmp_path):
    path = write(texts=[ABSTRACT | {"object": "b"}], description={"name": "x", "use": "test"})
    dataset = with_abstracts(read_dataset(path), read_abstracts(path), Titles())
    write_dataset(dataset, path)
    again = with_abstracts(read_dataset(path), read_abstracts(path), Titles())
    assert list(again.texts) == list(dataset.texts)
    assert again.use == "test"


def test_a_paper_that_is_a_summary_too_is_refused(write):
    path = write(texts=[ABSTRACT], summaries=[line(source="b", bibcode="arXiv:1")])
    with pytest.raises(InvalidTableError, match=r"arXiv:1 is in summaries\.jsonl and in texts"):
        with_abstracts(read_dataset(path), read_abstracts(path), Titles())


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"title": "A"}], "line 1: no id"),
        ([{"id": "1", "title": " "}], "line 1: no title and no abstract"),
        ([ABSTRACT, ABSTRACT], "line 2: id arXiv:1 is that of line 1"),
        ([ABSTRACT | {"year": 2003.5}], r"line 1: year 2003\.5 is no whole number"),
        ([ABSTRACT | {"object": 7}], "line 1: object 7 is no text"),
        ([ABSTRACT | {"abstract": "x" * 50_001}], "line 1: abstract has 50,001 characters"),
        (["{"], "line 1: not valid JSON"),
        (["3"], "line 1: no JSON object"),
    ],
)
def test_abstracts_that_cannot_be_used_are_refused_with_line_and_reason(write, lines, message):
    with pytest.raises(InvalidTableError, match=message):
        read_abstracts(write(texts=lines))


def test_large_files_are_refused_before_reading(write):
    path = write(texts=[ABSTRACT | {"abstract": "x" * 40_000}])
    with pytest.raises(InvalidTableError, match=r"texts\.jsonl is larger"):
        read_abstracts(path, IngestSettings(max_file_mb=0.03))


# Questions


def test_questions_name_a_class(write):
    path = write(questions=[{"class": "Sy2", "question": "an absorbed nucleus"}])
    assert read_questions(path) == [Question("Sy2", "an absorbed nucleus")]
    assert read_questions(path / "detections.npz") == []


def test_questions_without_words_are_refused(write):
    with pytest.raises(InvalidTableError, match="line 1: class or question is missing"):
        read_questions(write(questions=[{"class": "Sy2", "question": " "}]))


# For tests only


def test_a_dataset_for_tests_teaches_nothing(write):
    read_dataset(write()).check_may_be_learnt_from()
    with pytest.raises(InputError, match="is for tests only"):
        read_dataset(write(description={"use": "test"})).check_may_be_learnt_from()


# The real benchmark


def test_realbench_is_read_whole(shared_data):
    path = shared_data / "realbench"
    dataset = read_dataset(path)
    papers = read_abstracts(path)
    assert (len(dataset), dataset.n_sources, dataset.use) == (29, 22, "test")
    assert (len(papers), len(read_questions(path))) == (136, 25)
    whole = with_abstracts(dataset, papers, Titles())
    assert len({text.object for text in whole.texts}) == 43
    assert len({text.source for text in whole.texts} - {None}) == 13
    assert sum("exposure_known" in one.catalogue for one in dataset.detections) == 11
