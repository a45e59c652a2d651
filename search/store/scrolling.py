"""Reading a store from end to end."""

from collections.abc import Iterator

from qdrant_client import models

from search.store.base import Store, WithPayload, WithVectors

PAGE = 1000
"""Points of one page, vectors included; without them more fit."""


def scroll_all(
    store: Store,
    collection: str,
    condition: models.Filter | None = None,
    with_payload: WithPayload = True,
    with_vectors: WithVectors = False,
    page: int = PAGE,
) -> Iterator[models.Record]:
    """Yield all points that match, in the order of their ids."""
    offset: int | str | None = None
    while True:
        records, offset = store.scroll(
            collection, condition, page, offset, with_payload, with_vectors
        )
        yield from records
        if offset is None:
            return
