"""Tables sent by SAMP, through a real hub to a real client."""

import queue
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest
from astropy.io.votable import parse
from pyvo.samp import SAMPHubServer, SAMPIntegratedClient

from cli.samp import MESSAGE, broadcast
from common.errors import UnavailableError
from search.rendering.formats import render

pytestmark = pytest.mark.integration

VOTABLE = render([], "votable", title="nothing", to="detections")


@pytest.fixture
def lockfile(tmp_path, monkeypatch):
    """Keep away from a hub of whoever runs the tests."""
    path = tmp_path / "samp-lock"
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{path.as_uri()}")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return path


@pytest.fixture
def hub(lockfile):
    hub = SAMPHubServer(web_profile=False, mode="multiple", addr="127.0.0.1")
    hub.start()
    yield hub
    hub.stop()


@pytest.fixture
def program(hub):
    """A program that loads tables; what it was told comes in its queue."""
    client = SAMPIntegratedClient(name="TestCAT", addr="127.0.0.1")
    client.connect()
    client.received = queue.Queue()

    def load(_key, _sender, _id, mtype, params, _extra):
        client.received.put((mtype, params))

    client.bind_receive_notification(MESSAGE, load)
    yield client
    client.disconnect()


def test_samp_program_gets_a_table_that_it_can_read_afterwards(program):
    assert broadcast(VOTABLE, "hot gas") == ["TestCAT"]
    mtype, params = program.received.get(timeout=20)
    assert mtype == MESSAGE
    assert params["name"] == "chandra-search: hot gas"
    url = urlparse(params["url"])
    assert url.scheme == "file"
    table = parse(url2pathname(url.path), verify="exception").get_first_table()
    assert "source_name" in table.to_table().colnames
    assert Path(url2pathname(url.path)).stat().st_mode & 0o077 == 0


def test_samp_says_when_no_hub_runs(lockfile):
    with pytest.raises(UnavailableError, match="start TOPCAT"):
        broadcast(VOTABLE, "x")


def test_samp_says_when_nobody_there_loads_tables(hub):
    with pytest.raises(UnavailableError, match="no program there loads tables"):
        broadcast(VOTABLE, "x")


def test_samp_says_when_the_hub_is_gone_and_left_its_lock_file(lockfile):
    lockfile.write_text(
        "samp.secret=x\nsamp.hub.xmlrpc.url=http://127.0.0.1:9/\nsamp.profile.version=1.3\n"
    )
    with pytest.raises(UnavailableError, match="start TOPCAT"):
        broadcast(VOTABLE, "x")
