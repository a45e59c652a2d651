import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import models

from common.errors import InputError, NotFoundError, StoreLockedError, UnavailableError
from search.store.base import CollectionSchema, VectorField
from search.store.embedded import EmbeddedStore

SCHEMA = CollectionSchema({"own": VectorField(4)}, {"obsid": models.PayloadSchemaType.INTEGER})
WRITER = """
import sys
from pathlib import Path
from qdrant_client import models
from search.store.base import CollectionSchema, VectorField
from search.store.embedded import EmbeddedStore
store = EmbeddedStore(Path(sys.argv[1]))
store.create_collection("detections", CollectionSchema({"own": VectorField(4)}))
store.set_alias("current", "detections")
for start in range(0, 10**9, 50):
    store.upsert("detections", [
        models.PointStruct(id=i, vector={"own": [1, i, 0, 0]}, payload={"obsid": i})
        for i in range(start, start + 50)
    ])
    store.set_payload("detections", {i: {"score": i / 2} for i in range(start, start + 50)})
    print(start + 50, flush=True)
"""


def points(first, last):
    return [
        models.PointStruct(id=i, vector={"own": [1, i, 0, 0]}, payload={"obsid": i})
        for i in range(first, last)
    ]


@pytest.fixture
def store(tmp_path):
    with EmbeddedStore(tmp_path / "store") as store:
        yield store


def test_reopened_store_knows_what_it_held(tmp_path):
    with EmbeddedStore(tmp_path) as store:
        store.create_collection("detections@a", SCHEMA)
        store.set_alias("detections", "detections@a")
        store.upsert("detections", points(0, 10))
    with EmbeddedStore(tmp_path) as store:
        assert store.collections() == ["detections@a"]
        assert store.resolve("detections") == "detections@a"
        obsid = models.FieldCondition(key="obsid", range=models.Range(lt=3))
        assert store.count("detections", models.Filter(must=[obsid])) == 3
        with pytest.raises(InputError, match="exists with vectors"):
            store.create_collection("detections@a", CollectionSchema({"own": VectorField(5)}))


@pytest.mark.integration
def test_kill_9_loses_nothing_that_has_been_acknowledged(tmp_path, repository):
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        cwd=repository,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        acknowledged = [int(writer.stdout.readline()) for _ in range(20)][-1]
        writer.kill()
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
    with EmbeddedStore(tmp_path) as store:
        assert store.resolve("current") == "detections"
        ids = range(acknowledged)
        found = store.retrieve("detections", ids, with_vectors=True)
        assert [record.id for record in found] == [*ids]
        assert all(
            record.payload == {"obsid": record.id, "score": record.id / 2} for record in found
        )
        assert all(len(record.vector["own"]) == 4 for record in found)


def test_second_store_on_the_same_folder_is_refused(tmp_path, store):
    with pytest.raises(StoreLockedError, match="is in use by process"):
        EmbeddedStore(tmp_path / "store")


def test_closed_store_says_so_and_frees_its_folder(tmp_path):
    store = EmbeddedStore(tmp_path)
    store.create_collection("detections", SCHEMA)
    store.close()
    for ask in (store.collections, lambda: store.count("detections")):
        with pytest.raises(UnavailableError, match="has been closed"):
            ask()
    EmbeddedStore(tmp_path).close()


def test_collection_left_half_made_by_a_kill_is_removed(tmp_path):
    (tmp_path / "collections" / ".detections" / "segments").mkdir(parents=True)
    with EmbeddedStore(tmp_path) as store:
        assert store.collections() == []
        store.create_collection("detections", SCHEMA)
        assert store.count("detections") == 0
    assert [p.name for p in (tmp_path / "collections").iterdir()] == ["detections"]


@pytest.mark.parametrize("name", ["", ".", "..", "../lock", "/", "detections/segments"])
def test_name_never_leads_out_of_the_store(store, name):
    with pytest.raises(NotFoundError, match="no collection"):
        store.count(name)


def test_unknown_collection_is_told_with_the_known_ones(store):
    with pytest.raises(NotFoundError, match="there are: none yet"):
        store.count("detections")
    store.create_collection("papers@a", SCHEMA)
    store.set_alias("papers", "papers@a")
    with pytest.raises(NotFoundError, match="there are: papers@a, papers"):
        store.count("detections")


@pytest.mark.parametrize("content", ["{", "[1, 2]", '{"vectors": {}}'])
def test_damaged_schema_file_is_told(tmp_path, content):
    with EmbeddedStore(tmp_path) as store:
        store.create_collection("detections", SCHEMA)
    file = tmp_path / "collections" / "detections" / "collection.json"
    file.write_text(content)
    with (
        EmbeddedStore(tmp_path) as store,
        pytest.raises(UnavailableError, match=r"collection\.json.*restore"),
    ):
        store.count("detections")


def test_damaged_alias_file_is_told_and_frees_the_folder(tmp_path):
    EmbeddedStore(tmp_path).close()
    file = tmp_path / "aliases.json"
    file.write_text("{")
    with pytest.raises(UnavailableError, match=r"aliases\.json.*restore"):
        EmbeddedStore(tmp_path)
    file.write_text(json.dumps({}))
    EmbeddedStore(tmp_path).close()


def test_store_from_before_sparse_vectors_opens_and_takes_them(tmp_path):
    with EmbeddedStore(tmp_path) as store:
        store.create_collection("papers", SCHEMA)
        store.upsert("papers", points(1, 3))
    file = tmp_path / "collections" / "papers" / "collection.json"
    older = json.loads(file.read_text())
    assert older.pop("sparse") == []
    file.write_text(json.dumps(older))
    words = models.SparseVector(indices=[7], values=[1.0])
    with EmbeddedStore(tmp_path) as store:
        assert store.count("papers") == 2
        store.create_collection("papers", replace(SCHEMA, sparse=("words",)))
        both = models.PointStruct(id=9, vector={"own": [1, 0, 0, 0], "words": words}, payload={})
        store.upsert("papers", [both])
    with EmbeddedStore(tmp_path) as store:
        (found,) = store.query("papers", words, "words", with_vectors=True)
        assert (found.id, found.vector["words"]) == (9, words)


def test_shard_that_is_gone_is_told(tmp_path):
    with EmbeddedStore(tmp_path) as store:
        store.create_collection("detections", SCHEMA)
    for file in (tmp_path / "collections" / "detections" / "segments").rglob("segment.json"):
        file.write_text("{")
    with EmbeddedStore(tmp_path) as store, pytest.raises(UnavailableError, match="detections"):
        store.count("detections")


@pytest.mark.parametrize(
    "condition",
    [
        models.NestedCondition(nested=models.Nested(key="obsid", filter=models.Filter())),
        models.FieldCondition(key="obsid", match=models.MatchPrefix(prefix="1")),
        models.FieldCondition(
            key="obsid",
            geo_polygon=models.GeoPolygon(
                exterior=models.GeoLineString(
                    points=[models.GeoPoint(lon=x, lat=y) for x, y in [(0, 0), (1, 0), (0, 0)]]
                )
            ),
        ),
    ],
)
def test_condition_without_translation_is_refused_never_dropped(store, condition):
    store.create_collection("detections", SCHEMA)
    for wrapped in (
        models.Filter(must=[condition]),
        models.Filter(should=condition),
        models.Filter(must_not=[models.Filter(must=[condition])]),
        models.Filter(min_should=models.MinShould(conditions=[condition], min_count=1)),
    ):
        with pytest.raises(InputError, match="the embedded engine cannot filter by"):
            store.count("detections", wrapped)


def test_threads_read_while_one_writes(store):
    store.create_collection("detections", SCHEMA)
    store.upsert("detections", points(0, 500))

    def write():
        for first in range(500, 2500, 100):
            store.upsert("detections", points(first, first + 100))

    def read(seed):
        rng = np.random.default_rng(seed)
        for _ in range(50):
            found = store.query("detections", rng.normal(size=4), "own", limit=20)
            assert len({hit.id for hit in found}) == 20
            assert store.count("detections") >= 500

    with ThreadPoolExecutor(5) as pool:
        for done in [pool.submit(write), *(pool.submit(read, seed) for seed in range(4))]:
            done.result()
    assert store.count("detections") == 2500


def test_store_closed_while_threads_ask_answers_or_says_so(tmp_path):
    store = EmbeddedStore(tmp_path)
    store.create_collection("detections", SCHEMA)
    store.upsert("detections", points(0, 2000))

    def read(seed):
        question = np.random.default_rng(seed).normal(size=4)
        try:
            while True:
                assert len(store.query("detections", question, "own", limit=20)) == 20
        except UnavailableError as exc:
            return str(exc)

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(read, seed) for seed in range(4)]
        store.close()
        assert all("closed" in done.result() for done in asked)


def test_question_that_a_close_overtakes_says_so(tmp_path, monkeypatch):
    """Between finding the shard and asking it."""
    store = EmbeddedStore(tmp_path)
    store.create_collection("detections", SCHEMA)
    shard = store._shards.get("detections")
    store.close()
    monkeypatch.setattr(store._shards, "get", lambda _name: shard)
    with pytest.raises(UnavailableError, match="was closed meanwhile"):
        store.count("detections")


def test_threads_open_a_collection_once(tmp_path):
    with EmbeddedStore(tmp_path) as store:
        store.create_collection("detections", SCHEMA)
        store.upsert("detections", points(0, 10))
    with EmbeddedStore(tmp_path) as store, ThreadPoolExecutor(8) as pool:
        assert [*pool.map(store.count, ["detections"] * 32)] == [10] * 32


@contextmanager
def half_unpacked(store, tmp_path):
    """While this holds, a thread unpacks a snapshot of which only one half has come."""
    store.create_collection("other", SCHEMA)
    store.upsert("other", points(0, 1000))
    store.save_snapshot("other", tmp_path / "snapshot")
    content = (tmp_path / "snapshot").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(store.load_snapshot, "loaded", tmp_path / "pipe")
        with (tmp_path / "pipe").open("wb") as pipe:  # is open when the unpacking has begun
            pipe.write(content[: len(content) // 2])
            pipe.flush()
            try:
                yield loading
            finally:
                with suppress(BrokenPipeError):
                    pipe.write(content[len(content) // 2 :])


def test_questions_are_answered_while_a_snapshot_is_unpacked(store, tmp_path):
    with ThreadPoolExecutor(1) as pool, half_unpacked(store, tmp_path) as loading:
        assert pool.submit(store.count, "other").result(timeout=20) == 1000
        assert pool.submit(store.collections).result(timeout=20) == ["other"]
        assert not loading.done()
    loading.result()
    assert store.count("loaded") == 1000


def test_a_name_taken_while_a_snapshot_is_unpacked_stays_as_it_is(store, tmp_path):
    with ThreadPoolExecutor(1) as pool, half_unpacked(store, tmp_path) as loading:
        pool.submit(store.create_collection, "loaded", SCHEMA).result(timeout=20)
    with pytest.raises(InputError, match="there is a loaded already"):
        loading.result()
    assert store.count("loaded") == 0
    assert not [*(tmp_path / "store" / "collections").glob(".*")]


def test_a_snapshot_that_is_cut_off_leaves_nothing(store, tmp_path):
    store.create_collection("other", SCHEMA)
    store.save_snapshot("other", tmp_path / "snapshot")
    content = (tmp_path / "snapshot").read_bytes()
    (tmp_path / "snapshot").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="is no snapshot"):
        store.load_snapshot("loaded", tmp_path / "snapshot")
    assert store.collections() == ["other"]
    assert not [*(tmp_path / "store" / "collections").glob(".*")]
