import pytest
from archives.csc_server import CSCServer
from archives.universe import Universe

from ingest.archives.pacing import LocalCourtesy
from ingest.archives.settings import ArchiveSettings


@pytest.fixture
def courtesy():
    return LocalCourtesy({})


@pytest.fixture
def settings():
    """Settings of a client that waits for nothing."""
    return ArchiveSettings(archive_backoff_s=0, archive_timeout_s=2)


@pytest.fixture
def universe():
    return Universe(25)


@pytest.fixture
def server(universe):
    with CSCServer(universe) as server:
        yield server
