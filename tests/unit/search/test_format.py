import pytest
from fake_encoder import FakeEncoder

from common.errors import InputError
from search import app
from search.collections import schema
from search.collections.store_format import ABOUT, FORMAT
from search.settings import SearchSettings


@pytest.fixture
def settings(tmp_path):
    return SearchSettings(data_dir=tmp_path)


def written(settings, number):
    with app.open_store(settings) as store:
        schema.open_collections(store, FakeEncoder())
        store.set_payload(ABOUT, {1: {"format": number, "version": "7.0"}})


def test_store_of_this_code_is_opened(settings):
    written(settings, FORMAT)
    with app.open_store(settings) as store:
        assert ABOUT in store.collections()


def test_store_of_newer_code_is_refused_by_name_and_let_go(settings):
    written(settings, FORMAT + 1)
    for _ in range(2):  # the lock on its folder is not kept
        with pytest.raises(InputError, match=r"chandra-search 7\.0.*upgrade"):
            app.open_store(settings)


def test_store_from_before_there_was_a_number_is_opened_and_gets_one(settings):
    with app.open_store(settings) as store:
        schema.open_collections(store, FakeEncoder())
        store.delete_collection(ABOUT)
    with app.open_store(settings) as store:
        schema.open_collections(store, FakeEncoder())
        assert store.count(ABOUT) == 1
