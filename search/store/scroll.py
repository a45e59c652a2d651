"""Reading a store from end to end, or what comes first by a field."""

from collections.abc import Iterator
from datetime import datetime

from qdrant_client import models

from search.store.base import Store, WithPayload, WithVectors

PAGE = 1000
"""Points of one page, vectors included; without them more fit."""

_DIRECTION = {False: models.Direction.ASC, True: models.Direction.DESC}


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


def first_by(
    store: Store,
    collection: str,
    key: str,
    condition: models.Filter | None = None,
    limit: int = 1,
    descending: bool = False,
    with_payload: WithPayload = True,
) -> list[models.Record]:
    """Return the points of the lowest values of a field, or of the highest if ``descending``.

    Points of equal value come in the order of their ids, those without a value not at all.

    Parameters
    ----------
    key : str
        An indexed field that holds one number or one date; it is always in the payload returned.
    """
    fields = [*with_payload, key] if isinstance(with_payload, list) else True
    order = models.OrderBy(key=key, direction=_DIRECTION[descending])
    page, _ = store.scroll(collection, condition, limit, with_payload=fields, order_by=order)
    tied: list[models.Record] = []
    if len(page) == limit:  # others of the last value may have been cut off, by chance
        last = page[-1]
        page = [record for record in page if record.order_value != last.order_value]
        must = [_equal(key, (last.payload or {})[key]), *([condition] if condition else [])]
        room = limit - len(page)
        tied, _ = store.scroll(collection, models.Filter(must=must), room, with_payload=fields)
    sign = -1 if descending else 1
    page.sort(key=lambda r: (sign * (r.order_value or 0), isinstance(r.id, str), r.id))
    return page + tied


def _equal(key: str, value: float | str) -> models.Condition:
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return models.FieldCondition(key=key, range=models.DatetimeRange(gte=moment, lte=moment))
    return models.FieldCondition(key=key, range=models.Range(gte=value, lte=value))
