"""The collections behind the stand-in: Edge shards, errors with Qdrant's status codes."""

from dataclasses import dataclass
from threading import RLock

import qdrant_edge as edge
from qdrant_client import models

from common.errors import InputError
from search.store.base import CollectionSchema, VectorField
from search.store.edge_translation import to_config, to_filter, to_index


class ApiError(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


@dataclass
class Collection:
    shard: edge.EdgeShard
    config: models.CreateCollection
    indexes: dict

    def filter(self, node):
        """Translate a filter as strict mode wants it: a field without an index is refused."""
        try:
            return to_filter(node, self.indexes)
        except InputError as exc:
            raise ApiError(400, f"Bad request: {exc}") from exc

    def call(self, method, *arguments):
        try:
            return getattr(self.shard, method)(*arguments)
        except Exception as exc:
            raise ApiError(400, f"Wrong input: {exc}") from exc


class Collections:
    def __init__(self, folder):
        self.folder = folder
        self.aliases = {}
        self.by_name = {}
        self.guard = RLock()

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

    def delete(self, name):
        with self.guard:
            self.aliases = {a: to for a, to in self.aliases.items() if to != name}
            collection = self.by_name.pop(name, None)
            if collection is None:
                return False
            collection.shard.close()
            (self.folder / name).rename(self.folder / f".{name}-{id(collection)}")
            return True

    def index(self, name, field, params):
        collection = self.get(name)
        kind = models.PayloadSchemaType(params.type)
        schema = to_index(kind, params.enable_hnsw is not False)
        collection.call("update", edge.UpdateOperation.create_field_index(field, schema))
        collection.indexes[field] = params

    def add_sparse(self, name, vector, config):
        collection = self.get(name)
        operation = edge.UpdateOperation.create_sparse_vector(vector, edge.Modifier.Idf)
        collection.call("update", operation)
        params = models.SparseVectorParams(modifier=config.modifier)
        sparse = {**(collection.config.sparse_vectors or {}), vector: params}
        collection.config = collection.config.model_copy(update={"sparse_vectors": sparse})

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
