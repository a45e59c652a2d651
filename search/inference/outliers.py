"""Detections unlike the others: Isolation Forest on stored vectors, explained and checked."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final
from uuid import UUID

import numpy as np
import numpy.typing as npt
from qdrant_client import models

from common.errors import InvalidQueryError, NotFoundError
from common.ports import Float32Array, Progress, no_progress
from common.variables import VARIABLE_NAMES
from search.collections.schema import (
    BOTH,
    DETECTIONS,
    OUTLIER_FIELDS,
    SHARED_SPECTRUM,
    Payload,
    named_vectors,
)
from search.collections.stored_vectors import ENOUGH_SOURCES
from search.filters.filters import DetectionFilter, restriction
from search.inference.physics import checks_of, verdict_of
from search.queries import lookup
from search.results import Deviation, Hit, Outlier, OutlierReport
from search.store.base import NearestQuery, PointId, Store
from search.store.scroll import PAGE, first_by, scroll_all

FloatArray = npt.NDArray[np.float64]

SCORE, CLASS_RANK, RUN = OUTLIER_FIELDS

N_TREES: Final = 300
MIN_DETECTIONS: Final = 10
"""Fewer have no outliers worth the name."""
MAX_LISTED: Final = 1000

N_NEIGHBOURS: Final = 20
MIN_VALUES: Final = 5
"""Neighbours with a value of a variable below which it is not compared."""
N_SAMPLE: Final = 5000
"""Detections of which the spread of each variable is taken; ids are hashes, so any are a sample."""
N_DEVIATIONS: Final = 5
MIN_DEVIATION: Final = 1.0
"""In robust standard deviations: less is no difference worth telling."""

_BLOCK: Final = 20_000
_TO_SIGMA: Final = 1.4826  # of a normal distribution, from its median absolute deviation
_ONE_SIGMA: Final = (15.87, 84.13)  # percentiles one standard deviation from the middle


class OutlierFinder:
    """Score detections by how easily they are told from the others, and explain the first.

    Parameters
    ----------
    store : Store
        Where scores are kept beside what they are scores of.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._scroll = partial(scroll_all, store, DETECTIONS)

    def score(
        self,
        query_filter: DetectionFilter | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> int:
        """Fit a forest to the detections that match and write their scores; return how many.

        A score is the forest's anomaly score divided by the highest of the run. Detections outside
        the filter keep the scores of their own runs.

        Raises
        ------
        NotFoundError
            If fewer than `MIN_DETECTIONS` detections that match have a vector.
        """
        condition = restriction(query_filter, self._store)
        representation = self._representation(condition)
        ids, classes, vectors = self._read(representation, condition, progress)
        scores = _forest_scores(vectors, seed, progress)
        run = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "representation": representation,
            "n": len(ids),
            "seed": seed,
        }
        ranks = _ranks_in_class(scores, classes)
        # First, so that what has no vector of this kind does not keep a score of another run.
        self._store.delete_payload(DETECTIONS, [SCORE, CLASS_RANK, RUN], condition)
        for start in range(0, len(ids), PAGE):
            rows = range(start, min(start + PAGE, len(ids)))
            self._store.set_payload(
                DETECTIONS,
                {
                    ids[row]: {SCORE: float(scores[row]), CLASS_RANK: int(ranks[row]), RUN: run}
                    for row in rows
                },
            )
            progress("writing scores", rows.stop, len(ids))
        return len(ids)

    def ranking(
        self, query_filter: DetectionFilter | None = None, limit: int = 20
    ) -> OutlierReport:
        """Return the highest scores among the detections that match, explained and checked.

        Raises
        ------
        NotFoundError
            If nothing in the store is scored.
        """
        if not 1 <= limit <= MAX_LISTED:
            raise InvalidQueryError(f"limit is {limit}: give 1 to {MAX_LISTED:,}")
        if not self._store.count(DETECTIONS, _scored(None)):
            raise NotFoundError(
                "no detection has an outlier score yet: run `chandra-search outliers score` first"
            )
        condition = restriction(query_filter, self._store)
        n_scored = self._store.count(DETECTIONS, _scored(condition))
        top = first_by(self._store, DETECTIONS, SCORE, condition, limit, descending=True)
        payloads = [record.payload or {} for record in top]
        representations = sorted({payload[RUN]["representation"] for payload in payloads})
        explained = self._deviations(top)
        outliers = []
        for rank, (record, payload) in enumerate(zip(top, payloads, strict=True), start=1):
            checks = checks_of(payload)
            outliers.append(
                Outlier(
                    hit=Hit(
                        UUID(str(record.id)),
                        payload[SCORE],
                        payload,
                        compared=payload[RUN]["representation"],
                    ),
                    rank=rank,
                    rank_in_class=payload[CLASS_RANK],
                    deviations=explained[rank - 1],
                    checks=checks,
                    verdict=verdict_of(checks),
                )
            )
        return OutlierReport(
            outliers=outliers,
            n_scored=n_scored,
            representation=", ".join(representations),
            notes=self._notes(condition, payloads, n_scored),
        )

    def _representation(self, condition: models.Filter | None) -> str:
        """Return ``both`` where enough sources have texts, else the spectrum's shared vector."""
        sources: set[str] = set()
        for record in self._scroll(_having(BOTH, condition), ["source_name", "key"]):
            payload = record.payload or {}
            sources.add(payload.get("source_name") or payload["key"])
            if len(sources) >= ENOUGH_SOURCES:
                return BOTH
        return SHARED_SPECTRUM

    def _read(
        self, name: str, condition: models.Filter | None, progress: Progress
    ) -> tuple[list[PointId], list[str], Float32Array]:
        having = _having(name, condition)
        total = self._store.count(DETECTIONS, having)
        if total < MIN_DETECTIONS:
            raise NotFoundError(
                f"{total} detections that match have a spectrum, {MIN_DETECTIONS} are needed to "
                "tell what is unusual: loosen the filter, or ingest more"
            )
        ids: list[PointId] = []
        classes: list[str] = []
        blocks: list[Float32Array] = []
        page: list[list[float]] = []
        for record in self._scroll(having, ["class_path"], [name]):
            ids.append(record.id)
            classes.append(((record.payload or {}).get("class_path") or [""])[-1])
            page.append(named_vectors(record)[name])
            if len(page) == PAGE:
                blocks.append(np.array(page, dtype=np.float32))
                page = []
                progress("reading vectors", len(ids), total)
        if page:
            blocks.append(np.array(page, dtype=np.float32))
        progress("reading vectors", len(ids), len(ids))
        return ids, classes, np.concatenate(blocks)

    def _deviations(self, outliers: Sequence[models.Record]) -> list[tuple[Deviation, ...]]:
        """Return in what each outlier differs most from its neighbours."""
        ids = [record.id for record in outliers]
        names = [(record.payload or {})[RUN]["representation"] for record in outliers]
        stored = {
            record.id: named_vectors(record)
            for record in self._store.retrieve(
                DETECTIONS, ids, with_payload=False, with_vectors=sorted(set(names))
            )
        }
        queries = [
            NearestQuery(
                stored[record.id][name],
                name,
                models.Filter(must_not=lookup.same_source([record])),
                limit=N_NEIGHBOURS,
                with_payload=list(VARIABLE_NAMES),
            )
            for record, name in zip(outliers, names, strict=True)
        ]
        answers = self._store.query_batch(DETECTIONS, queries)
        spreads = self._spreads()
        return [
            _deviations_of(record.payload or {}, [one.payload or {} for one in answer], spreads)
            for record, answer in zip(outliers, answers, strict=True)
        ]

    def _spreads(self) -> dict[str, float]:
        """Return the robust standard deviation of each variable over a sample of the store."""
        sample: list[Payload] = []
        having = models.Filter(must=[lookup.is_flag("has_spectrum")])
        for record in self._scroll(having, list(VARIABLE_NAMES)):
            sample.append(record.payload or {})
            if len(sample) == N_SAMPLE:
                break
        spreads = {}
        for name in VARIABLE_NAMES:
            values = _values(sample, name)
            if len(values) >= MIN_VALUES and (spread := _spread(values)) > 0:
                spreads[name] = spread
        return spreads

    def _notes(
        self, condition: models.Filter | None, payloads: Sequence[Payload], n_scored: int
    ) -> tuple[str, ...]:
        notes = []
        total = self._store.count(DETECTIONS, condition)
        if n_scored < total:
            notes.append(
                f"{total - n_scored:,} of {total:,} detections that match are not scored: they "
                "lack the vectors that were compared, or no run has reached them"
            )
        runs = {tuple(sorted(payload[RUN].items())) for payload in payloads}
        if len(runs) > 1:
            notes.append(
                f"scores of {len(runs)} runs are mixed and cannot be compared: score all of these "
                "detections in one run"
            )
        n_simulated = sum(bool(payload.get("simulated")) for payload in payloads)
        if n_simulated:
            notes.append(f"{n_simulated} of {len(payloads)} listed are simulated")
        return tuple(notes)


def _forest_scores(vectors: Float32Array, seed: int, progress: Progress) -> FloatArray:
    from sklearn.ensemble import IsolationForest  # takes a second to load, which few commands need

    progress("growing the forest", 0, None)
    forest = IsolationForest(n_estimators=N_TREES, random_state=seed).fit(vectors)
    blocks = []
    for start in range(0, len(vectors), _BLOCK):
        blocks.append(-forest.score_samples(vectors[start : start + _BLOCK]))
        progress("scoring", min(start + _BLOCK, len(vectors)), len(vectors))
    scores = np.concatenate(blocks)
    return np.asarray(scores / scores.max(), dtype=np.float64)


def _ranks_in_class(scores: FloatArray, classes: Sequence[str]) -> npt.NDArray[np.int64]:
    ranks = np.zeros(len(scores), dtype=np.int64)
    seen: defaultdict[str, int] = defaultdict(int)
    for row in np.argsort(-scores, kind="stable").tolist():
        seen[classes[row]] += 1
        ranks[row] = seen[classes[row]]
    return ranks


def _deviations_of(
    payload: Payload, neighbours: Sequence[Payload], spreads: Mapping[str, float]
) -> tuple[Deviation, ...]:
    found = []
    for name, spread in spreads.items():
        values = _values(neighbours, name)
        if name in payload and len(values) >= MIN_VALUES:
            median = float(np.median(values))
            value = float(payload[name])
            found.append(Deviation(name, value, median, (value - median) / spread))
    found = [one for one in found if abs(one.deviation) >= MIN_DEVIATION]
    return tuple(sorted(found, key=lambda one: -abs(one.deviation))[:N_DEVIATIONS])


def _spread(values: FloatArray) -> float:
    """Return a robust standard deviation, also of values half of which sit at the end of a fit."""
    mad = _TO_SIGMA * float(np.median(np.abs(values - np.median(values))))
    low, high = np.percentile(values, _ONE_SIGMA)
    return max(mad, float(high - low) / 2)


def _values(payloads: Sequence[Payload], name: str) -> FloatArray:
    return np.array([one[name] for one in payloads if name in one], dtype=np.float64)


def _having(name: str, condition: models.Filter | None) -> models.Filter:
    return _both(models.HasVectorCondition(has_vector=name), condition)


def _scored(condition: models.Filter | None) -> models.Filter:
    return _both(models.FieldCondition(key=SCORE, range=models.Range(gte=0)), condition)


def _both(one: models.Condition, other: models.Filter | None) -> models.Filter:
    return models.Filter(must=[one] if other is None else [one, other])
