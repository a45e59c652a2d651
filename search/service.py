"""Questions in, answers out: the search layer that every interface shares."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
from qdrant_client import models

from common.errors import InvalidQueryError
from common.ports import Encoder
from common.records import content_hash
from search.collections.schema import DETECTIONS, PAPERS, SHARED_SPECTRUM, SPECTRUM
from search.filters import filters
from search.filters.cone import Cone
from search.filters.filters import DetectionFilter, PaperFilter, restriction
from search.queries import literature, lookup, nearest, regions
from search.queries.pages import MAX_LIMIT, PLAIN, Cursor, check_arrange, check_limit, cursor_of
from search.queries.questions import Asked, Asker, Filter, Question, check_filter_kind
from search.results import Hit, Page, PageOptions, Ranking, Status, Subject, Target
from search.store.base import HybridQuery, NearestQuery, Store

MOST_VALUES = MAX_LIMIT
"""Most values of a field that are counted; classes, instruments and years are always fewer."""

FACETS: dict[Target, dict[str, str]] = {
    "detections": {
        "class": "class_path",
        "instrument": "instrument",
        "year": "observed_year",
        "telescope": "telescope",
        "release": "release",
        "source": "source_name",
    },
    "papers": {
        "class": "class_path",
        "year": "year",
        "journal": "journal",
        "author": "authors",
        "source": "source_names",
    },
}
"""What can be counted, and the payload field that holds it."""


class SearchService:
    """Answer questions over one store with one encoder."""

    def __init__(self, store: Store, encoder: Encoder, max_query_characters: int = 10_000) -> None:
        self.store = store
        self.encoder = encoder
        self.asker = Asker(store, encoder, max_query_characters)

    def by_text(
        self,
        question: str,
        to: Target,
        query_filter: Filter | None = None,
        arrange: PageOptions = PLAIN,
        ranking: Ranking = "hybrid",
    ) -> Page:
        """Return the detections or papers that best fit a question.

        Detections are compared in the shared space (text with spectra), papers by their own text
        embeddings, which hold more of the wording, and by their words. When a filter leaves fewer
        spectra than asked for, detections that fit it and have no spectrum yet follow, without a
        score.
        """
        return self._answer(
            Question(
                "text",
                to,
                text=question,
                query_filter=query_filter,
                arrange=arrange,
                ranking=ranking,
            )
        )

    def by_spectrum(
        self,
        binned_counts: npt.NDArray[np.float64],
        exposure_s: float,
        to: Target,
        query_filter: Filter | None = None,
        arrange: PageOptions = PLAIN,
    ) -> Page:
        """Return the detections or papers nearest to a spectrum.

        Parameters
        ----------
        binned_counts : ndarray of float64, shape (400,)
            Counts on the 400 bins of 0.5-8 keV.
        exposure_s : float
            Exposure in seconds.
        to : {"detections", "papers"}
            What to look for.
        query_filter : DetectionFilter or PaperFilter, optional
            Restriction by payload, of the kind that fits ``to``.
        arrange : PageOptions
            How answers are cut and ordered.

        Returns
        -------
        Page
            Best first.
        """
        return self._answer(
            Question(
                "spectrum",
                to,
                binned_counts=binned_counts,
                exposure_s=exposure_s,
                query_filter=query_filter,
                arrange=arrange,
            )
        )

    def by_examples(
        self,
        positive: Sequence[str],
        negative: Sequence[str],
        to: Target,
        query_filter: Filter | None = None,
        arrange: PageOptions = PLAIN,
    ) -> Page:
        """Return what is like some stored detections and papers and unlike others.

        Examples are named by point id, key, source name or bibcode; they and other detections of
        their sources are left out.
        """
        return self._answer(
            Question(
                "examples",
                to,
                positive=positive,
                negative=negative,
                query_filter=query_filter,
                arrange=arrange,
            )
        )

    def like(
        self,
        identifier: str,
        to: Target,
        query_filter: Filter | None = None,
        arrange: PageOptions = PLAIN,
    ) -> Page:
        """Return what is like a stored detection or paper, its own source left out."""
        return self.by_examples([identifier], [], to, query_filter, arrange)

    def by_vector(
        self,
        vector: npt.NDArray[np.float32],
        model_id: str,
        to: Target,
        query_filter: Filter | None = None,
        arrange: PageOptions = PLAIN,
    ) -> Page:
        """Return the detections or papers nearest to a vector of the shared space.

        Parameters
        ----------
        vector : ndarray of float32, shape (shared width,)
            Made by the model of the store.
        model_id : str
            The model that made it; vectors of another one are refused.
        to : {"detections", "papers"}
            What to look for.
        query_filter : DetectionFilter or PaperFilter, optional
            Restriction by payload, of the kind that fits ``to``.
        arrange : PageOptions
            How answers are cut and ordered.

        Returns
        -------
        Page
            Best first.
        """
        return self._answer(
            Question(
                "vector",
                to,
                vector=vector,
                model_id=model_id,
                query_filter=query_filter,
                arrange=arrange,
            )
        )

    def batch(self, questions: Sequence[Question]) -> list[Page]:
        """Answer questions in their order, encoded together, in one engine call a collection."""
        asked = self.asker.ask(questions)
        queries = [_first_query(one) for one in asked]
        found: dict[int, list[models.ScoredPoint]] = {}
        rows = [row for row, query in enumerate(queries) if query is not None]
        rows.sort(key=lambda row: asked[row].collection)
        for collection, group in groupby(rows, key=lambda row: asked[row].collection):
            together = list(group)
            answers = self.store.query_batch(
                collection, [query for row in together if (query := queries[row]) is not None]
            )
            found |= dict(zip(together, answers, strict=True))
        return [self._page(one, found.get(row, [])) for row, one in enumerate(asked)]

    def cone(
        self,
        cone: Cone,
        query_filter: DetectionFilter | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """Return the detections in a cone, nearest first; a cursor means that there are more."""
        return regions.nearest_to_centre(self.store, cone, query_filter, limit, cursor)

    def papers_in(
        self, cone: Cone, query_filter: PaperFilter | None = None, arrange: PageOptions = PLAIN
    ) -> Page:
        """Return papers that mention sources in a cone, those of most sources first."""
        return regions.papers_in(self.store, cone, query_filter, arrange)

    def select(
        self, of: Target, query_filter: Filter | None = None, arrange: PageOptions = PLAIN
    ) -> Page:
        """Return all detections or papers that fit a filter, in the order of their ids."""
        check_arrange(arrange)
        check_filter_kind(of, query_filter)
        if arrange.by_source or arrange.diversity:
            raise InvalidQueryError("a list is not ranked: leave by_source and diversity out")
        said = query_filter.model_dump_json() if query_filter else ""
        asked = content_hash("select", of, said)
        cursor = cursor_of(arrange, asked, 1)
        start = str(cursor.place[0]) if cursor else None
        records, _ = self.store.scroll(
            of, restriction(query_filter, self.store), limit=arrange.limit + 2, offset=start
        )
        rest = [record for record in records if start is None or str(record.id) > start]
        shown = rest[: arrange.limit]
        more = len(rest) > len(shown)
        return Page(
            [nearest.as_hit(record) for record in shown],
            Cursor((str(shown[-1].id),)).write(asked) if more else None,
        )

    def facets(
        self,
        of: Target,
        fields: Sequence[str],
        query_filter: Filter | None = None,
        limit: int = MOST_VALUES,
    ) -> dict[str, dict[str, int]]:
        """Return how many detections or papers there are of each class, instrument, year …

        Of each field the most frequent values, at most ``limit``.
        """
        check_limit(limit)
        check_filter_kind(of, query_filter)
        known = FACETS[of]
        for field in fields:
            if field not in known:
                raise InvalidQueryError(
                    f"cannot count {of} by {field!r}: there are {', '.join(known)}"
                )
        condition = restriction(query_filter, self.store)
        return {
            field: self.store.facet(of, known[field], condition, limit)
            for field in dict.fromkeys(fields)
        }

    def subject(self, identifier: str) -> Subject:
        """Return a stored detection with all its vectors, by point id, key or source name."""
        return lookup.subject(self.store, identifier)

    def subject_of(
        self,
        binned_counts: npt.NDArray[np.float64],
        exposure_s: float,
        name: str = "the spectrum given",
    ) -> Subject:
        """Return a new spectrum as a subject; if it is stored, its source is no neighbour of it.

        Parameters
        ----------
        binned_counts : ndarray of float64, shape (400,)
            Counts on the 400 bins of 0.5-8 keV.
        exposure_s : float
            Exposure in seconds.
        name : str
            What it is called in answers.

        Returns
        -------
        Subject
            With the vectors ``spectrum`` and ``shared_spectrum``.
        """
        vectors = self.encoder.encode_spectra(binned_counts[None, :], np.array([exposure_s]))
        return Subject(
            name=name,
            vectors={SPECTRUM: vectors.own[0], SHARED_SPECTRUM: vectors.shared[0]},
            payload={"counts": float(binned_counts.sum()), "exposure_s": float(exposure_s)},
            excluded=tuple(lookup.copies(self.store, binned_counts, exposure_s)),
        )

    def detection(self, identifier: str) -> Hit:
        """Return a stored detection by point id, key or source name."""
        return nearest.as_hit(lookup.find(self.store, identifier, (DETECTIONS,), False)[1])

    def paper(self, identifier: str) -> Hit:
        """Return a stored paper by point id or bibcode, former bibcodes included."""
        return nearest.as_hit(lookup.find(self.store, identifier, (PAPERS,), False)[1])

    def status(self) -> Status:
        """Return what the store holds."""
        store = self.store
        simulated, has_spectrum = (
            models.Filter(must=[lookup.is_flag(field)]) for field in ("simulated", "has_spectrum")
        )
        return Status(
            engine=store.engine,
            model_id=self.encoder.model_id,
            text_model=self.encoder.text_model,
            detections=store.count(DETECTIONS),
            detections_with_spectrum=store.count(DETECTIONS, has_spectrum),
            detections_simulated=store.count(DETECTIONS, simulated),
            papers=store.count(PAPERS),
            papers_simulated=store.count(PAPERS, simulated),
            classes=store.facet(DETECTIONS, "class_path", limit=MOST_VALUES),
            instruments=store.facet(DETECTIONS, "instrument", limit=MOST_VALUES),
        )

    def explain(self, query_filter: Filter | None) -> dict[str, Any]:
        """Return the engine's filter as JSON."""
        return filters.explain(query_filter, self.store)

    def _answer(self, question: Question) -> Page:
        return self.batch([question])[0]

    def _page(self, asked: Asked, found: list[models.ScoredPoint]) -> Page:
        question = asked.question
        if question.by_words:
            return literature.page_of(self.store, asked, found)
        page = nearest.page_of(self.store, asked, found)
        if question.kind == "text" and question.to == "papers":
            return Page(literature.with_highlights(question.text, page.hits), page.cursor)
        full = page.cursor is not None or len(page.hits) >= question.arrange.limit
        if full or asked.off_topic is None:
            return page
        return replace(page, off_topic=self.store.count(PAPERS, asked.off_topic))


def _first_query(asked: Asked) -> NearestQuery | HybridQuery | None:
    if asked.question.by_words:
        return literature.first_query(asked)
    return nearest.first_query(asked)
