"""What comes in by upload, and how far it is; whoever works it off is told, and not waited for."""

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from pydantic import BaseModel

from search.api.dependencies import router_of
from search.api.keys import may_see, owner_of
from search.api.receiving import Arrived, IngestBody, uploads_of
from search.api.upload_models import (
    CatalogForm,
    JobAnswer,
    JobQuery,
    PapersForm,
    SpectraForm,
)
from search.uploads import OutcomePage, Report, unknown_job

router = router_of("ingestion")

JobId = Annotated[
    str,
    Path(
        max_length=100,
        description="Id of a job, as in the answer to its upload.",
        examples=["5f0c1c4e9f0b4f0d8a8f6f1f6a0c7b1e"],
    ),
]


def _documented(kind: type[BaseModel]) -> dict[str, Any]:
    content = {"multipart/form-data": {"schema": kind.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "Kept; it is ingested next, see the address in `Location`.",
        "headers": {"Location": {"schema": {"type": "string"}, "description": "Where its job is."}},
    }
}


def _accept(arrived: Arrived[Any], request: Request, response: Response) -> JobAnswer:
    """Commit what has arrived, and tell whoever works it off."""
    uploads = uploads_of(request)
    job = arrived.form.job(arrived.draft.id, owner_of(request.scope, arrived.draft.id))
    arrived.draft.commit(job)
    uploads.announce(job.id)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return JobAnswer.of(job, Report(), OutcomePage([], None))


@router.post(
    "/v1/ingest/spectra",
    status_code=202,
    responses=_ACCEPTED,
    openapi_extra=_documented(SpectraForm),
)
def ingest_spectra(
    arrived: Annotated[Arrived[SpectraForm], Depends(IngestBody(SpectraForm))],
    request: Request,
    response: Response,
) -> JobAnswer:
    """Ingest spectra: OGIP PHA files (type I and II) and event lists."""
    return _accept(arrived, request, response)


@router.post(
    "/v1/ingest/catalog",
    status_code=202,
    responses=_ACCEPTED,
    openapi_extra=_documented(CatalogForm),
)
def ingest_catalog(
    arrived: Annotated[Arrived[CatalogForm], Depends(IngestBody(CatalogForm))],
    request: Request,
    response: Response,
) -> JobAnswer:
    """Ingest catalogue rows: detections without a spectrum yet, completed when it comes."""
    return _accept(arrived, request, response)


@router.post(
    "/v1/ingest/papers",
    status_code=202,
    responses=_ACCEPTED,
    openapi_extra=_documented(PapersForm),
)
def ingest_papers(
    arrived: Annotated[Arrived[PapersForm], Depends(IngestBody(PapersForm))],
    request: Request,
    response: Response,
) -> JobAnswer:
    """Ingest papers: each abstract is summarised in three sections and embedded."""
    return _accept(arrived, request, response)


@router.get("/v1/jobs/{job_id}")
def read_job(job_id: JobId, query: Annotated[JobQuery, Query()], request: Request) -> JobAnswer:
    """Return how far an upload is, and what became of what was in it."""
    uploads = uploads_of(request)
    job = uploads.job(job_id)
    if not may_see(request.scope, job.id, job.owner):
        raise unknown_job(job_id)
    page = uploads.outcomes(job_id, query.cursor, query.limit, query.outcome)
    return JobAnswer.of(job, uploads.report(job_id), page)
