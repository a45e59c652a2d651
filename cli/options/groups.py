"""Options that come in groups, each group spelled once, as the fields of a dataclass."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Annotated, Any, get_type_hints

import typer

from cli.options.store import Bundle, DataDir, settings_for
from search.queries.pages import MAX_LIMIT
from search.results import PageOptions
from search.settings import SearchSettings

Command = Callable[..., None]

PAGE = "Pages and order"


def grouped(command: Command) -> Command:
    """Let a command take groups of options: a parameter annotated with a dataclass becomes them.

    Typer reads options from a signature, so the signature it sees has the fields of each dataclass
    in place of the parameter, and the command gets the dataclass made of what was given.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, type[Any]] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation)
    }

    @functools.wraps(command)
    def run(**given: Any) -> None:  # noqa: ANN401
        for name, group in groups.items():
            given[name] = group(**{option.name: given.pop(option.name) for option in fields(group)})
        command(**given)

    shown = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in signature.parameters.items()
        if name not in groups
    ]
    for group in groups.values():
        shown += _options(group)
    run.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return run


def _options(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default,
            annotation=hints[option.name],
        )
        for option in fields(group)
    ]


@dataclass(frozen=True)
class Place:
    """Where the store is and what encodes."""

    data_dir: DataDir = None
    bundle: Bundle = None

    def settings(self) -> SearchSettings:
        """Return the settings that these options and the environment give."""
        return settings_for(self.data_dir, self.bundle)


Limit = Annotated[
    int,
    typer.Option(min=1, max=MAX_LIMIT, help="Answers of one page at most.", rich_help_panel=PAGE),
]


@dataclass(frozen=True)
class Paging:
    """Which page of the answers."""

    limit: Limit = 10
    cursor: Annotated[
        str | None,
        typer.Option(
            help="Go on where a page of the same question ended: what that page said.",
            rich_help_panel=PAGE,
        ),
    ] = None
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="All pages, one after the other, as one answer.", rich_help_panel=PAGE
        ),
    ] = False

    def arrange(self) -> PageOptions:
        """Return the arrangement of the first page asked for."""
        return PageOptions(limit=MAX_LIMIT if self.every else self.limit, cursor=self.cursor)


@dataclass(frozen=True)
class LongPaging(Paging):
    """The same, for lists that are short by nature."""

    limit: Limit = 100


@dataclass(frozen=True)
class Arranging(Paging):
    """Which page of the answers, and their order."""

    by_source: Annotated[
        bool,
        typer.Option(
            "--by-source", help="Only the best detection of each source.", rich_help_panel=PAGE
        ),
    ] = False
    diversity: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="0 ranks by similarity alone; towards 1, answers differ more from each other.",
            rich_help_panel=PAGE,
        ),
    ] = 0.0

    def arrange(self) -> PageOptions:
        """Return the arrangement of the first page asked for."""
        return replace(super().arrange(), by_source=self.by_source, diversity=self.diversity)
