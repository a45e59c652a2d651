"""Which form a store is in, so that code older than it says so instead of misreading it."""

from importlib.metadata import version

from qdrant_client import models

from common.errors import InputError, NotFoundError
from search.store.base import CollectionSchema, Store

FORMAT = 1
"""Raised when code that knows the number before can no longer read what is stored."""

ABOUT = "about"
_SCHEMA = CollectionSchema({}, sparse=("none",))  # the engines want at least one vector
_POINT = 1


def check_format(store: Store) -> None:
    """Raise InputError if a store was written by newer code."""
    try:
        records = store.retrieve(ABOUT, [_POINT])
    except NotFoundError:
        return
    said = (records[0].payload or {}) if records else {}
    if int(said.get("format", 0)) > FORMAT:
        raise InputError(
            f"this store was written by chandra-search {said.get('version')}, in a form that "
            f"{version('chandra-search')} does not know: upgrade, or use another --data-dir"
        )


def write_format(store: Store) -> None:
    """Write down the form of a store that has none yet."""
    if ABOUT in store.collections():
        return
    store.create_collection(ABOUT, _SCHEMA)
    payload = {"format": FORMAT, "version": version("chandra-search")}
    store.upsert(ABOUT, [models.PointStruct(id=_POINT, vector={}, payload=payload)])
