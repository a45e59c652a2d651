"""A cluster holds what was restored when its replicas have filled up, and not before."""

import pytest
from qdrant_rest.process import running
from two_models import filled

from common.errors import UnavailableError
from search.collections.schema import DETECTIONS
from search.store.server import ServerStore
from search.store.server_snapshots import ServerSnapshots
from workers.maintenance.backup import back_up, restore


@pytest.fixture(scope="module")
def backup(module_folder):
    folder = module_folder("made")
    with running(folder / "engine") as url, ServerStore(url, timeout_s=30) as store:
        filled(store)
        return back_up(store, folder, folder / "one.tar")[0]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Return a maker of empty clusters whose replicas are seen filling up so many times."""

    def cluster(times):
        monkeypatch.setenv("QDRANT_REST_FILLING", str(times))
        return running(tmp_path / "cluster")

    return cluster


def test_restore_waits_until_all_replicas_are_active(cluster, backup, tmp_path):
    with cluster(2) as url, ServerStore(url, timeout_s=30) as store:
        restore(backup, store, tmp_path / "data")
        assert store.count(DETECTIONS) == 40


def test_restore_does_not_wait_for_ever(cluster, backup, tmp_path):
    with cluster(1_000_000) as url, ServerStore(url, timeout_s=30) as store:
        store._snapshots = ServerSnapshots(url, None, 30, patience_s=0.2)
        with pytest.raises(UnavailableError, match=r"not active at .*shard 0 Partial.*all nodes"):
            restore(backup, store, tmp_path / "data")
