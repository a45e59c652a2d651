"""Tables of answers: columns with units, UCDs and descriptions, and rows of plain values.

A value that is not known is null or masked, never NaN and never a sentinel.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import Any, Literal

from astropy.table import MaskedColumn, Table

Cell = str | int | float | bool | None

_ILLEGAL = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 forbids or discourages; a terminal would obey some of it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; ``name`` is the key of its values in a row."""

    name: str
    kind: type[str] | type[int] | type[float] | type[bool]
    ucd: str
    description: str
    unit: str = ""
    xtype: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of answers before it is written.

    Attributes
    ----------
    columns : sequence of Column
        What a row tells.
    rows : sequence of mapping
        Values by name of the column; a missing name is a value that is not known.
    remarks : mapping of str to str
        What a reader should know, by name; ``overflow`` says that there are more rows.
    """

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    remarks: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        said = {name: clean(text) for name, text in self.remarks.items() if text}
        object.__setattr__(self, "remarks", said)
        by_name = {clean(column.name): column for column in self.columns}
        named = [replace(column, name=name) for name, column in by_name.items() if name]
        cells = [
            {c.name: as_cell(row.get(by_name[c.name].name), c.kind) for c in named}
            for row in self.rows
        ]
        object.__setattr__(self, "columns", named)
        object.__setattr__(self, "rows", cells)


def clean(text: str) -> str:
    """Return text on one line, without characters that XML or a terminal would trip over."""
    return " ".join(_ILLEGAL.sub(" ", text).split())


def as_cell(value: Any, kind: type) -> Cell:  # noqa: ANN401
    """Return a value as its column holds it, None where it is missing."""
    if isinstance(value, list | tuple):
        value = "; ".join(map(str, value))
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return (clean(str(value)) or None) if kind is str else kind(value)


def to_astropy(sheet: Sheet) -> Table:
    """Return the table with masked columns, remarks as its meta."""
    table = Table(meta=dict(sheet.remarks))
    for column in sheet.columns:
        cells = [row[column.name] for row in sheet.rows]
        meta = {"ucd": column.ucd, "xtype": column.xtype}
        table[column.name] = MaskedColumn(
            [column.kind() if cell is None else cell for cell in cells],
            mask=[cell is None for cell in cells],
            dtype=column.kind,
            unit=column.unit or None,
            description=column.description,
            meta={name: value for name, value in meta.items() if value},
        )
    return table


def to_text(sheet: Sheet, fmt: Literal["csv", "ecsv"]) -> str:
    """Return the table as CSV or ECSV; only ECSV carries units, UCDs and remarks."""
    out = StringIO()
    to_astropy(sheet).write(out, format=f"ascii.{fmt}")
    return out.getvalue()
