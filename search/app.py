"""The composition root of the search layer: the only place here that builds clients and models."""

import logging
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI

from common.calibration import CALIBRATION, Calibration, read_calibration
from common.disk_cache import open_cache
from common.errors import BundleError, NotFoundError, UnavailableError
from common.openai_api import OpenAIService
from common.ports import Encoder
from common.settings import get_settings as shared_settings
from common.supervised_loop import SupervisedLoop
from search.api import Lifespan, create_api
from search.collections import schema
from search.collections.model_view import ModelView
from search.collections.model_watch import WATCH_EVERY_S, ModelWatch
from search.collections.store_format import check_format
from search.describing.describe import Describer
from search.describing.writing import OpenAIWriter
from search.inference.classification import Classifier
from search.inference.estimates import Estimator
from search.inference.outliers import OutlierFinder
from search.service import SearchService
from search.services import Services
from search.settings import SearchSettings
from search.store.base import Store
from search.store.cluster_options import Placement
from search.store.embedded import EmbeddedStore
from search.store.server import ServerStore
from search.uploads import UploadFolder
from search.uploads.folder import Notify

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from encoders.bundle import ModelBundle


def open_store(settings: SearchSettings) -> Store:
    """Return the store: a Qdrant server when its URL is given, else embedded in the data folder.

    Raises
    ------
    InputError
        If newer code has written it.
    UnavailableError
        If it does not answer, or is another process's.
    """
    with ExitStack() as stack:
        store = _connect(settings)
        stack.push(store)
        check_format(store)
        if isinstance(store, ServerStore):
            _warn_of_replicas(store)
        stack.pop_all()
    return store


def _connect(settings: SearchSettings) -> Store:
    if settings.qdrant_url is None:
        return EmbeddedStore(settings.data_dir / "store")
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    if key and settings.qdrant_url.scheme == "http" and not _is_private(settings):
        _log.warning(
            "the key of the Qdrant server goes to %s unencrypted: use https://, or say that nobody "
            "else listens on the way (CHANDRA_QDRANT_PRIVATE_NETWORK=true)",
            settings.qdrant_url,
        )
    placement = Placement(
        settings.qdrant_shard_number,
        settings.qdrant_replication_factor,
        settings.qdrant_write_consistency_factor,
        settings.qdrant_int8,
    )
    return ServerStore(str(settings.qdrant_url), key, settings.timeout_s, placement)


def _warn_of_replicas(store: ServerStore) -> None:
    """Warn of a cluster that was told long ago to take no write while one of its nodes is away."""
    with suppress(NotFoundError):  # nothing is stored yet
        if fault := store.placement_of(schema.DETECTIONS).fault:
            _log.warning("the stored collections have %s", fault)


def _is_private(settings: SearchSettings) -> bool:
    """Return whether nobody listens on the way to the server: so it is said, or it is here."""
    here = ("localhost", "127.0.0.1", "[::1]")
    return settings.qdrant_private_network or getattr(settings.qdrant_url, "host", None) in here


def bundle_folder(settings: SearchSettings) -> Path:
    """Return the folder of the model bundle, by default the one shipped with the package."""
    from encoders.bundle import SHIPPED_BUNDLE  # torch takes seconds; --help can do without

    return settings.bundle or SHIPPED_BUNDLE


def load_encoder(settings: SearchSettings) -> "ModelBundle":
    """Return the model bundle of the settings."""
    from encoders.bundle import load

    return load(bundle_folder(settings))


def kept_bundle(settings: SearchSettings, model_id: str) -> Path:
    """Return where a bundle is kept beside the store that uses it."""
    return settings.data_dir / "bundles" / model_id


def keep_bundle(settings: SearchSettings, folder: Path, model_id: str) -> Path:
    """Copy a bundle beside the store, so that every process of it can change to that model."""
    place = kept_bundle(settings, model_id)
    if place.exists():
        return place
    draft = place.with_name(f".{model_id}")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(folder, draft)
        draft.rename(place)
    except OSError as exc:
        raise UnavailableError(
            f"cannot copy the bundle {folder} to {place} ({exc.strerror}): make room, or check "
            "the permissions of --data-dir"
        ) from exc
    return place


def keep_current_bundle(store: Store, settings: SearchSettings) -> str | None:
    """Keep the bundle of what is stored beside the store, and return its model, if any.

    Raises
    ------
    BundleError
        If it is neither kept there nor the one of the settings.
    """
    model_id = schema.model_of(store)
    if model_id is not None and not kept_bundle(settings, model_id).exists():
        load_model(settings, model_id)
        keep_bundle(settings, bundle_folder(settings), model_id)
    return model_id


def keep_calibration(settings: SearchSettings, model_id: str) -> None:
    """Put the calibration of the store's own data to the kept bundle that it belongs to."""
    path = settings.data_dir / CALIBRATION
    try:
        read_calibration(path, model_id)
        path.replace(kept_bundle(settings, model_id) / CALIBRATION)
    except (BundleError, OSError):  # there is none, or it is another model's
        return


def load_model(settings: SearchSettings, model_id: str) -> "ModelBundle":
    """Return the bundle of a model: that of the settings, else the one kept beside the store.

    Raises
    ------
    BundleError
        If neither is there.
    """
    from encoders.bundle import load

    place = kept_bundle(settings, model_id)
    found = load(place) if place.exists() else load_encoder(settings)
    if found.model_id != model_id:
        raise BundleError(
            f"the store holds vectors of model {model_id}, the bundle in use is {found.model_id}: "
            f"give that model's bundle (--bundle), or copy it to {place}"
        )
    return found


def load_encoder_of(store: Store, settings: SearchSettings) -> "ModelBundle":
    """Return the model of what is stored; that of the settings where it is not kept there."""
    model_id = schema.model_of(store)
    if model_id is None or not kept_bundle(settings, model_id).exists():
        return load_encoder(settings)
    return load_model(settings, model_id)


def open_services(settings: SearchSettings, store: Store | None = None) -> Services:
    """Return everything that answers, by the model of the store: one already open, or its own."""
    with ExitStack() as stack:
        if store is None:
            store = open_store(settings)
            stack.push(store)
        encoder = load_encoder_of(store, settings)
        calibration = load_calibration(settings, encoder.model_id)
        if schema.model_of(store) is not None:  # who only asks leaves an empty store empty
            schema.open_collections(store, encoder)
        services = build_services(store, encoder, settings, calibration)
        stack.pop_all()
    return services


def load_calibration(settings: SearchSettings, model_id: str) -> Calibration | None:
    """Return the calibration of the store's own data, else the bundle's, None if there is none."""
    kept = kept_bundle(settings, model_id)
    for folder in (settings.data_dir, kept, *(() if kept.exists() else (bundle_folder(settings),))):
        if (folder / CALIBRATION).exists():
            return read_calibration(folder / CALIBRATION, model_id)
    return None


def build_services(
    store: Store, encoder: Encoder, settings: SearchSettings, calibration: Calibration | None = None
) -> Services:
    """Return everything that answers, over an open store."""
    view = ModelView(store, encoder.model_id)
    service = SearchService(view, encoder, settings.max_query_characters)
    estimator, classifier = Estimator(view, calibration), Classifier(view, calibration)
    shared = shared_settings()
    writer = None
    if shared.openai_api_key or shared.openai_base_url:
        cache = open_cache(shared, loss="the same description is paid for again")
        writer = OpenAIWriter(OpenAIService(shared), cache=cache)
    return Services(
        store=store,
        search=service,
        estimator=estimator,
        classifier=classifier,
        outliers=OutlierFinder(view),
        describer=Describer(service, estimator, classifier, writer),
    )


def create_app(
    settings: SearchSettings,
    store: Store | None = None,
    every_s: float = WATCH_EVERY_S,
    routers: Sequence[APIRouter] = (),
    loops: Sequence[SupervisedLoop] = (),
    uploads: UploadFolder | None = None,
) -> FastAPI:
    """Return the HTTP application, which changes to another model when its store does.

    A store that it has opened itself is closed when it ends. ``routers`` are further routes and
    ``loops`` what its metrics tell of besides, of whoever uses the same store. ``uploads`` takes
    what is to be ingested.
    """
    with ExitStack() as stack:
        if store is None:
            store = stack.enter_context(open_store(settings))
        services = open_services(settings, store)
        schema.open_collections(store, services.search.encoder)
        lifespan = _lifespan(services, settings, every_s)
        api = create_api(services, settings, lifespan, routers, uploads)
        for loop in loops:
            api.state.metrics.watch(loop)
        api.state.opened = stack.pop_all()
    return api


def _lifespan(services: Services, settings: SearchSettings, every_s: float) -> Lifespan:
    """Return what runs beside the application: a watch on the model; at the end all is closed."""
    store, model_id = services.store, services.search.encoder.model_id

    @asynccontextmanager
    async def serving(api: FastAPI) -> AsyncIterator[None]:
        def change(model_id: str) -> None:
            encoder = load_model(settings, model_id)
            calibration = load_calibration(settings, model_id)
            api.state.services = build_services(store, encoder, settings, calibration)

        watch = ModelWatch(store, model_id, change, every_s)
        api.state.metrics.watch(watch.loop)
        with api.state.opened, watch.loop:
            yield

    return serving


def open_uploads(settings: SearchSettings, notify: Notify = lambda _: None) -> UploadFolder:
    """Return the folder of uploads; ``notify`` is told the id of each job that comes."""
    return UploadFolder(
        settings.uploads_dir or settings.data_dir / "uploads",
        settings.max_uploads_waiting,
        timedelta(days=settings.uploads_kept_days),
        notify,
    )
