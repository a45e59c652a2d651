"""VOTables of answers, such that TOPCAT, stilts, pyvo and astropy find nothing to complain about.

They are written here and not by `astropy.io.votable`: its writer gives strings a fixed length and
several elements the same ID, which validators refuse, and the C code in it (astropy 8.0.2) writes
one byte beyond its buffer when a row fills it exactly, which ends the process now and then.
"""

from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

from search.rendering.table import Cell, Column, Sheet, clean

MEDIA_TYPE = "application/x-votable+xml"

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
)
_DATATYPES = {int: "long", float: "double", bool: "boolean"}


def to_votable(sheet: Sheet) -> str:
    """Return a VOTable with one resource of results and one table.

    Its ``QUERY_STATUS`` is OVERFLOW where the remarks tell of one. A missing value is an empty
    cell, which is null for every type since VOTable 1.3.
    """
    status = "OVERFLOW" if "overflow" in sheet.remarks else "OK"
    names = [column.name for column in sheet.columns]
    return "".join(
        [
            _HEAD,
            '<RESOURCE type="results">\n',
            _infos({"QUERY_STATUS": status, **sheet.remarks}),
            "<TABLE>\n",
            *(_field(column, [row[column.name] for row in sheet.rows]) for column in sheet.columns),
            "<DATA>\n<TABLEDATA>\n",
            *(_row(row[name] for name in names) for row in sheet.rows),
            "</TABLEDATA>\n</DATA>\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n",
        ]
    )


def error_votable(message: str) -> str:
    """Return the VOTable that says what is wrong (Simple Cone Search 1.03, section 2.3).

    The INFO stands directly below the root, and a RESOURCE is there since VOTable demands one
    (erratum 3).
    """
    return f'{_HEAD}{_infos({"Error": clean(message)})}<RESOURCE type="results"/>\n</VOTABLE>\n'


def _infos(remarks: Mapping[str, str]) -> str:
    return "".join(
        f"<INFO name={quoteattr(name)} value={quoteattr(text)}/>\n"
        for name, text in remarks.items()
    )


def _field(column: Column, cells: Sequence[Cell]) -> str:
    if column.kind is str:
        plain = all(cell is None or str(cell).isascii() for cell in cells)
        kind = {"datatype": "char" if plain else "unicodeChar", "arraysize": "*"}
    else:
        kind = {"datatype": _DATATYPES[column.kind]}
    said = {"name": column.name, **kind, "unit": column.unit, "ucd": column.ucd}
    attributes = {**said, "xtype": column.xtype}
    written = " ".join(f"{name}={quoteattr(text)}" for name, text in attributes.items() if text)
    return f"<FIELD {written}>\n<DESCRIPTION>{escape(column.description)}</DESCRIPTION>\n</FIELD>\n"


def _row(cells: Iterable[Cell]) -> str:
    return f"<TR>{''.join(f'<TD>{_written(cell)}</TD>' for cell in cells)}</TR>\n"


def _written(cell: Cell) -> str:
    if cell is None:
        return ""
    return escape(cell) if isinstance(cell, str) else repr(cell)
