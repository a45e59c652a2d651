"""Questions: by words, by a spectrum, by examples, by a vector, by a place on the sky."""

from typing import Annotated

import numpy as np
from fastapi import Depends, Query, Response

from search.api.content_negotiation import described
from search.api.dependencies import Identifier, ReplyDep, ServicesDep, router_of
from search.api.filter_params import check_cones
from search.api.request_models import (
    MAX_BATCH_CONES,
    BatchBody,
    ConeQuery,
    ExamplesBody,
    Options,
    Ranked,
    TextBody,
    TextQuery,
    VectorBody,
)
from search.api.response_models import Answers, Batch
from search.api.uploads import Posted, PostedBody, documented
from search.filters.cone import Cone
from search.rendering.json_documents import of_page

ANSWERS = described(Answers, "Answers, best first; empty when nothing matches.")
SPECTRUM = {"counts": [1] * 200 + [3] * 200, "exposure_s": 38000.0, "to": "papers"}

OptionsQuery = Annotated[Options, Query()]

router = router_of("search")


@router.get("/v1/search/text", responses=ANSWERS)
def search_text(
    query: Annotated[TextQuery, Query()], services: ServicesDep, reply: ReplyDep
) -> Response:
    """Find the spectra, or the papers, that fit a sentence."""
    page = services.search.by_text(
        query.q, query.to, query.filter(), query.arrange(), query.ranking
    )
    return reply.page(page, query, query.q, query.to)


@router.post("/v1/search/text", responses=ANSWERS)
def search_text_body(
    body: TextBody, options: Annotated[Ranked, Query()], services: ServicesDep, reply: ReplyDep
) -> Response:
    """Find the spectra, or the papers, that fit a sentence, asked as JSON."""
    asked = body.over(options)
    page = services.search.by_text(
        asked.question, asked.to, asked.filter(), asked.arrange(), asked.ranking
    )
    return reply.page(page, asked, asked.question, asked.to)


@router.post("/v1/search/spectrum", responses=ANSWERS, openapi_extra=documented(Options, SPECTRUM))
def search_spectrum(
    body: Annotated[Posted[Options], Depends(PostedBody(Options))],
    options: OptionsQuery,
    services: ServicesDep,
    reply: ReplyDep,
) -> Response:
    """Find the spectra, or the papers, nearest to a spectrum: a file, or 400 numbers."""
    asked, spectrum = body.options.over(options), body.spectrum
    counts, exposure_s = spectrum.binned_counts(), spectrum.exposure_s
    page = services.search.by_spectrum(
        counts, exposure_s, asked.to, asked.filter(), asked.arrange()
    )
    return reply.page(page, asked, "the spectrum given", asked.to, spectrum.warnings)


@router.get("/v1/search/like/{identifier:path}", responses=ANSWERS)
def search_like(
    identifier: Identifier, options: OptionsQuery, services: ServicesDep, reply: ReplyDep
) -> Response:
    """Find what is like a stored detection or paper; its own source is left out."""
    page = services.search.like(identifier, options.to, options.filter(), options.arrange())
    return reply.page(page, options, f"like {identifier}", options.to)


@router.post("/v1/search/examples", responses=ANSWERS)
def search_examples(
    body: ExamplesBody, options: OptionsQuery, services: ServicesDep, reply: ReplyDep
) -> Response:
    """Find what is like some stored things and unlike others; their sources are left out."""
    asked = body.over(options)
    page = services.search.by_examples(
        asked.positive, asked.negative, asked.to, asked.filter(), asked.arrange()
    )
    return reply.page(page, asked, "like the examples given", asked.to)


@router.post("/v1/search/vector", responses=ANSWERS)
def search_vector(
    body: VectorBody, options: OptionsQuery, services: ServicesDep, reply: ReplyDep
) -> Response:
    """Find what is nearest to a vector of the shared space, made by the model of the store."""
    asked = body.over(options)
    vector = np.array(asked.vector, dtype=np.float32)
    page = services.search.by_vector(
        vector, asked.model_id, asked.to, asked.filter(), asked.arrange()
    )
    return reply.page(page, asked, "the vector given", asked.to)


@router.post("/v1/search/batch")
def search_batch(body: BatchBody, services: ServicesDep) -> Batch:
    """Answer up to 100 questions at once, as JSON, in their order."""
    questions = [question.as_question() for question in body.questions]
    check_cones((one.query_filter for one in questions if one.query_filter), MAX_BATCH_CONES)
    pages = services.search.batch(questions)
    return Batch.model_validate({"pages": [of_page(page) for page in pages]})


@router.get("/v1/cone", responses=ANSWERS)
def search_cone(
    query: Annotated[ConeQuery, Query()], services: ServicesDep, reply: ReplyDep
) -> Response:
    """Find the detections in a circle on the sky, nearest to its centre first."""
    cone = Cone.parse(query.cone)
    page = services.search.cone(cone, query.detections(), query.limit, query.cursor)
    return reply.page(page, query, f"cone {query.cone}", "detections")
