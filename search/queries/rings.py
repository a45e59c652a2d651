"""Detections by their distance from a place on the sky, nearest first, read ring by ring.

A cone may hold the whole store, of which a page shows a few, and the engine knows no distances. So
a sample is read first: ids are hashes and come in their order, so that the first points of a ring
are one, and the last of these ids tells how many points there are. Where these are far more than
wanted, the ring is cut in two, and the inner one is read first.
"""

from collections.abc import Iterator
from heapq import nsmallest
from itertools import chain
from math import inf, nextafter
from uuid import UUID

import numpy as np
from qdrant_client import models

from search.collections.schema import DETECTIONS
from search.filters.cone import PLACE, ROUNDING_DEG, Cone, ring, separation_deg
from search.queries.pages import Place
from search.store.base import MAX_LIMIT, Store

SAMPLE = 1000

_ENOUGH = 4  # times as many points as are wanted may be read to be sorted
_FEW_IN_SAMPLE = 16  # a ring with fewer of them is of no known size
_IDS = 2**128

Read = tuple[list[Place], int | str | None]


def nearest_places(
    store: Store,
    cone: Cone,
    condition: models.Filter | None,
    last: Place,
    wanted: int,
    sample: int = SAMPLE,
) -> list[Place]:
    """Return where the nearest detections in a cone stand, beyond the last place shown.

    Parameters
    ----------
    last : tuple
        A place, empty for none.
    wanted : int
        Number of places at most; no more than these and one read are in memory.
    sample : int
        Points of a sample.

    Returns
    -------
    list of tuple
        Distances in degrees and ids, ascending.
    """
    begin = nextafter(float(last[0]), -inf) if last else -1.0  # others may be as far away
    rings = [(begin, cone.radius_deg + ROUNDING_DEG)]
    found: list[Place] = []
    while rings and (room := wanted - len(found)) > 0:
        inner, outer = rings.pop()
        sizes = sample, min(max(sample, 2 * room), MAX_LIMIT)
        reads = _read(store, cone, condition, (inner, outer), last, sizes)
        first, following = next(reads)
        middle = _cut(first, following, room, sample)
        if inner < middle < outer:
            rings += [(middle, outer), (inner, middle)]
        else:
            rest = chain.from_iterable(more for more, _ in reads)
            found += nsmallest(room, chain(first, rest))
    return found


def _cut(first: list[Place], following: int | str | None, room: int, sample: int) -> float:
    """Return how far away a ring is better cut in two, infinity where it is read as a whole."""
    if following is None or len(first) < max(sample // 2, 2):  # most of a sample is near the rims
        return inf
    n = len(first) * _IDS / max(UUID(str(following)).int, 1)
    if n <= max(_ENOUGH * room, sample):
        return inf
    share = max(_FEW_IN_SAMPLE / sample, 2 * room / n)
    row = min(int(share * len(first)), len(first) - 2)
    two = sorted(first)[row : row + 2]
    return sum(float(place[0]) for place in two) / 2  # between them, where hardly any point stands


def _read(
    store: Store,
    cone: Cone,
    condition: models.Filter | None,
    bounds_deg: tuple[float, float],
    last: Place,
    sizes: tuple[int, int],
) -> Iterator[Read]:
    """Yield the places in a ring, first of a few points, then of more, and what id follows."""
    inner, outer = bounds_deg
    within = models.Filter(must=[ring(cone, inner, outer), *([condition] if condition else [])])
    size, then = sizes
    offset: int | str | None = None
    while True:
        records, offset = store.scroll(DETECTIONS, within, size, offset, PLACE)
        ra_deg, dec_deg = (
            np.array([(record.payload or {})[name] for record in records], dtype=np.float64)
            for name in PLACE
        )
        away = separation_deg(cone.ra_deg, cone.dec_deg, ra_deg, dec_deg)
        places: list[Place] = [
            (float(away[row]), str(records[row].id))
            for row in np.flatnonzero((away > inner) & (away <= outer)).tolist()
        ]
        yield [p for p in places if p > last and p[-1:] != last[-1:]], offset
        if offset is None:
            return
        size = then
