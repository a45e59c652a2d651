"""At the terminal: papers about X-ray sources by default, about anything when asked for."""

import pytest
from small_store import (
    AGN,
    AGN_PAPER,
    BINARY_PAPER,
    EXPOSURE_S,
    WEATHER_PAPER,
    SmallStore,
    hard_counts,
)

ON_TOPIC = {AGN_PAPER.bibcode, BINARY_PAPER.bibcode}
CIRCLE = "10.68 41.27 1deg"


@pytest.fixture(scope="module")
def small_dir(module_folder):
    data_dir = module_folder("topic")
    small = SmallStore(data_dir / "store")
    small.add_paper(WEATHER_PAPER)
    with small.store:
        return data_dir


@pytest.fixture
def counts_file(tmp_path):
    path = tmp_path / "counts.txt"
    path.write_text("\n".join(map(str, hard_counts(1))))
    return path


def bibcodes(document):
    return {one["payload"]["bibcode"] for one in document["answers"]}


def test_search_spectrum_to_papers_finds_those_about_x_ray_sources(answer, counts_file):
    asked = ("search", "spectrum", counts_file, "--exposure", EXPOSURE_S, "--to", "papers")
    found = answer(*asked)
    assert bibcodes(found) == ON_TOPIC
    assert found["off_topic"] == 1
    assert bibcodes(answer(*asked, "--any-topic")) == ON_TOPIC | {WEATHER_PAPER.bibcode}
    assert bibcodes(answer(*asked, "--min-topic", 0.99)) == set()
    off_topic = answer(*asked, "--where", "topic_probability < 0.5")
    assert bibcodes(off_topic) == {WEATHER_PAPER.bibcode}


def test_search_all_pages_says_what_was_left_out(answer):
    asked = ("search", "like", AGN.key, "--to", "papers", "--all")
    assert answer(*asked)["off_topic"] == 1
    assert answer(*asked, "--any-topic")["off_topic"] == 0


def test_search_region_cut_to_nothing_says_how_to_see_the_rest(ask):
    printed = ask("search", "region", CIRCLE)
    said = "1 paper that fits is left out as not about X-ray sources: --any-topic"
    assert said in printed.out
    assert said in printed.err
    assert WEATHER_PAPER.title in ask("search", "region", CIRCLE, "--any-topic").out


def test_search_table_shows_the_probability(ask):
    printed = ask("search", "like", AGN.key, "--to", "papers", "--any-topic").out
    assert "topic" in printed.splitlines()[2].split()
    assert {"0.98", "0.02"} <= set(printed.split())


def test_search_batch_takes_the_same_switch(answer, tmp_path):
    path = tmp_path / "questions.jsonl"
    line = f'{{"kind": "examples", "positive": ["{AGN.key}"], "to": "papers"'
    path.write_text(f'{line}}}\n{line}, "any_topic": true}}\n')
    first, second = answer("search", "batch", path)
    assert bibcodes(first) == ON_TOPIC
    assert first["off_topic"] == 1
    assert bibcodes(second) == ON_TOPIC | {WEATHER_PAPER.bibcode}


def test_describe_cites_no_paper_on_other_topics(ask):
    assert WEATHER_PAPER.title not in ask("describe", AGN.key).out


@pytest.mark.parametrize("given", [("--min-topic", "1.5"), ("--min-topic", "nan")])
def test_what_is_no_probability_is_refused_by_the_name_of_the_option(ask, given):
    assert "--min-topic" in ask("search", "papers", *given, code=2).err
