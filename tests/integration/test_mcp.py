"""The MCP server, asked by the mcp package's own client: in memory, and as the real command."""

import json

import anyio
import pytest
from command import COMMAND, run
from fake_encoder import FakeEncoder
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from small_store import (
    AGN,
    AGN_AGAIN,
    AGN_NAME,
    AGN_PAPER,
    BINARY,
    BINARY_PAPER,
    QUESTION,
    WEATHER_PAPER,
    SmallStore,
)

from search.app import build_services
from search.mcp import MAX_ANSWERS, create_mcp
from search.settings import SearchSettings

pytestmark = pytest.mark.integration

TOOLS = {"search", "papers", "estimate", "describe"}


def structured(result):
    """Return what a tool answered, which must be the same as text and as an object."""
    assert not result.is_error, result.content
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


@pytest.fixture(scope="module")
def server(module_folder):
    small = SmallStore(module_folder("small") / "store")
    small.add_paper(WEATHER_PAPER)
    with small.store:
        yield create_mcp(build_services(small.store, FakeEncoder(), SearchSettings()))


@pytest.fixture(scope="module")
def call(server):
    """Call a tool in memory."""

    def run_tool(name, **arguments):
        async def session():
            async with Client(server) as client:
                return await client.call_tool(name, arguments)

        return anyio.run(session)

    return run_tool


@pytest.fixture(scope="module")
def answer(call):
    return lambda name, **arguments: structured(call(name, **arguments))


def keys(page):
    return [one["key"] for one in page["answers"]]


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("search", {"max_results": 3}, "'max_results'; known: question, like"),
        ("search", {"class": ["AGN"]}, "'class'; did you mean classes?"),
        ("papers", {"questoin": QUESTION}, "'questoin'; did you mean question?"),
        ("estimate", {"identifier": AGN, "k": 5}, "'k'; known: identifier"),
    ],
)
def test_mcp_argument_that_a_tool_does_not_have_is_refused_by_name(call, tool, arguments, said):
    result = call(tool, **arguments)
    assert result.is_error
    assert f"{tool} takes no argument {said}" in result.content[0].text


def test_mcp_tools_tell_a_model_what_they_take(server):
    async def listed():
        async with Client(server) as client:
            return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in anyio.run(listed)}
    assert tools.keys() == TOOLS
    for tool in tools.values():
        assert tool.description
        assert tool.annotations.read_only_hint
        assert "self" not in tool.input_schema["properties"]
    search = tools["search"].input_schema["properties"]
    assert all("description" in search[name] for name in search)
    assert search["limit"]["maximum"] == MAX_ANSWERS
    assert tools["estimate"].input_schema["required"] == ["identifier"]


def test_mcp_search_asks_by_words_by_examples_and_lists(answer):
    assert AGN.key in keys(answer("search", question=QUESTION, classes=["AGN"]))
    found = keys(answer("search", like=[BINARY.key], unlike=[AGN.key]))
    assert not {BINARY.key, AGN.key, AGN_AGAIN.key} & set(found)
    assert keys(answer("search", cone="10.68 41.262 1arcmin")) == [AGN.key]
    assert keys(answer("search", where="hard_hs > 0.75")) == [AGN.key]


def test_mcp_answers_are_short_and_leave_out_what_is_not_known(answer):
    hits = answer("search", question=QUESTION)["answers"]
    first = next(hit for hit in hits if hit["key"] == AGN.key)
    assert first["source_name"] == AGN_NAME
    assert first["class_path"] == "Galaxy > AGN > SyG > Sy1"
    assert -1 <= first["cosine"] <= 1
    assert not {"simulated", "payload", "id"} & first.keys()
    assert [hit["simulated"] for hit in hits if "simulated" in hit] == [True]
    assert None not in first.values()


def test_mcp_pages_lead_to_the_end(answer):
    whole = keys(answer("search", limit=50))
    page = answer("search", limit=2)
    found = keys(page)
    while "next_cursor" in page:
        page = answer("search", limit=2, cursor=page["next_cursor"])
        found += keys(page)
    assert found == whole
    assert len(whole) == 5


def test_mcp_papers_are_found_by_words_about_a_detection_and_listed(answer):
    first = answer("papers", question=QUESTION)["answers"][0]
    assert first["bibcode"] == AGN_PAPER.bibcode
    assert first["highlights"]
    about = answer("papers", about=AGN.key)
    bibcodes = {one["bibcode"] for one in about["answers"]}
    assert bibcodes == {AGN_PAPER.bibcode, BINARY_PAPER.bibcode}
    assert {one["topic_probability"] for one in about["answers"]} == {0.98}
    assert about["off_topic"] == 1
    anything = answer("papers", about=AGN.key, any_topic=True)["answers"]
    assert {one["bibcode"] for one in anything} == bibcodes | {WEATHER_PAPER.bibcode}
    region = {"region": "10.68 41.27 1deg"}
    assert answer("papers", **region) == {"off_topic": 1, "answers": []}
    assert len(answer("papers", **region, any_topic=True)["answers"]) == 1
    assert answer("papers", min_topic=0.99)["answers"] == []
    listed = answer("papers", year_from=2005)["answers"]
    assert [one["year"] for one in listed] == [2010]


def test_mcp_estimate_gives_numbers_with_units_and_classes(answer):
    found = answer("estimate", identifier=BINARY.key)
    assert found["name"]
    assert isinstance(found["outside"], bool)
    for name, one in found["variables"].items():
        assert isinstance(one["estimate"], float), name
    assert all(0 <= one["probability"] <= 1 for one in found["classes"])


def test_mcp_describe_gives_statements_with_evidence(answer):
    found = answer("describe", identifier=AGN.key)
    assert found["statements"]
    for statement in found["statements"]:
        assert set(statement["references"]) <= found["references"].keys()


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("search", {"question": "x", "like": ["y"]}, "give one of them"),
        ("search", {"question": "x", "classes": ["Sayfert"]}, "nearest: SyG"),
        ("search", {"where": "hard_hs >> 3"}, "hard_hs >> 3"),
        ("search", {"cone": "10 20 5"}, "arcmin"),
        ("search", {"cursor": "abc"}, "cursor"),
        ("search", {"limit": 0}, "limit"),
        ("search", {"limit": 51}, "limit"),
        ("search", {"limit": "many"}, "limit"),
        ("search", {"question": "x" * 2001}, "question"),
        ("search", {"unlike": [AGN.key]}, "positive"),
        ("papers", {"question": "x", "region": "1 2 3arcmin"}, "give one of them"),
        ("papers", {"about": "nothing-of-that-name"}, "no detection or paper"),
        ("papers", {"year_from": 2010, "year_to": 2000}, "2010"),
        ("estimate", {}, "identifier"),
        ("estimate", {"identifier": "nothing"}, "nothing"),
        ("describe", {"identifier": "../../etc/passwd"}, "etc/passwd"),
    ],
)
def test_mcp_mistakes_are_tool_errors_that_a_model_can_act_on(call, name, arguments, said):
    result = call(name, **arguments)
    assert result.is_error
    assert said in result.content[0].text
    assert "Traceback" not in result.content[0].text


def test_mcp_command_speaks_nothing_but_the_protocol(tmp_path):
    run("demo", "--n", 20, "--no-serve", data_dir=tmp_path)
    command, *arguments = [*COMMAND, "mcp", "--data-dir", str(tmp_path / "demo")]
    parameters = StdioServerParameters(
        command=command, args=arguments, env={"CHANDRA_CACHE": "off"}
    )

    async def session():
        with (tmp_path / "stderr.txt").open("w") as errors:
            async with Client(stdio_client(parameters, errors)) as client:
                tools = {tool.name for tool in (await client.list_tools()).tools}
                found = await client.call_tool("search", {"question": QUESTION, "limit": 3})
                named = structured(found)["answers"][0]["key"]
                estimated = await client.call_tool("estimate", {"identifier": named})
                wrong = await client.call_tool("search", {"classes": ["Sayfert"]})
                return tools, structured(found), structured(estimated), wrong

    tools, found, estimated, wrong = anyio.run(session)
    assert tools == TOOLS
    assert all(one["simulated"] for one in found["answers"])
    assert estimated["variables"]["hard_hs"]["estimate"] is not None
    assert wrong.is_error
    assert "nearest: SyG" in wrong.content[0].text
    assert "Traceback" not in (tmp_path / "stderr.txt").read_text()
