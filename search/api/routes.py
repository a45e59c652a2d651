"""The routes: parse, call, answer."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import RedirectResponse

from search.api.answers import ANSWERS, answer
from search.api.errors import Problem
from search.api.models import (
    ArrayBody,
    Health,
    Options,
    Stored,
    TextBody,
    TextQuery,
    UploadBody,
)
from search.api.uploads import SpectrumBody, read_spectrum, spectrum_body
from search.service import SearchService, Status


def _service(request: Request) -> SearchService:
    service: SearchService = request.app.state.service
    return service


ServiceDep = Annotated[SearchService, Depends(_service)]
OptionsQuery = Annotated[Options, Query()]
Accept = Annotated[str, Header(include_in_schema=False)]
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
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "What is wrong, and what to do about it.", "content": _PROBLEM},
    "5XX": {"description": "The store or the server does not answer.", "content": _PROBLEM},
}
_SPECTRUM_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": UploadBody.model_json_schema()},
            "application/json": {"schema": ArrayBody.model_json_schema()},
        },
    }
}

router = APIRouter(responses=_PROBLEMS)


@router.get("/v1/search/text", tags=["search"], responses=ANSWERS)
def search_text(
    query: Annotated[TextQuery, Query()], service: ServiceDep, accept: Accept = ""
) -> Response:
    """Find the spectra, or the papers, that fit a sentence."""
    hits = service.by_text(query.q, query.to, query.filter(), query.limit)
    return answer(hits, query, query.q, accept)


@router.post("/v1/search/text", tags=["search"], responses=ANSWERS)
def search_text_body(
    body: TextBody, options: OptionsQuery, service: ServiceDep, accept: Accept = ""
) -> Response:
    """Find the spectra, or the papers, that fit a sentence, asked as JSON."""
    asked = body.over(options)
    hits = service.by_text(asked.question, asked.to, asked.filter(), asked.limit)
    return answer(hits, asked, asked.question, accept)


@router.post(
    "/v1/search/spectrum", tags=["search"], responses=ANSWERS, openapi_extra=_SPECTRUM_BODY
)
def search_spectrum(
    body: Annotated[SpectrumBody, Depends(spectrum_body)],
    options: OptionsQuery,
    service: ServiceDep,
    accept: Accept = "",
) -> Response:
    """Find the spectra, or the papers, nearest to a spectrum: a file, or 400 numbers."""
    asked = body.over(options)
    spectrum = read_spectrum(asked)
    counts = spectrum.binned_counts()
    hits = service.by_spectrum(counts, spectrum.exposure_s, asked.to, asked.filter(), asked.limit)
    return answer(hits, asked, "the spectrum given", accept, spectrum.warnings)


@router.get("/v1/search/like/{identifier:path}", tags=["search"], responses=ANSWERS)
def search_like(
    identifier: Identifier, options: OptionsQuery, service: ServiceDep, accept: Accept = ""
) -> Response:
    """Find what is like a stored detection or paper; its own source is left out."""
    hits = service.like(identifier, options.to, options.filter(), options.limit)
    return answer(hits, options, f"like {identifier}", accept)


@router.get("/v1/detections/{identifier:path}", tags=["records"])
def read_detection(identifier: Identifier, service: ServiceDep) -> Stored:
    """Return a stored detection."""
    hit = service.detection(identifier)
    return Stored(id=hit.id, payload=dict(hit.payload))


@router.get("/v1/papers/{bibcode:path}", tags=["records"])
def read_paper(bibcode: Bibcode, service: ServiceDep) -> Stored:
    """Return a stored paper; former bibcodes are understood."""
    hit = service.paper(bibcode)
    return Stored(id=hit.id, payload=dict(hit.payload))


@router.get("/v1/status", tags=["service"])
def read_status(service: ServiceDep) -> Status:
    """Return what the store holds, and by which model."""
    return service.status()


@router.get("/healthz", tags=["service"])
def check_health(service: ServiceDep) -> Health:
    """Answer when the store does."""
    service.store.collections()
    return Health(status="ok", model_id=service.encoder.model_id)


@router.get("/", include_in_schema=False)
def redirect_to_docs() -> RedirectResponse:
    """Lead to the documentation that can be tried out."""
    return RedirectResponse("/docs")
