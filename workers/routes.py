"""What ``serve --ingest`` tells of its jobs over HTTP; the store is its own, so nobody else can."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from search.api.dependencies import router_of
from workers.status import failed_items, said_of, status_of
from workers.steps.flow import Flow


def jobs_router(flow: Flow) -> APIRouter:
    """Return the routes; with API keys set, they are for admins only."""
    router = router_of("jobs")

    @router.get("/v1/admin/jobs")
    def read_jobs() -> dict[str, Any]:
        """Return how far each feed is, and when each job of the schedule ran and is next."""
        return status_of(flow.ledger, flow.settings)

    @router.get("/v1/admin/jobs/failed")
    def read_failed(
        feed: Annotated[Literal["csc", "cda", "ads"] | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    ) -> dict[str, Any]:
        """Return what failed or is set aside, each with its reason."""
        total, items = failed_items(flow.ledger, feed, limit)
        return {"total": total, "items": [said_of(item) for item in items]}

    return router
