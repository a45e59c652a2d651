"""What several routes take, and what all of them say in the OpenAPI description."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request

from search.api.content_negotiation import Reply, ReplyDep
from search.api.errors import Problem
from search.api.json_body import StrictRoute
from search.services import Services

__all__ = ["Bibcode", "Identifier", "Reply", "ReplyDep", "ServicesDep", "router_of"]


async def _services(request: Request) -> Services:  # no thread is waited for
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]
Identifier = Annotated[
    str,
    Path(
        max_length=400,
        description="Point id, detection key, source name or bibcode, percent-encoded.",
        examples=["csc2.0/1575/1/475"],
    ),
]
Bibcode = Annotated[
    str,
    Path(
        max_length=400, description="Bibcode, percent-encoded.", examples=["1999A%26A...345..712S"]
    ),
]

_PROBLEM = {"application/problem+json": {"schema": Problem.model_json_schema()}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "What is wrong, and what to do about it.", "content": _PROBLEM},
    "5XX": {"description": "The store or the server does not answer.", "content": _PROBLEM},
}


def router_of(tag: str) -> APIRouter:
    """Return a router whose errors are documented and whose bodies are read strictly."""
    return APIRouter(tags=[tag], responses=PROBLEMS, route_class=StrictRoute)
