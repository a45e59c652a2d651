"""Answers by cosine similarity: pages, groups by source, diversity."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from qdrant_client import models

from common.errors import InvalidQueryError
from search.collections.schema import DETECTIONS
from search.queries.lookup import any_of, is_flag
from search.queries.pages import Cursor, Place, after, cursor_of
from search.queries.questions import Asked
from search.results import Hit, Page
from search.store.base import MAX_DIVERSE, NearestQuery, Store
from search.store.base import MAX_LIMIT as MAX_DEPTH

Point = models.ScoredPoint

_AFTER_ALL = 2.0  # no -cosine comes after it: the place of what has no score
_BEFORE_ALL = str(UUID(int=0))
_PER_GROUP = 4  # points asked for per source wanted, before asking for more
_LABELS = ["source_name", "key"]


def first_query(asked: Asked) -> NearestQuery | None:
    """Return the first query of a page, or None where the page needs none."""
    arrange = asked.question.arrange
    cursor = cursor_of(arrange, asked.fingerprint, 2)
    if cursor is not None and cursor.place[0] == _AFTER_ALL:
        return None
    wanted = arrange.limit * (_PER_GROUP if arrange.by_source else 1)
    if arrange.diversity:  # one page only
        limit = min(wanted, MAX_DIVERSE)
    else:
        # One more than the page holds tells whether there is another, and whether scores are tied.
        limit = min(wanted + 1 + (cursor.seen if cursor else 0), MAX_DEPTH)
    whole = cursor is None and not arrange.by_source
    return NearestQuery(
        asked.vector,
        asked.using,
        asked.condition,
        limit=limit,
        with_payload=True if whole else _LABELS,
        diversity=arrange.diversity,
    )


def page_of(store: Store, asked: Asked, found: Sequence[Point]) -> Page:
    """Return the page that the points of the first query begin.

    Raises
    ------
    InvalidQueryError
        If the page lies deeper than one question can reach.
    """
    arrange, query = asked.question.arrange, first_query(asked)
    if query is None:
        return _with_tail(store, asked, [])
    if arrange.diversity:
        best = _best_of_sources(found) if arrange.by_source else list(found)
        if arrange.by_source and len(best) < arrange.limit and len(found) == query.limit:
            query = replace(query, limit=MAX_DIVERSE)
            (found,) = store.query_batch(asked.collection, [query])
            best = _best_of_sources(found)
        return Page(_hits(store, asked, query, best[: arrange.limit]))
    cursor = cursor_of(arrange, asked.fingerprint, 2)
    while True:
        exhausted = len(found) < query.limit
        ranked = sorted(found if exhausted else _untied(found, query.limit), key=_place)
        best = _best_of_sources(ranked) if arrange.by_source else ranked
        rest = after(best, _place, cursor) if cursor else best
        if exhausted or len(rest) >= arrange.limit or query.limit == MAX_DEPTH:
            break
        query = replace(query, limit=min(2 * query.limit, MAX_DEPTH))
        (found,) = store.query_batch(asked.collection, [query])
    if not rest and not exhausted:
        raise InvalidQueryError(
            f"the page begins beyond the {MAX_DEPTH:,} best answers, which is as deep as one "
            "question reaches: narrow the filter"
        )
    chosen = rest[: arrange.limit]
    hits = _hits(store, asked, query, chosen)
    if len(rest) == len(chosen) and exhausted:
        return _with_tail(store, asked, hits)
    last = chosen[-1]
    seen = next(i for i, point in enumerate(ranked, start=1) if point.id == last.id)
    return Page(hits, Cursor(_place(last), seen).write(asked.fingerprint))


def as_hit(point: models.Record, **more: object) -> Hit:
    """Return a point without a score as a hit."""
    return Hit(UUID(str(point.id)), None, point.payload or {}, **more)  # type: ignore[arg-type]


def _place(point: Point) -> Place:
    return -point.score, str(point.id)


def _untied(found: Sequence[Point], limit: int) -> Sequence[Point]:
    """Return the points that certainly come before all that the engine left out."""
    if limit == MAX_DEPTH:
        return found
    return [point for point in found if point.score > found[-1].score]


def _best_of_sources(ranked: Sequence[Point]) -> list[Point]:
    """Return the first point of each source."""
    best: dict[str, Point] = {}
    for point in ranked:
        payload = point.payload or {}
        best.setdefault(payload.get("source_name") or payload.get("key") or str(point.id), point)
    return list(best.values())


def _hits(store: Store, asked: Asked, query: NearestQuery, points: Sequence[Point]) -> list[Hit]:
    """Return points as hits with their whole payloads."""
    if query.with_payload is True:
        payloads = {point.id: point.payload or {} for point in points}
    else:  # what has been deleted since is left out
        records = store.retrieve(asked.collection, [point.id for point in points])
        payloads = {record.id: record.payload or {} for record in records}
    counts = _detections_of_sources(store, asked, list(payloads.values()))
    return [
        Hit(
            UUID(str(point.id)),
            float(point.score),
            payload,
            compared=asked.using,
            cosine=float(point.score),
            n_detections=None if counts is None else counts.get(payload.get("source_name", ""), 1),
        )
        for point in points
        if (payload := payloads.get(point.id)) is not None
    ]


def _detections_of_sources(
    store: Store, asked: Asked, payloads: Sequence[models.Payload]
) -> dict[str, int] | None:
    """Return how many detections of each source could have been found, None if not grouped."""
    if not asked.question.arrange.by_source:
        return None
    names = sorted({payload["source_name"] for payload in payloads if "source_name" in payload})
    if not names:
        return {}
    must: list[models.Condition] = [any_of("source_name", names), is_flag("has_spectrum")]
    if asked.condition is not None:
        must.append(asked.condition)
    return store.facet(DETECTIONS, "source_name", models.Filter(must=must), limit=len(names))


def _with_tail(store: Store, asked: Asked, hits: list[Hit]) -> Page:
    """Return the last ranked hits and after them detections that have no spectrum to compare."""
    question, arrange = asked.question, asked.question.arrange
    if (
        question.kind != "text"
        or asked.collection != DETECTIONS
        or question.query_filter is None
        or asked.condition is None
        or arrange.by_source
    ):
        return Page(hits)
    cursor = cursor_of(arrange, asked.fingerprint, 2)
    start = None
    if cursor is not None and cursor.place[0] == _AFTER_ALL:
        start = str(cursor.place[1])
    room = arrange.limit - len(hits)
    without = models.Filter(must=[asked.condition, is_flag("has_spectrum", value=False)])
    records, _ = store.scroll(DETECTIONS, without, limit=room + 2, offset=start)
    rest = [record for record in records if start is None or str(record.id) > start]
    shown = rest[:room]
    hits += [as_hit(record) for record in shown]
    if len(rest) == len(shown):
        return Page(hits)
    last = Cursor((_AFTER_ALL, str(shown[-1].id) if shown else _BEFORE_ALL), 0)
    return Page(hits, last.write(asked.fingerprint))
