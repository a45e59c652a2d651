"""What is polled: each feed says, page by page, what is new in an archive since it was asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from common.records import Refusal
from workers.ledger.items import Entry


@dataclass(frozen=True, slots=True)
class Page:
    """A page of discovery.

    Attributes
    ----------
    entries : sequence of Entry
        What the archive says, in any order.
    end : str
        Position up to which everything has been said once this page is recorded.
    cursor : str
        Where to go on after this page.
    """

    entries: Sequence[Entry]
    end: str
    cursor: str


class Feed(Protocol):
    """Something that is polled."""

    name: str
    fetches: bool
    """Whether there is something to fetch for an item before it can be stored."""
    sweeps: bool
    """Whether a whole pass goes over everything, so that what it has not seen is withdrawn."""

    def pages(self, cursor: str) -> Iterator[Page]:
        """Yield what comes after a cursor, empty at the beginning, until there is no more."""
        ...


def refused(refusal: Refusal, position: str) -> Entry:
    """Return the entry of a row that cannot be used as it is."""
    return Entry(refusal.input, {}, position, refusal.reason)
