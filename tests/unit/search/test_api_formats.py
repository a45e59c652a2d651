from io import BytesIO

import pytest
from api_requests import SPECTRUM, TEXT, array
from astropy.io import votable
from astropy.table import Table
from pydantic import BaseModel
from small_store import AGN, QUESTION

from search.api import response_models as models_answers

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

    assert client.get(TEXT, params=asked).json()["answers"][0]["payload"]["simulated"] is True
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
        "/v1/search/examples",
        "/v1/search/vector",
        "/v1/search/batch",
        "/v1/cone",
        "/v1/ingest/spectra",
        "/v1/ingest/catalog",
        "/v1/ingest/papers",
        "/v1/jobs/{job_id}",
        "/v1/detections",
        "/v1/detections/{identifier}",
        "/v1/papers",
        "/v1/papers/region",
        "/v1/papers/{bibcode}",
        "/v1/facets/{of}",
        "/v1/filters/explain",
        "/v1/estimates",
        "/v1/estimates/{identifier}",
        "/v1/classes",
        "/v1/classes/{identifier}",
        "/v1/describe",
        "/v1/describe/{identifier}",
        "/v1/outliers",
        "/v1/status",
        "/healthz",
        "/readyz",
        "/metrics",
        "/vo/scs",
    }
    for name, path in document["paths"].items():
        for operation in path.values():
            if not name.startswith("/v1"):
                continue
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


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if path.startswith("/v1"):
                yield f"{method} {path}", operation


def resolved(document, schema):
    name = schema.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"][name] if name else schema


def test_openapi_has_an_example_of_every_answer_and_of_everything_needed(client):
    document = client.get("/openapi.json").json()

    for name, operation in operations(document):
        responses = operation["responses"]
        answer = responses["202" if "202" in responses else "200"]["content"]["application/json"]
        schema = resolved(document, answer.get("schema", {}))
        assert "example" in answer or "example" in schema, name
        for parameter in operation.get("parameters", []):
            described = parameter.get("examples") or parameter["schema"].get("examples")
            assert described or not parameter["required"], (name, parameter["name"])
        bodies = operation.get("requestBody", {}).get("content", {})
        if body := bodies.get("application/json"):
            schema = resolved(document, body["schema"])
            assert "example" in body or "example" in schema, name


def test_openapi_spells_each_field_of_a_filter_once(client):
    document = client.get("/openapi.json").json()

    for name, operation in operations(document):
        names = [parameter["name"] for parameter in operation.get("parameters", [])]
        assert len(names) == len(set(names)), name
        assert not {"classes", "exclude_classes", "ranges"} & set(names), name


def test_example_of_an_answer_fits_its_own_description(client):
    models = [
        model for model in vars(models_answers).values() if isinstance(model, type(BaseModel))
    ]
    examples = [
        (model, extra["example"])
        for model in models
        if isinstance(extra := model.model_config.get("json_schema_extra"), dict)
    ]

    assert len(examples) >= 9
    for model, example in examples:
        assert model.model_validate(example).model_dump(mode="json") == example


@pytest.mark.parametrize("fmt", MEDIA)
@pytest.mark.parametrize(
    "path",
    [
        "/v1/detections",
        "/v1/facets/papers",
        "/v1/estimates/{}",
        "/v1/classes/{}",
        "/v1/describe/{}",
        "/v1/cone?cone=10.68 41.27 5arcmin",
    ],
)
def test_every_kind_of_answer_comes_in_every_format(client, fmt, path):
    url = path.replace("{}", AGN.key)

    response = client.get(url, headers={"Accept": MEDIA[fmt].partition(";")[0]})

    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == MEDIA[fmt]
    if fmt == "votable":
        votable.parse(BytesIO(response.content), verify="exception")
    if fmt == "ecsv":
        Table.read(response.text, format="ascii.ecsv")
