import hashlib
import io
import json
import shutil
import tarfile

import pytest
from fake_encoder import FakeEncoder
from two_models import Background, filled, open_pipeline, payloads, simulate

from common.errors import InputError, NotFoundError, UnavailableError
from search.app import build_services
from search.collections.schema import DETECTIONS, PAPERS
from search.settings import SearchSettings
from search.store.embedded import EmbeddedStore
from workers.maintenance.backup import MANIFEST, back_up, restore, verify_backup

QUESTIONS = ("obscured active nucleus with an iron line", "bursts of a low mass binary")


def answers(store):
    services = build_services(store, FakeEncoder(), SearchSettings())
    return [
        [(hit.id, hit.score) for hit in services.search.by_text(question, to).hits]
        for question in QUESTIONS
        for to in ("detections", "papers")
    ]


@pytest.fixture(scope="module")
def made(module_folder):
    """A data folder with a filled store and a bundle beside it, and its backup."""
    home = module_folder("made") / "data"
    with EmbeddedStore(home / "store") as store:
        filled(store)
    (home / "bundles" / "fake0").mkdir(parents=True)
    (home / "bundles" / "fake0" / "model.json").write_text("{}")
    with EmbeddedStore(home / "store") as store:
        return home, back_up(store, home, home.parent / "one.tar")[0]


@pytest.fixture
def home(made):
    return made[0]


@pytest.fixture
def backup(made, tmp_path):
    return shutil.copy(made[1], tmp_path / "one.tar")


def test_rehearsal_a_destroyed_store_answers_alike_after_its_restore(tmp_path):
    home = tmp_path / "data"
    with EmbeddedStore(home / "store") as store:
        filled(store)
        (home / "bundles" / "fake0").mkdir(parents=True)
        (home / "bundles" / "fake0" / "model.json").write_text("{}")
        before = answers(store)
        held = payloads(store, DETECTIONS, "fake0")
        back_up(store, home, tmp_path / "one.tar")
    shutil.rmtree(home)
    with EmbeddedStore(home / "store") as store:
        restore(tmp_path / "one.tar", store, home)
        assert answers(store) == before
        assert payloads(store, DETECTIONS, "fake0") == held
        assert (home / "bundles" / "fake0" / "model.json").read_text() == "{}"
        # and it can be written to: what was there is known, what is new is added
        statuses = {o.status for o in open_pipeline(store).ingest_dataset(simulate(40, 5))}
        assert statuses == {"unchanged"}
        list(open_pipeline(store).ingest_dataset(simulate(60, 6)))
        assert store.count(DETECTIONS) == 100


def test_backup_into_a_folder_is_named_by_the_time(home, tmp_path):
    with EmbeddedStore(home / "store") as store:
        path, manifest = back_up(store, home, tmp_path)
    assert path.parent == tmp_path
    assert path.name.startswith("chandra-search-2")
    assert manifest == verify_backup(path)
    assert manifest.collections["detections@fake0"] == (40, 40)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_backup_while_ingestion_runs_holds_one_moment_of_each_collection(tmp_path):
    home = tmp_path / "data"
    with EmbeddedStore(home / "store") as store:
        filled(store)
        pipeline = open_pipeline(store)
        more = simulate(60, 6)

        def ingest(turn):
            list(pipeline.ingest_dataset(more))
            ids = [one.id for one in more.detections[: turn % 40]]
            pipeline.correct(DETECTIONS, {point: {"turn": turn} for point in ids})

        with Background(ingest):
            paths = [back_up(store, home, tmp_path / f"{n}.tar")[0] for n in range(2)]
    for n, path in enumerate(paths):
        with EmbeddedStore(tmp_path / f"restored{n}") as store:
            restore(path, store, tmp_path / f"restored{n}")
            assert store.count(DETECTIONS) >= 40
            assert store.count("spectra") >= store.count(DETECTIONS)
            answers(store)


def test_backup_does_not_overwrite(home, backup):
    with EmbeddedStore(home / "store") as store, pytest.raises(InputError, match="exists"):
        back_up(store, home, backup)


def test_backup_of_an_empty_store_is_refused(tmp_path):
    with EmbeddedStore(tmp_path / "store") as store, pytest.raises(NotFoundError, match="empty"):
        back_up(store, tmp_path, tmp_path / "one.tar")


def test_a_failed_backup_leaves_nothing(home, tmp_path, monkeypatch):
    def full(*_):
        raise UnavailableError("no space left on device: make room")

    target = tmp_path / "backups"
    with EmbeddedStore(home / "store") as store:
        monkeypatch.setattr(EmbeddedStore, "save_snapshot", full)
        with pytest.raises(UnavailableError, match="no space"):
            back_up(store, home, target / "one.tar")
    assert [*target.iterdir()] == []


def test_restore_into_a_store_that_holds_something_is_refused(home, backup):
    with EmbeddedStore(home / "store") as store, pytest.raises(InputError, match="empty"):
        restore(backup, store, home)


def refused(path, tmp_path, match):
    with EmbeddedStore(tmp_path / "fresh" / "store") as store:
        with pytest.raises(InputError, match=match):
            restore(path, store, tmp_path / "fresh")
        assert store.collections() == []


def test_a_flipped_bit_is_found_before_anything_is_restored(backup, tmp_path):
    content = bytearray(backup.read_bytes())
    with tarfile.open(backup) as archive:
        member = archive.getmember("collections/detections@fake0")
    content[member.offset_data + member.size // 2] ^= 1
    backup.write_bytes(content)
    refused(backup, tmp_path, "detections@fake0 is damaged")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_backup_is_refused(backup, tmp_path, share):
    content = backup.read_bytes()
    backup.write_bytes(content[: int(share * len(content))])
    refused(backup, tmp_path, "whole backup|damaged|differ")


def test_a_file_that_is_no_backup_is_refused(tmp_path):
    (tmp_path / "one.tar").write_text("no backup")
    refused(tmp_path / "one.tar", tmp_path, "no whole backup")
    with EmbeddedStore(tmp_path / "store") as store, pytest.raises(NotFoundError, match="no file"):
        restore(tmp_path / "two.tar", store, tmp_path)


def rewritten(backup, change, extra=()):
    """Write a backup again with another list of what it holds, and files beside those."""
    with tarfile.open(backup) as archive:
        members = [(m.name, archive.extractfile(m).read()) for m in archive.getmembers()]
    said = change(json.loads(dict(members)[MANIFEST]))
    members = [m for m in members if m[0] != MANIFEST] + [*extra]
    for name, content in extra:
        said["parts"][name] = {
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    with tarfile.open(backup, "w") as archive:
        for name, content in [*members, (MANIFEST, json.dumps(said).encode())]:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return backup


def test_a_backup_of_newer_code_is_refused(backup, tmp_path):
    rewritten(backup, lambda said: said | {"format": 99, "version": "9.9"})
    refused(backup, tmp_path, "9.9, which is newer")


def test_a_backup_of_the_other_engine_is_refused_with_the_cure(backup, tmp_path):
    rewritten(backup, lambda said: said | {"engine": "server"})
    refused(backup, tmp_path, "CHANDRA_QDRANT_URL")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "bundles/../../evil", "lock"])
def test_a_backup_writes_nowhere_else(backup, tmp_path, name):
    rewritten(backup, lambda said: said, [(name, b"evil")])
    refused(backup, tmp_path, "would write to")
    assert not [*tmp_path.rglob("evil")]


def test_counts_are_compared_after_the_restore(backup, tmp_path):
    rewritten(
        backup,
        lambda said: said | {"collections": said["collections"] | {"papers@fake0": [99, 99]}},
    )
    with EmbeddedStore(tmp_path / "store") as store:
        with pytest.raises(UnavailableError, match="papers@fake0 was restored with"):
            restore(backup, store, tmp_path / "fresh")
        assert store.resolve(PAPERS) is None
