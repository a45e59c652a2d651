import inspect
import shlex
from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from cli.main import app
from cli.options.groups import grouped


@dataclass(frozen=True)
class Colour:
    name: Annotated[str, typer.Option("--colour", help="Its name.")] = "red"
    light: Annotated[bool, typer.Option("--light")] = False


def paint(wall: str, colour: Colour, coats: Annotated[int, typer.Option()] = 1):
    """Paint a wall."""
    typer.echo(f"{wall} {colour} {coats}")


def test_grouped_shows_fields_in_place_of_the_group():
    signature = inspect.signature(grouped(paint))
    assert list(signature.parameters) == ["wall", "coats", "name", "light"]
    assert signature.parameters["name"].default == "red"
    assert grouped(paint).__doc__ == "Paint a wall."


def test_grouped_gives_the_command_its_group():
    cli = typer.Typer()
    cli.command()(grouped(paint))
    done = CliRunner().invoke(cli, ["north", "--colour", "blue", "--light", "--coats", "2"])
    assert done.output == "north Colour(name='blue', light=True) 2\n"
    assert CliRunner().invoke(cli, ["north"]).output == "north Colour(name='red', light=False) 1\n"


SEARCH_LAYER = {"estimate", "classify", "describe", "facets", "explain", "search", "outliers"}
FILTERED = {"text", "spectrum", "like", "examples", "cone", "region", "papers", "detections",
            "estimate", "classify", "facets", "explain", "score", "list"}  # fmt: skip


def commands(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def test_every_question_has_an_example_that_its_own_parser_takes():
    for path, command in commands(typer.main.get_command(app)):
        if path[0] not in SEARCH_LAYER:
            continue
        examples = [
            shlex.split(paragraph)[2:]
            for paragraph in command.help.split("\n\n")
            if paragraph.startswith("Example: chandra-search ")
        ]
        assert examples, path
        for example in examples:
            assert tuple(example[: len(path)]) == path
            command.make_context(path[-1], example[len(path) :]).close()
        for option in command.params:
            assert option.param_type_name == "argument" or option.help, (path, option.name)


def test_filters_are_the_same_options_everywhere():
    spelled = {
        path: frozenset(o for p in command.params for o in p.opts if p.rich_help_panel)
        for path, command in commands(typer.main.get_command(app))
        if path[-1] in FILTERED and path[0] in SEARCH_LAYER
    }
    assert len(spelled) == len(FILTERED)
    narrowing = {
        frozenset(o for o in options if o in ("--class", "--where", "--cone", "--range", "--from"))
        for options in spelled.values()
    }
    assert narrowing == {frozenset({"--class", "--where", "--cone", "--range", "--from"})}
