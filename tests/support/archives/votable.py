"""Answers of a TAP service."""

from datetime import datetime
from xml.sax.saxutils import escape

KINDS = {int: 'datatype="int"', float: 'datatype="double"', str: 'datatype="char" arraysize="*"'}


def votable(columns, rows, overflow=False):
    """Return rows, as dicts, in a VOTable; `columns` are kinds by name, ``None`` an empty cell."""
    fields = "".join(f'<FIELD name="{name}" {KINDS[kind]}/>' for name, kind in columns.items())
    body = "".join(
        "<TR>" + "".join(f"<TD>{_cell(row.get(name))}</TD>" for name in columns) + "</TR>"
        for row in rows
    )
    end = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>' if overflow else ""
    return _wrapped(
        '<INFO name="QUERY_STATUS" value="OK"/>'
        f"<TABLE>{fields}<DATA><TABLEDATA>{body}</TABLEDATA></DATA></TABLE>{end}"
    )


def error(message):
    """Return what a service says of a question that it does not understand."""
    return _wrapped(f'<INFO name="QUERY_STATUS" value="ERROR">{escape(message)}</INFO>')


def _wrapped(content):
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f'<RESOURCE type="results">{content}</RESOURCE></VOTABLE>\n'
    ).encode()


def _cell(value):
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S")
    return escape(str(value))
