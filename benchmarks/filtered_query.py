"""A filtered nearest-neighbour query at 100,000 detections, beside the raw Qdrant Edge query.

Run: python benchmarks/filtered_query.py [--points 100000]

Three layers answer the same questions (one class of a hundred, ten nearest), turn about in one run:
Qdrant Edge called directly, our store (which translates the filter), our search service.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from qdrant_client import models

from search.filters import DetectionFilter
from search.schema import DETECTION_FIELDS, DETECTIONS, SHARED_SPECTRUM
from search.service import SearchService
from search.store.base import CollectionSchema, VectorField
from search.store.embedded import EmbeddedStore

WIDTH = 64
CLASSES = ("AGN", "QSO", "Sy1", "Sy2", "LXB", "HXB", "CV*", "SNR", "YSO", "ULX")


class NoEncoder:
    """The queries are vectors already."""

    model_id = text_model = "none"
    spectrum_width = text_width = shared_width = WIDTH


def points(n: int, rng: np.random.Generator) -> list[models.PointStruct]:
    """Return points with unit vectors and the payload fields that the filter needs."""
    vectors = rng.normal(size=(n, WIDTH))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    hardness = rng.uniform(-1, 1, n)
    return [
        models.PointStruct(
            id=str(UUID(int=row + 1)),
            vector={SHARED_SPECTRUM: vectors[row].tolist()},
            payload={"class_path": [CLASSES[row % len(CLASSES)]], "hard_hs": float(hardness[row])},
        )
        for row in range(n)
    ]


def main() -> None:
    """Fill a store, ask the same questions at three layers, print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=2_000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    wanted = DetectionFilter(classes=("ULX",), where="hard_hs > 0.8")  # one point of a hundred
    with tempfile.TemporaryDirectory() as temporary, EmbeddedStore(Path(temporary)) as store:
        schema = CollectionSchema({SHARED_SPECTRUM: VectorField(WIDTH)}, DETECTION_FIELDS)
        store.create_collection(DETECTIONS, schema)
        batch = points(options.points, rng)
        for start in range(0, len(batch), 2_000):
            store.upsert(DETECTIONS, batch[start : start + 2_000])
        store.optimize(DETECTIONS)
        service = SearchService(store, NoEncoder())
        condition = wanted.to_qdrant()
        raw_filter = edge.Filter(
            must=[
                edge.FieldCondition(key="class_path", match=edge.MatchAny(any=["ULX"])),
                edge.FieldCondition(key="hard_hs", range=edge.RangeFloat(gt=0.8)),
            ]
        )
        shard = store._shards.get(DETECTIONS).edge  # the raw engine under the store
        times: dict[str, list[float]] = {"raw Edge query": [], "our store": [], "our service": []}
        for query in rng.normal(size=(options.queries, WIDTH)):
            vector = query.tolist()
            request = edge.QueryRequest(
                query=edge.Query.Nearest(vector, using=SHARED_SPECTRUM),
                filter=raw_filter,
                limit=10,
                with_payload=True,
            )
            start = time.perf_counter()
            raw = shard.query(request)
            middle = time.perf_counter()
            ours = store.query(
                DETECTIONS, vector, using=SHARED_SPECTRUM, query_filter=condition, limit=10
            )
            end = time.perf_counter()
            hits = service.nearest(DETECTIONS, SHARED_SPECTRUM, vector, wanted, 10)
            last = time.perf_counter()
            if not [str(p.id) for p in raw] == [p.id for p in ours] == [str(h.id) for h in hits]:
                raise SystemExit("the layers disagree")
            for name, seconds in zip(
                times, (middle - start, end - middle, last - end), strict=True
            ):
                times[name].append(seconds)
    base = statistics.median(times["raw Edge query"])
    print(f"{options.points:,} points, filter keeps 1%, 10 nearest, {options.queries:,} queries")
    for name, values in times.items():
        p50 = statistics.median(values)
        print(f"{name:16s} p50 {p50 * 1e3:7.3f} ms   {p50 / base:5.2f} x raw")


if __name__ == "__main__":
    main()
