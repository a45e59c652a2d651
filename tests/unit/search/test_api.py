import gzip

import pytest
from api_requests import SPECTRUM, TEXT, array, ids, pha, rmf
from small_store import (
    AGN,
    AGN_AGAIN,
    AGN_NAME,
    AGN_PAPER,
    BINARY,
    BINARY_PAPER,
    QUESTION,
    SIMULATED,
    soft_counts,
)

# Text


def test_text_by_get_answers_with_hits(client):
    response = client.get(TEXT, params={"q": QUESTION, "to": "papers"})

    assert ids(response) == [str(AGN_PAPER.id), str(BINARY_PAPER.id)]
    assert set(response.json()) == {"answers", "cursor", "off_topic"}
    assert {"id", "score", "compared", "cosine", "payload"} < set(response.json()["answers"][0])
    assert response.headers["x-content-type-options"] == "nosniff"


def test_text_by_post_answers_like_get(client):
    asked = {"to": "detections", "class": ["AGN", "LXB"], "where": "hard_hs > -0.7", "limit": 3}

    posted = client.post(TEXT, json={"question": QUESTION, **asked})

    assert posted.json() == client.get(TEXT, params={"q": QUESTION, **asked}).json()
    assert len(ids(posted)) == 3


def test_text_by_post_heeds_the_query_string_where_the_body_is_silent(client):
    response = client.post(
        TEXT, params={"to": "papers", "limit": 1}, json={"question": QUESTION, "limit": 2}
    )

    assert ids(response) == [str(AGN_PAPER.id), str(BINARY_PAPER.id)]


@pytest.mark.parametrize(
    ("narrowing", "left"),
    [
        ({"class": "AGN"}, [AGN, AGN_AGAIN, SIMULATED]),
        ({"class": ["Sy1", "LXB"]}, [AGN, AGN_AGAIN, BINARY]),
        ({"where": "hard_hs > 0.3 and flux_significance_b >= 5"}, [AGN]),
        ({"obsid": [101, 103]}, [AGN, BINARY]),
        ({"instrument": "EPN"}, [BINARY]),
        ({"observed_from": "2005-01-01"}, [AGN_AGAIN, BINARY]),
        ({"observed_from": "2005-01-01", "observed_to": "2005-06-01"}, [BINARY]),
    ],
)
def test_text_is_narrowed_down(client, narrowing, left):
    expected = {str(one.id) for one in left}

    assert set(ids(client.get(TEXT, params={"q": QUESTION, **narrowing}))) == expected
    assert set(ids(client.post(TEXT, json={"question": QUESTION, **narrowing}))) == expected


def test_text_to_papers_is_narrowed_down_by_year(client):
    response = client.get(TEXT, params={"q": QUESTION, "to": "papers", "year_to": 2005})

    assert ids(response) == [str(AGN_PAPER.id)]


# Spectrum


@pytest.mark.parametrize("to", ["detections", "papers"])
def test_spectrum_as_numbers_answers_with_hits(client, to):
    hits = ids(client.post(SPECTRUM, json=array(to=to)))

    assert hits[0] == str(BINARY.id) if to == "detections" else len(hits) == 2


def test_spectrum_heeds_the_query_string(client):
    assert ids(client.post(SPECTRUM, params={"class": "AGN", "limit": 1}, json=array())) != [
        str(BINARY.id)
    ]


@pytest.mark.parametrize(
    "name",
    [
        "source.pi",
        "../../../tmp/x.pha",
        "",
        "..",
        "response",
        "ünïcode spectrum.pha",
        ".hidden",
        "a/b\\c.pi",
    ],
)
def test_spectrum_as_a_file_answers_with_hits(client, name):
    files = {"file": (name or "x", pha(soft_counts(3)))}

    assert ids(client.post(SPECTRUM, files=files))[0] == str(BINARY.id)


def test_spectrum_as_a_compressed_file_with_response_answers_with_hits(client):
    files = {
        "file": ("source.pi.gz", gzip.compress(pha(soft_counts(3)))),
        "rmf": ("source.rmf", rmf()),
    }

    assert ids(client.post(SPECTRUM, files=files, data={"limit": "2"}))[0] == str(BINARY.id)


def test_spectrum_without_response_is_answered_with_a_warning(client):
    guessed = client.post(SPECTRUM, files={"file": ("x.pi", pha(soft_counts()))})
    given = client.post(
        SPECTRUM, files={"file": ("x.pi", pha(soft_counts())), "rmf": ("x.rmf", rmf())}
    )

    assert "14.6 eV" in guessed.headers["x-warnings"]
    assert "x-warnings" not in given.headers


def test_spectrum_from_a_real_file_finds_papers(client, shared_data):
    path = shared_data / "spectra" / "ngc4258_1618" / "source_bin10.pi"

    response = client.post(
        SPECTRUM, files={"file": (path.name, path.read_bytes())}, data={"to": "papers"}
    )

    assert len(ids(response)) == 2


def test_spectrum_leaves_no_file_behind(client, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    client.post(SPECTRUM, files={"file": ("a.pi", pha(soft_counts()))})
    client.post(SPECTRUM, files={"file": ("a.pi", b"not FITS")})

    assert list(tmp_path.iterdir()) == []


# Like, records, status


def test_like_leaves_out_its_own_source(client):
    hits = ids(client.get(f"/v1/search/like/{AGN.key}"))

    assert set(hits) == {str(BINARY.id), str(SIMULATED.id)}


def test_like_takes_names_with_a_plus_and_bibcodes_with_an_ampersand(client):
    assert len(ids(client.get("/v1/search/like/2CXO%20J004242.9+411543"))) == 2
    assert ids(client.get("/v1/search/like/2004A%26A...426...11P", params={"to": "papers"})) == [
        str(BINARY_PAPER.id)
    ]


@pytest.mark.parametrize("identifier", [str(AGN.id), AGN.key])
def test_detection_is_read(client, identifier):
    detection = client.get(f"/v1/detections/{identifier}").json()

    assert detection["id"] == str(AGN.id)
    assert detection["payload"]["source_name"] == AGN_NAME
    assert detection["payload"]["hard_hs"] == 0.8


@pytest.mark.parametrize(
    "path", ["2004A&A...426...11P", "2004A%26A...426...11P", "2003astro.ph.12345P"]
)
def test_paper_is_read(client, path):
    paper = client.get(f"/v1/papers/{path}").json()

    assert paper["payload"]["bibcode"] == "2004A&A...426...11P"
    assert paper["payload"]["summary"]["nature"] == QUESTION


def test_status_says_what_the_store_holds(client):
    status = client.get("/v1/status").json()

    assert status["engine"] == "embedded"
    assert status["model_id"] == "fake0"
    assert status["detections"] == 5
    assert status["detections_simulated"] == 1
    assert status["classes"]["LXB"] == 1


def test_health_says_ok(client):
    assert client.get("/healthz").json() == {"status": "ok", "model_id": "fake0"}


def test_root_leads_to_the_documentation(client):
    response = client.get("/", follow_redirects=False)

    assert (response.status_code, response.headers["location"]) == (307, "/docs")
    assert client.get("/docs").status_code == 200
