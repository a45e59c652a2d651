"""What is stored: lists, single records, counts, and what a filter means."""

from typing import Annotated, Any

from fastapi import Path, Query, Response

from search.api.content_negotiation import described
from search.api.dependencies import Bibcode, Identifier, ReplyDep, ServicesDep, router_of
from search.api.request_models import (
    DetectionList,
    FacetQuery,
    FilterQuery,
    PaperList,
    RegionQuery,
)
from search.api.response_models import Answers, Stored
from search.filters.cone import Cone
from search.results import Target

LIST = described(Answers, "What fits, in the order of ids; empty when nothing does.")
REGION = described(Answers, "Papers, those of most sources in the circle first.")
FACETS = described(dict[str, dict[str, int]], "How many there are of each value, by field.")
FACETS[200]["content"]["application/json"] = {"example": {"class": {"AGN": 120, "LXB": 14}}}

router = router_of("records")


@router.get("/v1/detections", responses=LIST)
def list_detections(
    query: Annotated[DetectionList, Query()], services: ServicesDep, reply: ReplyDep
) -> Response:
    """List the detections that fit a filter."""
    page = services.search.select("detections", query.detections(), query.arrange())
    return reply.page(page, query, "detections", "detections")


@router.get("/v1/detections/{identifier:path}")
def read_detection(identifier: Identifier, services: ServicesDep) -> Stored:
    """Return a stored detection."""
    hit = services.search.detection(identifier)
    return Stored(id=hit.id, payload=dict(hit.payload))


@router.get("/v1/papers", responses=LIST)
def list_papers(
    query: Annotated[PaperList, Query()], services: ServicesDep, reply: ReplyDep
) -> Response:
    """List the papers that fit a filter."""
    page = services.search.select("papers", query.papers(), query.arrange())
    return reply.page(page, query, "papers", "papers")


@router.get("/v1/papers/region", responses=REGION)
def list_papers_of_region(
    query: Annotated[RegionQuery, Query()], services: ServicesDep, reply: ReplyDep
) -> Response:
    """List the papers about sources in a circle on the sky."""
    page = services.search.papers_in(Cone.parse(query.cone), query.papers(), query.arrange())
    return reply.page(page, query, f"papers about {query.cone}", "papers")


@router.get("/v1/papers/{bibcode:path}")
def read_paper(bibcode: Bibcode, services: ServicesDep) -> Stored:
    """Return a stored paper; former bibcodes are understood."""
    hit = services.search.paper(bibcode)
    return Stored(id=hit.id, payload=dict(hit.payload))


@router.get("/v1/facets/{of}", responses=FACETS)
def count_facets(
    of: Annotated[Target, Path(description="What to count.", examples=["detections"])],
    query: Annotated[FacetQuery, Query()],
    services: ServicesDep,
    reply: ReplyDep,
) -> Response:
    """Count what fits a filter by class, instrument, year and more."""
    counts = services.search.facets(of, query.field, query.filter_of(of), query.limit)
    return reply.facets(counts, query)


_EXPLAINED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The filter as the engine gets it.",
        "content": {"application/json": {"example": {"must": []}}},
    }
}


@router.get("/v1/filters/explain", responses=_EXPLAINED)
def explain_filter(query: Annotated[FilterQuery, Query()], services: ServicesDep) -> dict[str, Any]:
    """Show the engine's filter that parameters stand for."""
    return services.search.explain(query.filter_of(query.to))


@router.post("/v1/filters/explain", responses=_EXPLAINED)
def explain_filter_body(body: FilterQuery, services: ServicesDep) -> dict[str, Any]:
    """Show the engine's filter that fields of a question stand for."""
    return services.search.explain(body.filter_of(body.to))
