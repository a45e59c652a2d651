"""Snapshots of a Qdrant server, streamed: qdrant-client would hold a whole one in memory."""

import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from common.errors import ChandraSearchError, InputError, NotFoundError, UnavailableError

_PATIENCE_S = 3600.0  # a server answers when its snapshot is complete, and then fills replicas
_LONGEST_PAUSE_S = 10.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,250}")


_log = logging.getLogger(__name__)


class ServerSnapshots:
    """Take and load snapshots of collections, each of them held by one node as a whole."""

    def __init__(
        self,
        url: str,
        api_key: str | None,
        timeout_s: float,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._patience_s = patience_s
        self._url = url.rstrip("/")
        self._headers = {"api-key": api_key} if api_key else {}
        self._timeout = httpx.Timeout(_PATIENCE_S, connect=timeout_s)

    def download(self, collection: str, path: Path) -> None:
        """Let the server take a snapshot, fetch it, and remove the server's copy."""
        place = f"/collections/{collection}/snapshots"
        with self._client() as client:
            self._refuse_a_part(client, collection)
            name = str(_result(client.post(place, params={"wait": "true"}))["name"])
            if not _NAME.fullmatch(name):
                raise UnavailableError(
                    f"the Qdrant server at {self._url} calls a snapshot {name[:60]!r}: is that "
                    "CHANDRA_QDRANT_URL a Qdrant server?"
                )
            try:
                with client.stream("GET", f"{place}/{name}") as answer:
                    _check(answer)
                    _write(answer, path)
            finally:
                _check(client.delete(f"{place}/{name}", params={"wait": "true"}))

    def upload(self, collection: str, path: Path) -> None:
        """Let the server create a collection from a snapshot, and wait until all replicas have it.

        Of a snapshot that is broken it says 500.
        """
        place = f"/collections/{collection}/snapshots/upload"
        with self._client() as client, path.open("rb") as file:
            parameters = {"wait": "true", "priority": "snapshot"}
            files = {"snapshot": (path.name, file)}
            answer = client.post(place, params=parameters, files=files)
            if answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
                raise InputError(
                    f"the Qdrant server at {self._url} cannot read the snapshot of {collection} "
                    f"({answer.text[:300]}): use another backup"
                )
            _check(answer)
            self._wait_for_replicas(client, collection)

    def _wait_for_replicas(self, client: httpx.Client, collection: str) -> None:
        """Wait until all replicas are active: before, counts and answers lack points."""
        until_s, pause_s = time.monotonic() + self._patience_s, 0.1
        while missing := self._inactive(client, collection):
            if time.monotonic() + pause_s > until_s:
                raise UnavailableError(
                    f"{collection} was restored, but after {self._patience_s:g} s replicas are not "
                    f"active at {self._url} ({', '.join(missing)}): see that all nodes of the "
                    "cluster run and have room, then restore into an empty one"
                )
            _log.info("replicas of %s fill up: %s", collection, ", ".join(missing))
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _inactive(self, client: httpx.Client, collection: str) -> list[str]:
        shards = _result(client.get(f"/collections/{collection}/cluster"))
        return [
            f"shard {one['shard_id']} {one['state']}"
            for one in (*shards["local_shards"], *shards["remote_shards"])
            if one["state"] != "Active"
        ]

    def _refuse_a_part(self, client: httpx.Client, collection: str) -> None:
        """Refuse a collection of which this node holds a part: its snapshot would be one too."""
        shards = _result(client.get(f"/collections/{collection}/cluster"))
        own = {shard["shard_id"] for shard in shards["local_shards"]}
        elsewhere = {shard["shard_id"] for shard in shards["remote_shards"]} - own
        if elsewhere:
            raise InputError(
                f"{self._url} holds {len(own)} of the {len(own | elsewhere)} shards of "
                f"{collection}, so its snapshot would be incomplete: snapshot every node, or "
                "give CHANDRA_QDRANT_URL a node that holds them all"
            )

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        try:
            with httpx.Client(
                base_url=self._url, headers=self._headers, timeout=self._timeout
            ) as client:
                yield client
        except httpx.HTTPError as exc:
            raise UnavailableError(
                f"the Qdrant server at {self._url} does not answer ({exc}): is it running, "
                "and is CHANDRA_QDRANT_URL right?"
            ) from exc


def _write(answer: httpx.Response, path: Path) -> None:
    try:
        with path.open("wb") as file:
            for part in answer.iter_bytes():
                file.write(part)
    except OSError as exc:
        raise UnavailableError(
            f"cannot write {path} ({exc.strerror}): make room or use another folder"
        ) from exc


def _result(answer: httpx.Response) -> Mapping[str, Any]:
    _check(answer)
    try:
        return dict(answer.json()["result"])
    except (ValueError, KeyError, TypeError) as exc:
        raise UnavailableError(
            f"{answer.url} answers nothing that Qdrant would: is that a Qdrant server?"
        ) from exc


def _check(answer: httpx.Response) -> None:
    """Raise what a refused request is to us."""
    if answer.is_success:
        return
    answer.read()
    kinds: dict[int, type[ChandraSearchError]] = {HTTPStatus.NOT_FOUND: NotFoundError}
    kind = kinds.get(answer.status_code, UnavailableError if answer.is_server_error else InputError)
    raise kind(f"{answer.url} refuses ({answer.status_code}): {answer.text[:300]}")
