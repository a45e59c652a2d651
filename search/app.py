"""The composition root of the search layer: the only place here that builds clients and models."""

from typing import TYPE_CHECKING

from fastapi import FastAPI

from search import schema
from search.api import create_api
from search.service import SearchService
from search.settings import SearchSettings
from search.store.base import Store
from search.store.embedded import EmbeddedStore
from search.store.server import ServerStore

if TYPE_CHECKING:
    from encoders.bundle import ModelBundle


def open_store(settings: SearchSettings) -> Store:
    """Return the store: a Qdrant server when its URL is given, else embedded in the data folder."""
    if settings.qdrant_url is None:
        return EmbeddedStore(settings.data_dir / "store")
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    return ServerStore(str(settings.qdrant_url), key, settings.timeout_s)


def load_encoder(settings: SearchSettings) -> "ModelBundle":
    """Return the model bundle of the settings, by default the one shipped with the package."""
    from encoders.bundle import SHIPPED_BUNDLE, load  # torch takes seconds; --help can do without

    return load(settings.bundle or SHIPPED_BUNDLE)


def open_service(settings: SearchSettings) -> SearchService:
    """Return the search service over the store and bundle of the settings."""
    encoder = load_encoder(settings)
    store = open_store(settings)
    schema.open_collections(store, encoder)
    return SearchService(store, encoder, settings.max_query_characters)


def create_app(settings: SearchSettings) -> FastAPI:
    """Return the HTTP application over the store and bundle of the settings."""
    return create_api(open_service(settings), settings)
