import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from small_services import small_services
from small_store import AGN, SmallStore
from upload_requests import folder_of

from search.api import create_api
from search.collections.schema import DETECTIONS
from search.settings import SearchSettings

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


@pytest.fixture(scope="module")
def api(module_folder):
    uploads = folder_of(module_folder("uploads"), most=10**6)
    small = SmallStore(module_folder("openapi") / "store")
    with small.store:
        run = {"at": "2026-01-01T00:00:00+00:00", "representation": "spectrum", "n": 1, "seed": 0}
        scores = {"outlier_score": 0.9, "outlier_class_rank": 1, "outlier_run": run}
        small.store.set_payload(DETECTIONS, {AGN.id: scores})
        settings = SearchSettings(max_upload_mb=1)
        yield create_api(small_services(small), settings, uploads=uploads)


@pytest.fixture(scope="module")
def openapi(api):
    return schemathesis.openapi.from_asgi("/openapi.json", api)


def send_what_the_description_allows_and_what_it_does_not(openapi, examples):
    for result in openapi.get_all_operations():
        operation = result.ok()
        raw = operation.definition.raw
        can_be_wrong = raw.get("parameters") or raw.get("requestBody")
        for mode in GenerationMode if can_be_wrong else [GenerationMode.POSITIVE]:

            @settings(
                max_examples=examples,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(operation.as_strategy(generation_mode=mode))
            def hold(case):
                case.call_and_validate(checks=CHECKS)

            hold()


def test_openapi_is_held_against_outliers_and_not_only_against_their_absence(api):
    response = TestClient(api).get("/v1/outliers")

    assert response.status_code == 200
    assert [outlier["hit"]["id"] for outlier in response.json()["outliers"]] == [str(AGN.id)]


def test_openapi_holds_for_whatever_is_sent(openapi):
    send_what_the_description_allows_and_what_it_does_not(openapi, 3)


@pytest.mark.slow
def test_openapi_holds_for_much_of_whatever_is_sent(openapi):
    send_what_the_description_allows_and_what_it_does_not(openapi, 120)
