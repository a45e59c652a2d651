"""The HTTP interface: built from a service, never on import."""

from search.api.application import create_api

__all__ = ["create_api"]
