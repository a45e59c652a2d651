"""Papers by words: BM25 and dense vectors together, each answer with both scores."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from qdrant_client import models

from common.errors import InvalidQueryError
from search.collections.schema import BM25, PAPERS
from search.queries.highlights import highlight
from search.queries.pages import Cursor, cursor_of, mark
from search.queries.questions import Asked
from search.results import Hit, Page
from search.store.base import HybridQuery, NearestQuery, Store
from search.store.keywords import keywords_of_question

DEPTH = 500
"""Papers that each of the two rankings of a hybrid search puts forward."""


def first_query(asked: Asked) -> NearestQuery | HybridQuery:
    """Return the query of a page; ranks are cheap, payloads are fetched for one page only.

    Raises
    ------
    InvalidQueryError
        If the question has no word that could be looked up, and is compared by words alone.
    """
    question = asked.question
    cursor = cursor_of(question.arrange, asked.fingerprint, 0)
    shown = len(cursor.marks) if cursor else 0
    limit = min(shown + question.arrange.limit + 1, 2 * DEPTH)
    dense = _part(asked, DEPTH)
    words = _words(asked, limit if question.ranking == "keywords" else DEPTH)
    if question.ranking == "keywords":
        if words is None:
            raise InvalidQueryError(
                f"{question.text.strip()[:60]!r} has no word to look up: use other words, or "
                "ranking 'dense'"
            )
        return words
    parts = [dense] if words is None else [dense, words]
    return HybridQuery(parts, limit=limit, with_payload=False)


def page_of(store: Store, asked: Asked, found: Sequence[models.ScoredPoint]) -> Page:
    """Return the page that the points found begin, each with its scores and highlights.

    Ranks change with every paper that is added, so a cursor marks the papers shown.

    Raises
    ------
    InvalidQueryError
        If the page lies deeper than one question can reach.
    """
    arrange = asked.question.arrange
    cursor = cursor_of(arrange, asked.fingerprint, 0)
    marks = cursor.marks if cursor else frozenset()
    rest = [point for point in found if mark(str(point.id)) not in marks]
    chosen = rest[: arrange.limit]
    more = len(rest) > len(chosen) or _is_cut(store, asked, len(found))
    if more and not chosen:
        raise InvalidQueryError(
            f"the page begins beyond the {len(marks)} papers that one search by words ranks: "
            "narrow the filter, or set ranking to 'dense'"
        )
    hits = _hits(store, asked, chosen)
    if not more:
        return Page(hits)
    marks |= {mark(str(point.id)) for point in chosen}
    return Page(hits, Cursor(marks=marks).write(asked.fingerprint))


def with_highlights(question: str, hits: Sequence[Hit]) -> list[Hit]:
    """Return papers with the sentences that fit a question."""
    found = highlight(question, [hit.payload for hit in hits])
    return [replace(hit, highlights=sentences) for hit, sentences in zip(hits, found, strict=True)]


def _is_cut(store: Store, asked: Asked, n_found: int) -> bool:
    """Return whether there are papers that fit and were not ranked."""
    if asked.question.ranking == "keywords":
        return n_found == 2 * DEPTH
    return n_found >= DEPTH and store.count(PAPERS, asked.condition) > n_found


def _part(asked: Asked, limit: int) -> NearestQuery:
    return NearestQuery(asked.vector, asked.using, asked.condition, limit=limit, with_payload=False)


def _words(asked: Asked, limit: int) -> NearestQuery | None:
    """Return the question as a query by words, None if it has none that counts."""
    words = keywords_of_question(asked.question.text)
    if not words.indices:
        return None
    return NearestQuery(words, BM25, asked.condition, limit=limit, with_payload=False)


def _hits(store: Store, asked: Asked, points: Sequence[models.ScoredPoint]) -> list[Hit]:
    ids = [point.id for point in points]
    if not ids:
        return []
    payloads = {record.id: record.payload or {} for record in store.retrieve(PAPERS, ids)}
    cosines, keyword_scores = _scores(store, asked, ids)
    compared = BM25 if asked.question.ranking == "keywords" else f"{asked.using}+{BM25}"
    hits = [
        Hit(
            UUID(str(point.id)),
            float(point.score),
            payloads[point.id],
            compared=compared,
            cosine=cosines.get(point.id),
            keyword_score=keyword_scores.get(point.id),
        )
        for point in points
        if point.id in payloads
    ]
    return with_highlights(asked.question.text, hits)


def _scores(
    store: Store, asked: Asked, ids: Sequence[models.ExtendedPointId]
) -> tuple[dict[models.ExtendedPointId, float], dict[models.ExtendedPointId, float]]:
    """Return the cosines and the BM25 scores of these papers."""
    only = models.Filter(must=[models.HasIdCondition(has_id=list(ids))])
    parts = [_part(asked, len(ids)), _words(asked, len(ids))]
    queries = [replace(part, query_filter=only) for part in parts if part is not None]
    dense, *words = (
        {point.id: float(point.score) for point in found}
        for found in store.query_batch(PAPERS, queries)
    )
    return dense, words[0] if words else {}
