"""The small JSON files of an embedded store: its aliases, and the schema of each collection."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qdrant_client import models

from common.errors import UnavailableError
from search.store.base import CollectionSchema, VectorField


def read_aliases(path: Path) -> dict[str, str]:
    """Return collection by alias; there are none before the file is first written."""
    return _read(path) if path.exists() else {}


def write_aliases(path: Path, aliases: Mapping[str, str]) -> None:
    """Replace the alias file."""
    _write(path, aliases)


def read_schema(path: Path) -> CollectionSchema:
    """Return the schema that a collection was created with."""
    content = _read(path)
    try:
        return CollectionSchema(
            vectors={k: VectorField(**v) for k, v in content["vectors"].items()},
            payload_indexes={
                k: models.PayloadSchemaType(v) for k, v in content["payload_indexes"].items()
            },
            sparse=tuple(content.get("sparse", ())),  # stores made before there were any lack it
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise UnavailableError(f"{path} is no collection schema: restore it from a backup") from exc


def write_schema(path: Path, schema: CollectionSchema) -> None:
    """Replace the schema file of a collection."""
    _write(
        path,
        {
            "vectors": {name: asdict(vector) for name, vector in schema.vectors.items()},
            "payload_indexes": {name: kind.value for name, kind in schema.payload_indexes.items()},
            "sparse": list(schema.sparse),
        },
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as exc:
        raise UnavailableError(f"cannot read {path} ({exc}): restore it from a backup") from exc


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file in one step: a kill leaves the old one or the new one."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as exc:
        raise UnavailableError(
            f"cannot write {path} ({exc.strerror}): make room, or see who may write, and repeat"
        ) from exc
