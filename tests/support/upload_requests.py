"""Uploads as tests send them."""

from datetime import timedelta

from api_requests import pha
from small_services import small_services
from small_store import hard_counts

from search.api import create_api
from search.settings import SearchSettings
from search.uploads import UploadFolder

SPECTRA, CATALOG, PAPERS = (f"/v1/ingest/{kind}" for kind in ("spectra", "catalog", "papers"))
INGEST, OTHER, READ, ADMIN = "i" * 20, "o" * 20, "r" * 20, "a" * 20
KEYS = {
    "api_keys_ingest": f"{INGEST},{OTHER}",
    "api_keys_read": READ,
    "api_keys_admin": ADMIN,
    "rate_limit": "",
}
BIBCODE = "2021ApJ...900..100X"
BIB = (
    f"@article{{{BIBCODE}, title={{A hot corona}}, year=2021, "
    "abstract={We observed the hot corona of a star with Chandra.}}"
).encode()
ROWS = b"obsid,obi,region_id,name,hard_hs\n635,0,12,2CXO J000000.0+000000,0.5\n635,0,x,bad,0.1\n"


def folder_of(path, most=100, notify=lambda _: None):
    return UploadFolder(path, most, timedelta(days=30), notify)


def api_over(small, uploads, **settings):
    return create_api(
        small_services(small),
        SearchSettings(**{"max_upload_mb": 1} | settings),
        uploads=uploads,
    )


def spectrum_file(name="source.pi", seed=1):
    return ("file", (name, pha(hard_counts(seed))))


def left_in(folder):
    """Return every file below a folder."""
    return [one for one in folder.rglob("*") if one.is_file()]
