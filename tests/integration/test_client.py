"""The Python client against the real HTTP application, over a real socket."""

import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import uvicorn
from api_requests import pha, rmf
from astropy import units as u
from fake_encoder import FakeEncoder
from small_store import (
    AGN,
    AGN_AGAIN,
    AGN_NAME,
    AGN_PAPER,
    BINARY,
    BINARY_PAPER,
    EXPOSURE_S,
    QUESTION,
    WEATHER_PAPER,
    SmallStore,
    detection,
    hard_counts,
    soft_counts,
)

from chandra_client import Client, NotFoundError, RefusedError, UnauthorizedError
from search.api import create_api
from search.app import build_services
from search.collections.schema import DETECTIONS
from search.settings import SearchSettings

pytestmark = pytest.mark.integration

KEY = "correct-horse-battery-staple"


@contextmanager
def serving(small):
    """Serve a store to whoever has the key; give the address and the services behind it."""
    settings = SearchSettings(api_keys_read=KEY)
    services = build_services(small.store, FakeEncoder(), settings)
    with socket.socket() as listening, small.store:
        listening.bind(("127.0.0.1", 0))
        served = uvicorn.Server(
            uvicorn.Config(create_api(services, settings), log_config=None, lifespan="off")
        )
        thread = threading.Thread(target=served.run, args=([listening],))
        thread.start()
        while not served.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", services
        served.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def server(module_folder):
    with serving(SmallStore(module_folder("small") / "store")) as (url, _):
        yield url


@pytest.fixture
def chandra(server):
    with Client(server, api_key=KEY) as client:
        yield client


@pytest.fixture
def pha_file(tmp_path):
    path = tmp_path / "source.pi"
    path.write_bytes(pha(hard_counts(1)))
    return path


def test_client_answers_are_tables_with_units_and_masks(chandra):
    table = chandra.search_text(QUESTION, limit=4)
    assert table["exposure_s"].unit == u.s
    assert table["ra_deg"].unit == u.deg
    assert u.allclose(table["exposure_s"].to("ks"), EXPOSURE_S / 1000 * u.ks)
    hard = dict(zip(table["key"], table["hard_hs"], strict=True))
    assert hard[AGN.key] == pytest.approx(0.8)
    assert [bool(np.ma.is_masked(value)) for value in table["bb_kt"]] == [True] * 4
    assert table.meta["title"] == QUESTION
    assert "simulated" in table.meta["simulated"]
    assert "cursor" not in table.meta
    assert chandra.search_text(QUESTION, limit=2).meta["cursor"]


def test_client_filters_reach_the_server(chandra):
    def keys(**filters):
        return set(chandra.detections(**filters)["key"])

    assert keys(classes=["Sy1"], ranges={"hard_hs": (0.75, None)}) == {AGN.key}
    assert keys(classes=["AGN"], exclude_classes=["Sy2"]) == {AGN.key, AGN_AGAIN.key}
    assert keys(where="hard_hs < 0") == {BINARY.key}
    assert keys(obsid=[AGN.obsid, BINARY.obsid], instrument=["EPN"]) == {BINARY.key}
    assert keys(observed_from="2005-01-01", observed_to="2005-12-31") == {BINARY.key}
    assert keys(cone="10.679 41.262 5arcsec") == {AGN.key}
    assert keys(has=["flux_significance_b"], lacks=["ra_deg"]) == {AGN_AGAIN.key}
    assert keys(source_name=[AGN_NAME]) == {AGN.key, AGN_AGAIN.key}


def test_client_pages_make_one_table(chandra):
    whole = chandra.detections(limit=1000)
    first = chandra.detections(limit=2)
    second = chandra.detections(limit=2, cursor=first.meta["cursor"])
    assert list(first["key"]) + list(second["key"]) == list(whole["key"][:4])
    every = chandra.search_text(QUESTION, pages=True)
    assert sorted(every["key"])[:4] == sorted(whole["key"])[:4]
    assert "cursor" not in every.meta


def test_client_spectrum_from_file_and_from_counts(chandra, pha_file, tmp_path):
    table = chandra.search_spectrum(pha_file, limit=1)
    assert table["key"][0] == AGN.key
    assert "14.6" in table.meta["warnings"]
    response = tmp_path / "source.rmf"
    response.write_bytes(rmf())
    table = chandra.search_spectrum(str(pha_file), "papers", rmf=response, limit=5)
    assert len(table) == 2
    assert "warnings" not in table.meta
    table = chandra.search_spectrum(hard_counts(1), exposure_s=EXPOSURE_S, by_source=True)
    assert table["key"][0] == AGN.key
    assert table["cosine"][0] == pytest.approx(1, abs=1e-5)


def test_client_papers_on_other_topics_are_said_and_shown_when_asked_for(tmp_path):
    small = SmallStore(tmp_path / "store")
    small.add_paper(WEATHER_PAPER)
    with serving(small) as (url, _), Client(url, api_key=KEY) as chandra:
        table = chandra.like(AGN.key, "papers")
        assert set(table["bibcode"]) == {AGN_PAPER.bibcode, BINARY_PAPER.bibcode}
        assert set(table["topic_probability"]) == {0.98}
        assert table.meta["off_topic"].startswith("1 paper that fits is left out")
        table = chandra.search_spectrum(hard_counts(1), "papers", exposure_s=1.0, any_topic=True)
        assert len(table) == 3
        assert "off_topic" not in table.meta
        circle = "10.68 41.27 1deg"
        assert len(chandra.papers(region=circle)) == 0
        table = chandra.papers(region=circle, min_topic=0)
        assert list(table["bibcode"]) == [WEATHER_PAPER.bibcode]


def test_client_like_examples_and_cone(chandra):
    assert not {AGN.key, AGN_AGAIN.key} & set(chandra.like(AGN.key)["key"])
    assert set(chandra.like(AGN_PAPER.bibcode, "papers")["bibcode"]) == {BINARY_PAPER.bibcode}
    assert BINARY.key in set(chandra.examples([AGN.key], [AGN_PAPER.bibcode])["key"])
    near = chandra.cone("10.68 41.262 1arcmin")
    assert list(near["key"]) == [AGN.key]
    assert 0 < near["separation_arcsec"][0].to_value("arcsec") < 5


def test_client_papers_by_words_by_region_and_all(chandra):
    table = chandra.papers(QUESTION, ranking="keywords")
    assert list(table["bibcode"]) == [AGN_PAPER.bibcode]
    assert len(chandra.papers()) == 2
    assert len(chandra.papers(region="10.68 41.262 1arcmin")) == 0
    assert list(chandra.papers(year_from=2005)["bibcode"]) == [BINARY_PAPER.bibcode]


def test_client_estimates_of_stored_and_new_spectra_have_units(chandra, pha_file):
    for spectrum in (BINARY.key, pha_file):
        row = chandra.estimate(spectrum, k=2)
        assert len(row) == 1
        assert row["bb_kt"].unit == u.keV
        assert {"hard_hs_lo68", "hard_hs_hi68", "hard_hs_lo90", "hard_hs_hi90"} <= set(row.colnames)
    numbers = chandra.estimate(
        hard_counts(9),  # hard_counts(1) is stored: a spectrum is no neighbour of its own
        exposure_s=EXPOSURE_S,
        classes=["Sy1"],
        k=2,
        weighting="mean",
        representation="shared_spectrum",
    )
    assert 0.69 < numbers["hard_hs"][0] < 0.81


def test_client_classes_description_and_facets(chandra):
    classes = chandra.classify(BINARY.key)
    assert np.all((classes["probability"] >= 0) & (classes["probability"] <= 1))
    described = chandra.describe(AGN.key)
    labels = {one["label"] for one in described["references"]}
    assert described["statements"]
    assert all(set(one["references"]) <= labels for one in described["statements"])
    assert chandra.facets("instrument")["instrument"]["EPN"] == 1
    assert chandra.facets("year", of="papers", year_from=2005) == {"year": {"2010": 1}}


def test_client_outliers_come_with_reasons_once_they_are_scored(tmp_path):
    small = SmallStore(tmp_path / "store")
    more = [small._detection(detection(10 + i, simulated=True), soft_counts(i)) for i in range(20)]
    small.store.upsert(DETECTIONS, more)
    with serving(small) as (url, services), Client(url, api_key=KEY) as chandra:
        with pytest.raises(NotFoundError, match="outliers score"):
            chandra.outliers()
        services.outliers.score()
        table = chandra.outliers(limit=3)
    assert list(table["rank"]) == [1, 2, 3]
    assert {"verdict", "reasons"} <= set(table.colnames)


def test_client_records_and_status(chandra):
    assert chandra.detection(AGN.key)["payload"]["source_name"] == AGN_NAME
    assert chandra.paper(AGN_PAPER.bibcode)["payload"]["year"] == 2004
    assert chandra.status()["detections"] == 5


@pytest.mark.parametrize(
    ("ask", "error", "said"),
    [
        (lambda c: c.search_text(" "), RefusedError, "empty"),
        (lambda c: c.search_text("x", classes=["Sayfert"]), RefusedError, "SyG"),
        (lambda c: c.search_text("x", colour="red"), RefusedError, "colour"),
        (lambda c: c.search_text("x", author=["Ueda"]), RefusedError, "author cannot narrow"),
        (lambda c: c.detections(cursor="abc"), RefusedError, "cursor"),
        (lambda c: c.detections(limit=0), RefusedError, "limit"),
        (lambda c: c.cone("10 95 1deg"), RefusedError, "95"),
        (lambda c: c.cone("10 20 1deg", diversity=0.5), RefusedError, "diversity"),
        (lambda c: c.papers("x", region="1 2 3arcmin"), RefusedError, "give one"),
        (lambda c: c.search_spectrum([1.0] * 399, exposure_s=1.0), RefusedError, "counts"),
        (lambda c: c.search_spectrum([1.0, 2.0] * 200, exposure_s=-1.0), RefusedError, "exposure"),
        (lambda c: c.estimate("nothing-of-that-name"), NotFoundError, "nothing-of-that-name"),
        (lambda c: c.like("nothing"), NotFoundError, "nothing"),
        (lambda c: c.facets("colour"), RefusedError, "colour"),
    ],
)
def test_client_refusals_are_in_the_servers_words(chandra, ask, error, said):
    with pytest.raises(error, match=said):
        ask(chandra)


@pytest.mark.parametrize("key", [None, "wrong"])
def test_client_without_the_right_key_is_told_so(server, key):
    with Client(server, api_key=key) as chandra, pytest.raises(UnauthorizedError, match="API key"):
        chandra.status()
