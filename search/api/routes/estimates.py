"""What a spectrum is: its variables, its class, a description."""

from typing import Annotated, Any

from fastapi import Depends, Query, Response

from search.api.content_negotiation import described
from search.api.dependencies import Identifier, ReplyDep, ServicesDep, router_of
from search.api.request_models import EstimateOptions, Formatted, Neighbours, over
from search.api.response_models import ClassificationAnswer, DescriptionAnswer, EstimatesAnswer
from search.api.uploads import Posted, PostedBody, documented
from search.results import Subject
from search.services import Services

ESTIMATES = described(EstimatesAnswer, "All variables, each with its intervals.")
CLASSES = described(ClassificationAnswer, "Probabilities at every level of the class path.")
DESCRIPTION = described(DescriptionAnswer, "Sentences, each with its references.")
SPECTRUM = {"counts": [1] * 200 + [3] * 200, "exposure_s": 38000.0}

EstimateQuery = Annotated[EstimateOptions, Query()]
NeighboursQuery = Annotated[Neighbours, Query()]
FormattedQuery = Annotated[Formatted, Query()]

router = router_of("estimates")


def _subject(body: Posted[Any], services: Services) -> tuple[Subject, tuple[str, ...]]:
    """Return the spectrum of a body as a subject, and what to know about how it was read."""
    spectrum = body.spectrum
    subject = services.search.subject_of(spectrum.binned_counts(), spectrum.exposure_s)
    return subject, spectrum.warnings


@router.get("/v1/estimates/{identifier:path}", responses=ESTIMATES)
def estimate(
    identifier: Identifier, query: EstimateQuery, services: ServicesDep, reply: ReplyDep
) -> Response:
    """Estimate the 20 variables of a stored detection from its neighbours."""
    subject = services.search.subject(identifier)
    found = services.estimator.estimate(
        subject,
        k=query.k,
        weighting=query.weighting,
        representation=query.representation,
        query_filter=query.detections(),
    )
    return reply.estimates(found, query)


@router.post(
    "/v1/estimates", responses=ESTIMATES, openapi_extra=documented(EstimateOptions, SPECTRUM)
)
def estimate_spectrum(
    body: Annotated[Posted[EstimateOptions], Depends(PostedBody(EstimateOptions))],
    query: EstimateQuery,
    services: ServicesDep,
    reply: ReplyDep,
) -> Response:
    """Estimate the 20 variables of a spectrum: a file, or 400 numbers."""
    asked = over(body.options, query)
    subject, warnings = _subject(body, services)
    found = services.estimator.estimate(
        subject,
        k=asked.k,
        weighting=asked.weighting,
        representation=asked.representation,
        query_filter=asked.detections(),
    )
    return reply.estimates(found, asked, warnings)


@router.get("/v1/classes/{identifier:path}", responses=CLASSES)
def classify(
    identifier: Identifier, query: NeighboursQuery, services: ServicesDep, reply: ReplyDep
) -> Response:
    """Classify a stored detection by the vote of its neighbours."""
    subject = services.search.subject(identifier)
    found = services.classifier.classify(subject, k=query.k, query_filter=query.detections())
    return reply.classification(found, query)


@router.post("/v1/classes", responses=CLASSES, openapi_extra=documented(Neighbours, SPECTRUM))
def classify_spectrum(
    body: Annotated[Posted[Neighbours], Depends(PostedBody(Neighbours))],
    query: NeighboursQuery,
    services: ServicesDep,
    reply: ReplyDep,
) -> Response:
    """Classify a spectrum, a file or 400 numbers, by the vote of its neighbours."""
    asked = over(body.options, query)
    subject, warnings = _subject(body, services)
    found = services.classifier.classify(subject, k=asked.k, query_filter=asked.detections())
    return reply.classification(found, asked, warnings)


@router.get("/v1/describe/{identifier:path}", responses=DESCRIPTION)
def describe(
    identifier: Identifier, query: FormattedQuery, services: ServicesDep, reply: ReplyDep
) -> Response:
    """Describe a stored detection in plain language, each statement with its references."""
    description = services.describer.describe(services.search.subject(identifier))
    return reply.description(description, query)


@router.post("/v1/describe", responses=DESCRIPTION, openapi_extra=documented(Formatted, SPECTRUM))
def describe_spectrum(
    body: Annotated[Posted[Formatted], Depends(PostedBody(Formatted))],
    query: FormattedQuery,
    services: ServicesDep,
    reply: ReplyDep,
) -> Response:
    """Describe a spectrum, a file or 400 numbers, in plain language."""
    asked = over(body.options, query)
    subject, warnings = _subject(body, services)
    return reply.description(services.describer.describe(subject), asked, warnings)
