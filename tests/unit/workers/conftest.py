import shutil

import pytest
from learning import fill, load_small, simulated, small_round

from search.settings import SearchSettings
from search.store.embedded import EmbeddedStore


@pytest.fixture(scope="session")
def filled(tmp_path_factory):
    """A data folder to copy: filled by the weak model."""
    folder = tmp_path_factory.mktemp("filled")
    fill(folder, simulated())
    return folder


@pytest.fixture(scope="session")
def worked(filled, tmp_path_factory):
    """A data folder to copy: both models are scored, nothing is decided."""
    folder = tmp_path_factory.mktemp("worked") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("encoders.bundle.load", load_small)
        settings = copied(filled, folder)
        with EmbeddedStore(folder / "store") as store, small_round(settings) as one:
            one.begin(store, settings)
        with small_round(settings) as one:  # no store is open
            one.work.run()
    return folder


def copied(folder, to):
    shutil.copytree(folder, to, dirs_exist_ok=True)
    return SearchSettings(data_dir=to, bundle=to / "weak", qdrant_url=None)


@pytest.fixture
def to_learn(filled, tmp_path):
    return copied(filled, tmp_path)


@pytest.fixture
def scored(worked, tmp_path):
    return copied(worked, tmp_path)


@pytest.fixture
def store_to_learn_from(tmp_path, request):
    """The store of `scored` where a test asks for that, else of `to_learn`."""
    request.getfixturevalue("scored" if "scored" in request.fixturenames else "to_learn")
    with EmbeddedStore(tmp_path / "store") as store:
        yield store
