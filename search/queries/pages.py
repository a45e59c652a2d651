"""Pages and their cursors: where the next page begins, bound to the question that was asked.

A cursor holds the place of the last answer shown, not a number of answers to skip: what is inserted
or deleted between two pages neither repeats an answer nor loses one that was there before.
"""

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from common.errors import InvalidQueryError
from search.results import PageOptions

T = TypeVar("T")

MAX_LIMIT = 1000
"""Most answers of one page."""

PLAIN = PageOptions()
"""The ten best answers."""

Place = tuple[float | str, ...]
"""What answers are sorted by, ascending: numbers, then the point id."""

_DIGEST = 8
_MARK = 5  # bytes of a mark: two of 1,000 papers share one in a million cases


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ends.

    Attributes
    ----------
    place : tuple of float and str
        What the last answer was sorted by.
    seen : int
        How many points the engine gave up to there.
    marks : frozenset of bytes
        Marks of the papers shown, where ranks have no lasting place: those of a search by words.
    """

    place: Place = ()
    seen: int = 0
    marks: frozenset[bytes] = frozenset()

    def write(self, question: str) -> str:
        """Return the cursor as url-safe text, bound to the fingerprint of a question."""
        head = json.dumps([*self.place, self.seen], separators=(",", ":")).encode()
        body = head + b"\n" + b"".join(sorted(self.marks))
        return base64.urlsafe_b64encode(_digest(question, body) + body).decode().rstrip("=")

    @classmethod
    def read(cls, text: str, question: str) -> "Cursor":
        """Return the cursor that such text holds.

        Raises
        ------
        InvalidQueryError
            If it is damaged or belongs to another question.
        """
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as exc:
            raise _no_cursor(text) from exc
        digest, body = raw[:_DIGEST], raw[_DIGEST:]
        if digest != _digest(question, body):
            raise _no_cursor(text)
        return cls._parse(text, body)

    @classmethod
    def _parse(cls, text: str, body: bytes) -> "Cursor":
        head, _, marks = body.partition(b"\n")
        try:
            *place, seen = json.loads(head)
        except ValueError as exc:
            raise _no_cursor(text) from exc
        numbers, last = place[:-1], place[-1:]
        if not (
            type(seen) is int
            and seen >= 0
            and all(type(value) is float and math.isfinite(value) for value in numbers)
            and all(type(value) is str for value in last)
            and len(marks) % _MARK == 0
        ):
            raise _no_cursor(text)
        cut = range(0, len(marks), _MARK)
        return cls(tuple(place), seen, frozenset(marks[i : i + _MARK] for i in cut))


def mark(identifier: str) -> bytes:
    """Return a few bytes that tell a paper shown from others."""
    return hashlib.sha256(identifier.encode()).digest()[:_MARK]


def cursor_of(arrange: PageOptions, question: str, length: int) -> Cursor | None:
    """Return the cursor of an arrangement, whose place has so many parts."""
    if arrange.cursor is None:
        return None
    cursor = Cursor.read(arrange.cursor, question)
    if len(cursor.place) != length:
        raise _no_cursor(arrange.cursor)
    return cursor


def after(items: Iterable[T], place: Callable[[T], Place], cursor: Cursor | None) -> list[T]:
    """Return the items sorted by place, without those up to the cursor."""
    ranked = sorted(items, key=place)
    if cursor is None:
        return ranked
    last = cursor.place[-1]
    # The last answer is also known by its id: its score may come back a rounding error off.
    return [item for item in ranked if (at := place(item)) > cursor.place and at[-1] != last]


def cut(
    items: Sequence[T],
    place: Callable[[T], Place],
    arrange: PageOptions,
    question: str,
    length: int,
) -> tuple[list[T], str | None]:
    """Return one page of all items there are, and the cursor of the next page."""
    rest = after(items, place, cursor_of(arrange, question, length))
    page = rest[: arrange.limit]
    if len(rest) == len(page):
        return page, None
    return page, Cursor(place(page[-1])).write(question)


def check_limit(limit: int, most: int = MAX_LIMIT) -> None:
    """Refuse a number of answers that is not from 1 to the most there may be."""
    if not 1 <= limit <= most:
        raise InvalidQueryError(f"limit is {limit}: give a number from 1 to {most:,}")


def check_arrange(arrange: PageOptions) -> None:
    """Refuse an arrangement that cannot be made."""
    check_limit(arrange.limit)
    if not 0 <= arrange.diversity <= 1:  # NaN is refused too
        raise InvalidQueryError(
            f"diversity is {arrange.diversity}: give a number from 0 (by similarity) to 1"
        )
    if arrange.diversity and arrange.cursor is not None:
        raise InvalidQueryError(
            "answers ranked with diversity depend on all before them and have one page only: "
            "leave cursor out and raise limit, or leave diversity out"
        )


def _digest(question: str, body: bytes) -> bytes:
    return hashlib.sha256(question.encode() + b"\n" + body).digest()[:_DIGEST]


def _no_cursor(text: str) -> InvalidQueryError:
    return InvalidQueryError(
        f"cursor {text[:40]!r} is damaged or belongs to another question: repeat the question "
        "it came with unaltered, or begin again without cursor"
    )
