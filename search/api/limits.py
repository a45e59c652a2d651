"""Limits that hold before anything is read into memory, as plain ASGI middleware."""

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIB = 1024 * 1024
NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}


class BodyLimit:
    """Refuse a body that is, or turns out to be, larger than allowed."""

    def __init__(self, app: ASGIApp, max_mb: float) -> None:
        self.app = app
        self.max_mb = max_mb

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the body while the application reads it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        announced = int(declared) if declared.isdecimal() else 0
        received = 0

        async def counted() -> Message:
            nonlocal received
            # Raised here, inside the application, the refusal is answered like any other error.
            self._check(announced)
            message = await receive()
            received += len(message.get("body", b""))
            self._check(received)
            return message

        await self.app(scope, counted, send)

    def _check(self, size: int) -> None:
        if size > self.max_mb * MIB:
            raise HTTPException(
                413,
                f"the body is larger than {self.max_mb:g} MiB: send a smaller file, or raise "
                "CHANDRA_MAX_UPLOAD_MB on the server",
            )


class NoSniffing:
    """Tell browsers to believe the media type."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the header to every response."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(NO_SNIFFING)
            await send(message)

        await self.app(scope, receive, marked)
