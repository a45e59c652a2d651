"""What a cluster is told when a collection is created; the stand-in only writes it down."""

import json

import pytest
from fake_encoder import FakeEncoder
from qdrant_client import models
from qdrant_rest.process import running

from common.errors import InputError
from search.app import open_store
from search.collections.schema import DETECTIONS, open_collections
from search.settings import SearchSettings
from search.store.base import CollectionSchema, NearestQuery, VectorField
from search.store.cluster_options import Placement
from search.store.server import ServerStore
from search.store.server_translation import to_request

SCHEMA = CollectionSchema({"own": VectorField(2), "text": VectorField(4, on_disk=True)})
QUERY = NearestQuery([1.0, 0.0], "own")


@pytest.fixture
def created(tmp_path):
    """Return what the server was asked for, by our settings."""

    def created(**settings):
        folder = tmp_path / "engine"
        with running(folder) as url:
            ours = SearchSettings(data_dir=tmp_path, qdrant_url=url, timeout_s=30, **settings)
            with open_store(ours) as store:
                store.create_collection("one", SCHEMA)
        return json.loads((folder / "one" / "creation.json").read_text())["config"]

    return created


def test_a_cluster_is_told_of_shards_replicas_and_acknowledgements(created):
    config = created(
        qdrant_shard_number=6, qdrant_replication_factor=3, qdrant_write_consistency_factor=2
    )
    assert (config["shard_number"], config["replication_factor"]) == (6, 3)
    assert config["write_consistency_factor"] == 2


@pytest.mark.parametrize(("copies", "acknowledged"), [(2, 2), (2, 1), (3, 3), (2, 3)])
def test_collections_that_take_no_write_while_a_node_is_away_are_not_made(
    created, copies, acknowledged
):
    with pytest.raises(InputError, match=rf"{copies} replicas and write .*Use 3 and 2"):
        created(qdrant_replication_factor=copies, qdrant_write_consistency_factor=acknowledged)


@pytest.mark.parametrize(
    ("copies", "acknowledged", "warned"),
    [(2, 2, True), (3, 2, False), (2, 1, True), (1, 1, False)],
)
def test_such_a_cluster_made_before_is_warned_of_at_the_start(
    tmp_path, caplog, monkeypatch, copies, acknowledged, warned
):
    with running(tmp_path / "engine") as url:
        ours = SearchSettings(data_dir=tmp_path, qdrant_url=url, timeout_s=30)
        with (
            monkeypatch.context() as before,
            ServerStore(url, None, 30, Placement(None, copies, acknowledged)) as store,
        ):
            before.setattr(Placement, "fault", None)
            open_collections(store, FakeEncoder())
        with open_store(ours) as store:
            assert store.placement_of(DETECTIONS) == Placement(1, copies, acknowledged)
    said = f"{copies} replicas and write consistency {acknowledged}"
    assert any(said in one for one in caplog.messages) == warned


def test_a_single_server_decides_by_itself(created):
    config = created()
    assert [config[f"{name}"] for name in ("shard_number", "replication_factor")] == [None, None]
    assert config["quantization_config"] is None


def test_text_vectors_are_on_disk_and_others_may_be_bytes_in_memory(created):
    config = created(qdrant_int8=True)
    assert config["vectors"]["text"]["on_disk"] is True
    assert not config["vectors"]["own"]["on_disk"]
    kept = config["quantization_config"]["scalar"]
    assert (kept["type"], kept["always_ram"]) == ("int8", True)


def test_bytes_choose_and_whole_vectors_decide():
    params = to_request(QUERY, int8=True).params.quantization
    assert params == models.QuantizationSearchParams(rescore=True, oversampling=2.0)
    assert to_request(QUERY).params.quantization is None


def test_an_exact_question_is_answered_by_whole_vectors():
    exact = NearestQuery([1.0, 0.0], "own", exact=True)
    assert to_request(exact, int8=True).params.quantization.ignore is True
