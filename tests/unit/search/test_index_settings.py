"""Both engines are told the same of how to index and how to search: docs/decisions/0009."""

import json
from urllib.request import urlopen

import pytest
from qdrant_client import models
from qdrant_rest.process import running

from search.collections.schema import DETECTION_FIELDS, DETECTION_LINKED, PAPER_FIELDS, PAPER_LINKED
from search.store import edge_translation, server_translation
from search.store.base import CollectionSchema, NearestQuery, VectorField
from search.store.server import ServerStore

QUERIES = {exact: NearestQuery([1.0, 0.0], "own", exact=exact) for exact in (False, True)}


def of_server(exact):
    return server_translation.to_request(QUERIES[exact]).params


def of_edge(exact):
    return edge_translation.to_query(QUERIES[exact], ()).params


@pytest.mark.parametrize("params_of", [of_server, of_edge])
def test_a_question_keeps_200_points_in_view_and_looks_through_filters(params_of):
    params = params_of(False)
    assert (params.hnsw_ef, bool(params.exact)) == (200, False)
    assert (params.acorn.enable, params.acorn.max_selectivity) == (True, pytest.approx(0.8))


@pytest.mark.parametrize("params_of", [of_server, of_edge])
def test_an_exact_question_does_without_the_index(params_of):
    params = params_of(True)
    assert (params.hnsw_ef, bool(params.exact), params.acorn) == (None, True, None)


@pytest.mark.parametrize("kind", models.PayloadSchemaType)
@pytest.mark.parametrize("linked", [False, True])
def test_only_linked_fields_get_links_in_the_index(kind, linked):
    for engine in (server_translation, edge_translation):
        assert engine.to_index(kind, linked).enable_hnsw is linked
    assert server_translation.to_index(kind, linked).type == kind


def test_the_embedded_index_has_32_links_and_keeps_200_points_in_view():
    config = edge_translation.to_config(CollectionSchema({"own": VectorField(2)})).hnsw_config
    assert (config.m, config.ef_construct) == (32, 200)


def test_the_index_of_a_server_is_made_the_same_way(tmp_path):
    with running(tmp_path) as url, ServerStore(url, timeout_s=30) as store:
        store.create_collection("index", CollectionSchema({"own": VectorField(2)}))
        with urlopen(f"{url}/collections/index") as answer:
            made = json.load(answer)["result"]["config"]["hnsw_config"]
    assert (made["m"], made["ef_construct"]) == (32, 200)


def test_linked_fields_are_indexed_fields():
    assert DETECTION_FIELDS.keys() >= DETECTION_LINKED
    assert PAPER_FIELDS.keys() >= PAPER_LINKED
