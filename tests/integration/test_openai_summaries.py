"""Summaries by a language model over real HTTP, from a scripted server."""

import json

import pytest
from command import run
from openai_server import KEY, SECTIONS, OpenAIServer, Reply, chat_answer

from common.disk_cache import DiskCache
from common.errors import InputError, InvalidPaperError, UnavailableError
from common.openai_api import OpenAIService
from common.ports import no_progress
from common.records import Summary
from common.settings import SharedSettings
from ingest.papers.openai_summaries import OpenAISummarizer
from ingest.settings import IngestSettings

pytestmark = pytest.mark.integration

PAPERS = [(f"Title {number}", f"Abstract {number}.") for number in range(6)]


class Repeating:
    """A fallback that repeats the abstract and remembers what it was given."""

    def __init__(self):
        self.given = []

    def summarize(self, texts, _progress=no_progress):
        self.given += texts
        return [Summary(abstract, abstract, abstract, "extractive") for _, abstract in texts]


@pytest.fixture
def server():
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def fallback():
    return Repeating()


@pytest.fixture
def open_summarizer(server, fallback, tmp_path):
    """Open a summariser as a new run does; one thread, so that replies meet requests in order."""

    def open_(base_url=None, **more):
        shared = SharedSettings(
            openai_api_key=KEY,
            openai_base_url=base_url or server.base_url,
            openai_max_retries=0,
        )
        settings = IngestSettings(**{"summary_threads": 1} | more)
        cache = DiskCache(tmp_path / "cache")
        return OpenAISummarizer(OpenAIService(shared), fallback, settings, cache)

    return open_


def sections(**changed):
    return json.dumps(SECTIONS | changed)


def test_summary_has_the_three_sections_and_says_who_wrote_it(open_summarizer):
    (summary,) = open_summarizer().summarize(PAPERS[:1])
    assert summary == Summary(**SECTIONS, method="openai:gpt-4o-mini")


def test_request_asks_for_strict_sections_of_title_and_abstract(server, open_summarizer):
    open_summarizer().summarize(PAPERS[:1])
    (body,) = server.asked
    assert body["model"] == "gpt-4o-mini"
    assert body["temperature"] == 0
    wanted = body["response_format"]["json_schema"]
    assert wanted["strict"] is True
    assert wanted["schema"]["required"] == ["nature", "xray", "interpretation"]
    assert wanted["schema"]["additionalProperties"] is False
    system, user = body["messages"]
    assert "State only what title and abstract state." in system["content"]
    assert user["content"] == "Title: Title 0\n\nAbstract: Abstract 0."


def test_summaries_keep_the_order_of_their_papers(server, open_summarizer):
    class Own(OpenAIServer):
        def ordinary(self, path, body):
            return chat_answer(sections(nature=body["messages"][1]["content"]))

    with Own() as server:
        told = []
        written = open_summarizer(server.base_url, summary_threads=4).summarize(
            PAPERS, lambda *step: told.append(step)
        )
    assert [summary.nature for summary in written] == [
        f"Title: {title}\n\nAbstract: {abstract}" for title, abstract in PAPERS
    ]
    assert told == [("writing summaries", done, 6) for done in range(1, 7)]


def test_a_rerun_pays_for_no_summary_twice(server, open_summarizer):
    first = open_summarizer().summarize([*PAPERS, *PAPERS])
    assert len(server.asked) == len(PAPERS)
    again = open_summarizer()
    assert again.summarize(PAPERS) == first[: len(PAPERS)]
    assert len(server.asked) == len(PAPERS)
    assert (again.usage.kept, again.usage.written, again.usage.read_tokens) == (6, 0, 0)


@pytest.mark.parametrize(
    "change", [{"summary_model": "another"}, {"summary_temperature": 0.5}], ids=str
)
def test_what_another_model_or_way_wrote_is_not_used(server, open_summarizer, change):
    open_summarizer().summarize(PAPERS[:1])
    open_summarizer(**change).summarize(PAPERS[:1])
    assert len(server.asked) == 2


USELESS = {
    "refusal": chat_answer(refusal="I cannot help with that."),
    "filter": chat_answer(finish_reason="content_filter"),
    "cut off": chat_answer('{"nature": "A qua', finish_reason="length"),
    "no JSON": chat_answer("Here is your summary:"),
    "section empty": chat_answer(sections(xray=" ")),
    "section missing": chat_answer('{"nature": "x", "xray": "y"}'),
    "no text": chat_answer(sections(xray=3)),
    "one too many": chat_answer(sections(more="z")),
    "no content": {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]},
    "no choice": {"choices": []},
    "malformed": '{"choices": [{"mess',
}


@pytest.mark.parametrize("body", USELESS.values(), ids=list(USELESS))
def test_a_useless_answer_is_asked_for_once_more(server, open_summarizer, fallback, body):
    server.replies.append(Reply(body=body))
    (summary,) = open_summarizer().summarize(PAPERS[:1])
    assert summary.method == "openai:gpt-4o-mini"
    assert len(server.asked) == 2
    assert fallback.given == []


@pytest.mark.parametrize("body", USELESS.values(), ids=list(USELESS))
def test_a_paper_without_useful_answer_is_extracted_and_says_so(
    server, open_summarizer, fallback, body, caplog
):
    server.replies += [Reply(body=chat_answer()), Reply(body=body), Reply(body=body)]
    summarizer = open_summarizer()
    methods = [summary.method for summary in summarizer.summarize(PAPERS[:3])]
    assert methods == ["openai:gpt-4o-mini", "extractive", "openai:gpt-4o-mini"]
    assert fallback.given == [PAPERS[1]]
    assert "gave no summary of 'Title 1'" in caplog.text
    assert (summarizer.usage.written, summarizer.usage.extracted) == (2, 1)


def test_a_cut_off_answer_is_asked_for_again_with_more_room(server, open_summarizer):
    server.replies.append(Reply(body=USELESS["cut off"]))
    open_summarizer(summary_tokens=300).summarize(PAPERS[:1])
    assert [body["max_completion_tokens"] for body in server.asked] == [300, 600]


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (Reply(429), UnavailableError, "asked too often"),
        (Reply(500), UnavailableError, "HTTP 500"),
        (Reply(401), InputError, "OPENAI_API_KEY"),
        (Reply(404), InputError, "model's name"),
    ],
)
def test_a_failing_service_stops_the_run_which_then_goes_on_where_it_was(
    server, open_summarizer, reply, error, message
):
    server.replies += [Reply(body=chat_answer()), Reply(body=chat_answer()), reply]
    with pytest.raises(error, match=f"summaries by gpt-4o-mini.*{message}"):
        open_summarizer().summarize(PAPERS)
    paid = len(server.asked)
    assert len(open_summarizer().summarize(PAPERS)) == 6
    assert len(server.asked) <= paid + 4


def test_usage_counts_tokens_and_money_of_every_answer(server, open_summarizer):
    server.replies.append(Reply(body=chat_answer("useless")))
    summarizer = open_summarizer()
    summarizer.summarize(PAPERS[:2])
    usage = summarizer.usage
    assert (usage.read_tokens, usage.written_tokens) == (2100, 300)
    assert usage.cost_usd == pytest.approx(2100 * 0.15e-6 + 300 * 0.60e-6)
    assert str(usage) == (
        "summaries: 2 written by gpt-4o-mini, 0 from the cache, 0 extracted instead; "
        "2,100 tokens read, 300 written, about $0.0005 at prices of 2026-11-23"
    )


def test_usage_of_a_model_without_known_price_has_tokens_only(open_summarizer):
    summarizer = open_summarizer(summary_model="local-model")
    summarizer.summarize(PAPERS[:1])
    assert summarizer.usage.cost_usd is None
    assert str(summarizer.usage).endswith("700 tokens read, 100 written")


def test_usage_takes_prices_from_the_settings(open_summarizer):
    summarizer = open_summarizer(summary_price_read=1.0, summary_price_written=10.0)
    summarizer.summarize(PAPERS[:1])
    assert summarizer.usage.cost_usd == pytest.approx(0.0017)


def test_usage_of_a_service_that_does_not_count_is_nothing(server, open_summarizer):
    server.replies.append(Reply(body=chat_answer(usage=False)))
    summarizer = open_summarizer()
    summarizer.summarize(PAPERS[:1])
    assert summarizer.usage.cost_usd == 0


def test_nothing_to_summarise_is_an_error_and_not_sent(server, open_summarizer):
    with pytest.raises(InvalidPaperError, match="neither title nor abstract"):
        open_summarizer().summarize([("", " ")])
    assert server.asked == []


def test_no_papers_give_no_summaries(open_summarizer):
    assert open_summarizer().summarize([]) == []


# The command


@pytest.fixture
def paper_file(tmp_path):
    path = tmp_path / "papers.jsonl"
    records = [
        {"bibcode": f"2020ApJ...900..{n}00A", "title": t, "abstract": a}
        for n, (t, a) in enumerate(PAPERS, start=1)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def environment(server, tmp_path, monkeypatch):
    for name, value in {
        "CHANDRA_CACHE": "on",
        "CHANDRA_CACHE_DIR": str(tmp_path / "cache"),
        "CHANDRA_OPENAI_BASE_URL": server.base_url,
        "CHANDRA_OPENAI_MAX_RETRIES": "0",
        "OPENAI_API_KEY": KEY,
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("environment")
def test_cli_papers_are_summarised_by_the_model_at_a_cost_that_is_printed(
    server, paper_file, tmp_path
):
    command = ("ingest", "papers", paper_file, "--summaries", "openai", "--json")
    done = run(*command, data_dir=tmp_path / "one")
    assert json.loads(done.stdout)["ingested"] == 6
    assert "6 written by gpt-4o-mini" in done.stderr
    assert "4,200 tokens read, 600 written, about $0.0010" in done.stderr
    found = run("search", "text", "quasar", "--to", "papers", "--json", data_dir=tmp_path / "one")
    payload = json.loads(found.stdout)["answers"][0]["payload"]
    assert payload["summary_method"] == "openai:gpt-4o-mini"
    assert payload["summary"] == SECTIONS
    assert len(server.asked) == 6
    assert (tmp_path / "cache" / "cache.sqlite3").is_file()


@pytest.mark.usefixtures("environment")
def test_cli_without_a_valid_key_says_what_to_set_and_what_was_spent(
    server, paper_file, tmp_path, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    command = ("ingest", "papers", paper_file, "--summaries", "openai")
    done = run(*command, data_dir=tmp_path / "data", code=2)
    assert "set OPENAI_API_KEY" in done.stderr
    assert "0 tokens read" in done.stderr
    assert "sk-another" not in done.stderr
    assert KEY not in done.stderr
    assert "Traceback" not in done.stderr
