"""``chandra-search mcp``: tools for a language model."""

from cli.console import say
from cli.options.answer import opened
from cli.options.groups import Place, grouped


@grouped
def mcp(place: Place) -> None:
    """Answer a language model's questions over MCP, on standard input and output.

    A program that runs models starts this itself; tell it the command, for instance with
    claude mcp add chandra -- chandra-search mcp --data-dir /path/to/data

    The tools are search, papers, estimate and describe. None of them changes the store.
    """
    from search.mcp import create_mcp  # a second that --help can do without

    with opened(place.settings()) as services:
        say("ready: tools search, papers, estimate, describe")
        create_mcp(services).run("stdio")
