"""Answers of the server as astropy tables and as documents."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from astropy.table import QTable, vstack

from chandra_client.errors import BadAnswerError

ECSV = "text/x-ecsv"
JSON = "application/json"


def as_table(response: httpx.Response) -> QTable:
    """Return an answer as a table, with what is to be known about it in ``meta``."""
    try:
        # As lines: text of a single one would be taken for the name of a file.
        table = QTable.read(response.text.split("\n"), format="ascii.ecsv")
    except (ValueError, IndexError, KeyError, TypeError) as exc:
        raise BadAnswerError(
            f"the answer of {response.request.url} is no complete ECSV table ({exc}): ask again",
            response.status_code,
        ) from exc
    table.meta |= _remarks(response.headers)
    return table


def _remarks(headers: Mapping[str, str]) -> dict[str, str]:
    names = {"cursor": "x-next-cursor", "warnings": "x-warnings"}
    return {name: headers[header] for name, header in names.items() if headers.get(header)}


def as_document(response: httpx.Response) -> dict[str, Any]:
    """Return an answer in JSON."""
    try:
        document: dict[str, Any] = response.json()
    except ValueError as exc:
        raise BadAnswerError(
            f"the answer of {response.request.url} is no complete JSON ({exc}): ask again",
            response.status_code,
        ) from exc
    return document


def joined(pages: Sequence[QTable]) -> QTable:
    """Return pages of one answer as one table; columns that only some have are masked elsewhere."""
    if len(pages) == 1:
        return pages[0]
    table = vstack(list(pages), metadata_conflicts="silent")
    for name in ("cursor", "overflow", "simulated", "unranked"):
        table.meta.pop(name, None)
    if n_simulated := int(sum(table["simulated"])) if "simulated" in table.colnames else 0:
        table.meta["simulated"] = f"{n_simulated} of {len(table)} rows: simulated, not observed"
    return table
