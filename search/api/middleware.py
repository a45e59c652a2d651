"""Everything that stands between the network and the routes, in one place."""

from collections.abc import Callable, Sequence

from fastapi import FastAPI, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.errors import InputError
from search.api.errors import on_http_error
from search.api.keys import OPEN_PATHS, READING, Keys, Role, describe_keys, needed_role, read_keys
from search.api.logs import REQUEST_ID, RequestLog
from search.api.metrics import Metrics, RequestMetrics, metrics_router
from search.api.rate_limit import rate_check
from search.api.routes import health
from search.api.size_limits import NO_SNIFFING, BodyLimit, ConcurrencyLimit, check_request_line
from search.settings import SearchSettings
from search.store.base import Store

Check = Callable[[Scope], None]

SECURITY_HEADERS = {
    **NO_SNIFFING,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


class SecurityHeaders:
    """Tell browsers to believe the media type and to keep answers out of frames."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to every response."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self.app(scope, receive, marked)


class Gate:
    """Let a request in when every check agrees and there is a place; else answer why not."""

    def __init__(self, app: ASGIApp, checks: Sequence[Check], places: ConcurrencyLimit) -> None:
        self.app = app
        self.checks = checks
        self.places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limited = scope["path"] not in OPEN_PATHS
        try:
            for check in self.checks:
                check(scope)
            if limited:
                self.places.enter()
        except HTTPException as exc:
            await on_http_error(Request(scope), exc)(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        finally:
            if limited:
                self.places.leave()


class OriginCheck:
    """Refuse what pages of other sites would write where no key is needed.

    A browser sends them a form without asking, to servers of this machine too.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self.origins = origins

    def __call__(self, scope: Scope) -> None:
        """Raise HTTPException where a request that may write comes from another site's page."""
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        method = scope["method"]
        if origin is None or scope["caller"]:  # no browser sends a key before it has asked us
            return
        if method in READING or needed_role(method, scope["path"]) <= Role.READ:
            return
        if origin not in self.origins and origin.partition("//")[2] != headers.get("host"):
            raise HTTPException(
                403,
                f"pages of {origin[:80]} may not send this here: name the origin in "
                "CHANDRA_CORS_ORIGINS, or send it from a program",
            )


def add_safety(api: FastAPI, settings: SearchSettings) -> None:
    """Put keys, limits, request ids, logs and metrics before the routes of an application.

    It adds ``/metrics`` and ``/readyz``, which read ``api.state.services``; what else ``/metrics``
    is to tell, ``api.state.metrics`` is told. Everything of the settings is checked here, so that a
    mistake stops the start and not a request.
    """
    keys = Keys(settings)
    rate = rate_check(settings)
    counted: list[Check] = [rate] if rate else []
    origins = read_origins(settings)
    checks: list[Check] = [
        check_request_line,
        keys.identify,
        *counted,
        keys.authorise,
        OriginCheck(origins),
    ]

    def store() -> Store:
        found: Store = api.state.services.search.store
        return found

    metrics = api.state.metrics = Metrics(store)
    # The last one added is the first to see a request.
    api.add_middleware(BodyLimit, max_mb=settings.max_upload_mb, max_s=settings.max_upload_s)
    api.add_middleware(Gate, checks=checks, places=ConcurrencyLimit(settings.max_concurrent))
    if origins:
        api.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["X-API-Key", "Authorization", "Content-Type", REQUEST_ID],
            expose_headers=[REQUEST_ID, "X-Next-Cursor", "X-Warnings", "Retry-After", "Location"],
        )
    api.add_middleware(SecurityHeaders)
    api.add_middleware(RequestMetrics, metrics=metrics)
    api.add_middleware(RequestLog)
    if read_keys(settings):
        describe_keys(api)
    api.include_router(health.router)
    api.include_router(metrics_router(metrics))


def read_origins(settings: SearchSettings) -> list[str]:
    """Return the origins that may ask from a browser; ``*`` is refused."""
    origins = [one.strip().rstrip("/") for one in settings.cors_origins.split(",") if one.strip()]
    for origin in origins:
        if not origin.startswith(("http://", "https://")) or "*" in origin:
            raise InputError(
                f"CHANDRA_CORS_ORIGINS names {origin!r}: give whole origins, "
                "https://example.org for instance, separated by commas"
            )
    return origins
