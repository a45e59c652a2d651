"""The ``--where`` language: ``hard_hs > 0.3 and not (flux_significance_b < 5 or obsid in (1, 2))``.

Comparisons are ``= == != < <= > >=``, ``between … and …``, ``in (…)``, ``is null`` and
``is not null``; they are joined by ``and``, ``or``, ``not`` and parentheses, as in SQL. Text and
dates stand in quotes. A date without a time means that whole day (UTC).

A comparison never holds where the field has no value, nor does its negation: as in SQL, what is
not known is neither above a limit nor not above it. So ``powlaw_gamma != 2`` and
``not powlaw_gamma = 2`` both leave out detections without a fit; ``… or powlaw_gamma is null``
brings them back. In a field that holds several values, any of them will do.

``class = 'AGN'`` and ``class in (…)`` hold for these source classes and all below them;
``cone(10.68, 41.27, 5 arcmin)`` holds in a circle: RA and Dec in degrees (ICRS), and a radius.
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal, NoReturn, cast

from lark import (
    Lark,
    Token,
    Transformer,
    UnexpectedCharacters,
    UnexpectedInput,
    UnexpectedToken,
    v_args,
)
from qdrant_client import models

from common.errors import InvalidQueryError
from common.source_class import label_of
from common.variables import VARIABLES
from search.collections.schema import fold_name
from search.filters.cone import Cone

Kind = Literal["number", "integer", "text", "date", "flag", "class", "position", "person"]

PAYLOAD_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "class": "class_path",
        "position": "ra_deg",
        "author": "author_names",
        "source": "source_names",
    }
)
"""Payload fields behind those that are called otherwise here."""

MAX_CHARACTERS = 10_000
MAX_DEPTH = 32  # of and, or, not inside each other; parentheses alone do not count

_INTEGER_LIMIT = 2**53  # beyond it neither float64 nor JSON tells whole numbers apart

_KIND_SAYS = {
    "number": "a number",
    "integer": "a whole number",
    "text": "text in quotes",
    "person": "a name in quotes",
    "date": "a date in quotes, such as '2019-07-31'",
    "flag": "true or false",
    "class": "a source class in quotes, such as 'AGN'",
    "position": "a place on the sky",
}
_TERMINAL_SAYS = {
    "$END": "the end",
    "LPAR": "an opening parenthesis",
    "RPAR": "a closing parenthesis",
    "COMMA": "a comma",
    "NAME": "a field name",
    "OPERATOR": "a comparison such as >=",
    "NUMBER": "a number",
    "STRING": "text in quotes",
    "FLAG": "true or false",
    "CONE": "cone(ra, dec, radius)",
    "RADIUS": "a radius with its unit, such as 5 arcmin",
}
_N = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?"
_WITH_UNIT = re.compile(
    r"(?<!\w)(?P<field>[a-z_]\w*)\s*(?:[<>=!]=?|(?:not\s+)?between\b|(?:not\s+)?in\s*\()\s*"
    rf"(?:{_N}\s*(?:,|and\b)\s*)*(?P<number>{_N})\s*"
    r"(?P<unit>(?:[kmu]?s|sec|seconds?|min|h|hours?|d|days?|yr|years?|[kmg]?ev|erg|cm|counts?|ct|deg"
    r"|degrees?|arcmin|arcsec|k?hz)(?![^\W\d])[\w^*/-]*)",
    re.IGNORECASE,
)
_UNITS: Mapping[str, str] = MappingProxyType(
    {variable.name: variable.unit for variable in VARIABLES}
    | {"exposure_s": "s", "ra_deg": "deg", "dec_deg": "deg"}
)
_BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


@dataclass(frozen=True, slots=True)
class _Test:
    """A field compared with values, or a position with a cone."""

    field: Token
    operator: Token
    values: tuple[Token, ...]
    negated: bool
    depth: int = 0


@dataclass(frozen=True, slots=True)
class _Group:
    """Tests joined by ``and``, ``or``, or a single one after ``not``."""

    joined_by: Literal["and", "or", "not"]
    parts: tuple["_Node", ...]
    depth: int


_Node = _Test | _Group


def unknown_field(name: str, fields: Iterable[str]) -> str:
    """Return what to say of a field that there is not, with the nearest ones that there are."""
    known = [*fields]
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(known)}"
    return f"there is no field {name[:40]}; {hint}"


def parse_where(text: str, fields: Mapping[str, Kind]) -> models.Filter:
    """Return the filter that an expression stands for.

    Parameters
    ----------
    text : str
        The expression, at most `MAX_CHARACTERS` long.
    fields : mapping of str to Kind
        Fields that may be used, and what they hold.

    Returns
    -------
    Filter
        Matches the points for which the expression is known to be true.

    Raises
    ------
    InvalidQueryError
        If the expression cannot be read; the message points at the place.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidQueryError(
            f"the --where expression has {len(text):,} characters, at most {MAX_CHARACTERS:,} "
            "are read: shorten it"
        )
    try:
        tree = cast(_Node, _parser().parse(text))
    except UnexpectedInput as exc:
        raise _syntax_error(text, exc, fields) from exc
    condition = _Reader(text, fields).condition(tree, negated=False)
    return condition if isinstance(condition, models.Filter) else models.Filter(must=[condition])


@v_args(inline=True)
class _TreeBuilder(Transformer[Token, "_Node"]):
    """Runs inside the parser, which has no recursion, so that no nesting can overflow a stack."""

    def test(self, field: Token, operator: Token, *values: Token) -> _Test:
        negated = operator == "!="
        return _Test(field, operator, values, negated)

    def negated_test(self, field: Token, operator: Token, *values: Token) -> _Test:
        return _Test(field, operator, values, negated=True)

    def cone(self, operator: Token, *values: Token) -> _Test:
        field = Token.new_borrow_pos("NAME", "position", operator)
        return _Test(field, operator, values, negated=False)

    def negation(self, part: _Node) -> _Group:
        return _group("not", part)

    def all_of(self, *parts: _Node) -> _Group:
        return _group("and", *parts)

    def any_of(self, *parts: _Node) -> _Group:
        return _group("or", *parts)


def _group(joined_by: Literal["and", "or", "not"], *parts: _Node) -> _Group:
    depth = 1 + max(part.depth for part in parts)
    if depth > MAX_DEPTH:
        raise InvalidQueryError(
            f"the --where expression nests and, or, not more than {MAX_DEPTH} deep: simplify it"
        )
    return _Group(joined_by, parts, depth)


@lru_cache
def _parser() -> Lark:
    grammar = files("search.filters").joinpath("where.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", transformer=_TreeBuilder())


class _Reader:
    """Turns the tree of one expression into conditions."""

    def __init__(self, text: str, fields: Mapping[str, Kind]) -> None:
        self._text = text
        self._fields = fields

    def condition(self, node: _Node, *, negated: bool) -> models.Condition:
        """Return the condition under which a node is true, or false where ``negated``.

        Negations are pushed down to the tests (De Morgan), where a missing value makes a test and
        its negation alike fail. That is the three-valued logic of SQL.
        """
        if isinstance(node, _Test):
            return self._test(node, negated != node.negated)
        if node.joined_by == "not":
            return self.condition(node.parts[0], negated=not negated)
        parts = [self.condition(part, negated=negated) for part in node.parts]
        if (node.joined_by == "and") != negated:
            return models.Filter(must=parts)
        return models.Filter(should=parts)

    def _test(self, test: _Test, negated: bool) -> models.Condition:
        kind = self._kind(test.field)
        key = PAYLOAD_KEYS.get(test.field, str(test.field))
        missing = models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
        if test.operator.type == "NULL":
            return models.Filter(must_not=[missing]) if negated else missing
        condition = self._comparison(test, key, kind)
        return models.Filter(must_not=[condition, missing]) if negated else condition

    def _kind(self, field: Token) -> Kind:
        if field in self._fields:
            return self._fields[field]
        self._fail(field, unknown_field(field, self._fields))

    def _comparison(self, test: _Test, key: str, kind: Kind) -> models.Condition:
        operator, values = test.operator, test.values
        if operator.type == "CONE":
            return self._cone(test)
        if kind == "position":
            self._fail(operator, "a position is compared by cone(ra, dec, radius), or is null")
        if operator in _BOUNDS:
            return self._range(key, kind, {_BOUNDS[operator]: values[0]})
        if operator.type == "BETWEEN":
            return self._range(key, kind, {"gte": values[0], "lte": values[1]})
        equal = [self._equal(key, kind, value) for value in values]
        return equal[0] if len(equal) == 1 else models.Filter(should=[*equal])

    def _equal(self, key: str, kind: Kind, value: Token) -> models.FieldCondition:
        match kind:
            case "number" | "date":
                return self._range(key, kind, {"gte": value, "lte": value})
            case "integer":
                exact: int | str | bool = self._integer(value)
            case "text":
                exact = self._printable(value, kind)
            case "person":
                exact = fold_name(self._printable(value, kind))
            case "class":
                exact = self._class(value)
            case "flag":
                exact = self._expect(value, "FLAG", kind).lower() == "true"
        return models.FieldCondition(key=key, match=models.MatchValue(value=exact))

    def _range(self, key: str, kind: Kind, bounds: Mapping[str, Token]) -> models.FieldCondition:
        if kind == "date":
            moments = {bound: self._moment(value, bound) for bound, value in bounds.items()}
            return models.FieldCondition(key=key, range=models.DatetimeRange(**moments))
        if kind in ("number", "integer"):
            numbers = {bound: self._number(value, kind) for bound, value in bounds.items()}
            return models.FieldCondition(key=key, range=models.Range(**numbers))
        first = next(iter(bounds.values()))
        self._fail(first, f"{key} holds {_KIND_SAYS[kind]}, which has no order: use =, != or in")

    def _cone(self, test: _Test) -> models.FieldCondition:
        values = [str(value) for value in test.values]
        try:
            return Cone.parse(", ".join(values)).to_condition()
        except InvalidQueryError as exc:
            self._fail(test.operator, str(exc))

    def _printable(self, value: Token, kind: Kind) -> str:
        text = self._expect(value, "STRING", kind)[1:-1]
        if not text.isprintable():
            self._fail(value, "this text holds characters that cannot be printed: leave them out")
        return text

    def _class(self, value: Token) -> str:
        name = self._printable(value, "class")
        try:
            return label_of(name)
        except InvalidQueryError as exc:
            self._fail(value, str(exc))

    def _number(self, value: Token, kind: Kind = "number") -> float:
        number = float(self._expect(value, "NUMBER", kind))
        if not math.isfinite(number):
            self._fail(value, f"{value[:40]} is too large: give a finite number")
        return number

    def _integer(self, value: Token) -> int:
        number = self._number(value, "integer")
        if not number.is_integer() or abs(number) >= _INTEGER_LIMIT:
            self._fail(value, f"expected a whole number below 2^53, not {value[:40]}")
        return int(number)

    def _moment(self, value: Token, bound: str) -> datetime:
        """Return a moment; of a whole day, the end that makes the bound include or exclude it."""
        text = self._expect(value, "STRING", "date")[1:-1]
        try:
            if len(text) <= len("2019-07-31"):
                of_day = time.max if bound in ("lte", "gt") else time.min
                return datetime.combine(date.fromisoformat(text), of_day, UTC)
            moment = datetime.fromisoformat(text)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            self._fail(
                value, f"{value[:40]} is no date: write '2019-07-31' or '2019-07-31T12:00:00'"
            )

    def _expect(self, value: Token, terminal: str, kind: Kind) -> str:
        if value.type != terminal:
            self._fail(value, f"expected {_KIND_SAYS[kind]}, not {value[:40]}")
        return str(value)

    def _fail(self, token: Token, message: str) -> NoReturn:
        raise _error_at(self._text, token.start_pos or 0, message)


def _syntax_error(text: str, exc: UnexpectedInput, fields: Mapping[str, Kind]) -> InvalidQueryError:
    if not text.strip():
        return InvalidQueryError(
            "the --where expression is empty: leave it out, or compare a field"
        )
    position, expected = exc.pos_in_stream or 0, set[str]()
    if isinstance(exc, UnexpectedCharacters):
        expected = exc.allowed
        if text[position] in "'\"":
            return _error_at(text, position, "this quote is never closed")
    elif isinstance(exc, UnexpectedToken):
        expected = exc.accepts
        if exc.token.type == "$END":
            position = len(text)
    if said := _unit_said(text, position, fields):
        return _error_at(text, position, said)
    names = sorted({_TERMINAL_SAYS.get(name, name.strip("_").lower()) for name in expected})
    one_of = "one of: " if len(names) > 1 else ""
    return _error_at(text, position, f"expected {one_of}{', '.join(names)}")


def _unit_said(text: str, position: int, fields: Mapping[str, Kind]) -> str | None:
    """Return what to say of a unit behind a number at this place, None if there is none."""
    for match in _WITH_UNIT.finditer(text):
        field = match["field"]
        if match.start("number") <= position <= match.start("unit") and field in fields:
            unit = _UNITS.get(field)
            held = f"{field} is in {unit}" if unit else f"{field} has no unit"
            return f"numbers stand without a unit, leave {match['unit'][:20]} out: {held}"
    return None


def _error_at(text: str, position: int, message: str) -> InvalidQueryError:
    """Return an error that shows the place with a caret under it."""
    start = max(0, position - 60)
    excerpt = "".join(c if c.isprintable() else " " for c in text[start : position + 40])
    return InvalidQueryError(
        f"--where, character {position + 1}: {message}\n  {excerpt}\n  {' ' * (position - start)}^"
    )
