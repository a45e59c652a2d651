import json
import shlex

import pytest
from api_requests import pha
from astropy.io.votable import parse
from small_store import AGN, AGN_AGAIN, AGN_NAME, AGN_PAPER, BINARY, QUESTION, hard_counts


def keys(document):
    return [one["payload"]["key"] for one in document["answers"]]


@pytest.fixture
def counts_file(tmp_path):
    path = tmp_path / "counts.txt"
    path.write_text("\n".join(map(str, hard_counts(1))))
    return path


@pytest.fixture
def pha_file(tmp_path):
    path = tmp_path / "source.pi"
    path.write_bytes(pha(hard_counts(1)))
    return path


def test_search_text_answers_with_a_table_for_people(ask):
    printed = ask("search", "text", QUESTION, "--class", "AGN")
    assert AGN_NAME in printed.out
    assert QUESTION in printed.out


def test_search_text_filters_are_combined(answer):
    found = answer("search", "text", QUESTION, "--class", "AGN", "--range", "hard_hs:0.75:")
    assert keys(found) == [AGN.key]
    found = answer("search", "text", QUESTION, "--instrument", "EPN", "--from", "2005")
    assert keys(found) == [BINARY.key]


def test_search_text_to_papers_explains_its_scores(answer):
    first = answer("search", "text", QUESTION, "--to", "papers")["answers"][0]
    assert first["payload"]["bibcode"] == AGN_PAPER.bibcode
    assert first["highlights"]
    assert first["keyword_score"] > 0


def test_search_spectrum_takes_400_numbers(answer, counts_file):
    found = answer("search", "spectrum", counts_file, "--exposure", 1000)
    assert keys(found)[0] == AGN.key
    assert found["answers"][0]["cosine"] == pytest.approx(1, abs=1e-5)


def test_search_like_and_examples_leave_the_own_source_out(answer):
    assert not {AGN.key, AGN_AGAIN.key} & set(keys(answer("search", "like", AGN.key)))
    found = keys(answer("search", "examples", BINARY.key, "--unlike", AGN.key))
    assert not {AGN.key, AGN_AGAIN.key, BINARY.key} & set(found)


def test_search_cone_says_how_far_away(answer):
    found = answer("search", "cone", "10.68 41.262 1arcmin")
    assert keys(found) == [AGN.key]
    assert 0 < found["answers"][0]["separation_arcsec"] < 5


def test_search_papers_asks_by_words_or_lists(answer):
    found = answer("search", "papers", "bursts of a low mass binary", "--ranking", "keywords")
    assert found["answers"][0]["payload"]["title"] == "bursts of a low mass binary"
    listed = answer("search", "papers", "--until", "2005")
    assert [one["payload"]["year"] for one in listed["answers"]] == [2004]


def test_search_pages_are_the_whole_answer_in_parts(ask, answer):
    whole = keys(answer("search", "detections", "--all"))
    assert len(whole) == 5
    printed = ask("search", "detections", "--limit", 2)
    assert "there are more: add --cursor" in printed.err
    parts, cursor = [], None
    while True:
        more = ("--cursor", cursor) if cursor else ()
        page = answer("search", "detections", "--limit", 2, *more)
        parts += keys(page)
        cursor = page["cursor"]
        if cursor is None:
            break
    assert parts == whole


def test_search_output_takes_its_format_from_the_name_of_the_file(ask, tmp_path):
    path = tmp_path / "answer.vot"
    printed = ask("search", "text", QUESTION, "--output", path)
    assert printed.out == ""
    table = parse(path, verify="exception").get_first_table().to_table()
    assert str(table["exposure_s"].unit) == "s"
    assert list(tmp_path.iterdir()) == [path]


def test_search_output_does_not_overwrite_without_force(ask, tmp_path):
    path = tmp_path / "answer.json"
    path.write_text("mine")
    printed = ask("search", "text", QUESTION, "--output", path, code=2)
    assert "--force" in printed.err
    assert path.read_text() == "mine"
    ask("search", "text", QUESTION, "--output", path, "--force")
    assert json.loads(path.read_text())["answers"]


def test_search_says_when_nothing_matches(ask):
    printed = ask("search", "text", QUESTION, "--obsid", 99999)
    assert "nothing matches" in printed.err


def test_search_region_without_papers_says_what_to_try(ask):
    printed = ask("search", "region", "100.0 50.0 1arcmin")
    assert "no paper is linked with a detection in this circle" in printed.err


def test_search_output_without_an_ending_takes_the_format_given(ask, tmp_path):
    ask("search", "text", QUESTION, "--output", tmp_path / "found", "--format", "csv")
    ask("search", "text", QUESTION, "--output", tmp_path / "found.foo", "--format", "csv")
    assert (tmp_path / "found").read_text() == (tmp_path / "found.foo").read_text()


def test_search_batch_mistake_is_told_with_single_colons(ask, tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text('{"question": "x"}')
    assert ": :" not in ask("search", "batch", path, code=2).err


def test_search_batch_answers_each_line(ask, tmp_path, pha_file):
    lines = [
        {"kind": "text", "question": QUESTION, "to": "papers", "limit": 1},
        {"kind": "examples", "positive": [AGN.key], "class": ["Star"]},
        {"kind": "spectrum", "file": str(pha_file), "observed_to": "2001-12-31"},
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    answers = json.loads(ask("search", "batch", path, "--json").out)
    assert [one["question"] for one in answers] == [QUESTION, f"like {AGN.key}", str(pha_file)]
    assert answers[0]["answers"][0]["payload"]["bibcode"] == AGN_PAPER.bibcode
    assert keys(answers[1]) == [BINARY.key]
    assert keys(answers[2]) == [AGN.key]
    assert AGN_NAME in ask("search", "batch", path).out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no JSON"),
        ("[]", "no object"),
        ("{}", "kind"),
        ('{"kind": "text", "question": "x", "clas": ["AGN"]}', "clas"),
        ('{"kind": "text", "question": "x", "to": "stars"}', "to:"),
        ('{"kind": "text", "question": "x", "range": ["hard_hs"]}', "field:low:high"),
        ('{"kind": "text", "question": "x", "author": "Ueda"}', "author cannot narrow"),
        ('{"kind": "examples", "positive": []}', "positive"),
        ('{"kind": "spectrum", "file": "no-such.pi"}', "no-such.pi"),
        ('{"kind": "spectrum", "counts": [1], "exposure_s": 1}', "counts"),
    ],
)
def test_search_batch_names_the_line_that_is_wrong(ask, tmp_path, line, said):
    path = tmp_path / "questions.jsonl"
    path.write_text('{"kind": "text", "question": "fine"}\n' + line + "\n")
    printed = ask("search", "batch", path, code=2)
    assert "line 2" in printed.err
    assert said in printed.err


def test_search_batch_of_nothing_is_refused(ask, tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    assert "no lines" in ask("search", "batch", tmp_path / "empty.jsonl", code=2).err


def test_facets_count_what_fits(answer, ask):
    assert answer("facets", "instrument", "--class", "AGN") == {"instrument": {"ACIS": 3}}
    assert "EPN" in ask("facets", "instrument").out


def test_explain_shows_the_filter_of_the_engine(ask):
    shown = json.loads(ask("explain", "--class", "Seyfert_1", "--where", "hard_hs > 0.5").out)
    assert "Sy1" in json.dumps(shown)
    assert "hard_hs" in json.dumps(shown)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("search text ' '", "empty"),
        ("search text x --class Sayfert", "nearest: SyG"),
        ("search text x --where 'hard_hs >> 3'", "^"),
        ("search text x --range hard_hs:a:b", "field:low:high"),
        ("search text x --range nonsense:1:2", "nonsense"),
        ("search text x --has nonsense", "nonsense"),
        ("search text x --cone '10 20 5'", "arcmin"),
        ("search text x --cone '10 95 5arcsec'", "95"),
        ("search text x --author Ueda", "--author cannot narrow down detections"),
        ("search text x --to papers --obsid 3", "--obsid cannot narrow down papers"),
        ("search text x --from 2005 --until 2004", "2005"),
        ("search text x --cursor abc", "cursor"),
        ("search text x --json --format csv", "contradicts"),
        ("search text x --force", "--output"),
        ("search text x --output no-such-folder/x.csv", "folder"),
        ("search text x --output x.foo", ".foo tells no format: end the name in .json, .csv"),
        ("search text x --class NotAClass", "nearest: "),
        ("search text x --limit 0", "--limit"),
        ("search text x --diversity 2", "--diversity"),
        ("search spectrum no-such.pi", "no-such.pi"),
        ("search spectrum pyproject.toml --exposure 5", "numbers"),
        ("search like nothing-of-that-name", "no detection or paper"),
        ("search examples a --unlike", "--unlike"),
        ("search cone nowhere", "nowhere"),
        ("search batch no-such.jsonl", "no-such.jsonl"),
        ("search batch x --format csv", "--format json or table"),
        ("estimate no-such-thing", "no such file"),
        ("estimate csc2.0/101/1/1 --k 0", "--k"),
        ("estimate csc2.0/101/1/1 --representation nose", "nose"),
        ("classify csc2.0/105/1/5", "spectrum"),
        ("describe no-such-thing", "no such file"),
        ("facets colour", "colour"),
        ("explain --where '('", "^"),
        ("outliers list", "outliers score"),
    ],
)
def test_search_layer_wrong_use_exits_2_and_says_what_to_do(ask, command, said):
    printed = ask(*shlex.split(command), code=2)
    assert said in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
