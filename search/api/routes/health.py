"""Whether the service can answer questions."""

from typing import Literal

from pydantic import BaseModel

from common.errors import NotFoundError, UnavailableError
from search.api.dependencies import ServicesDep, router_of
from search.api.threads import PROBES
from search.collections.schema import DETECTIONS, PAPERS, collection_of
from search.services import Services
from search.store.base import Engine

router = router_of("service")


class Ready(BaseModel):
    """That questions are answered, by which engine and which model."""

    status: Literal["ready"]
    engine: Engine
    model_id: str


@router.get("/readyz")
async def check_readiness(services: ServicesDep) -> Ready:
    """Answer 200 when the engine answers and holds collections of this model bundle, else 503."""
    return await PROBES.run(_look, services)


def _look(services: Services) -> Ready:
    store, view, encoder = services.store, services.search.store, services.search.encoder
    for alias in (DETECTIONS, PAPERS):
        held = store.resolve(alias)  # a view would always name its own
        if held != collection_of(alias, encoder.model_id):
            raise UnavailableError(
                f"{alias} are those of {held or 'no collection'}, the bundle in use is "
                f"{encoder.model_id}: wait until it has changed, or start the server with the "
                "bundle of the store"
            )
        try:
            view.count(alias)
        except NotFoundError as exc:
            raise UnavailableError(f"{exc}: its model was replaced, wait or start again") from exc
    return Ready(status="ready", engine=store.engine, model_id=encoder.model_id)
