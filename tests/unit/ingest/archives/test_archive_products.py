import gzip
import json

import pytest
from archives.csc_server import CSCServer
from archives.http_server import BROKEN, CUT, GARBAGE, TRUNCATED, Answer
from archives.universe import place_of

from common.errors import ArchiveError, InputError, NotFoundError
from ingest.archives.download_cache import DownloadCache
from ingest.archives.products import CSCProducts
from ingest.spectra.discover import read_observed

PHA = "acisf00001_000N030_r0004_pha3.fits.gz"
PLACE = place_of(3)


@pytest.fixture
def cache(tmp_path):
    return DownloadCache(tmp_path / "downloads", 10**9)


@pytest.fixture
def products(server, courtesy, cache):
    return CSCProducts(server.settings(), courtesy, cache)


def test_browse_names_the_files(products, server):
    names = products.browse(*PLACE)
    assert names[0] == PHA
    assert {name.split("_")[-1] for name in names} == {
        f"{kind}3.fits.gz" for kind in ("pha", "arf", "rmf", "regevt")
    }
    (asked,) = server.requests
    assert asked.params["packageset"].startswith("1.0.4/spectrum/,")
    assert asked.params["version"] == "rel2.1"


def test_fetch_spectrum_is_read_with_its_response(products, server):
    path = products.fetch_spectrum(*PLACE)
    (observed,) = read_observed(path)
    assert path.name == PHA
    assert observed.spectrum.energy_source.endswith("_rmf3.fits.gz")
    assert observed.spectrum.exposure_s == 1003.0
    assert len([one for one in path.parent.iterdir() if one.is_file()]) == 3
    assert {r.params["filetype"] for r in server.requests if "filetype" in r.params} == {
        "spectrum",
        "arf",
        "rmf",
    }


def test_fetch_spectrum_keeps_detections_apart(products):
    paths = [products.fetch_spectrum(*place_of(n)) for n in range(3)]
    assert len({path.parent for path in paths}) == 3
    assert products.fetch_spectrum(*place_of(0)) == paths[0]


def test_fetch_spectrum_downloads_nothing_twice(products, server):
    products.fetch_spectrum(*PLACE)
    asked = len(server.requests)
    products.fetch_spectrum(*PLACE)
    assert server.paths()[asked:] == ["/csccli/browse"]


def test_fetch_spectrum_of_current_processing_is_asked_for_again_and_of_a_release_never(
    universe, courtesy, cache
):
    with CSCServer(universe) as server:
        (name,) = (one for one in universe.files(*place_of(0)) if "pha3" in one)
        for version, expected in (("rel2.1", 0), ("cur", 1)):
            server.replaced = {}
            products = CSCProducts(server.settings(csc_catalog=version), courtesy, cache)
            before = products.fetch_spectrum(*place_of(0)).read_bytes()
            server.replaced = {name: universe.files(*place_of(1))[name.replace("r0001", "r0002")]}
            after = products.fetch_spectrum(*place_of(0)).read_bytes()
            assert (before != after) == expected


def test_fetch_spectrum_takes_events_where_there_is_no_pha(products, universe):
    universe.make("events", 3)
    path = products.fetch_spectrum(*PLACE)
    assert path.name.endswith("_regevt3.fits.gz")
    (observed,) = read_observed(path)
    assert observed.spectrum.counts.sum() == 50


def test_fetch_spectrum_of_hrc_is_none(products, universe, server):
    universe.make("hrc", 3)
    with pytest.raises(NotFoundError, match=r"1\.0\.4 .* HRC"):
        products.fetch_spectrum(*PLACE)
    assert server.paths() == ["/csccli/browse"]


def test_fetch_spectrum_without_any_file_is_none(products, universe):
    universe.make("bare", 3)
    with pytest.raises(NotFoundError, match="neither spectrum nor event list"):
        products.fetch_spectrum(*PLACE)


@pytest.mark.parametrize("fault", [BROKEN, GARBAGE, TRUNCATED, CUT], ids=lambda fault: fault.kind)
@pytest.mark.parametrize("after", [0, 1, 3])
def test_fetch_spectrum_survives_a_broken_answer(products, server, fault, after):
    from archives.http_server import FINE

    server.faults.extend([*[FINE] * after, fault, fault])
    assert read_observed(products.fetch_spectrum(*PLACE))


def test_fetch_spectrum_survives_bad_days(universe, courtesy, cache):
    with CSCServer(universe, rate=0.3, seed=3) as server:
        products = CSCProducts(server.settings(archive_attempts=15), courtesy, cache)
        for n in range(10):
            assert read_observed(products.fetch_spectrum(*place_of(n)))


def truncated(content):
    return content[: len(content) // 2]


def shortened(content):
    """A whole gzip of half a file."""
    return gzip.compress(gzip.decompress(content)[:4000])


def page(content):
    return gzip.compress(b"<html>Sorry</html>")


@pytest.mark.parametrize("harm", [truncated, shortened, page, lambda content: b""])
def test_fetch_spectrum_keeps_no_file_that_is_not_whole(products, universe, server, harm):
    whole = universe.files(*PLACE)[PHA]
    server.replaced[PHA] = harm(whole)
    with pytest.raises(ArchiveError, match="no whole FITS file"):
        products.fetch_spectrum(*PLACE)
    server.replaced.clear()
    assert read_observed(products.fetch_spectrum(*PLACE))


@pytest.mark.parametrize(
    "body", [b"", b"[", b"{}", b'[{"name": "a"}]', b'[{"filename": 5}]', b"<html>"]
)
def test_browse_takes_nothing_but_a_list_of_names(products, server, body):
    server.respond = lambda request: Answer(body)
    with pytest.raises(ArchiveError, match="no list of files"):
        products.browse(*PLACE)
    assert len(server.requests) == 5


@pytest.mark.parametrize("name", [f"../{PHA}", f"/tmp/{PHA}", f"{PHA}/../../x", ".x", ""])
def test_fetch_spectrum_writes_nowhere_else(products, server, name):
    server.respond = lambda request: Answer(json.dumps([{"filename": name}]).encode())
    with pytest.raises(InputError, match="no plain file name"):
        products.fetch_spectrum(*PLACE)


def test_fetch_spectrum_does_not_take_files_of_another_detection(products, server):
    server.respond = lambda request: Answer(json.dumps([{"filename": PHA}]).encode())
    with pytest.raises(ArchiveError, match=r"question for the files of 9\.0\.1"):
        products.fetch_spectrum(9, 0, 1)
