"""The download of one file: what has come is kept, the rest is asked for, the whole is checked.

Beside a file, in ``.state``, lie what is known of it and what has come so far of one that was cut
off.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

import requests
import urllib3
from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import ArchiveError, InputError
from ingest.archives.http_session import PoliteSession

_CHUNK_BYTES = 1 << 18
_STATE = ".state"


class Record(BaseModel):
    """What is known of a file, or of the part of one."""

    model_config = ConfigDict(frozen=True)

    address: str
    etag: str | None = None
    last_modified: str | None = None
    sha256: str | None = None

    @property
    def strong(self) -> str | None:
        """What tells that the file is still the same byte by byte (RFC 9110, 8.8.1)."""
        if self.etag:
            return None if self.etag.startswith("W/") else self.etag
        return self.last_modified


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a file and what belongs to it are."""

    path: Path

    @property
    def part(self) -> Path:
        """What has come so far."""
        return self.path.parent / _STATE / f"{self.path.name}.part"

    def read(self, path: Path, address: str) -> Record | None:
        """Return what is known of `path`, if it is what the address names."""
        try:
            record = Record.model_validate_json(self._beside(path).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return record if path.exists() and record.address == address else None

    def write(self, path: Path, record: Record) -> None:
        """Record what is known of the file or the part."""
        unfinished = self._beside(path).with_suffix(".new")
        unfinished.write_text(record.model_dump_json())
        unfinished.replace(self._beside(path))

    def drop(self, path: Path) -> None:
        """Delete the file or the part, and what is known of it."""
        path.unlink(missing_ok=True)
        self._beside(path).unlink(missing_ok=True)

    def _beside(self, path: Path) -> Path:
        return self.path.parent / _STATE / f"{path.name}.json"


@dataclass(frozen=True, slots=True)
class Transfer:
    """The download of a file, in as many attempts as it takes."""

    session: PoliteSession
    entry: Entry
    url: str
    params: Mapping[str, str]
    check: Callable[[Path], None] | None

    @property
    def address(self) -> str:
        """What is downloaded, in one word."""
        return f"{self.url}?{urlencode(self.params)}"

    def attempt(self, known: Record | None) -> None:
        """Get the file, or what is missing of it, or learn that the known one is still good."""
        self.entry.part.parent.mkdir(parents=True, exist_ok=True)
        entry = self.entry
        had = entry.read(entry.part, self.address)
        start = entry.part.stat().st_size if had and had.strong else 0
        # Files are gzipped as they are: what a server makes of them on the way cannot be resumed.
        headers = {"Accept-Encoding": "identity"}
        if start and had:
            headers |= {"Range": f"bytes={start}-", "If-Range": had.strong or ""}
        elif known:
            headers |= _conditions(known)
        answer = self.session.once(
            "GET",
            self.url,
            params=self.params,
            headers=headers,
            stream=True,
            accept=(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,),
        )
        with answer:
            if answer.status_code == HTTPStatus.NOT_MODIFIED and known:
                return
            record = self._answered(answer)
            resumed = answer.status_code == HTTPStatus.PARTIAL_CONTENT
            if resumed and not (had and _continues(answer, start, had, record)):
                self._fail("answers with another part than was asked for")
            if not resumed and answer.status_code != HTTPStatus.OK:
                self._fail(f"answers {answer.status_code} instead of a file")
            if not resumed:
                start = 0
            entry.write(entry.part, record)
            self._receive(answer, start)
        self._adopt(record)

    def _answered(self, answer: requests.Response) -> Record:
        return Record(
            address=self.address,
            etag=answer.headers.get("ETag"),
            last_modified=answer.headers.get("Last-Modified"),
        )

    def _receive(self, answer: requests.Response, start: int) -> None:
        """Write the body behind what is there, within the limit."""
        limit = self.session.settings.archive_max_answer_mb * 2**20
        said = answer.headers.get("Content-Length", "")
        end = start + int(said) if said.isdigit() else None
        size = start
        with self.entry.part.open("ab" if start else "wb") as file:
            try:
                self._limit(end or 0, limit)
                for part in answer.raw.stream(_CHUNK_BYTES, decode_content=False):
                    size += len(part)
                    self._limit(size, limit)
                    file.write(part)
            except urllib3.exceptions.HTTPError as exc:
                raise ArchiveError(
                    f"{self.session.archive} cut {self.entry.path.name} off after {size:,} bytes"
                ) from exc
        if end is not None and size != end:
            raise ArchiveError(
                f"{self.session.archive} sent {size:,} of {end:,} bytes of {self.entry.path.name}"
            )

    def _limit(self, size: int, limit: float) -> None:
        if size > limit:
            self.entry.drop(self.entry.part)
            raise InputError(
                f"{self.entry.path.name} has more than {limit / 2**20:g} MiB: allow more by "
                "CHANDRA_ARCHIVE_MAX_ANSWER_MB if you trust it"
            )

    def _adopt(self, record: Record) -> None:
        """Take the whole file into the cache, if it is good."""
        entry = self.entry
        if self.check:
            try:
                self.check(entry.part)
            except ArchiveError:
                entry.drop(entry.part)
                raise
        record = record.model_copy(update={"sha256": sha256_of(entry.part)})
        entry.part.replace(entry.path)
        entry.write(entry.path, record)  # until then the file is not trusted
        entry.drop(entry.part)

    def _fail(self, what: str) -> None:
        self.entry.drop(self.entry.part)
        raise ArchiveError(f"{self.session.archive} {what} ({self.entry.path.name})")


def _conditions(record: Record) -> dict[str, str]:
    pairs = {"If-None-Match": record.etag, "If-Modified-Since": record.last_modified}
    return {name: value for name, value in pairs.items() if value}


def _continues(answer: requests.Response, start: int, had: Record, record: Record) -> bool:
    said = answer.headers.get("Content-Range", "")
    return said.startswith(f"bytes {start}-") and record.strong in (None, had.strong)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
