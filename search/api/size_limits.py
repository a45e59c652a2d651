"""Limits on the size of requests, as plain ASGI middleware and checks of what is announced."""

import asyncio

import numpy as np
from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from search.api.threads import CHECKS

MIB = 1024 * 1024
MAX_JSON_MIB = 4.0
MAX_JSON_DEPTH = 32
MAX_JSON_PARTS = 50_000
MAX_URL_BYTES = 16 * 1024
MAX_HEADER_BYTES = 16 * 1024
NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}

_LARGE = MIB // 4  # bytes that are checked within milliseconds
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_MARK = bytes(set(range(256)) - set(b'"[]{}'))
_QUOTE, _OPENING = b'"['


class BodyLimit:
    """Refuse a body that is, or turns out to be, larger, deeper or slower than allowed."""

    def __init__(self, app: ASGIApp, max_mb: float, max_s: float) -> None:
        self.app = app
        self.max_mb = max_mb
        self.max_s = max_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the body while the application reads it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "")
        announced = int(declared) if declared.isdecimal() else 0
        is_json = "json" in headers.get("content-type", "").lower()
        max_mb = min(self.max_mb, MAX_JSON_MIB) if is_json else self.max_mb
        received, complete = 0, False
        deadline = asyncio.get_running_loop().time() + self.max_s
        document = bytearray()

        async def counted() -> Message:
            nonlocal received, complete
            # Raised here, inside the application, the refusal is answered like any other error.
            _check_size(announced, max_mb)
            try:
                async with asyncio.timeout_at(None if complete else deadline):
                    message = await receive()
            except TimeoutError as exc:
                raise _too_slow(self.max_s) from exc
            chunk = message.get("body", b"")
            received += len(chunk)
            _check_size(received, max_mb)
            complete = not message.get("more_body", False)
            if is_json:
                document.extend(chunk)
                if complete and len(document) > _LARGE:
                    await CHECKS.run(check_json, document)
                elif complete:
                    check_json(document)
            return message

        await self.app(scope, counted, send)


def _too_slow(max_s: float) -> HTTPException:
    return HTTPException(
        408,
        f"the body took longer than {max_s:g} s: send a smaller file, or raise "
        "CHANDRA_MAX_UPLOAD_S on the server",
        {"Connection": "close"},
    )


def _check_size(size: int, max_mb: float) -> None:
    if size > max_mb * MIB:
        raise HTTPException(
            413,
            f"the body is larger than {max_mb:g} MiB: send a smaller file or fewer questions at "
            "once, or raise CHANDRA_MAX_UPLOAD_MB on the server (JSON: at most "
            f"{MAX_JSON_MIB:g} MiB)",
        )


def check_json(document: bytes | bytearray) -> None:
    """Refuse JSON that nests too deeply, or takes far longer to read than its size tells.

    A few passes at the speed of memory over whatever comes: no text is so hostile that it takes
    longer than to parse an ordinary one.
    """
    if document.count(b"[") + document.count(b"{") <= MAX_JSON_DEPTH:
        return
    plain = document.replace(b"\\\\", b"").replace(b'\\"', b"")  # no quote inside a string is left
    marks = np.frombuffer(plain.translate(_AS_SQUARE, _NO_MARK), dtype=np.uint8)
    is_inside = np.cumsum(marks == _QUOTE, dtype=np.uint8) % 2 == 1
    is_opening = marks[~is_inside & (marks != _QUOTE)] == _OPENING
    steps = 2 * is_opening.astype(np.int8) - 1
    depth = np.cumsum(steps, dtype=np.int32)
    if depth.max(initial=0) > MAX_JSON_DEPTH:
        raise HTTPException(
            400, f"the JSON is nested more than {MAX_JSON_DEPTH} levels deep: flatten it"
        )
    if np.count_nonzero(is_opening) > MAX_JSON_PARTS:
        raise HTTPException(
            400, f"the JSON has more than {MAX_JSON_PARTS:,} lists and objects: send fewer at once"
        )


def check_request_line(scope: Scope) -> None:
    """Refuse a URL or headers that are larger than allowed, and a body of two lengths."""
    url = len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"])
    if url > MAX_URL_BYTES:
        raise HTTPException(
            414,
            f"the URL has {url:,} bytes, at most {MAX_URL_BYTES:,} are read: send the question as "
            "JSON by POST",
        )
    names = {name for name, _ in scope["headers"]}
    if {b"transfer-encoding", b"content-length"} <= names:
        # A proxy may believe the other one, and let a request through inside this body.
        raise HTTPException(
            400,
            "both Transfer-Encoding and Content-Length are given: leave one out",
            {"Connection": "close"},
        )
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    if headers > MAX_HEADER_BYTES:
        raise HTTPException(
            431,
            f"the headers have {headers:,} bytes, at most {MAX_HEADER_BYTES:,} are read: send "
            "fewer or shorter ones, cookies for instance",
        )


class ConcurrencyLimit:
    """Turn requests away while as many as allowed are being answered."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.running = 0

    def enter(self) -> None:
        """Take a place, or raise HTTPException where there is none."""
        if self.running >= self.limit:
            raise HTTPException(
                503,
                f"{self.limit} questions are being answered already: ask again in a second",
                {"Retry-After": "1"},
            )
        self.running += 1

    def leave(self) -> None:
        """Give the place back."""
        self.running -= 1
