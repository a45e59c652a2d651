"""The same filtered questions to other stores, at the same recall: LanceDB, Chroma, FAISS + pandas.

Run: pip install -e '.[bench]'; python benchmarks/other_stores.py [--points 407806]

Ten nearest of one class with one range (1% of the detections). Every store is asked in the fastest
of several ways that reach the recall asked for against exact search; questions take turns in one
run, so that the ratios hold whatever else the machine does.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import chromadb
import faiss
import lancedb
import numpy as np
import pandas as pd
import pyarrow as pa
from lancedb.index import Bitmap, BTree, IvfFlat
from synthetic import (
    N_DETECTIONS,
    WANTED_CLASS,
    WANTED_HARDNESS,
    WIDTH,
    Sky,
    make_sky,
    questions,
)

from search.collections.schema import (
    DETECTION_FIELDS,
    DETECTION_LINKED,
    DETECTIONS,
    SHARED_SPECTRUM,
)
from search.filters.filters import DetectionFilter, restriction
from search.store.base import CollectionSchema, VectorField
from search.store.embedded import EmbeddedStore

K = 10
RECALL = 0.99
Ask = Callable[[list[float]], list[int]]


def chandra(sky: Sky, folder: Path) -> list[Ask]:
    """Fill our store; one way to ask, its defaults."""
    from qdrant_client import models

    store = EmbeddedStore(folder)
    indexes = {name: DETECTION_FIELDS[name] for name in ("class_path", "hard_hs")}
    schema = CollectionSchema(
        {SHARED_SPECTRUM: VectorField(WIDTH)}, indexes, linked=DETECTION_LINKED & indexes.keys()
    )
    store.create_collection(DETECTIONS, schema)
    hardness = sky.variables["hard_hs"]
    for start in range(0, len(sky.vectors), 2_000):
        store.upsert(
            DETECTIONS,
            [
                models.PointStruct(
                    id=row,
                    vector={SHARED_SPECTRUM: sky.vectors[row].tolist()},
                    payload={
                        "class_path": [str(sky.source_class[row])],
                        "hard_hs": float(hardness[row]),
                    },
                )
                for row in range(start, min(start + 2_000, len(sky.vectors)))
            ],
        )
    store.optimize(DETECTIONS)
    wanted = DetectionFilter(classes=(WANTED_CLASS,), where=f"hard_hs > {WANTED_HARDNESS}")

    def ask(vector: list[float]) -> list[int]:
        condition = restriction(wanted, store)
        found = store.query(
            DETECTIONS, vector, SHARED_SPECTRUM, condition, limit=K, with_payload=False
        )
        return [int(point.id) for point in found]

    return [ask]


def lance(sky: Sky, folder: Path) -> list[Ask]:
    """Fill a LanceDB table with vector and scalar indexes; more probes, more effort."""
    vectors = pa.FixedSizeListArray.from_arrays(sky.vectors.ravel(), WIDTH)
    columns = {
        "row": np.arange(len(sky.vectors)),
        "vector": vectors,
        "source_class": sky.source_class.tolist(),
        "hard_hs": sky.variables["hard_hs"],
    }
    table = lancedb.connect(folder).create_table("detections", pa.table(columns))
    partitions = max(1, len(sky.vectors) // 1_000)
    cosine = IvfFlat(distance_type="cosine", num_partitions=partitions)
    table.create_index("vector", config=cosine)
    table.create_index("source_class", config=Bitmap())
    table.create_index("hard_hs", config=BTree())
    condition = f"source_class = '{WANTED_CLASS}' AND hard_hs > {WANTED_HARDNESS}"

    def asking(probes: int) -> Ask:
        def ask(vector: list[float]) -> list[int]:
            search = table.search(vector).metric("cosine").where(condition, prefilter=True)
            found = search.nprobes(probes).limit(K).select(["row", "_distance"]).to_arrow()
            rows: list[int] = found["row"].to_pylist()
            return rows

        return ask

    return [asking(probes) for probes in (10, 20, 50, 100, partitions)]


def chroma(sky: Sky, folder: Path) -> list[Ask]:
    """Fill a Chroma collection; a larger ef, more effort."""
    client = chromadb.PersistentClient(str(folder))
    collection = client.create_collection(
        "detections", configuration={"hnsw": {"space": "cosine", "ef_search": 100}}
    )
    hardness = sky.variables["hard_hs"]
    for start in range(0, len(sky.vectors), 5_000):
        rows = range(start, min(start + 5_000, len(sky.vectors)))
        collection.add(
            ids=[str(row) for row in rows],
            embeddings=sky.vectors[start : start + 5_000],
            metadatas=[
                {"source_class": str(sky.source_class[row]), "hard_hs": float(hardness[row])}
                for row in rows
            ],
        )
    condition = {
        "$and": [
            {"source_class": {"$eq": WANTED_CLASS}},
            {"hard_hs": {"$gt": WANTED_HARDNESS}},
        ]
    }

    def asking(effort: int) -> Ask:
        def ask(vector: list[float]) -> list[int]:
            found = collection.query(
                query_embeddings=[vector], n_results=K, where=condition, include=[]
            )
            return [int(identifier) for identifier in found["ids"][0]]

        collection.modify(configuration={"hnsw": {"ef_search": effort}})
        return ask

    return [asking(100)]


def faiss_and_pandas(sky: Sky, _folder: Path) -> list[Ask]:
    """Filter with pandas; search the rows it keeps in a FAISS HNSW index, or all of them."""
    graph = faiss.IndexHNSWFlat(WIDTH, 16, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 100
    flat = faiss.IndexFlatIP(WIDTH)
    for index in (graph, flat):
        index.add(sky.vectors)
    table = pd.DataFrame(
        {"source_class": sky.source_class, "hard_hs": sky.variables["hard_hs"]}
    ).astype({"source_class": "category"})

    def asking(index: faiss.Index, effort: int | None) -> Ask:
        def ask(vector: list[float]) -> list[int]:
            kept = (table.source_class == WANTED_CLASS) & (table.hard_hs > WANTED_HARDNESS)
            selector = faiss.IDSelectorBatch(np.flatnonzero(kept))
            parameters = (
                faiss.SearchParameters(sel=selector)
                if effort is None
                else faiss.SearchParametersHNSW(sel=selector, efSearch=effort)
            )
            question = np.array([vector], dtype=np.float32)
            _, rows = index.search(question, K, params=parameters)
            found: list[int] = rows[0].tolist()
            return found

        return ask

    return [asking(flat, None), *(asking(graph, effort) for effort in (64, 256, 1_024, 4_096))]


STORES = {
    "chandra-search (Qdrant Edge)": chandra,
    "LanceDB": lance,
    "Chroma": chroma,
    "FAISS + pandas": faiss_and_pandas,
}


def tried_out(ask: Ask, asked: list[list[float]], exact: list[set[int]]) -> tuple[float, float]:
    """Return the mean share of the true ten that is found, and the time it takes."""
    start = time.perf_counter()
    found = [set(ask(vector)) for vector in asked]
    seconds = time.perf_counter() - start
    shares = (len(some & true) / K for some, true in zip(found, exact, strict=True))
    return statistics.mean(shares), seconds


def main() -> None:
    """Fill every store, find the effort that reaches the recall, ask in turns, print ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=N_DETECTIONS)
    parser.add_argument("--queries", type=int, default=500)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    sky = make_sky(options.points, rng)
    asked = list(questions(sky, options.queries, rng))
    rows = np.flatnonzero(sky.wanted)
    scores = np.array(asked[:100]) @ sky.vectors[rows].T
    exact = [set(rows[np.argsort(-one)[:K]].tolist()) for one in scores]
    chosen: dict[str, tuple[Ask, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name, fill in STORES.items():
            start = time.perf_counter()
            ways = fill(sky, Path(temporary, name.split()[0]))
            filled = time.perf_counter() - start
            tried = [(*tried_out(ask, asked[:100], exact), ask) for ask in ways]
            reached, _, ask = min(tried, key=lambda one: (one[0] < RECALL, one[1]))
            chosen[name] = ask, reached
            print(f"{name}: filled in {filled:.0f} s, recall {reached:.3f}", flush=True)
        times: dict[str, list[float]] = {name: [] for name in chosen}
        for vector in asked:
            for name, (ask, _) in chosen.items():
                start = time.perf_counter()
                ask(vector)
                times[name].append(time.perf_counter() - start)
        ours = statistics.median(times["chandra-search (Qdrant Edge)"])
        print(
            f"{options.points:,} detections, filter keeps 1%, {K} nearest, {len(asked)} questions"
        )
        for name, (_, reached) in chosen.items():
            p50 = statistics.median(times[name])
            print(
                f"{name:30s} recall@10 {reached:.3f}   p50 {p50 * 1e3:8.3f} ms   "
                f"{p50 / ours:6.2f} x ours"
            )


if __name__ == "__main__":
    main()
