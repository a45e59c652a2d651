import re
from io import BytesIO
from types import SimpleNamespace
from uuid import UUID, uuid5

import astropy.units as u
import pytest
from astropy.io import votable
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import NotFoundError, UnavailableError
from search.api.errors import add_error_handlers
from search.api.middleware import add_safety
from search.filters.cone import Cone
from search.results import Hit, Page
from search.settings import SearchSettings
from search.vo import scs

POINT = UUID("6f1f5a2e-6a0b-5c58-9a3e-0b1d6d1f4c11")
NEW_UCDS = {
    "ID_MAIN": "meta.id;meta.main",
    "POS_EQ_RA_MAIN": "pos.eq.ra;meta.main",
    "POS_EQ_DEC_MAIN": "pos.eq.dec;meta.main",
}
M31 = {"RA": "10.68", "DEC": "41.27", "SR": "0.1"}


def near(number):
    payload = {
        "key": f"csc2.0/{number}/1/1",
        "source_name": "2CXO J004242.9+411543",
        "ra_deg": 10.68 + number / 1000,
        "dec_deg": 41.27,
        "obsid": number,
        "class_path": ["Galaxy", "AGN"],
        "powlaw_nh": 12.5,
        "simulated": number > 1,
        "has_spectrum": True,
        "catalogue": {"theta": 1.5},
    }
    return Hit(uuid5(POINT, str(number)), None, payload, separation_arcsec=number * 2.7)


class FakeSearch:
    """Answers every cone with what it holds, and keeps what was asked."""

    def __init__(self, hits):
        self.hits = hits
        self.asked = []

    def cone(self, cone, query_filter=None, limit=100):
        self.asked.append((cone, limit))
        if isinstance(self.hits, Exception):
            raise self.hits
        more = len(self.hits) > limit
        return Page(self.hits[:limit], "more" if more else None)


def service_of(search, **options):
    api = FastAPI()
    api.state.services = SimpleNamespace(search=search)
    api.include_router(scs.router)
    add_error_handlers(api)
    add_safety(api, SearchSettings(**options))
    return TestClient(api, raise_server_exceptions=False)


def ask(hits=(), **parameters):
    search = FakeSearch(hits)
    response = service_of(search).get("/vo/scs", params=parameters)
    return response, search.asked


def read(response):
    assert response.headers["content-type"] == "application/x-votable+xml"
    content = response.content
    for old, new in NEW_UCDS.items():  # Cone Search wants the old ones, VOTable the new ones
        content = content.replace(f'"{old}"'.encode(), f'"{new}"'.encode())
    return votable.parse(BytesIO(content), verify="exception")


def table_of(response):
    return read(response).get_first_table().to_table(use_names_over_ids=True)


def infos(response):
    return {info.name: info.value for info in read(response).resources[0].infos}


def error_of(response):
    document = read(response)
    assert [info.name for info in document.infos] == ["Error"]
    assert not list(document.iter_tables())
    return document.infos[0].value


def test_a_cone_is_one_table_of_results_with_the_three_old_ucds_once_each():
    response, asked = ask([near(1), near(2)], **M31)

    document = read(response)
    assert [resource.type for resource in document.resources] == ["results"]
    assert len(document.resources[0].tables) == 1
    ucds = re.findall('ucd="([^"]*)"', response.text)
    for old in NEW_UCDS:
        assert ucds.count(old) == 1
    assert not [ucd for ucd in ucds if ucd in NEW_UCDS.values()]
    assert asked == [(Cone(10.68, 41.27, 0.1), scs.MAXREC)]


def test_rows_are_detections_nearest_first_with_units():
    table = table_of(ask([near(1), near(2)], **M31)[0])

    assert table["key"].tolist() == ["csc2.0/1/1/1", "csc2.0/2/1/1"]
    assert table["separation_arcsec"].tolist() == [2.7, 5.4]
    assert str(table["ra_deg"].unit) == "deg"
    assert str(table["separation_arcsec"].unit) == "arcsec"
    assert table["powlaw_nh"].unit == u.Unit("1e20 cm**-2")
    assert infos(ask([near(1), near(2)], **M31)[0])["simulated"].startswith("1 of 2 rows")


def test_verbosity_decides_how_much_is_told():
    names = [table_of(ask([near(1)], **M31, VERB=verb)[0]).colnames for verb in "123"]

    assert names[0] == ["key", "ra_deg", "dec_deg", "separation_arcsec"]
    assert set(names[0]) < set(names[1]) < set(names[2])
    assert names[1] == table_of(ask([near(1)], **M31)[0]).colnames
    assert {"id", "theta"} <= set(names[2]) - set(names[1])


@pytest.mark.parametrize("no_rows", [{"SR": "0"}, {"MAXREC": "0"}, {"SR": "0.0e5"}])
@pytest.mark.parametrize("verb", "123")
def test_metadata_only_has_the_columns_of_an_answer_and_asks_nothing(no_rows, verb):
    response, asked = ask([near(1)], **{**M31, **no_rows, "VERB": verb})

    full = table_of(ask([], **M31, VERB=verb)[0])
    assert table_of(response).colnames == full.colnames
    assert len(table_of(response)) == 0
    assert infos(response)["QUERY_STATUS"] == "OK"
    assert asked == []


def test_an_empty_answer_is_no_error():
    response, _ = ask([], **M31)

    assert response.status_code == 200
    assert infos(response) == {"QUERY_STATUS": "OK"}


def test_truncation_is_said():
    response, asked = ask([near(1), near(2), near(3)], **M31, MAXREC="2")

    assert len(table_of(response)) == 2
    assert infos(response)["QUERY_STATUS"] == "OVERFLOW"
    assert infos(response)["overflow"] == "cut off at the 2 nearest, there are more in the cone"
    assert asked[0][1] == 2


def test_the_whole_sky_may_be_asked_for_and_is_cut_off():
    _, asked = ask([], **{**M31, "SR": "180", "MAXREC": "99999999999999999"})

    assert asked == [(Cone(10.68, 41.27, 180), scs.MAXREC)]


def test_names_are_in_any_case_and_unknown_ones_are_ignored():
    response, asked = ask([near(1)], ra="10.68", Dec="+41.27", sR="1e-1", color="red", RESPONSE="x")

    assert len(table_of(response)) == 1
    assert asked == [(Cone(10.68, 41.27, 0.1), scs.MAXREC)]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"RA": ""}, "RA is missing"),
        ({"DEC": None}, "DEC is missing"),
        ({"SR": None}, "SR is missing"),
        ({"RA": "as3f"}, "RA is 'as3f': give decimal degrees from 0 to 360"),
        ({"RA": "00:42:44"}, "RA is '00:42:44'"),
        ({"RA": "nan"}, "RA is 'nan'"),
        ({"RA": "1_0"}, "RA is '1_0'"),
        ({"RA": "-1"}, "RA is '-1'"),
        ({"RA": "360.1"}, "RA is '360.1'"),
        ({"RA": "1e999"}, "RA is '1e999'"),
        ({"DEC": "90.001"}, "DEC is '90.001'"),
        ({"DEC": "inf"}, "DEC is 'inf'"),
        ({"SR": "-0.1"}, "SR is '-0.1'"),
        ({"SR": "180.01"}, "SR is '180.01'"),
        ({"SR": "10arcmin"}, "SR is '10arcmin'"),
        ({"VERB": "4"}, "VERB is '4': give 1, 2 or 3"),
        ({"MAXREC": "-1"}, "MAXREC is '-1': give a whole number from 0 on"),
        ({"MAXREC": "2.5"}, "MAXREC is '2.5'"),
        ({"RA": ["1", "2"]}, "RA is given twice"),
        ({"RA": "<&\"'\x01é"}, "RA is"),
    ],
)
def test_a_mistake_is_answered_as_a_votable_that_says_what_is_wrong(wrong, said):
    parameters = {name: text for name, text in {**M31, **wrong}.items() if text is not None}
    response, asked = ask([near(1)], **parameters)

    assert response.status_code == 200
    assert said in error_of(response)
    assert asked == []


def test_an_engine_that_does_not_answer_is_an_error_votable_too():
    response, _ = ask(UnavailableError("the engine does not answer: start it"), **M31)

    assert response.status_code == 503
    assert error_of(response) == "the engine does not answer: start it"


def test_a_collection_that_is_gone_is_an_error_votable_and_may_come_back():
    response, _ = ask(NotFoundError("no collection 'detections@old'"), **M31)

    assert response.status_code == 503
    assert "no collection 'detections@old'" in error_of(response)


def test_an_error_of_ours_is_an_error_votable_that_hides_what_it_says():
    response, _ = ask(RuntimeError("secret"), **M31)

    assert response.status_code == 500
    assert "an error on our side" in error_of(response)


def test_who_is_turned_away_at_the_door_gets_an_error_votable():
    keyed = service_of(FakeSearch([]), api_keys_read="r" * 20)
    refused = keyed.get("/vo/scs", params=M31)
    assert refused.status_code == 401
    assert "API key is needed" in error_of(refused)
    assert refused.headers["www-authenticate"] == "Bearer"

    seldom = service_of(FakeSearch([]), rate_limit="1/minute")
    assert seldom.get("/vo/scs", params=M31).status_code == 200
    often = seldom.get("/vo/scs", params=M31)
    assert often.status_code == 429
    assert "more than 1 per 1 minute" in error_of(often)
    assert "retry-after" in often.headers


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (lambda client: client.post("/vo/scs", params=M31), 405),
        (lambda client: client.get("/vo/scs", params={"RA": "1" * 20_000}), 414),
        (lambda client: client.get("/vo/scs", headers={"x": "1" * 20_000}), 431),
        (lambda client: client.get("/vo/sia"), 404),
    ],
)
def test_what_no_cone_search_is_gets_an_error_votable(ask, status):
    response = ask(service_of(FakeSearch([])))
    assert response.status_code == status
    assert error_of(response)


def test_others_are_told_of_errors_as_before():
    response = service_of(FakeSearch([])).get("/v1/nothing")
    assert response.headers["content-type"] == "application/problem+json"


@settings(max_examples=100)
@given(
    parameters=st.dictionaries(
        st.sampled_from(["RA", "DEC", "SR", "VERB", "MAXREC", "x"]),
        st.text(max_size=10) | st.floats().map(repr) | st.integers().map(str),
    )
)
def test_whatever_is_sent_the_answer_is_a_valid_votable(parameters):
    read(ask([near(1)], **parameters)[0])
