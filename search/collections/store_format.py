"""Which form a store is in, so that code older than it says so instead of misreading it."""

import logging
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from qdrant_client import models

from common.errors import InputError, NotFoundError
from search.store.base import CollectionSchema, Store

FORMAT = 2
"""Raised when code that knows the number before can no longer read what is stored, or write to it.

2: writes leave revisions; what was written without would be taken for unchanged.
"""

_log = logging.getLogger(__name__)

ABOUT = "about"
_SCHEMA = CollectionSchema({}, sparse=("none",))  # the engines want at least one vector
_POINT = 1


def check_format(store: Store) -> None:
    """Raise InputError if a store was written by newer code."""
    said = _said(store)
    if _number(said) > FORMAT:
        raise InputError(
            f"this store was written by chandra-search {said.get('version')}, in a form that "
            f"{version('chandra-search')} does not know: upgrade, or use another --data-dir"
        )


def write_format(store: Store) -> None:
    """Write down the form of a store that has none yet, or a former one."""
    known = ABOUT in store.collections()
    if known and _number(_said(store)) >= FORMAT:
        return
    if known:
        _log.warning(
            "this store was made by a former version: it is used as it is, nothing is lost, but "
            "that version cannot open it any more; stop all its processes before"
        )
    store.create_collection(ABOUT, _SCHEMA)
    payload = {"format": FORMAT, "version": version("chandra-search")}
    store.upsert(ABOUT, [models.PointStruct(id=_POINT, vector={}, payload=payload)])


def _said(store: Store) -> dict[str, Any]:
    try:
        records = store.retrieve(ABOUT, [_POINT])
    except NotFoundError:
        return {}
    return (records[0].payload or {}) if records else {}


def _number(said: Mapping[str, Any]) -> int:
    return int(said.get("format", 0))
