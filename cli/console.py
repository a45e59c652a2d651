"""What commands say: progress and messages on standard error, answers on standard output."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console, ConsoleDimensions
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from common.ports import Progress as ProgressCallback
from common.records import Outcome

T = TypeVar("T")

REFUSALS_SHOWN = 20

NO_END = 10_000
"""Width of what no terminal shows: a table is as wide as what is in it."""


class _Answers(Console):
    """A console that cuts nothing where there is no terminal."""

    @property  # type: ignore[misc]  # nobody sets it
    def size(self) -> ConsoleDimensions:
        """Width and height."""
        known = super().size
        return known if self.is_terminal else ConsoleDimensions(NO_END, known.height)


errors = Console(stderr=True, highlight=False, soft_wrap=True)
answers = _Answers(highlight=False, soft_wrap=True)


def table_of(*columns: str, **how: Any) -> Table:  # noqa: ANN401
    """Return a table whose long words are folded, not cut, on a narrow terminal."""
    table = Table(**how)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def say(message: str) -> None:
    """Write a message for people."""
    errors.print(message, markup=False)


def print_json(document: Any) -> None:  # noqa: ANN401
    """Write the one JSON document of a command; NaN is not JSON and would be a bug."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def _bars() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
    )


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Yield items under a progress bar."""
    with _bars() as bars:
        yield from bars.track(items, total=total, description=label)


@contextmanager
def stages() -> Iterator[ProgressCallback]:
    """Give a callback that shows one bar for each stage."""
    with _bars() as bars:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


class Report:
    """The outcomes of an ingestion, counted; refusals kept with their reasons.

    ``each`` keeps all others too, to be printed.
    """

    def __init__(self, outcomes: Iterable[Outcome] = (), each: bool = False) -> None:
        self.ingested = 0
        self.unchanged = 0
        self.refused: list[Outcome] = []
        self.kept: list[Outcome] | None = [] if each else None
        self.take(outcomes)

    def take(self, outcomes: Iterable[Outcome]) -> None:
        """Count further outcomes; those before one that raises are counted."""
        for outcome in outcomes:
            if self.kept is not None:
                self.kept.append(outcome)
            if outcome.status == "refused":
                self.refused.append(outcome)
            elif outcome.status == "ingested":
                self.ingested += 1
            else:
                self.unchanged += 1

    def as_json(self) -> dict[str, Any]:
        """Return the report as every ``ingest`` command answers it."""
        return {
            "ingested": self.ingested,
            "unchanged": self.unchanged,
            "refused": [{"input": one.input, "reason": one.detail} for one in self.refused],
        }

    def print(self) -> None:
        """Print a table: of every input, or only of the refused ones."""
        each = self.kept is not None
        shown = self.refused[:REFUSALS_SHOWN] if self.kept is None else self.kept
        if shown:
            table = table_of("input", "outcome", "stored as, or reason", show_lines=each)
            for one in shown:
                notes = "".join(f"\n{note}" for note in one.notes)
                shown_as = "/".join(one.input.split("/")[-2:])
                table.add_row(*map(escape, (shown_as, one.status, one.detail + notes)))
            answers.print(table)
        if not each and len(self.refused) > len(shown):
            say(f"… and {len(self.refused) - len(shown):,} more refusals; --json lists them all")
        answers.print(
            f"{self.ingested:,} ingested, {self.unchanged:,} unchanged, "
            f"{len(self.refused):,} refused"
        )
