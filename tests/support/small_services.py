"""The services over the small store, as the server puts them together; no calibration."""

from search.app import build_services
from search.settings import SearchSettings


def small_services(small):
    return build_services(small.store, small.encoder, SearchSettings())
