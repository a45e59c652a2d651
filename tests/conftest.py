import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from common.settings import get_settings

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["CHANDRA_CACHE"] = "off"  # what another run has kept would hide what this one does
os.environ.pop("OPENAI_API_KEY", None)  # no test shall cost anything
if "PYTEST_XDIST_WORKER" in os.environ:  # one test process a core: more threads would only wait
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says more of the machine than of the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

MEMORY = Path("/dev/shm")
ROOM = 2**33  # bytes; a run has taken 5.6e9

REPOSITORY = Path(__file__).parents[1]


def pytest_configure(config):
    """Keep the stores of tests in memory where there is room: an index costs dozens of fsyncs."""
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    if roomy and config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix="chandra-search-", dir=MEMORY)


def pytest_unconfigure(config):
    made_here = Path(config.option.basetemp or "")
    if made_here.parent == MEMORY and made_here.name.startswith("chandra-search-"):
        shutil.rmtree(made_here, ignore_errors=True)


def pytest_terminal_summary(terminalreporter):
    """Say loudly on what the store contract was checked; here, where several processes see it."""
    server = os.environ.get("CHANDRA_QDRANT_URL")
    said = (
        f"store contract checked on the Qdrant server at {server}"
        if server
        else "CHANDRA_QDRANT_URL is not set: the store contract was checked on the embedded engine "
        "and on a stand-in for the server's REST API, NOT on a real Qdrant server"
    )
    terminalreporter.write_sep("!" if server is None else "=", "Qdrant server")
    terminalreporter.write_line(said, yellow=server is None)


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory):
    """Return a maker of folders that end with their module: an empty store takes 130 MB."""
    made = []

    def make(name):
        made.append(tmp_path_factory.mktemp(name))
        return made[-1]

    yield make
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def embedded_once(module_folder):
    """Keep embeddings for all tests of a module: of thousands of texts they take minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHANDRA_CACHE", "on")
        patch.setenv("CHANDRA_CACHE_DIR", str(module_folder("embedded")))
        get_settings.cache_clear()
        yield
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def repository():
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data():
    """Real spectra, catalogues and papers beside the repository, which CI has.

    They are no part of the project, so a checkout alone skips what needs them, and says so.
    """
    path = REPOSITORY.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no test data at {path}")
    return path
