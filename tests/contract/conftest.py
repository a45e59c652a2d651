"""One suite, every engine: embedded, a server's REST API, and a real server where there is one."""

import os
from contextlib import ExitStack
from uuid import uuid4

import pytest
from qdrant_rest.examples import SCHEMA
from qdrant_rest.process import running

from search.store.embedded import EmbeddedStore
from search.store.server import ServerStore

REAL_SERVER = os.environ.get("CHANDRA_QDRANT_URL")
REAL_SERVER_KEY = os.environ.get("CHANDRA_QDRANT_API_KEY")
ENGINES = ["embedded", "standin", *(["server"] if REAL_SERVER else [])]
N_REPLICAS = 3


@pytest.fixture(scope="session")
def standin_url(tmp_path_factory):
    with running(tmp_path_factory.mktemp("qdrant_rest")) as url:
        yield url


@pytest.fixture(scope="session")
def cluster_url(tmp_path_factory):
    with running(tmp_path_factory.mktemp("cluster"), N_REPLICAS) as url:
        yield url


@pytest.fixture(scope="session")
def open_engine(tmp_path_factory, request):
    def open_engine(engine):
        if engine == "embedded":
            return EmbeddedStore(tmp_path_factory.mktemp("store"))
        if engine in ("standin", "cluster"):
            return ServerStore(request.getfixturevalue(f"{engine}_url"), timeout_s=30)
        return ServerStore(REAL_SERVER, REAL_SERVER_KEY, timeout_s=30)

    return open_engine


@pytest.fixture(scope="session", params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture(scope="session")
def store(engine, open_engine):
    with open_engine(engine) as store:
        yield store


@pytest.fixture(scope="session")
def engines(open_engine):
    """All engines at once, to compare their answers."""
    with ExitStack() as stack:
        yield [stack.enter_context(open_engine(engine)) for engine in ENGINES]


@pytest.fixture
def fresh_name(store):
    """A name that no other test uses; what is called by it is removed afterwards."""
    name = f"test-{uuid4().hex}"
    yield name
    if name in store.collections():
        store.delete_collection(name)


@pytest.fixture
def collection(store, fresh_name):
    store.create_collection(fresh_name, SCHEMA)
    return fresh_name
