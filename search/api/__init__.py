"""The HTTP interface: built from a service, never on import."""

from search.api.application import Lifespan, create_api

__all__ = ["Lifespan", "create_api"]
