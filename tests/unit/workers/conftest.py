import pytest
from learning import copied, fill, open_round, pairs, use_fakes

from search.store.embedded import EmbeddedStore


@pytest.fixture(scope="session")
def filled(tmp_path_factory):
    """A data folder to copy: pairs ingested by a model that knows nothing."""
    folder = tmp_path_factory.mktemp("filled")
    fill(folder, pairs())
    return folder


@pytest.fixture(scope="session")
def worked(filled, tmp_path_factory):
    """A data folder to copy: both models are scored, nothing is decided."""
    folder = tmp_path_factory.mktemp("worked") / "data"
    settings = copied(filled, folder)
    with pytest.MonkeyPatch.context() as patch:
        use_fakes(patch)
        with EmbeddedStore(folder / "store") as store, open_round(settings) as one:
            one.begin(store, settings)
        with open_round(settings) as one:  # no store is open
            one.work.run()
    return folder


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
