"""How commands answer: the format, where it goes, and page after page."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.console import say, stages
from cli.options.groups import Paging
from common.errors import InputError, InvalidQueryError
from search.app import open_services
from search.rendering.columns import remark_on_topic
from search.rendering.formats import Format, render
from search.results import Page, PageOptions, Target
from search.services import Services
from search.settings import SearchSettings

PANEL = "Answer"
FILE_WIDTH = 120
SUFFIXES: dict[str, Format] = {
    ".json": "json",
    ".csv": "csv",
    ".ecsv": "ecsv",
    ".vot": "votable",
    ".xml": "votable",
    ".votable": "votable",
    ".txt": "table",
}

Renderer = Callable[[Format, Console | None], str]


@dataclass(frozen=True)
class Answering:
    """The format of an answer and where it goes."""

    chosen: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="How to answer. Default: as the name of --output ends, else table.",
            show_default=False,
            rich_help_panel=PANEL,
        ),
    ] = None
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Write the answer to this file.", rich_help_panel=PANEL, dir_okay=False
        ),
    ] = None
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite --output.", rich_help_panel=PANEL)
    ] = False
    as_json: Annotated[
        bool, typer.Option("--json", help="The same as --format json.", rich_help_panel=PANEL)
    ] = False
    samp: Annotated[
        bool,
        typer.Option(
            "--samp",
            help="Send the table to TOPCAT and other programs that run, too.",
            rich_help_panel=PANEL,
        ),
    ] = False

    def __post_init__(self) -> None:
        """Refuse what cannot be written before any work is done."""
        if self.as_json and self.chosen not in (None, "json"):
            raise InputError(f"--json contradicts --format {self.chosen}: give one of them")
        if self.force and self.output is None:
            raise InputError("--force overwrites --output, which is not given")
        if self.output is None:
            return
        ending = self.output.suffix.lower()
        if ending and ending not in SUFFIXES and not (self.chosen or self.as_json):
            raise InputError(
                f"{self.output}: {ending} tells no format: end the name in {', '.join(SUFFIXES)}, "
                "or give --format"
            )
        if self.output.exists() and not self.force:
            raise InputError(f"{self.output} exists: give another --output, or --force")
        if not self.output.absolute().parent.is_dir():
            raise InputError(f"{self.output}: there is no such folder: make it first")

    @property
    def format(self) -> Format:
        """The format chosen, else that of the file's name, else a table."""
        if self.as_json:
            return "json"
        suffix = self.output.suffix.lower() if self.output else ""
        return self.chosen or SUFFIXES.get(suffix, "table")

    def give(self, title: str, rendered: Renderer) -> None:
        """Write the answer where it shall go."""
        if self.output:
            # A file is not as wide as this terminal, and has no colours.
            console = Console(file=StringIO(), width=FILE_WIDTH)
            _replace(self.output, rendered(self.format, console))
            say(f"wrote {self.output}")
        else:
            typer.echo(rendered(self.format, None).rstrip("\n"))
        if self.samp:
            from cli.samp import broadcast  # a second that commands without --samp can do without

            say(f"sent to {', '.join(broadcast(rendered('votable', None), title))}")


def _replace(path: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot write {path} ({exc.strerror}): give another --output") from exc


@contextmanager
def opened(settings: SearchSettings) -> Iterator[Services]:
    """Open the services over a store and close the store at the end."""
    services = open_services(settings)
    with services.store:
        yield services


def give_page(
    ask: Callable[[PageOptions], Page],
    to: Target,
    title: str,
    paging: Paging,
    how: Answering,
    nothing: str = "nothing matches: loosen the filter, or see `chandra-search status`",
) -> None:
    """Ask for a page, or for all of them, and answer with it; ``nothing`` is said of no answer."""
    page = _all(ask, paging.arrange()) if paging.every else ask(paging.arrange())
    how.give(
        title,
        lambda fmt, console: render(
            page.hits,
            fmt,
            title=title,
            to=to,
            cursor=page.cursor,
            off_topic=page.off_topic,
            console=console,
        ),
    )
    if not page.hits:
        say(remark_on_topic(page.off_topic) or nothing)
    elif page.cursor:
        say(f"there are more: add --cursor {page.cursor} for the next page, or --all")


def _all(ask: Callable[[PageOptions], Page], arrange: PageOptions) -> Page:
    with stages() as progress:
        page = ask(arrange)
        hits = [*page.hits]
        while page.cursor:
            progress("answers", len(hits), None)
            try:
                page = ask(replace(arrange, cursor=page.cursor))
            except InvalidQueryError as exc:  # as deep as a question reaches: keep what there is
                say(f"not all: {exc}")
                return Page(hits, page.cursor)
            hits += page.hits
    return Page(hits, off_topic=page.off_topic)
