import pytest
from fastapi.testclient import TestClient
from small_services import small_services
from small_store import SmallStore

from search.api import create_api
from search.settings import SearchSettings


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """One small store for all tests that only ask."""
    small = SmallStore(tmp_path_factory.mktemp("small") / "store")
    with small.store:
        yield small


@pytest.fixture(scope="session")
def api_settings():
    return SearchSettings(max_upload_mb=1)


@pytest.fixture(scope="session")
def client(small, api_settings):
    with TestClient(
        create_api(small_services(small), api_settings), raise_server_exceptions=False
    ) as client:
        yield client
