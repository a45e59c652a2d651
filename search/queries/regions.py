"""Regions of the sky: what lies in a cone, nearest first, and the papers about it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from qdrant_client import models

from common.errors import InvalidQueryError
from common.records import content_hash
from search.collections.schema import DETECTIONS, PAPERS, TOPIC_PROBABILITY
from search.filters.cone import Cone
from search.filters.filters import DetectionFilter, PaperFilter, restriction
from search.queries.lookup import any_of
from search.queries.nearest import as_hit
from search.queries.pages import Cursor, Place, check_arrange, check_limit, cursor_of, cut
from search.queries.rings import nearest_places
from search.queries.topic import by_default, is_left_out
from search.results import Hit, Page, PageOptions
from search.store.base import MAX_LIMIT as MOST_IN_CONE
from search.store.base import Store
from search.store.scroll import scroll_all

MOST_FOR_PAPERS = 10_000
"""Detections of a region whose papers are looked up."""

_NAMES_AT_ONCE = 1000
_scroll = partial(scroll_all, page=MOST_IN_CONE)  # payloads of a few fields


def nearest_to_centre(
    store: Store,
    cone: Cone,
    query_filter: DetectionFilter | None,
    limit: int,
    cursor: str | None,
) -> Page:
    """Return the detections in a cone, nearest to its centre first."""
    check_limit(limit, MOST_IN_CONE)
    asked = content_hash("cone", repr(cone), _said(query_filter))
    shown = cursor_of(PageOptions(limit, cursor), asked, length=2)
    condition = restriction(query_filter, store)
    found = nearest_places(store, cone, condition, shown.place if shown else (), limit + 1)
    page = found[:limit]
    following = Cursor(page[-1]).write(asked) if len(found) > limit else None
    arcsec = {str(identifier): float(distance) * 3600 for distance, identifier in page}
    records = store.retrieve(DETECTIONS, list(arcsec))
    hits = [as_hit(record, separation_arcsec=arcsec[str(record.id)]) for record in records]
    return Page(hits, following)


def papers_in(
    store: Store, cone: Cone, query_filter: PaperFilter | None, arrange: PageOptions
) -> Page:
    """Return the papers that mention sources in a cone, those of most sources first, then new ones.

    The score is the number of these sources that a paper mentions. Papers that are not about X-ray
    sources are left out, and counted, unless the filter says otherwise.
    """
    check_arrange(arrange)
    if arrange.by_source or arrange.diversity:
        raise InvalidQueryError(
            "papers of a region are ranked by the sources they mention: leave by_source and "
            "diversity out"
        )
    inside = _inside(store, cone, None)
    if (n := store.count(DETECTIONS, inside)) > MOST_FOR_PAPERS:
        raise InvalidQueryError(
            f"there are {n:,} detections in the cone, papers are looked up for at most "
            f"{MOST_FOR_PAPERS:,}: make the radius smaller"
        )
    sources, told = _mentioned(store, inside)
    condition = restriction(query_filter, store)
    papers: dict[str, models.Record] = {}
    for field, names in (
        ("source_names", sorted(sources)),
        ("bibcode", sorted(told)),
        ("alternate_bibcodes", sorted(told)),
    ):
        for record in _holding(store, field, names, condition):
            papers[str(record.id)] = record
    n_found = len(papers)
    if by_default(query_filter) is not query_filter:
        papers = {n: one for n, one in papers.items() if not is_left_out(one.payload or {})}
    count = {
        name: len(_sources_of(record.payload or {}, sources, told))
        for name, record in papers.items()
    }

    def place(record: models.Record) -> Place:
        year = float((record.payload or {}).get("year", 0))
        return -float(count[str(record.id)]), -year, str(record.id)

    asked = content_hash("papers in", repr(cone), _said(query_filter))
    page, following = cut(list(papers.values()), place, arrange, asked, length=3)
    records = store.retrieve(PAPERS, [record.id for record in page])
    hits = [_as_paper(record, count[str(record.id)]) for record in records]
    return Page(hits, following, off_topic=n_found - len(papers))


def _inside(store: Store, cone: Cone, query_filter: DetectionFilter | None) -> models.Filter:
    inside = restriction(DetectionFilter(cone=cone), store)
    more = restriction(query_filter, store)
    return models.Filter(must=[each for each in (inside, more) if each is not None])


def _said(query_filter: DetectionFilter | PaperFilter | None) -> str:
    return query_filter.model_dump_json() if query_filter else ""


def _mentioned(store: Store, inside: models.Filter) -> tuple[set[str], dict[str, set[str]]]:
    """Return the names of the sources found, and the sources that each bibcode tells of."""
    names: set[str] = set()
    told: dict[str, set[str]] = defaultdict(set)
    for record in _scroll(store, DETECTIONS, inside, ["source_name", "key", "bibcodes"]):
        payload = record.payload or {}
        if name := payload.get("source_name"):
            names.add(name)
        for bibcode in payload.get("bibcodes", ()):
            told[bibcode].add(name or payload["key"])
    return names, told


def _holding(
    store: Store, field: str, values: Sequence[str], condition: models.Filter | None
) -> Iterator[models.Record]:
    """Yield the papers whose field holds one of the values."""
    fields = ["bibcode", "alternate_bibcodes", "source_names", "year", TOPIC_PROBABILITY]
    for start in range(0, len(values), _NAMES_AT_ONCE):
        must: list[models.Condition] = [any_of(field, values[start : start + _NAMES_AT_ONCE])]
        if condition is not None:
            must.append(condition)
        yield from _scroll(store, PAPERS, models.Filter(must=must), fields)


def _sources_of(
    payload: Mapping[str, Any], sources: set[str], told: Mapping[str, set[str]]
) -> set[str]:
    """Return the sources of the region that a paper mentions, or is mentioned by."""
    mentioned = sources.intersection(payload.get("source_names", ()))
    for bibcode in (payload["bibcode"], *payload.get("alternate_bibcodes", ())):
        mentioned |= told.get(bibcode, set())
    return mentioned


def _as_paper(record: models.Record, n_sources: int) -> Hit:
    return replace(as_hit(record), score=float(n_sources), compared="source_names")
