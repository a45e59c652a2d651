"""The HTTP application, built from an explicit service."""

from importlib.metadata import version

from fastapi import FastAPI

from search.api.errors import add_error_handlers
from search.api.limits import BodyLimit, NoSniffing
from search.api.routes import router
from search.service import SearchService
from search.settings import SearchSettings

DESCRIPTION = """
Ask by a sentence, by a spectrum or by an example; get X-ray detections or papers, best first.

Answers are JSON, CSV, ECSV, VOTable or plain text, by the parameter `format` or the header
`Accept`. Errors are `application/problem+json` and say what to do. What is simulated says so in
the field `simulated`.
"""


def create_api(service: SearchService, settings: SearchSettings) -> FastAPI:
    """Return the HTTP application over a service."""
    api = FastAPI(
        title="chandra-search", version=version("chandra-search"), description=DESCRIPTION
    )
    api.state.service = service
    api.add_middleware(BodyLimit, max_mb=settings.max_upload_mb)
    api.add_middleware(NoSniffing)
    add_error_handlers(api)
    api.include_router(router)
    return api
