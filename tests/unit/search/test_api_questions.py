import gzip

import pytest
from api_requests import SPECTRUM, TEXT, array, assert_problem, ids, pha
from small_store import (
    AGN,
    AGN_AGAIN,
    AGN_PAPER,
    BINARY,
    CATALOGUE_ONLY,
    QUESTION,
    SIMULATED,
    soft_counts,
)

EXAMPLES, VECTOR, BATCH = "/v1/search/examples", "/v1/search/vector", "/v1/search/batch"


def names(detections):
    return {str(one.id) for one in detections}


# Narrowing down


@pytest.mark.parametrize(
    ("narrowing", "left"),
    [
        ({"exclude_class": "AGN"}, [BINARY, CATALOGUE_ONLY]),
        ({"range": "hard_hs:0.75:"}, [AGN]),
        ({"range": ["hard_hs:-1:0.75", "hard_hs_unknown:1:"]}, None),
        ({"range": ["hard_hs::0.75", "flux_significance_b:1:"]}, [AGN_AGAIN]),
        ({"has": "hard_hs", "lacks": "flux_significance_b"}, [BINARY]),
        ({"cone": "10.68 41.27 5arcmin"}, [AGN]),
        ({"source_name": "2CXO J174702.6-285259"}, [BINARY]),
        ({"where": "class = 'AGN' and not simulated = true"}, [AGN, AGN_AGAIN]),
    ],
)
def test_list_is_narrowed_down_by_every_field_of_the_filter(client, narrowing, left):
    response = client.get("/v1/detections", params=narrowing)

    if left is None:
        assert_problem(response, 422, "hard_hs_unknown")
    else:
        assert set(ids(response)) == names(left)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"range": "hard_hs"}, ["range 'hard_hs'", "field:low:high"]),
        ({"range": "hard_hs:a:b"}, ["range 'hard_hs:a:b'", "hard_hs:0.3:"]),
        ({"range": "hard_hs:nan:1"}, ["range"]),
        ({"range": ["hard_hs:0:", "hard_hs::1"]}, ["hard_hs", "twice"]),
        ({"range": "hard_hs:1:0"}, ["hard_hs"]),
        ({"cone": "10.68 41.27 5"}, ["no unit", "arcmin"]),
        ({"cone": "10.68 95 5arcmin"}, ["dec_deg"]),
        ({"cone": "10.68 41.27 5parsec"}, ["parsec"]),
        ({"cone": "10.68 41.27 -5arcmin"}, ["radius_deg"]),
        ({"has": "hard_h"}, ["hard_h"]),
        ({"limit": -1}, ["limit is '-1'"]),
        ({"cursor": "bm90IGEgY3Vyc29y"}, ["cursor"]),
        ({"instrument": "a\0b"}, ["instrument", "U+0000"]),
        ({"year_from": 2000}, ["year_from is not known"]),
    ],
)
def test_wrong_narrowing_is_answered_with_the_field_and_the_cure(client, asked, said):
    assert_problem(client.get("/v1/detections", params=asked), 422, *said)


def test_text_that_is_no_utf8_is_refused(client):
    assert_problem(client.get(f"{TEXT}?q=%FF%FE"), 422, "q is", "UTF-8")


# Pages


def test_pages_follow_each_other_by_cursor(client):
    found, cursor = [], None
    while True:
        asked = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        response = client.get("/v1/detections", params=asked)
        found += ids(response)
        cursor = response.json()["cursor"]
        assert response.headers.get("x-next-cursor") == cursor
        if cursor is None:
            break

    assert len(found) == 5
    assert set(found) == names([AGN, AGN_AGAIN, BINARY, SIMULATED, CATALOGUE_ONLY])


def test_cursor_of_another_question_is_refused(client):
    cursor = client.get(TEXT, params={"q": "one", "limit": 1}).json()["cursor"]

    response = client.get(TEXT, params={"q": "two", "limit": 1, "cursor": cursor})

    assert_problem(response, 422, "cursor", "another question")


def test_by_source_answers_once_for_each_source(client):
    hits = ids(client.get(TEXT, params={"q": QUESTION, "by_source": True}))

    assert len(set(hits) & names([AGN, AGN_AGAIN])) == 1


# Examples, vectors, batches


def test_examples_leave_out_their_own_sources(client):
    response = client.post(EXAMPLES, json={"positive": [AGN.key], "negative": [BINARY.key]})

    assert ids(response) == [str(SIMULATED.id)]


def test_vector_of_the_store_s_model_is_answered_and_another_one_refused(client):
    vector = {"vector": [0.5] * 6, "model_id": "fake0"}

    assert len(ids(client.post(VECTOR, json=vector))) == 4
    assert_problem(client.post(VECTOR, json={**vector, "model_id": "other"}), 422, "other", "fake0")
    assert_problem(client.post(VECTOR, json={**vector, "vector": [0.5] * 5}), 422, "6")
    assert_problem(client.post(VECTOR, json={**vector, "vector": [1e300] * 6}), 422, "vector.0")
    assert_problem(client.post(VECTOR, json={**vector, "vector": [0.0] * 6}), 422, "vector")


def test_batch_answers_like_single_questions(client):
    text = {"question": QUESTION, "to": "papers"}
    like = {"positive": [AGN.key]}

    pages = client.post(
        BATCH,
        json={
            "questions": [
                {"kind": "text", **text},
                {"kind": "spectrum", **array()},
                {"kind": "examples", **like},
            ]
        },
    ).json()["pages"]

    assert pages == [
        client.post(TEXT, json=text).json(),
        client.post(SPECTRUM, json=array()).json(),
        client.post(EXAMPLES, json=like).json(),
    ]


@pytest.mark.parametrize(
    ("questions", "said"),
    [
        ([], ["questions", "at least 1"]),
        ([{"kind": "text", "question": "x"}] * 101, ["questions", "at most 100"]),
        ([{"kind": "riddle"}], ["questions.0", "text, spectrum or examples"]),
        (["x"], ["questions.0", "text, spectrum or examples"]),
        ([{"kind": "text", "question": "x", "limit": 0}], ["limit is 0"]),
        ([{"kind": "text", "question": "x", "format": "csv"}], ["leave format out"]),
    ],
)
def test_wrong_batch_is_answered_with_the_field_and_the_cure(client, questions, said):
    assert_problem(client.post(BATCH, json={"questions": questions}), 422, *said)


def test_body_that_names_a_field_twice_is_refused(client):
    response = client.post(
        TEXT,
        content=b'{"question": "x", "limit": 1, "limit": 2}',
        headers={"Content-Type": "application/json"},
    )

    assert_problem(response, 400, "'limit' more than once")


@pytest.mark.parametrize("path", [TEXT, SPECTRUM, BATCH])
def test_unknown_field_that_is_no_text_is_refused(client, path):
    response = client.post(
        path, content=b'{"\\ud800": 1}', headers={"Content-Type": "application/json"}
    )

    assert_problem(response, 422)


# The sky, counts, filters


def test_cone_answers_nearest_first_with_the_distance(client):
    answers = client.get("/v1/cone", params={"cone": "10.679 41.262 1deg"}).json()["answers"]

    assert [answer["id"] for answer in answers] == [str(AGN.id)]
    assert answers[0]["separation_arcsec"] == pytest.approx(0, abs=1e-4)


def test_cone_without_a_cone_says_so(client):
    assert_problem(client.get("/v1/cone"), 422, "cone is missing")
    assert_problem(client.get("/v1/papers/region"), 422, "cone is missing")


def test_papers_are_listed_by_year(client):
    assert ids(client.get("/v1/papers", params={"year_to": 2005})) == [str(AGN_PAPER.id)]


def test_facets_count_what_fits(client):
    counts = client.get("/v1/facets/detections", params={"field": "class", "obsid": 103}).json()

    assert counts["class"]["LXB"] == 1
    assert "AGN" not in counts["class"]
    assert_problem(client.get("/v1/facets/detections?field=colour"), 422, "colour", "instrument")
    assert_problem(client.get("/v1/facets/stars"), 422, "of is 'stars'")


def test_explained_filter_is_the_same_by_get_and_post(client):
    asked = {"class": ["AGN"], "where": "hard_hs > 0.3"}

    explained = client.get("/v1/filters/explain", params=asked).json()

    assert "hard_hs" in str(explained)
    assert client.post("/v1/filters/explain", json=asked).json() == explained


# Estimates


def test_estimates_hold_all_variables_and_neighbours_only_if_wanted(client):
    bare = client.get(f"/v1/estimates/{AGN.key}").json()
    full = client.get(f"/v1/estimates/{AGN.key}", params={"neighbours": True}).json()

    assert len(bare["estimates"]) == 20
    assert not any(one["neighbours"] for one in bare["estimates"].values())
    assert any(one["neighbours"] for one in full["estimates"].values())


@pytest.mark.parametrize("what", ["estimates", "classes", "describe"])
def test_posted_spectrum_is_answered_as_numbers_and_as_a_file(client, what):
    spectrum = array()
    files = {"file": ("x.pi.gz", gzip.compress(pha(soft_counts(3))))}

    for response in (
        client.post(f"/v1/{what}", json=spectrum),
        client.post(f"/v1/{what}", files=files),
    ):
        assert response.status_code == 200, response.text
        assert response.json()["name"] == "the spectrum given"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"k": 0}, ["k is '0'"]),
        ({"k": "many"}, ["k is 'many'"]),
        ({"weighting": "heavy"}, ["weighting is 'heavy'", "median"]),
        ({"representation": "colour"}, ["representation is 'colour'", "both"]),
        ({"neighbours": "perhaps"}, ["neighbours is 'perhaps'"]),
        ({"limit": 5}, ["limit is not known"]),
    ],
)
def test_wrong_parameters_of_estimates_are_named(client, asked, said):
    assert_problem(client.get(f"/v1/estimates/{AGN.key}", params=asked), 422, *said)
    assert_problem(client.post("/v1/estimates", params=asked, json=array()), 422, *said)


def test_outliers_before_any_score_say_what_to_do(client):
    assert_problem(client.get("/v1/outliers"), 404, "score")
