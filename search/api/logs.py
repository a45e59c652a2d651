"""Structured logs: one JSON object a line on standard error; never a key, never what was asked."""

import logging
import re
import time
from typing import Final
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = "X-Request-ID"
UNKNOWN_ROUTE = "unknown"

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,128}")

_shared: Final[list[structlog.typing.Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


def logger_of(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger that takes fields; silent until a process decides to log: `log_as_json`."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return logger


logger = logger_of("search.api")


def request_id_of(scope: Scope) -> str:
    """Return the id of a request: the one it came with if well-formed, else a new one."""
    if "request_id" not in scope:
        given = Headers(scope=scope).get(REQUEST_ID, "")
        scope["request_id"] = given if _WELL_FORMED.fullmatch(given) else uuid4().hex
    return str(scope["request_id"])


def route_of(scope: Scope) -> str:
    """Return the template of the route that answered, so that logs and metrics hold no names."""
    return getattr(scope.get("route"), "path", UNKNOWN_ROUTE)


class RequestLog:
    """Give every request an id, in its answer and in every line logged for it, and log it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then write one line."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        status = 500

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            await self.app(scope, receive, marked)
        finally:
            logger.info(
                "request",
                method=scope["method"],
                route=route_of(scope),
                status=status,
                duration_ms=round(1000 * (time.perf_counter() - started), 1),
                caller=scope.get("caller") or str((scope.get("client") or ("unknown",))[0])[:45],
                error=scope.get("error"),
            )


def log_as_json() -> None:
    """Let this process, uvicorn's messages included, log as JSON; ``serve`` calls it once."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("search").setLevel(logging.INFO)
