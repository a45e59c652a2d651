import gzip
import json

import numpy as np
import pytest
from api_requests import SPECTRUM, TEXT, array, assert_problem, pha
from fastapi.testclient import TestClient
from small_store import (
    CATALOGUE_ONLY,
    EXPOSURE_S,
    soft_counts,
)

from common.errors import StoreLockedError, UnavailableError
from search.api import create_api

BATCH = "/v1/search/batch"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, ["q is missing"]),
        ({"q": ""}, ["q is ''", "at least 1 character"]),
        ({"q": "   "}, ["question is empty"]),
        ({"q": "x" * 12_000}, ["12,000 characters", "10,000", "shorten"]),
        ({"q": "x", "to": "galaxies"}, ["to is 'galaxies'", "'detections' or 'papers'"]),
        ({"q": "x", "limit": 0}, ["limit is '0'", "greater than or equal to 1"]),
        ({"q": "x", "limit": 1001}, ["limit is '1001'", "less than or equal to 1000"]),
        ({"q": "x", "limit": "ten"}, ["limit is 'ten'", "valid integer"]),
        ({"q": "x", "limit": "1e999"}, ["limit"]),
        ({"q": "x", "format": "fits"}, ["format is 'fits'", "votable"]),
        ({"q": "x", "limt": 5}, ["limt is not known", "did you mean limit?"]),
        ({"q": "x", "classes": "AGN"}, ["classes is not known", "did you mean class?"]),
        ({"q": "x", "zzzz": 5}, ["zzzz is not known", "/docs"]),
        ({"q": "x", "class": "Syfert_1"}, ["class 'Syfert_1'", "nearest: Sy1"]),
        ({"q": "x", "class": ""}, ["class"]),
        ({"q": "x", "class": "A" * 10_000}, ["class.0", "at most 500"]),
        ({"q": "x", "where": "hard_hs >"}, ["where, character 10", "a number"]),
        (
            {"q": "x", "where": "hard_h > 1"},
            ["where, character 1", "hard_h", "did you mean hard_hs"],
        ),
        ({"q": "x", "where": "hard_hs > 0.3; drop table detections"}, ["where"]),
        ({"q": "x", "where": "(" * 4000}, ["where"]),
        ({"q": "x", "where": "hard_hs > 1 or " * 700}, ["where", "shorten"]),
        ({"q": "x", "obsid": "abc"}, ["obsid.0 is 'abc'", "valid integer"]),
        ({"q": "x", "obsid": "9" * 30}, ["obsid.0", "less than"]),
        ({"q": "x", "obsid": -1}, ["obsid.0 is '-1'", "greater than or equal to 0"]),
        ({"q": "x", "observed_from": "yesterday"}, ["observed_from is 'yesterday'", "date"]),
        ({"q": "x", "observed_from": "2005-13-01"}, ["observed_from is '2005-13-01'"]),
        ({"q": "x", "to": "papers", "obsid": 1}, ["obsid cannot narrow down papers", "year_from"]),
        ({"q": "x", "year_from": 2000}, ["year_from cannot narrow down detections"]),
        ({"q": "x", "to": "papers", "year_from": "MMV"}, ["year_from is 'MMV'"]),
        ({"q": "x", "to": "papers", "where": "hard_hs > 1"}, ["hard_hs"]),
    ],
)
def test_wrong_question_is_answered_with_the_field_and_the_cure(client, asked, said):
    assert_problem(client.get(TEXT, params=asked), 422, *said)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, ["question is missing"]),
        ({"q": "x"}, ["question is missing", "q is not known"]),
        ({"question": 5}, ["question is 5", "valid string"]),
        ({"question": "x" * 100_000}, ["100,000 characters", "10,000", "shorten"]),
        ({"question": None}, ["question is None"]),
        ({"question": "x", "limit": "many"}, ["limit is 'many'"]),
        ({"question": "x", "limit": 1e300}, ["limit"]),
        ({"question": "x", "class": {"a": 1}}, ["class", "valid tuple"]),
        ({"question": "x", "class": [["AGN"]]}, ["class.0"]),
        ({"question": "x", "class": ["AGN"] * 1001}, ["class", "at most 1000"]),
        ({"question": "x", "unknown": True}, ["unknown is not known"]),
        ([], ["body"]),
        ("x", ["body"]),
        (None, ["body"]),
    ],
)
def test_wrong_body_is_answered_with_the_field_and_the_cure(client, body, said):
    assert_problem(client.post(TEXT, json=body), 422, *said)


def without(key):
    return {name: value for name, value in array().items() if name != key}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (array([1.0] * 399), ["counts", "at least 400"]),
        (array([1.0] * 401), ["counts", "at most 400"]),
        (array([]), ["counts", "at least 400"]),
        (array([-1.0] + [1.0] * 399), ["counts.0 is -1.0", "greater than or equal to 0"]),
        (array(["1"] * 400), ["counts.0 is '1'", "valid number", "and 395 more"]),
        (array([True] * 400), ["counts.0 is True", "valid number"]),
        (array([None] * 400), ["counts.0 is None"]),
        (array([[1.0]] * 400), ["counts.0"]),
        (array([0.0] * 400), ["the same in all 400 bins"]),
        (array([7.0] * 400), ["the same in all 400 bins"]),
        (array(exposure_s=0), ["exposure_s is 0", "greater than or equal to 0.001"]),
        (array(exposure_s=5e-324), ["exposure_s is 5e-324"]),
        (array([1e308] + [0.0] * 399), ["counts.0 is 1e+308", "less than or equal to"]),
        (array(exposure_s=-5), ["exposure_s is -5"]),
        (array(exposure_s="1000"), ["exposure_s is '1000'", "valid number"]),
        (array(limit=0), ["limit is 0"]),
        (array(countz=[]), ["countz is not known", "did you mean counts?"]),
        (array(file="x"), ["file is not known"]),
        (without("counts"), ["counts is missing"]),
        (without("exposure_s"), ["exposure_s is missing"]),
        ([1, 2], ["body"]),
    ],
)
def test_wrong_numbers_are_answered_with_the_field_and_the_cure(client, body, said):
    assert_problem(client.post(SPECTRUM, json=body), 422, *said)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("field", ["counts", "exposure_s"])
def test_number_that_is_not_finite_is_refused(client, number, field):
    body = json.dumps(array()).replace(
        *{
            "counts": (f"[{soft_counts(3)[0]}", f"[{number}"),
            "exposure_s": (f'"exposure_s": {EXPOSURE_S}', f'"exposure_s": {number}'),
        }[field]
    )
    assert number in body

    response = client.post(SPECTRUM, content=body, headers={"Content-Type": "application/json"})

    assert_problem(response, 422, field)


@pytest.mark.parametrize("path", [TEXT, SPECTRUM])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"{'question': 1}", b"\xff\xfe", b"[" * 100_000, b'{"a": \x00}']
)
def test_body_that_is_not_json_is_malformed(client, path, content):
    response = client.post(path, content=content, headers={"Content-Type": "application/json"})

    assert_problem(response, 400 if content else response.status_code)
    assert "body" in response.json()["detail"] or "nested" in response.json()["detail"]


def test_question_that_is_no_unicode_is_refused(client):
    response = client.post(
        TEXT,
        content=b'{"question": "\\ud800"}',
        headers={"Content-Type": "application/json"},
    )

    assert_problem(response, 422, "question")


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/octet-stream", ""])
def test_spectrum_of_another_content_type_is_refused(client, kind):
    response = client.post(SPECTRUM, content=b"x", headers={"Content-Type": kind})

    assert_problem(response, 415, "multipart/form-data", "application/json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "x.pi"),
        (b"this is no FITS file", "x.pi"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 5000, "x.pi"),
        (b"SIMPLE  =                    T" + b" " * 50, "x.pi"),
        (gzip.compress(b"hello", mtime=0), "x.pi"),
        (pha(np.zeros(400)), "no counts"),
    ],
)
def test_upload_that_is_no_spectrum_is_refused_by_name(client, content, said):
    response = client.post(SPECTRUM, files={"file": ("x.pi", content)})

    assert_problem(response, 422, said)
    assert "chandra-search-" not in response.text


def test_upload_of_a_truncated_file_is_refused(client):
    content = pha(soft_counts())

    assert_problem(client.post(SPECTRUM, files={"file": ("x.pi", content[:4000])}), 422, "x.pi")


def test_upload_with_a_wrong_response_is_refused(client):
    files = {"file": ("x.pi", pha(soft_counts())), "rmf": ("x.rmf", b"nonsense")}

    assert_problem(client.post(SPECTRUM, files=files), 422, "x.rmf")


@pytest.mark.parametrize(
    ("files", "data", "said"),
    [
        ({"other": ("x.pi", b"x")}, {}, ["file is missing", "other is not known"]),
        ({"file": ("x.pi", b"x")}, {"row": "0"}, ["row is '0'"]),
        ({"file": ("x.pi", b"x")}, {"limit": "ten"}, ["limit is 'ten'"]),
        ({"file": ("x.pi", b"x")}, {"colour": "red"}, ["colour is not known"]),
        ({"rmf": ("x.rmf", b"x")}, {"file": "source.pi"}, ["file is 'source.pi'"]),
    ],
)
def test_wrong_form_is_answered_with_the_field_and_the_cure(client, files, data, said):
    assert_problem(client.post(SPECTRUM, files=files, data=data), 422, *said)


def test_row_beyond_the_file_is_refused(client):
    files = {"file": ("x.pi", pha(soft_counts()))}

    assert_problem(client.post(SPECTRUM, files=files, data={"row": "2"}), 422, "row is 2")


def test_form_without_boundary_is_refused(client):
    response = client.post(
        SPECTRUM, content=b"--x", headers={"Content-Type": "multipart/form-data"}
    )

    assert_problem(response, 400, "oundary")


def test_form_of_too_many_files_is_refused(client):
    files = [("file", (f"{i}.pi", b"x")) for i in range(3)]

    assert_problem(client.post(SPECTRUM, files=files), 400, "files")


def test_form_of_two_spectra_is_refused(client):
    files = [("file", (f"{i}.pi", b"x")) for i in range(2)]

    assert_problem(client.post(SPECTRUM, files=files), 422, "file is")


def chunks(total):
    for _ in range(total // 2**16):
        yield b"x" * 2**16


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (TEXT, "application/json"),
        (SPECTRUM, "application/json"),
        (SPECTRUM, "multipart/form-data; boundary=b"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_body_over_the_limit_is_refused(client, path, kind, streamed):
    content = chunks(2**21) if streamed else b"x" * (2**20 + 1)

    response = client.post(path, content=content, headers={"Content-Type": kind})

    assert_problem(response, 413, "larger than 1 MiB", "CHANDRA_MAX_UPLOAD_MB")


def test_upload_over_the_limit_is_refused(client):
    files = {"file": ("x.pi", b"x" * 2**21)}

    assert_problem(client.post(SPECTRUM, files=files), 413, "larger than 1 MiB")


@pytest.mark.parametrize("route", ["detections", "papers", "search/like"])
@pytest.mark.parametrize(
    "identifier",
    [
        "nothing",
        "' OR 1=1 --",
        "..%2F..%2Fetc%2Fpasswd",
        "%00",
        "%FF%FE",
        "*",
        "{}",
        "<script>",
        "csc2.0/1/1",
        "00000000-0000-0000-0000-000000000000",
    ],
)
def test_unknown_identifier_is_not_found(client, route, identifier):
    assert_problem(client.get(f"/v1/{route}/{identifier}"), 404, "in the store: give")


def test_identifier_beyond_length_is_refused(client):
    assert_problem(client.get("/v1/detections/" + "a" * 5000), 422, "identifier", "at most 400")


def test_like_what_has_no_spectrum_says_what_to_do(client):
    response = client.get(f"/v1/search/like/{CATALOGUE_ONLY.key}")

    assert_problem(response, 422, CATALOGUE_ONLY.key, "ingest its spectrum first")


def test_unknown_path_and_method_are_problems(client):
    assert_problem(client.get("/v2/anything"), 404)
    assert_problem(client.delete(TEXT), 405)


def test_cone_search_number_of_many_digits_is_refused_without_trying_every_way_to_read_it(client):
    asked = {"RA": "1" * 12_000 + "x", "DEC": "1", "SR": "1"}

    response = client.get("/vo/scs", params=asked)

    assert response.status_code == 200
    assert "RA is " in response.text


def cones(n, joined_by=" or "):
    return joined_by.join(f"cone({i}, 1, 5 deg)" for i in range(n))


def test_filter_of_many_cones_is_refused(client):
    assert client.get(TEXT, params={"q": "x", "where": cones(10)}).status_code == 200
    response = client.get(TEXT, params={"q": "x", "where": cones(10), "cone": "1 1 5deg"})

    assert_problem(response, 422, "11 cones", "at most 10")
    assert_problem(client.get("/v1/detections", params={"where": cones(11)}), 422, "11 cones")


def test_names_that_look_like_cones_are_none(client):
    names = " or ".join(f"source_name = 'cone({i}, 1, 5 deg)'" for i in range(50))

    assert client.get(TEXT, params={"q": "x", "where": names}).status_code == 200


def batch(n, **more):
    questions = [{"kind": "text", "question": f"x{i}", **more} for i in range(n)]
    return {"questions": questions}


def test_batch_of_too_many_answers_is_refused(client):
    response = client.post(BATCH, json=batch(11, limit=1000))

    assert_problem(response, 422, "questions", "11,000 answers", "at most 10,000", "lower")
    assert client.post(BATCH, json=batch(100, limit=100)).status_code == 200


def test_batch_of_too_many_cones_is_refused(client):
    assert client.post(BATCH, json=batch(20, cone="1 1 5deg")).status_code == 200
    assert_problem(client.post(BATCH, json=batch(21, cone="1 1 5deg")), 422, "21 cones", "20")


@pytest.mark.parametrize("name", ["l", "\\ud800"])
def test_object_of_too_many_fields_is_refused(client, name):
    body = "{" + ",".join(f'"{name}{i}": 1' for i in range(50_000)) + ', "a": 1, "a": 2}'

    response = client.post(TEXT, content=body, headers={"Content-Type": "application/json"})

    assert_problem(response, 400, "50,002 fields")


def test_long_name_is_shown_shortened(client):
    response = client.post(TEXT, json={"question": "x", "a" * 1_000_000: 1})

    assert_problem(response, 422, "a" * 80 + " is not known here")
    assert len(response.content) < 1000


def test_upload_that_unpacks_to_far_more_than_may_be_sent_is_refused(client):
    bomb = gzip.compress(b"SIMPLE  =                    T" + b" " * 2**23, 1)
    assert len(bomb) < 2**20

    response = client.post(SPECTRUM, files={"file": ("x.pi.gz", bomb)})

    assert_problem(response, 422, "x.pi.gz", "more than 4,194,304 bytes when decompressed")


class Broken:
    """Services whose store fails."""

    def __init__(self, error):
        self.error = error
        self.search = self

    def status(self):
        raise self.error


@pytest.mark.parametrize(
    "error", [UnavailableError("no answer from the store"), StoreLockedError("in use by 4711")]
)
def test_store_that_does_not_answer_is_503(error, api_settings):
    client = TestClient(create_api(Broken(error), api_settings))

    assert_problem(client.get("/v1/status"), 503, str(error))


def test_unexpected_error_is_500_and_says_nothing_of_our_insides(api_settings):
    api = create_api(Broken(RuntimeError("password=hunter2")), api_settings)

    response = TestClient(api, raise_server_exceptions=False).get("/v1/status")

    assert_problem(response, 500)
    assert "hunter2" not in response.text


def test_other_origins_are_not_invited(client):
    response = client.get("/healthz", headers={"Origin": "https://example.org"})

    assert not [name for name in response.headers if name.startswith("access-control-")]
