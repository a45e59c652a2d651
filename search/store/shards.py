"""The folder of an embedded store: one Edge shard per collection, aliases, and a lock over all."""

import dataclasses
import shutil
import tarfile
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import qdrant_edge as edge

from common.errors import InputError, InvalidQueryError, NotFoundError, UnavailableError
from search.store.base import CollectionSchema
from search.store.edge_translation import to_config, to_index
from search.store.lock import StoreLock
from search.store.manifest import read_aliases, read_schema, write_aliases, write_schema
from search.store.tar_file import pack, unpack
from search.store.validation import check_name, check_vectors, tell_of_upgrade

_SCHEMA_FILE = "collection.json"
_FLUSH_EVERY = 20_000  # points; those not flushed are replayed from the log at the next start
_CLOSED = "Shard is not initialized"
_QUESTION_ERRORS = (
    "Vector dimension error",
    "Not existing vector name",
    "No appropriate index",
    "No range index",
    "Wrong usage of sparse vectors",
)


@dataclass(slots=True)
class Shard:
    """An open collection; Edge is safe to call from several threads."""

    name: str
    edge: edge.EdgeShard
    schema: CollectionSchema
    unflushed: int = 0
    writing: threading.RLock = dataclasses.field(default_factory=threading.RLock)
    """Held by whoever writes, so that a snapshot is of one moment."""

    def written(self, n_points: int) -> None:
        """Count what is in the log alone, and flush from time to time."""
        self.unflushed += n_points
        if self.unflushed >= _FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        """Write to the shard's own files what so far is only in its log."""
        with self.writing, edge_errors(self.name):
            self.edge.flush()
        self.unflushed = 0


class Shards:
    """Collections and aliases in one folder.

    The folder of a collection gets its name when it is complete and loses it before it is
    removed, so a kill at any moment leaves whole collections and hidden rubbish.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = StoreLock(path)
        self._folder = path / "collections"
        self._alias_file = path / "aliases.json"
        self._open: dict[str, Shard] = {}
        self._guard = threading.RLock()  # never held during a search, an upload or an unpacking
        self._unpacking = threading.Lock()
        self._closed = False
        try:
            self._folder.mkdir(exist_ok=True)
            for rubbish in self._folder.glob(".*"):
                shutil.rmtree(rubbish)
            self._aliases = read_aliases(self._alias_file)
        except BaseException:
            self._lock.release()
            raise

    def names(self) -> list[str]:
        """Return the names of all collections."""
        with self._guard:
            self._check_open()
            return sorted(p.name for p in self._folder.iterdir() if not p.name.startswith("."))

    def get(self, name: str) -> Shard:
        """Return a collection by name or alias, opened when first asked for."""
        with self._guard:
            self._check_open()
            own = self._aliases.get(name, name)
            if own not in self._open:
                self._open[own] = self._load(own)
            return self._open[own]

    def create(self, name: str, schema: CollectionSchema) -> None:
        """Create a collection if there is none, and what indexes and sparse vectors are missing."""
        with self._guard:
            self._check_open()
            if name in self._aliases:
                raise InputError(f"{name} is an alias of {self._aliases[name]}: use another name")
            if not self._path(check_name(name)).exists():
                self._make(name, replace(schema, payload_indexes={}))
            shard = self.get(name)
            check_vectors(name, shard.schema.sizes, schema.sizes)
            with shard.writing:
                self._add_sparse(shard, schema)
                self._add_indexes(shard, schema)

    def delete(self, name: str) -> None:
        """Delete a collection and its aliases."""
        with self._guard:
            if name in self._aliases:
                raise NotFoundError(f"{name} is an alias: delete collection {self._aliases[name]}")
            shard = self.get(name)
            self._write_aliases({a: to for a, to in self._aliases.items() if to != name})
            with edge_errors(name):
                shard.edge.close()
            del self._open[name]
            doomed = self._path(f".{name}")
            self._path(name).rename(doomed)
            shutil.rmtree(doomed)

    def set_aliases(self, aliases: Mapping[str, str]) -> None:
        """Let each alias name its collection."""
        with self._guard:
            named = {alias: self.get(collection).name for alias, collection in aliases.items()}
            for alias in aliases:
                if self._path(check_name(alias)).exists():
                    raise InputError(f"{alias} is a collection: use another alias")
            self._write_aliases(self._aliases | named)

    def aliases(self) -> dict[str, str]:
        """Return the collection of each alias."""
        with self._guard:
            self._check_open()
            return {**self._aliases}

    def resolve(self, alias: str) -> str | None:
        """Return the collection that an alias names."""
        with self._guard:
            self._check_open()
            return self._aliases.get(alias)

    def save(self, name: str, path: Path) -> None:
        """Write the folder of a collection into one file; who writes to it waits."""
        shard = self.get(name)
        with shard.writing:
            shard.flush()
            try:
                pack(self._path(shard.name), path)
            except OSError as exc:
                raise UnavailableError(
                    f"cannot write {path} ({exc.strerror}): make room or use another folder"
                ) from exc

    def load(self, name: str, path: Path) -> None:
        """Create a collection from such a file; nobody waits but who loads or closes, too."""
        with self._unpacking:
            self._check_new(name)
            unfinished = self._path(f"..{name}")  # not that of a collection created meanwhile
            try:
                unpack(path, unfinished)
                read_schema(unfinished / _SCHEMA_FILE)
                with self._guard:
                    self._check_new(name)
                    unfinished.rename(self._path(name))
            except (tarfile.TarError, zlib.error, EOFError, UnavailableError) as exc:
                raise InputError(
                    f"{path} is no snapshot of an embedded collection: take one of that engine"
                ) from exc
            except OSError as exc:
                raise UnavailableError(f"cannot unpack {path}: {exc.strerror}") from exc
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)

    def close(self) -> None:
        """Flush and close every shard and let go of the folder; twice changes nothing."""
        with self._unpacking, self._guard:
            self._closed = True
            try:
                for shard in self._open.values():
                    shard.flush()
                    shard.edge.close()
            finally:
                self._open.clear()
                self._lock.release()

    def _check_open(self) -> None:
        if self._closed:
            raise UnavailableError(f"the store in {self.path} has been closed: open it again")

    def _check_new(self, name: str) -> None:
        with self._guard:
            self._check_open()
            if self._path(check_name(name)).exists() or name in self._aliases:
                raise InputError(f"there is a {name} already: load it into an empty store")

    def _path(self, name: str) -> Path:
        return self._folder / name

    def _load(self, name: str) -> Shard:
        names = self.names()
        if name not in names:
            known = ", ".join([*names, *self._aliases]) or "none yet"
            raise NotFoundError(f"no collection {name!r} in the store; there are: {known}")
        schema = read_schema(self._path(name) / _SCHEMA_FILE)
        with edge_errors(name):
            return Shard(name, edge.EdgeShard.load(str(self._path(name))), schema)

    def _make(self, name: str, schema: CollectionSchema) -> None:
        unfinished = self._path(f".{name}")
        unfinished.mkdir()
        with edge_errors(name):
            edge.EdgeShard.create(str(unfinished), to_config(schema)).close()
        write_schema(unfinished / _SCHEMA_FILE, schema)
        unfinished.rename(self._path(name))

    def _add_sparse(self, shard: Shard, schema: CollectionSchema) -> None:
        missing = [name for name in schema.sparse if name not in shard.schema.sparse]
        if not missing:
            return
        for name in missing:
            with edge_errors(shard.name):
                shard.edge.update(
                    edge.UpdateOperation.create_sparse_vector(name, edge.Modifier.Idf)
                )
        self._rewrite(shard, replace(shard.schema, sparse=(*shard.schema.sparse, *missing)))

    def _add_indexes(self, shard: Shard, schema: CollectionSchema) -> None:
        missing = schema.payload_indexes.keys() - shard.schema.payload_indexes.keys()
        if not missing:
            return
        tell_of_upgrade(shard.name, missing, shard.edge.info().points_count)
        for field in sorted(missing):
            params = to_index(schema.payload_indexes[field], field in schema.linked)
            with edge_errors(shard.name):
                shard.edge.update(edge.UpdateOperation.create_field_index(field, params))
        indexes = {**shard.schema.payload_indexes, **schema.payload_indexes}
        self._rewrite(shard, replace(shard.schema, payload_indexes=indexes))

    def _rewrite(self, shard: Shard, schema: CollectionSchema) -> None:
        write_schema(self._path(shard.name) / _SCHEMA_FILE, schema)
        shard.schema = schema

    def _write_aliases(self, aliases: dict[str, str]) -> None:
        write_aliases(self._alias_file, aliases)
        self._aliases = aliases


@contextmanager
def edge_errors(collection: str) -> Iterator[None]:
    """Translate what Edge raises: bare exceptions, told apart by their text alone."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as exc:
        raise InputError(f"collection {collection}: {exc}") from exc
    except Exception as exc:
        if type(exc) is not Exception:
            raise
        if str(exc).startswith(_QUESTION_ERRORS):
            raise InvalidQueryError(f"collection {collection}: {exc}") from exc
        if _CLOSED in str(exc):
            raise UnavailableError(
                f"collection {collection} was closed meanwhile: open the store again"
            ) from exc
        raise UnavailableError(f"collection {collection}: {exc}") from exc
