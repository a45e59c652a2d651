"""JSON bodies, read more strictly than the standard library does."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

MAX_NAMES = 1000


def read_json(body: bytes) -> Any:  # noqa: ANN401
    """Return what a JSON document holds; one that names a field twice is refused."""
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_unique)
    except UnicodeDecodeError as exc:
        raise HTTPException(400, "the body is not UTF-8: encode the JSON as UTF-8") from exc
    except json.JSONDecodeError as exc:
        raise HTTPException(
            400, f"the body is not JSON: {exc.msg} (character {exc.pos}): correct it there"
        ) from exc
    except RecursionError as exc:
        raise HTTPException(400, "the body is nested too deeply: flatten it") from exc
    except ValueError as exc:  # whole numbers of thousands of digits
        raise HTTPException(400, "the body has a number that is too long: shorten it") from exc


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_NAMES:
        raise HTTPException(
            400, f"the body has an object of {len(pairs):,} fields, more than {MAX_NAMES:,}"
        )
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise HTTPException(400, f"the body names {twice[:80]!r} more than once: leave one")
    return document


class StrictRequest(Request):
    """A request whose body is read strictly."""

    async def json(self) -> Any:  # noqa: ANN401
        """Return what the body holds."""
        return read_json(await self.body())


class StrictRoute(APIRoute):
    """A route whose bodies are read strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of requests."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strictly
