"""Every failure is answered as ``application/problem+json`` (RFC 9457), and says what to do.

The protocols of the virtual observatory want a VOTable instead, whatever has failed.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from http import HTTPStatus
from reprlib import Repr
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from common.errors import (
    BusyError,
    ChandraSearchError,
    InputError,
    NoRoomError,
    NotFoundError,
    UnavailableError,
)
from search.api.logs import REQUEST_ID, request_id_of
from search.api.request_models import PARAMETERS
from search.api.size_limits import NO_SNIFFING
from search.rendering.votables import MEDIA_TYPE, error_votable

STATUS: dict[type[ChandraSearchError], HTTPStatus] = {
    InputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFoundError: HTTPStatus.NOT_FOUND,
    NoRoomError: HTTPStatus.INSUFFICIENT_STORAGE,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}
VO_PATHS = "/vo/"
MISTAKES_SHOWN = 5
LONGEST_NAME = 80

_shorten = Repr()  # reads no more of a large input than it shows
_shorten.maxstring = _shorten.maxother = 100


class Problem(BaseModel):
    """What went wrong and what to do about it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Unprocessable Entity",
                "status": 422,
                "detail": "limit is 0: Input should be greater than or equal to 1",
                "request_id": "5f0c1c4e9f0b4f0d8a8f6f1f6a0c7b1e",
            }
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str


def _problem(
    request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    request_id = request_id_of(request.scope)
    own = {**NO_SNIFFING, REQUEST_ID: request_id, **(headers or {})}
    if request.scope["path"].startswith(VO_PATHS):
        return Response(error_votable(detail), status, own, MEDIA_TYPE)
    body = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, request_id=request_id
    )
    return JSONResponse(body.model_dump(), status, own, "application/problem+json")


def on_error(request: Request, exc: Exception) -> Response:
    """Answer one of our errors, whose messages are written for users; hide what any other says."""
    request.scope["error"] = type(exc).__name__  # for logs and metrics
    for kind, status in STATUS.items():
        if isinstance(exc, kind):
            wait = {"Retry-After": f"{exc.retry_after_s:.0f}"} if isinstance(exc, BusyError) else {}
            return _problem(request, status, str(exc), wait)
    return _problem(request, 500, "an error on our side; the log of the server says more")


def on_http_error(request: Request, exc: Exception) -> Response:
    """Answer what the framework refused: unknown paths, methods, media types, sizes."""
    if not isinstance(exc, HTTPException):
        raise TypeError(f"not an HTTP error: {exc!r}")
    return _problem(request, exc.status_code, str(exc.detail), exc.headers)


def on_validation_error(request: Request, exc: Exception) -> Response:
    """Answer wrong parameters: each by name, with what it should be."""
    if not isinstance(exc, RequestValidationError):
        raise TypeError(f"not a validation error: {exc!r}")
    mistakes = exc.errors()
    said = [_mistake(mistake) for mistake in mistakes[:MISTAKES_SHOWN]]
    if more := len(mistakes) - len(said):
        said.append(f"and {more} more")
    malformed = any(mistake["type"] == "json_invalid" for mistake in mistakes)
    return _problem(request, 400 if malformed else 422, "; ".join(said))


def _mistake(mistake: Mapping[str, Any]) -> str:
    """Return one sentence on one mistake that pydantic found."""
    parts = (str(part) for part in mistake["loc"] if part not in ("query", "body", "path"))
    place = ".".join(part[:LONGEST_NAME] for part in parts)
    match mistake["type"]:
        case "json_invalid":
            reason = mistake.get("ctx", {}).get("error", mistake["msg"])
            return f"the body is not JSON: {reason}"
        case "missing":
            return f"{place or 'the body'} is missing: give it"
        case "extra_forbidden":
            near = get_close_matches(place, PARAMETERS, n=1)
            hint = f"did you mean {near[0]}?" if near else "see /docs for the parameters there are"
            return f"{place} is not known here: {hint}"
    given = _shorten.repr(mistake.get("input"))
    shown = given if len(given) <= 60 else f"{given[:57]}…"
    return f"{place or 'the body'} is {shown}: {mistake['msg']}"


def add_error_handlers(api: FastAPI) -> None:
    """Let every error of this application be answered here."""
    api.add_exception_handler(ChandraSearchError, on_error)
    api.add_exception_handler(Exception, on_error)
    api.add_exception_handler(HTTPException, on_http_error)
    api.add_exception_handler(RequestValidationError, on_validation_error)
