"""Our layers beside the raw engine, at the 407,806 detections of CSC 2.1, embedded.

Run: python benchmarks/search_at_scale.py [--points 407806]

A filtered query (one class, one range: 1% of the detections, ten nearest with their payload) goes
to Qdrant Edge called directly, to our store, to our service and through HTTP; the estimates of all
20 variables of one stored detection are compared with one raw query for neighbours, the mean over
the representations that the detection has. All take turns in one run, after every file of the
store was read once. Vectors are synthetic, 64 numbers each (128 for both); one detection in ten
has a text and so five representations, the others have two.

--store FOLDER keeps what was filled, or takes it up again.
"""

import argparse
import http.client
import json
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import qdrant_edge as edge
import uvicorn
from qdrant_client import models
from synthetic import (
    N_DETECTIONS,
    WANTED_CLASS,
    WANTED_HARDNESS,
    WIDTH,
    Sky,
    make_sky,
    questions,
)

from common.calibration import CALIBRATION, Calibration
from common.ports import TextVectors
from common.records import Detection, Summary, catalogue_key
from common.variables import VARIABLE_NAMES
from encoders.bundle import SHIPPED_BUNDLE
from search.api import create_api
from search.app import build_services
from search.collections import schema
from search.collections.schema import BOTH, DETECTIONS, SHARED_SPECTRUM, SHARED_TEXT, SPECTRUM, TEXT
from search.filters.filters import DetectionFilter, restriction
from search.results import PageOptions
from search.settings import SearchSettings
from search.store.embedded import EmbeddedStore

K = 10
TEXT_EVERY = 10
ESTIMATES = {True: "20 estimates, with a text", False: "20 estimates, spectrum only"}
RAW = {name: f"one raw query of those of {name}" for name in ESTIMATES.values()}
N_NEIGHBOURS = 60  # as many as the estimator asks for in a representation
WANTED = DetectionFilter(classes=(WANTED_CLASS,), where=f"hard_hs > {WANTED_HARDNESS}")
RAW_FILTER = edge.Filter(
    must=[
        edge.FieldCondition(key="class_path", match=edge.MatchAny(any=[WANTED_CLASS])),
        edge.FieldCondition(key="hard_hs", range=edge.RangeFloat(gt=WANTED_HARDNESS)),
    ]
)


class GivenVectors:
    """An encoder whose questions are vectors already, written as JSON."""

    model_id = text_model = "none"
    spectrum_width = text_width = shared_width = WIDTH

    def encode_summaries(self, summaries: Sequence[Summary]) -> TextVectors:
        """Return the vectors that the summaries spell."""
        vectors = np.array([json.loads(one.nature) for one in summaries], dtype=np.float32)
        return TextVectors(vectors, vectors, np.ones(len(vectors), np.float32))


def points(sky: Sky, rows: range, mixed: dict[str, np.ndarray]) -> list[models.PointStruct]:
    """Return detections with all named vectors and the payload of a catalogue row."""
    made = []
    for row in rows:
        detection = Detection(
            key=catalogue_key("2.1", row, 0, 1),
            telescope="CHANDRA",
            instrument="ACIS",
            obsid=row,
            obi=0,
            region_id=1,
            release="2.1",
            source_name=f"2CXO {row}",
            ra_deg=float(sky.ra_deg[row]),
            dec_deg=float(sky.dec_deg[row]),
            exposure_s=30_000.0,
            source_class=(str(sky.source_class[row]),),
            variables={name: float(values[row]) for name, values in sky.variables.items()},
        )
        payload = schema.detection_payload(detection) | {
            "has_spectrum": True,
            "counts": float(sky.counts[row]),
        }
        vectors = {SHARED_SPECTRUM: sky.vectors[row]} | {
            name: sky.vectors[row] @ mixing
            for name, mixing in mixed.items()
            if name == SPECTRUM or row % TEXT_EVERY == 0
        }
        made.append(
            models.PointStruct(
                id=str(detection.id),
                vector={name: vector.tolist() for name, vector in vectors.items()},
                payload=payload,
            )
        )
    return made


def shipped_calibration() -> Calibration:
    """Return the rules of the shipped bundle, whatever model these vectors pretend to be of."""
    text = (SHIPPED_BUNDLE / CALIBRATION).read_text(encoding="utf-8")
    return Calibration.from_json(text)


@contextmanager
def serving(app: object) -> Iterator[int]:
    """Serve on a free port of this machine."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def main() -> None:
    """Fill a store, ask at every layer in turns, print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=N_DETECTIONS)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--store", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    sky = make_sky(options.points, rng)
    mixed = {
        name: rng.normal(size=(WIDTH, width)).astype(np.float32)
        for name, width in {SPECTRUM: WIDTH, TEXT: WIDTH, SHARED_TEXT: WIDTH, BOTH: 128}.items()
    }
    with tempfile.TemporaryDirectory() as temporary:
        kept = options.store or Path(temporary)
        with EmbeddedStore(kept) as store:
            encoder = GivenVectors()
            schema.open_collections(store, encoder)
            fill(store, sky, mixed)
            warm(kept)
            settings = SearchSettings(rate_limit=None)
            services = build_services(store, encoder, settings, shipped_calibration())
            with serving(create_api(services, settings)) as port:
                times = ask_in_turns(options.queries, sky, rng, store, services, port)
    base = statistics.median(times["raw engine"])
    print(f"filter keeps 1%, {K} nearest with payload, {options.queries:,} questions")
    for name in ("raw engine", "our store", "our service", "HTTP"):
        report(name, times[name], base)
    print(f"estimates of all 20 variables of a stored detection, {N_NEIGHBOURS} neighbours a query")
    for name, raw in RAW.items():
        one = statistics.median(times[raw])
        report(raw, times[raw], one)
        report(name, times[name], one)


def fill(store: EmbeddedStore, sky: Sky, mixed: dict[str, np.ndarray]) -> None:
    """Store and index the detections that are not there yet."""
    n, start = len(sky.vectors), time.perf_counter()
    for first in range(store.count(DETECTIONS), n, 2_000):
        store.upsert(DETECTIONS, points(sky, range(first, min(first + 2_000, n)), mixed))
    middle = time.perf_counter()
    store.optimize(DETECTIONS)
    print(
        f"{n:,} detections filled in {middle - start:.0f} s, indexed in "
        f"{time.perf_counter() - middle:.0f} s: {store.index_state(DETECTIONS)}",
        flush=True,
    )


def warm(folder: Path) -> None:
    """Read every file once: what is measured is a service that has run for a while."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 24):
                    pass


def report(name: str, seconds: list[float], base: float) -> None:
    """Print a median and its ratio."""
    p50 = statistics.median(seconds)
    print(f"{name:36s} p50 {p50 * 1e3:8.3f} ms   {p50 / base:5.2f} x raw")


def read(points: list[edge.ScoredPoint]) -> list[tuple[object, object]]:
    """Return ids and payloads: Edge makes Python objects of them only when they are read."""
    return [(point.id, point.payload) for point in points]


def ask_in_turns(queries, sky, rng, store, services, port) -> dict[str, list[float]]:  # noqa: ANN001
    """Ask every layer the same questions, one after the other."""
    shard = store._shards.get(DETECTIONS).edge  # the raw engine under the store
    connection = http.client.HTTPConnection("127.0.0.1", port)
    asked = list(questions(sky, queries, rng))
    rows = rng.integers(len(sky.vectors), size=queries)
    rows[::2] -= rows[::2] % TEXT_EVERY  # every second one has a text
    times: dict[str, list[float]] = defaultdict(list)

    def timed(name, call):  # noqa: ANN001, ANN202
        start = time.perf_counter()
        answer = call()
        times[name].append(time.perf_counter() - start)
        return answer

    def over_http(vector: list[float]) -> list[str]:
        query = urlencode(
            {
                "q": json.dumps([round(x, 6) for x in vector]),
                "class": WANTED_CLASS,
                "where": WANTED.where,
                "limit": K,
            }
        )
        connection.request("GET", f"/v1/search/text?{query}")
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(body.decode())
        return [one["id"] for one in json.loads(body)["answers"]]

    for vector, row in zip(asked, rows.tolist(), strict=True):
        request = edge.QueryRequest(
            query=edge.Query.Nearest(vector, using=SHARED_SPECTRUM),
            filter=RAW_FILTER,
            limit=K,
            with_payload=True,
        )
        raw = timed("raw engine", lambda: read(shard.query(request)))  # noqa: B023
        timed(
            "our store",
            lambda: store.query(
                DETECTIONS,
                vector,  # noqa: B023
                SHARED_SPECTRUM,
                restriction(WANTED, store),
                limit=K,
            ),
        )
        page = timed(
            "our service",
            lambda: services.search.by_vector(
                np.array(vector),  # noqa: B023
                "none",
                "detections",
                WANTED,
                PageOptions(limit=K),
            ),
        )
        timed("HTTP", lambda: over_http(vector))  # noqa: B023
        if [str(identifier) for identifier, _ in raw] != [str(hit.id) for hit in page.hits]:
            raise SystemExit("the layers disagree")
        subject = services.search.subject(catalogue_key("2.1", row, 0, 1))
        name = ESTIMATES[TEXT in subject.vectors]
        start = time.perf_counter()
        for using, own in subject.vectors.items():
            neighbours = edge.QueryRequest(
                query=edge.Query.Nearest(own.tolist(), using),
                limit=N_NEIGHBOURS,
                with_payload=["source_name", "key", *VARIABLE_NAMES],
            )
            read(shard.query(neighbours))
        times[RAW[name]].append((time.perf_counter() - start) / len(subject.vectors))
        timed(name, lambda: services.estimator.estimate(subject))  # noqa: B023
    return times


if __name__ == "__main__":
    main()
