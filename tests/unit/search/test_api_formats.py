from io import BytesIO

import pytest
from api_requests import SPECTRUM, TEXT, array
from astropy.io import votable
from astropy.table import Table
from small_store import (
    AGN,
    QUESTION,
)

MEDIA = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "ecsv": "text/x-ecsv; charset=utf-8",
    "votable": "application/x-votable+xml",
    "table": "text/plain; charset=utf-8",
}


@pytest.mark.parametrize("fmt", MEDIA)
def test_format_is_chosen_by_parameter(client, fmt):
    for response in (
        client.get(TEXT, params={"q": QUESTION, "format": fmt}, headers={"Accept": "text/html"}),
        client.post(TEXT, params={"format": fmt}, json={"question": QUESTION}),
        client.post(SPECTRUM, params={"format": fmt}, json=array()),
        client.get(f"/v1/search/like/{AGN.key}", params={"format": fmt}),
    ):
        assert response.status_code == 200
        assert response.headers["content-type"] == MEDIA[fmt]


@pytest.mark.parametrize(
    ("accept", "fmt"),
    [
        ("text/csv", "csv"),
        ("application/x-votable+xml", "votable"),
        ("application/x-votable+xml;serialization=tabledata", "votable"),
        ("text/x-ecsv, text/csv;q=0.5", "ecsv"),
        ("text/csv;q=0.5, text/x-ecsv", "ecsv"),
        ("application/json", "json"),
        ("text/html,application/xml;q=0.9,*/*;q=0.8", "json"),
        ("*/*", "json"),
        ("text/csv;q=0", "json"),
        ("text/csv;q=much", "json"),
        (";;,,q=", "json"),
    ],
)
def test_format_is_chosen_by_accept(client, accept, fmt):
    response = client.get(TEXT, params={"q": QUESTION}, headers={"Accept": accept})

    assert response.headers["content-type"] == MEDIA[fmt]
    assert response.headers["vary"] == "Accept"


def test_votable_answer_is_strictly_valid_and_says_what_was_asked(client):
    response = client.get(TEXT, params={"q": "a & b", "limit": 2, "format": "votable"})

    document = votable.parse(BytesIO(response.content), verify="exception")
    infos = {info.name: info.value for info in document.resources[0].infos}
    assert infos["title"] == "a & b"
    assert infos["QUERY_STATUS"] == "OVERFLOW"
    assert len(document.get_first_table().array) == 2


def test_empty_answer_is_a_table_of_papers_where_papers_were_asked_for(client):
    asked = {"q": QUESTION, "to": "papers", "year_from": 2100, "format": "ecsv"}

    table = Table.read(client.get(TEXT, params=asked).text, format="ascii.ecsv")

    assert len(table) == 0
    assert "bibcode" in table.colnames


def test_simulated_answer_says_so_in_every_format(client):
    asked = {"q": QUESTION, "where": "obsid = 104"}

    assert client.get(TEXT, params=asked).json()[0]["payload"]["simulated"] is True
    for fmt in ("table", "ecsv", "votable"):
        text = client.get(TEXT, params={**asked, "format": fmt}).text
        assert "simulated, not observed" in text
    assert client.get(TEXT, params={**asked, "format": "csv"}).text.count("True") >= 1


# OpenAPI


def test_openapi_documents_every_route_with_its_problems(client):
    document = client.get("/openapi.json").json()

    assert set(document["paths"]) == {
        TEXT,
        SPECTRUM,
        "/v1/search/like/{identifier}",
        "/v1/detections/{identifier}",
        "/v1/papers/{bibcode}",
        "/v1/status",
        "/healthz",
    }
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["summary"]
            assert "application/problem+json" in operation["responses"]["4XX"]["content"]


def test_openapi_has_only_references_that_lead_somewhere(client):
    document = client.get("/openapi.json").json()

    def references(node):
        if isinstance(node, dict):
            yield from ([node["$ref"]] if isinstance(node.get("$ref"), str) else [])
            for child in node.values():
                yield from references(child)
        elif isinstance(node, list):
            for child in node:
                yield from references(child)

    for reference in references(document):
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert node


def test_openapi_describes_both_bodies_of_a_spectrum(client):
    document = client.get("/openapi.json").json()

    body = document["paths"][SPECTRUM]["post"]["requestBody"]["content"]
    assert body["multipart/form-data"]["schema"]["properties"]["file"]["type"] == "string"
    assert body["application/json"]["schema"]["properties"]["counts"]["minItems"] == 400
