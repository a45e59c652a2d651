"""One file that holds a whole store, and the way back from it.

A backup is a tar file: engine snapshots of all collections, the bundles of the models that filled
them, the calibration, and last ``backup.json``, which names every part with its size and SHA-256,
the aliases, and how many points each collection held. It appears under its name when it is
complete. Nothing is restored before all of it has been verified.

Ingestion and questions may go on during a backup. Collections are taken one after the other, what
says most about the others first: the ledger, then detections and papers, then the spectra they
were made of. So what the backed-up ledger calls stored is in the backed-up collections; what came
in between is there too, and is ingested again without harm. On the embedded engine writers to a
collection wait while it is copied.
"""

import hashlib
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from common.calibration import CALIBRATION
from common.errors import InputError, NotFoundError, UnavailableError
from common.ports import Progress, no_progress
from search.collections.kept_inputs import SPECTRA
from search.collections.schema import DETECTIONS, PAPERS
from search.store.base import Store
from search.store.validation import check_name

FORMAT = 1
"""Raised when a backup can no longer be read by code that knows the number before."""

MANIFEST = "backup.json"
_COPY = 4 * 1024 * 1024  # small pieces would wait for other threads after each of them
_LARGEST_MANIFEST = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a backup."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a backup.

    Attributes
    ----------
    collections : mapping of str to tuple of int
        Fewest and most points that each held while its snapshot was taken.
    parts : mapping of str to Part
        Every other file, by its path in the backup.
    """

    format: int
    version: str
    engine: str
    made_at: str
    aliases: Mapping[str, str]
    collections: Mapping[str, tuple[int, int]]
    parts: Mapping[str, Part]

    @property
    def points(self) -> int:
        """Points of all collections, at least."""
        return sum(fewest for fewest, _ in self.collections.values())


def back_up(
    store: Store, data_dir: Path, target: Path, progress: Progress = no_progress
) -> tuple[Path, Manifest]:
    """Write a store, and what belongs to it in its data folder, into one file.

    Parameters
    ----------
    store : Store
        The open store.
    data_dir : Path
        Its folder: bundles and calibration are there.
    target : Path
        The file, or a folder in which it is named by the time.
    progress : callable
        Told how many collections are done.

    Returns
    -------
    tuple of Path and Manifest
        Where the file is, and what it holds.

    Raises
    ------
    InputError
        If there is such a file already.
    NotFoundError
        If nothing is stored.
    UnavailableError
        If there is no room.
    """
    names = sorted(store.collections(), key=_order)
    if not names:
        raise NotFoundError("the store is empty: there is nothing to back up")
    if target.is_dir():
        target = target / f"chandra-search-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar"
    if target.exists():
        raise InputError(f"{target} exists: give another name, or a folder")
    aliases = store.aliases()
    counts: dict[str, tuple[int, int]] = {}
    with _room(target.parent) as room:
        draft = room / "backup.tar"
        parts: dict[str, Part] = {}
        with tarfile.open(draft, "w") as archive:
            archive.copybufsize = _COPY  # type: ignore[attr-defined]  # typeshed does not know it
            for done, name in enumerate(names):
                progress("collections", done, len(names))
                snapshot = room / "snapshot"
                before = store.count(name)
                store.save_snapshot(name, snapshot)
                counts[name] = tuple(sorted((before, store.count(name))))  # type: ignore[assignment]
                parts[f"collections/{name}"] = _add(archive, snapshot, f"collections/{name}")
                snapshot.unlink()
            for path in _kept_files(data_dir):
                place = str(PurePosixPath(*path.relative_to(data_dir).parts))
                parts[place] = _add(archive, path, place)
            manifest = Manifest(
                FORMAT,
                version("chandra-search"),
                store.engine,
                datetime.now(UTC).isoformat(timespec="seconds"),
                aliases,
                counts,
                parts,
            )
            _add_bytes(archive, MANIFEST, json.dumps(asdict(manifest), indent=1).encode())
        draft.replace(target)
    progress("collections", len(names), len(names))
    return target, manifest


def _order(name: str) -> tuple[int, str]:
    """Take what speaks of other collections before them."""
    kind = name.partition("@")[0]
    return ({DETECTIONS: 1, PAPERS: 1, SPECTRA: 2}.get(kind, 0), name)


def _kept_files(data_dir: Path) -> list[Path]:
    bundles = [path for path in (data_dir / "bundles").rglob("*") if path.is_file()]
    visible = [
        path
        for path in bundles
        if not path.relative_to(data_dir / "bundles").parts[0].startswith(".")
    ]
    calibration = data_dir / CALIBRATION
    return sorted([*visible, *([calibration] if calibration.is_file() else [])])


def verify_backup(path: Path, progress: Progress = no_progress) -> Manifest:
    """Check every part of a backup by its SHA-256, and return what it holds.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InputError
        If it is no backup, is incomplete or damaged, or was made by newer code.
    """
    with _opened(path) as archive:
        manifest = _manifest(archive, path)
        present = {member.name for member in archive.getmembers()} - {MANIFEST}
        if present != {*manifest.parts}:
            odd = ", ".join(sorted(present ^ {*manifest.parts})[:3])
            raise InputError(f"{path} and its own list differ ({odd}): use another backup")
        for done, (name, part) in enumerate(manifest.parts.items()):
            progress("verifying", done, len(manifest.parts))
            _check_place(name, path)
            member = archive.getmember(name)
            if (
                not member.isfile()
                or member.size != part.size
                or _hash(archive, name) != part.sha256
            ):
                raise InputError(f"{path}: {name} is damaged: use another backup")
        return manifest


def restore(path: Path, store: Store, data_dir: Path, progress: Progress = no_progress) -> Manifest:
    """Bring everything in a backup into an empty store and its data folder.

    Interrupted, the same call into the same store is refused, since it is no longer empty: start
    again from an empty one.

    Raises
    ------
    InputError
        If the backup is damaged, newer than this code, or of the other engine, or the store is not
        empty. Nothing has been restored then.
    UnavailableError
        If a collection does not hold what the backup says.
    """
    manifest = verify_backup(path, progress)
    if manifest.engine != store.engine:
        cure = "without --qdrant-url" if manifest.engine == "embedded" else "with a server's URL"
        raise InputError(
            f"{path} is of the {manifest.engine} engine, this store is {store.engine}: restore it "
            f"{cure} (CHANDRA_QDRANT_URL)"
        )
    if held := store.collections():
        raise InputError(
            f"the store holds {', '.join(held[:5])}: restore into an empty --data-dir or server"
        )
    with _room(data_dir) as room, _opened(path) as archive:
        for name in manifest.parts:
            if not name.startswith("collections/"):
                _extract(archive, name, data_dir / name)
        for done, (name, (fewest, most)) in enumerate(manifest.collections.items()):
            progress("collections", done, len(manifest.collections))
            _extract(archive, f"collections/{name}", room / "snapshot")
            store.load_snapshot(name, room / "snapshot")
            found = store.count(name)
            if not fewest <= found <= most:
                raise UnavailableError(
                    f"{name} was restored with {found:,} points, the backup was made of {fewest:,}"
                    f" to {most:,}: do not use this store, restore another backup"
                )
    if manifest.aliases:
        store.set_aliases(manifest.aliases)
    progress("collections", len(manifest.collections), len(manifest.collections))
    return manifest


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r:") as archive:
            yield archive
    except FileNotFoundError as exc:
        raise NotFoundError(f"no file {path}: give a backup") from exc
    except tarfile.TarError as exc:
        raise InputError(f"{path} is no whole backup ({exc}): use another") from exc
    except OSError as exc:
        raise UnavailableError(f"cannot read {path}: {exc.strerror}") from exc


@contextmanager
def _room(folder: Path) -> Iterator[Path]:
    """Give a folder beside the target, on the same disk, that goes away in the end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=".backup-", dir=folder))
    except OSError as exc:
        raise UnavailableError(
            f"cannot write to {folder} ({exc.strerror}): make room or give another folder"
        ) from exc
    try:
        yield room
    except OSError as exc:
        raise UnavailableError(
            f"cannot write to {folder} ({exc.strerror}): make room or give another folder"
        ) from exc
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _manifest(archive: tarfile.TarFile, path: Path) -> Manifest:
    try:
        member = archive.getmember(MANIFEST)
        file = archive.extractfile(member)
        if file is None or member.size > _LARGEST_MANIFEST:
            raise InputError(f"{path} has no readable {MANIFEST}: it is no backup")
        said: dict[str, Any] = json.loads(file.read())
        if said["format"] > FORMAT:
            raise InputError(
                f"{path} was made by chandra-search {said['version']}, which is newer than this "
                f"({version('chandra-search')}): upgrade to restore it"
            )
        parts = {name: Part(**part) for name, part in said["parts"].items()}
        counts = {
            check_name(name): (int(few), int(most))
            for name, (few, most) in said["collections"].items()
        }
        known = {field.name: said[field.name] for field in fields(Manifest)}
        return Manifest(**known | {"parts": parts, "collections": counts})
    except KeyError as exc:
        raise InputError(f"{path} lacks {exc}: it is no whole backup, use another") from exc
    except (ValueError, TypeError, AttributeError) as exc:
        raise InputError(f"{path}: {MANIFEST} cannot be read ({exc}): use another backup") from exc


def _check_place(name: str, path: Path) -> None:
    """Refuse a part that would be written anywhere but where parts belong."""
    place = PurePosixPath(name)
    inside = place.parts[0] in ("collections", "bundles") or name == CALIBRATION
    if place.is_absolute() or ".." in place.parts or not inside:
        raise InputError(f"{path} would write to {name[:80]!r}: it is no backup of this program")


def _add(archive: tarfile.TarFile, path: Path, name: str) -> Part:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        entry = tarfile.TarInfo(name)
        entry.size = path.stat().st_size
        archive.addfile(entry, file)
    return Part(entry.size, digest)


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, BytesIO(content))


def _hash(archive: tarfile.TarFile, name: str) -> str:
    digest = hashlib.sha256()
    file = archive.extractfile(name)
    while file and (chunk := file.read(_COPY)):
        digest.update(chunk)
    return digest.hexdigest()


def _extract(archive: tarfile.TarFile, name: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    source = archive.extractfile(name)
    if source is None:
        raise InputError(f"{name} is no file: use another backup")
    with source, path.open("wb") as file:
        shutil.copyfileobj(source, file, _COPY)
