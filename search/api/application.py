"""The HTTP application, built from explicit services."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI

from search.api.errors import add_error_handlers
from search.api.middleware import add_safety
from search.api.routes import router
from search.services import Services
from search.settings import SearchSettings
from search.uploads import UploadFolder
from search.vo import scs

DESCRIPTION = """
Ask by a sentence, by a spectrum or by an example; get X-ray detections or papers, best first.

Answers are JSON, CSV, ECSV, VOTable or plain text, by the parameter `format` or the header
`Accept`. Errors are `application/problem+json` and say what to do. What is simulated says so in
the field `simulated`.
"""


Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_api(
    services: Services,
    settings: SearchSettings,
    lifespan: Lifespan | None = None,
    routers: Sequence[APIRouter] = (),
    uploads: UploadFolder | None = None,
) -> FastAPI:
    """Return the HTTP application over the services, and what runs beside it while it serves.

    ``uploads`` is where files to be ingested go; without it none are taken.
    """
    api = FastAPI(
        title="chandra-search",
        version=version("chandra-search"),
        description=DESCRIPTION,
        lifespan=lifespan,
    )
    api.state.services = services
    api.state.uploads = uploads
    api.state.max_upload_mb = settings.max_upload_mb
    add_error_handlers(api)
    for one in (router, *routers):
        api.include_router(one)
    api.include_router(scs.router)
    add_safety(api, settings)
    return api
