"""The composition root of the search layer: the only place here that builds clients and models."""

from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI

from common.calibration import CALIBRATION, Calibration, read_calibration
from common.disk_cache import open_cache
from common.openai_api import OpenAIService
from common.ports import Encoder
from common.settings import get_settings as shared_settings
from search import schema
from search.api import create_api
from search.describing.describe import Describer
from search.describing.writing import OpenAIWriter
from search.inference.classification import Classifier
from search.inference.estimates import Estimator
from search.inference.outliers import OutlierFinder
from search.service import SearchService
from search.services import Services
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


def bundle_folder(settings: SearchSettings) -> Path:
    """Return the folder of the model bundle, by default the one shipped with the package."""
    from encoders.bundle import SHIPPED_BUNDLE  # torch takes seconds; --help can do without

    return settings.bundle or SHIPPED_BUNDLE


def load_encoder(settings: SearchSettings) -> "ModelBundle":
    """Return the model bundle of the settings."""
    from encoders.bundle import load

    return load(bundle_folder(settings))


def open_services(settings: SearchSettings) -> Services:
    """Return everything that answers, over the store and bundle of the settings."""
    encoder = load_encoder(settings)
    calibration = load_calibration(settings, encoder.model_id)
    store = open_store(settings)
    schema.open_collections(store, encoder)
    return build_services(store, encoder, settings, calibration)


def load_calibration(settings: SearchSettings, model_id: str) -> Calibration | None:
    """Return the calibration of the store's own data, else the bundle's, None if there is none."""
    for folder in (settings.data_dir, bundle_folder(settings)):
        if (folder / CALIBRATION).exists():
            return read_calibration(folder / CALIBRATION, model_id)
    return None


def build_services(
    store: Store, encoder: Encoder, settings: SearchSettings, calibration: Calibration | None = None
) -> Services:
    """Return everything that answers, over an open store."""
    service = SearchService(store, encoder, settings.max_query_characters)
    estimator, classifier = Estimator(store, calibration), Classifier(store, calibration)
    shared = shared_settings()
    writer = None
    if shared.openai_api_key or shared.openai_base_url:
        cache = open_cache(shared, loss="the same description is paid for again")
        writer = OpenAIWriter(OpenAIService(shared), cache=cache)
    return Services(
        search=service,
        estimator=estimator,
        classifier=classifier,
        outliers=OutlierFinder(store),
        describer=Describer(service, estimator, classifier, writer),
    )


def create_app(settings: SearchSettings) -> FastAPI:
    """Return the HTTP application over the store and bundle of the settings."""
    return create_api(open_services(settings), settings)
