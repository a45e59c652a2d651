"""The collections behind the stand-in: Edge shards, errors with Qdrant's status codes."""

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import RLock
from uuid import uuid4

import qdrant_edge as edge
from pydantic import TypeAdapter
from qdrant_client import models

from common.errors import InputError
from search.store.base import CollectionSchema, VectorField
from search.store.edge_translation import from_record, to_config, to_filter, to_index

CREATION = "creation.json"
ALIASES = "aliases.json"
INDEXES = TypeAdapter(dict[str, models.PayloadSchemaParams])


class ApiError(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


@dataclass
class Faults:
    """What is to go wrong: writes that fail after they reached the first replica."""

    half_writes: int = 0


@dataclass
class Collection:
    """A collection, on one replica or more that are read by turns.

    A conditional write of weak ordering reaches the other replicas after the write that follows.
    """

    shard: edge.EdgeShard
    config: models.CreateCollection
    indexes: dict
    writing: RLock = field(default_factory=RLock)
    others: list = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    late: list = field(default_factory=list)
    turn: int = 0
    filling: int = 0
    """How often it is still said that a replica fills up; answers lack points so long."""

    @property
    def replicas(self):
        return [self.shard, *self.others]

    def update(self, operation, ordering=None, conditional=False):
        with self.writing:
            apply(self.shard, operation)
            if self.others and self.faults.half_writes:
                self.faults.half_writes -= 1
                raise ApiError(500, "Service internal error: 1 of 2 replicas acknowledged")
            overtaken, self.late = self.late, []
            if conditional and ordering in (None, "weak") and not overtaken:
                self.late = [operation]
                return
            for shard in self.others:
                for one in (operation, *overtaken):
                    apply(shard, one)

    def retrieve(self, ids, with_payload, with_vectors, consistency):
        """Return records of one replica, or those that most or all of them agree on."""
        if consistency in (None, "1"):
            return [
                from_record(one) for one in self.call("retrieve", ids, with_payload, with_vectors)
            ]
        found = {}
        with self.writing:
            for shard in self.replicas:
                for one in map(from_record, shard.retrieve(ids, with_payload, with_vectors)):
                    found.setdefault(str(one.id), []).append(one)
        n = len(self.replicas)
        needed = n if consistency == "all" else n // 2 + 1
        return [
            one
            for records in found.values()
            for place, one in enumerate(records)
            if records.count(one) >= needed and records.index(one) == place
        ]

    def apart(self):
        """Return the ids of points that replicas hold otherwise, or not all of them hold."""
        with self.writing:
            held = [points_of(shard) for shard in self.replicas]
        ids = set().union(*held)
        return sorted(one for one in ids if any(own.get(one) != held[0].get(one) for own in held))

    def filter(self, node):
        """Translate a filter as strict mode wants it: a field without an index is refused."""
        try:
            return to_filter(node, self.indexes)
        except InputError as exc:
            raise ApiError(400, f"Bad request: {exc}") from exc

    def call(self, method, *arguments):
        self.turn += 1
        with refusals():
            return getattr(self.replicas[self.turn % len(self.replicas)], method)(*arguments)

    def creation(self):
        """Return what was asked for when it was made, so that it can be opened again."""
        return {
            "config": self.config.model_dump(mode="json"),
            "indexes": INDEXES.dump_python(self.indexes, mode="json"),
        }


def points_of(shard):
    records, _ = shard.scroll(
        edge.ScrollRequest(limit=1_000_000, with_payload=True, with_vector=True)
    )
    return {str(one.id): one.model_dump() for one in map(from_record, records)}


def apply(shard, operation):
    with refusals():
        shard.update(operation)


@contextmanager
def refusals():
    try:
        yield
    except Exception as exc:
        raise ApiError(400, f"Wrong input: {exc}") from exc


class Collections:
    """The collections of a folder, with those that an earlier process left there."""

    def __init__(self, folder, n_replicas=1):
        self.folder = folder
        self.n_replicas = n_replicas
        self.faults = Faults()
        self.guard = RLock()
        folder.mkdir(parents=True, exist_ok=True)
        aliases = folder / ALIASES
        self.aliases = json.loads(aliases.read_text()) if aliases.exists() else {}
        kept = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
        self.by_name = {path.name: opened for path in kept if (opened := self._open_kept(path))}

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
            schema = to_config(CollectionSchema(fields, sparse=tuple(config.sparse_vectors or ())))
            shards = []
            for place in self._places(name):
                place.mkdir(parents=True)
                shards.append(edge.EdgeShard.create(str(place), schema))
            shard, *others = shards
            self.by_name[name] = Collection(shard, config, {}, others=others, faults=self.faults)
            self._keep(name)

    def delete(self, name):
        with self.guard:
            self.aliases = {a: to for a, to in self.aliases.items() if to != name}
            write(self.folder / ALIASES, self.aliases)
            collection = self.by_name.pop(name, None)
            if collection is None:
                return False
            for shard in collection.replicas:
                shard.close()
            first, *others = self._places(name)
            first.rename(self.folder / f".{name}-{uuid4().hex}")
            for place in others:
                shutil.rmtree(place)
            return True

    def _places(self, name):
        """Return the folders of a collection's replicas."""
        others = [self.folder / f".replica-{n}" / name for n in range(1, self.n_replicas)]
        return [self.folder / name, *others]

    def _open_kept(self, folder):
        """Open what a killed process left; a collection that it had not finished goes away."""
        places = self._places(folder.name)
        if not (folder / CREATION).exists():
            for place in places:
                shutil.rmtree(place, ignore_errors=True)
            return None
        creation = json.loads((folder / CREATION).read_text())
        config = models.CreateCollection(**creation["config"])
        indexes = INDEXES.validate_python(creation["indexes"])
        shard, *others = (edge.EdgeShard.load(str(place)) for place in places)
        return Collection(shard, config, indexes, others=others, faults=self.faults)

    def index(self, name, field, params):
        collection = self.get(name)
        kind = models.PayloadSchemaType(params.type)
        schema = to_index(kind, params.enable_hnsw is not False)
        collection.update(edge.UpdateOperation.create_field_index(field, schema))
        with self.guard:
            collection.indexes[field] = params
            self._keep(name)

    def add_sparse(self, name, vector, config):
        collection = self.get(name)
        operation = edge.UpdateOperation.create_sparse_vector(vector, edge.Modifier.Idf)
        collection.update(operation)
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


def write(path, content):
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(json.dumps(content))
    fresh.replace(path)
