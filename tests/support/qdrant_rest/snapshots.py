"""Snapshots of the stand-in: the folder of a shard and what was asked for when it was made."""

import json
import os
import shutil
import tarfile
from io import BytesIO
from typing import Annotated
from uuid import uuid4

import qdrant_edge as edge
from fastapi import File, UploadFile
from fastapi.responses import FileResponse
from qdrant_client import models
from qdrant_rest.shards import CREATION, INDEXES, ApiError

FILLING = int(os.environ.get("QDRANT_REST_FILLING", "0"))
"""How often after a restore a replica on another node is said to fill up; 0 is no other node."""


def add_snapshots(api, collections):
    kept = collections.folder / ".snapshots"

    @api.get("/collections/{name}/cluster")
    def cluster(name: str):
        collection = collections.get(name)
        shard = {"shard_id": 0, "points_count": 0, "state": "Active"}
        remote = []
        if FILLING:
            state = "Partial" if collection.filling else "Active"
            remote = [{"shard_id": 0, "peer_id": 2, "state": state}]
            collection.filling = max(0, collection.filling - 1)
        return {"result": {"local_shards": [shard], "remote_shards": remote}, "status": "ok"}

    @api.post("/collections/{name}/snapshots")
    def take(name: str):
        kept.mkdir(parents=True, exist_ok=True)
        snapshot = f"{name}-{uuid4().hex}.snapshot"
        save(collections.get(name), collections.folder / name, kept / snapshot)
        return {"result": {"name": snapshot, "size": (kept / snapshot).stat().st_size}}

    @api.get("/collections/{name}/snapshots/{snapshot}")
    def fetch(name: str, snapshot: str):
        if not (kept / snapshot).is_file():
            raise ApiError(404, f"Not found: Snapshot {snapshot} of {name}")
        return FileResponse(kept / snapshot)

    @api.delete("/collections/{name}/snapshots/{snapshot}")
    def forget(name: str, snapshot: str):
        (kept / snapshot).unlink()
        return {"result": True, "status": "ok"}

    @api.post("/collections/{name}/snapshots/upload")
    def upload(name: str, snapshot: Annotated[UploadFile, File()]):
        load(collections, name, snapshot.file)
        return {"result": True, "status": "ok"}


def save(collection, folder, path):
    described = json.dumps(collection.creation()).encode()
    entry = tarfile.TarInfo(CREATION)
    entry.size = len(described)
    with collection.writing, tarfile.open(path, "w:gz", compresslevel=1) as archive:
        archive.copybufsize = 4 * 1024 * 1024
        collection.shard.flush()
        archive.addfile(entry, BytesIO(described))
        archive.add(folder, arcname="shard")


def load(collections, name, file):
    unpacked = collections.folder / f".{uuid4().hex}"
    try:
        with tarfile.open(fileobj=file) as archive:
            archive.extractall(unpacked, filter="data")
        creation = json.loads((unpacked / CREATION).read_text())
    except (tarfile.TarError, OSError) as exc:
        raise ApiError(500, f"Service internal error: {exc}") from exc  # as the real one
    collections.create(name, models.CreateCollection(**creation["config"]))
    collection = collections.get(name)
    collection.shard.close()
    shutil.rmtree(collections.folder / name)
    (unpacked / "shard").rename(collections.folder / name)
    collection.shard = edge.EdgeShard.load(str(collections.folder / name))
    for field, params in INDEXES.validate_python(creation["indexes"]).items():
        collections.index(name, field, params)
    collection.filling = FILLING
    shutil.rmtree(unpacked)
