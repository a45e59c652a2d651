"""Detections unlike the others."""

from typing import Annotated

from fastapi import Query, Response

from search.api.content_negotiation import described
from search.api.dependencies import ReplyDep, ServicesDep, router_of
from search.api.request_models import OutlierQuery
from search.api.response_models import OutliersAnswer

router = router_of("outliers")


@router.get("/v1/outliers", responses=described(OutliersAnswer, "Outliers, most anomalous first."))
def list_outliers(
    query: Annotated[OutlierQuery, Query()], services: ServicesDep, reply: ReplyDep
) -> Response:
    """List the outliers of the store or of a part of it, scored before by the command line."""
    report = services.outliers.ranking(query.detections(), query.limit)
    return reply.outliers(report, query)
