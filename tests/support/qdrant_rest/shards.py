"""The collections behind the stand-in: Edge shards, errors with Qdrant's status codes."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import dataclass, field
from threading import RLock
from uuid import uuid4

import qdrant_edge as edge
from pydantic import TypeAdapter
from qdrant_client import models

from common.errors import InputError
from search.store.base import CollectionSchema, VectorField
from search.store.edge_translation import to_config, to_filter, to_index

CREATION = "creation.json"
ALIASES = "aliases.json"
INDEXES = TypeAdapter(dict[str, models.PayloadSchemaParams])


class ApiError(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


@dataclass
class Collection:
    shard: edge.EdgeShard
    config: models.CreateCollection
    indexes: dict
    writing: RLock = field(default_factory=RLock)
    filling: int = 0
    """How often it is still said that a replica fills up; answers lack points so long."""

    def filter(self, node):
        """Translate a filter as strict mode wants it: a field without an index is refused."""
        try:
            return to_filter(node, self.indexes)
        except InputError as exc:
            raise ApiError(400, f"Bad request: {exc}") from exc

    def call(self, method, *arguments):
        try:
            with self.writing if method == "update" else nullcontext():
                return getattr(self.shard, method)(*arguments)
        except Exception as exc:
            raise ApiError(400, f"Wrong input: {exc}") from exc

    def creation(self):
        """Return what was asked for when it was made, so that it can be opened again."""
        return {
            "config": self.config.model_dump(mode="json"),
            "indexes": INDEXES.dump_python(self.indexes, mode="json"),
        }


class Collections:
    """The collections of a folder, with those that an earlier process left there."""

    def __init__(self, folder):
        self.folder = folder
        self.guard = RLock()
        folder.mkdir(parents=True, exist_ok=True)
        aliases = folder / ALIASES
        self.aliases = json.loads(aliases.read_text()) if aliases.exists() else {}
        kept = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
        self.by_name = {path.name: opened for path in kept if (opened := open_kept(path))}

    def get(self, name):
        with self.guard:
            try:
                return self.by_name[self.aliases.get(name, name)]
            except KeyError as exc:
                raise ApiError(404, f"Not found: Collection `{name}` doesn't exist!") from exc

    def create(self, name, config):
        with self.guard:
            if name in self.by_name:
                raise ApiError(409, f"Wrong input: Collection `{name}` already exists!")
            fields = {k: VectorField(v.size, bool(v.on_disk)) for k, v in config.vectors.items()}
            folder = self.folder / name
            folder.mkdir(parents=True)
            schema = CollectionSchema(fields, sparse=tuple(config.sparse_vectors or ()))
            shard = edge.EdgeShard.create(str(folder), to_config(schema))
            self.by_name[name] = Collection(shard, config, {})
            self._keep(name)

    def delete(self, name):
        with self.guard:
            self.aliases = {a: to for a, to in self.aliases.items() if to != name}
            write(self.folder / ALIASES, self.aliases)
            collection = self.by_name.pop(name, None)
            if collection is None:
                return False
            collection.shard.close()
            (self.folder / name).rename(self.folder / f".{name}-{uuid4().hex}")
            return True

    def index(self, name, field, params):
        collection = self.get(name)
        kind = models.PayloadSchemaType(params.type)
        schema = to_index(kind, params.enable_hnsw is not False)
        collection.call("update", edge.UpdateOperation.create_field_index(field, schema))
        with self.guard:
            collection.indexes[field] = params
            self._keep(name)

    def add_sparse(self, name, vector, config):
        collection = self.get(name)
        operation = edge.UpdateOperation.create_sparse_vector(vector, edge.Modifier.Idf)
        collection.call("update", operation)
        params = models.SparseVectorParams(modifier=config.modifier)
        sparse = {**(collection.config.sparse_vectors or {}), vector: params}
        with self.guard:
            collection.config = collection.config.model_copy(update={"sparse_vectors": sparse})
            self._keep(name)

    def change_aliases(self, actions):
        with self.guard:
            for action in actions:
                if isinstance(action, models.DeleteAliasOperation):
                    self.aliases.pop(action.delete_alias.alias_name, None)
                    continue
                alias, name = action.create_alias.alias_name, action.create_alias.collection_name
                if name not in self.by_name:
                    raise ApiError(404, f"Not found: Collection `{name}` doesn't exist!")
                if alias in self.by_name:
                    raise ApiError(409, f"Wrong input: Collection `{alias}` already exists!")
                self.aliases[alias] = name
            write(self.folder / ALIASES, self.aliases)

    def _keep(self, name):
        own = self.aliases.get(name, name)
        write(self.folder / own / CREATION, self.by_name[own].creation())


def open_kept(folder):
    """Open what a killed process left; a collection that it had not finished goes away."""
    if not (folder / CREATION).exists():
        shutil.rmtree(folder)
        return None
    creation = json.loads((folder / CREATION).read_text())
    config = models.CreateCollection(**creation["config"])
    indexes = INDEXES.validate_python(creation["indexes"])
    return Collection(edge.EdgeShard.load(str(folder)), config, indexes)


def write(path, content):
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(json.dumps(content))
    fresh.replace(path)
