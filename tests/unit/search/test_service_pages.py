from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_store import CLASSES, INSTRUMENTS, N_SAME, N, SyntheticStore

from common.errors import InvalidQueryError
from search.filters.filters import DetectionFilter, PaperFilter
from search.results import PageOptions
from search.service import SearchService

MODEL = "fake0"


@pytest.fixture(scope="module")
def synthetic(module_folder):
    synthetic = SyntheticStore(module_folder("synthetic") / "store")
    with synthetic.store:
        yield synthetic


def pages(ask, limit, most=10_000):
    """Return the hits of all pages, and check that only the last is short."""
    hits, cursor = [], None
    while len(hits) < most:
        page = ask(PageOptions(limit, cursor))
        hits += page.hits
        cursor = page.cursor
        if cursor is None:
            return hits
        assert len(page.hits) == limit
    return hits


@pytest.mark.parametrize("limit", [50, 250, 1000])
def test_pages_put_together_are_every_detection_once_best_first(synthetic, limit):
    question = synthetic.question(1)

    hits = pages(
        lambda arrange: synthetic.service.by_vector(question, MODEL, "detections", None, arrange),
        limit,
        most=2100,
    )

    assert sorted(hit.id for hit in hits) == sorted(synthetic.ids)
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    by_id = dict(zip(synthetic.ids, synthetic.vectors @ question, strict=True))
    assert scores == pytest.approx([by_id[hit.id] for hit in hits], abs=1e-5)


@pytest.mark.parametrize("by_source", [False, True])
def test_diverse_answers_may_be_as_many_as_a_page_holds(synthetic, by_source):
    arrange = PageOptions(1000, by_source=by_source, diversity=0.1)

    page = synthetic.service.by_vector(
        synthetic.question(1),
        MODEL,
        "detections",
        DetectionFilter(instrument=INSTRUMENTS[:1]),
        arrange,
    )

    assert 0 < len(page.hits) <= 1000


def test_ties_across_the_edge_of_a_page_are_neither_lost_nor_repeated(synthetic):
    question = synthetic.vectors[0]

    hits = pages(
        lambda arrange: synthetic.service.by_vector(question, MODEL, "detections", None, arrange),
        7,
        most=63,
    )

    tied = [hit.id for hit in hits if hit.score == hits[0].score]
    assert tied == sorted(synthetic.ids[:N_SAME])


def test_page_does_not_depend_on_the_size_of_the_pages_before(synthetic):
    question = synthetic.question(3)

    def ask(limit, cursor=None):
        return synthetic.service.by_vector(
            question, MODEL, "detections", None, PageOptions(limit, cursor)
        )

    second = ask(13, ask(9).cursor)

    assert [hit.id for hit in second.hits] == [hit.id for hit in ask(22).hits[9:]]


def test_pages_keep_to_the_filter(synthetic):
    question = synthetic.question(4)
    wanted = DetectionFilter(classes=("Star",), instrument=("EPN",))
    rows = np.flatnonzero(
        np.isin(synthetic.source_class, [2, 3]) & (synthetic.instrument == INSTRUMENTS.index("EPN"))
    )

    hits = pages(
        lambda arrange: synthetic.service.by_vector(question, MODEL, "detections", wanted, arrange),
        50,
    )

    assert {hit.id for hit in hits} == {synthetic.ids[row] for row in rows}
    assert len(hits) == len(rows)


def test_list_has_every_detection_once_in_the_order_of_ids(synthetic):
    hits = pages(lambda arrange: synthetic.service.select("detections", None, arrange), 300)

    assert [hit.id for hit in hits] == sorted(synthetic.ids)
    assert {hit.score for hit in hits} == {None}


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_insertions_and_deletions_between_pages_repeat_nothing_and_lose_nothing_older(
    tmp_path, data
):
    folder = TemporaryDirectory(dir=tmp_path)  # an example's, not the test's
    few = SyntheticStore(Path(folder.name) / "store", n=40, n_papers=0)
    with folder, few.store:
        question = few.question(data.draw(st.integers(0, 100)))
        limit = data.draw(st.integers(3, 15))
        shown, gone, cursor = [], set(), None
        while True:
            page = few.service.by_vector(
                question, MODEL, "detections", None, PageOptions(limit, cursor)
            )
            shown += [hit.id for hit in page.hits]
            cursor = page.cursor
            if cursor is None:
                break
            new = data.draw(st.integers(0, 3))
            for number in range(new):
                identifier = UUID(int=len(shown) * 1000 + number)
                vector = few.question(int(identifier) + data.draw(st.integers(0, 3)))
                few.add_new(identifier, vector)
            doomed = data.draw(st.lists(st.sampled_from(few.ids), max_size=3))
            few.strip(map(few.ids.index, doomed))  # no spectrum, no rank: as if it were deleted
            gone |= set(doomed)

    assert len(shown) == len(set(shown))
    assert set(few.ids) - gone <= set(shown)


def test_tail_without_spectra_pages_on_after_the_ranked(tmp_path):
    few = SyntheticStore(tmp_path / "store", n=60, n_papers=0)
    everything = DetectionFilter(where="obsid >= 0")
    with few.store:
        few.strip(range(25))
        hits = pages(
            lambda arrange: few.service.by_text("any", "detections", everything, arrange), 10
        )

    assert [hit.score is None for hit in hits] == [False] * 35 + [True] * 25
    assert [hit.id for hit in hits[35:]] == sorted(few.ids[:25])


@pytest.mark.parametrize("limit", [10, 100, 600])
def test_grouped_pages_show_the_best_detection_of_each_source_once(synthetic, limit):
    question = synthetic.question(5)

    hits = pages(
        lambda arrange: synthetic.service.by_vector(
            question,
            MODEL,
            "detections",
            None,
            PageOptions(arrange.limit, arrange.cursor, by_source=True),
        ),
        limit,
    )

    scores = synthetic.vectors @ question
    best = {}
    for row in np.argsort(-scores, kind="stable"):
        best.setdefault(synthetic.name(row), scores[row])
    shown = {hit.payload["source_name"]: hit.score for hit in hits}
    assert len(shown) == len(hits)
    assert shown == pytest.approx(best, abs=1e-5)
    assert [hit.score for hit in hits] == sorted(shown.values(), reverse=True)
    for hit in hits:
        rows = synthetic.source == int(hit.payload["source_name"][6:12])
        assert hit.n_detections == rows.sum()


def test_grouped_count_keeps_to_the_filter(synthetic):
    wanted = DetectionFilter(instrument=("ACIS",))

    page = synthetic.service.by_vector(
        synthetic.question(6), MODEL, "detections", wanted, PageOptions(by_source=True)
    )

    for hit in page.hits:
        rows = (synthetic.source == int(hit.payload["source_name"][6:12])) & (
            synthetic.instrument == INSTRUMENTS.index("ACIS")
        )
        assert hit.n_detections == rows.sum()


def test_papers_are_not_grouped_by_source(synthetic):
    with pytest.raises(InvalidQueryError, match="leave by_source out"):
        synthetic.service.by_text("jet", "papers", None, PageOptions(by_source=True))


def mean_cosine(synthetic, hits):
    rows = [synthetic.ids.index(hit.id) for hit in hits]
    vectors = synthetic.vectors[rows]
    return (vectors @ vectors.T)[np.triu_indices(len(rows), 1)].mean()


def test_diversity_makes_answers_differ_more_and_keeps_the_best_first(synthetic):
    question = synthetic.question(7)

    def ask(diversity):
        page = synthetic.service.by_vector(
            question, MODEL, "detections", None, PageOptions(diversity=diversity)
        )
        assert diversity == 0 or page.cursor is None
        return page.hits

    alike, different = ask(0.0), ask(0.7)

    assert len(different) == len(alike) == 10
    assert different[0].id == alike[0].id
    assert mean_cosine(synthetic, different) < mean_cosine(synthetic, alike)
    by_id = dict(zip(synthetic.ids, synthetic.vectors @ question, strict=True))
    cosines = [by_id[hit.id] for hit in different]
    assert [hit.cosine for hit in different] == pytest.approx(cosines, abs=1e-5)


def test_diverse_answers_can_be_grouped_by_source(synthetic):
    hits = synthetic.service.by_vector(
        synthetic.vectors[0],
        MODEL,
        "detections",
        None,
        PageOptions(by_source=True, diversity=0.3),
    ).hits

    assert len({hit.payload["source_name"] for hit in hits}) == len(hits) == 10


@pytest.mark.parametrize("wanted", [None, DetectionFilter(classes=("AGN",), where="hard_hs > 0")])
def test_facets_equal_a_count_by_hand(synthetic, wanted):
    rows = np.arange(N)
    if wanted:
        rows = rows[np.isin(synthetic.source_class, [0, 1]) & (np.sin(rows) > 0)]
    facets = synthetic.service.facets("detections", ["class", "instrument", "year"], wanted)

    classes = [label for row in rows for label in CLASSES[synthetic.source_class[row]]]
    instruments = [INSTRUMENTS[synthetic.instrument[row]] for row in rows]
    years = [str(synthetic.year[row]) for row in rows]
    for name, values in (("class", classes), ("instrument", instruments), ("year", years)):
        assert facets[name] == {value: values.count(value) for value in set(values)}
        assert list(facets[name].values()) == sorted(facets[name].values(), reverse=True)


def test_no_bound_is_not_taken_for_a_bound_that_is_no_number(synthetic):
    question = synthetic.question(1)
    ask = synthetic.service.by_vector
    ask(question, MODEL, "detections", DetectionFilter(ranges={"counts": (None, 5.0)}))
    with pytest.raises(InvalidQueryError, match="finite"):
        ask(question, MODEL, "detections", DetectionFilter(ranges={"counts": (float("nan"), 5.0)}))


def test_facets_of_papers(synthetic):
    facets = synthetic.service.facets("papers", ["year", "author"], PaperFilter(year_from=2019))

    assert facets == {
        "year": {"2019": 10},
        "author": {f"Author {i}": sum(n % 7 == i for n in range(19, 200, 20)) for i in range(7)},
    }


@pytest.mark.parametrize("field", ["", "colour", "class_path", "hard_hs"])
def test_facet_that_cannot_be_counted_is_refused_with_those_that_can(synthetic, field):
    with pytest.raises(InvalidQueryError, match="there are class, instrument, year"):
        synthetic.service.facets("detections", [field])


def test_page_beyond_the_reach_of_one_question_says_so(synthetic, monkeypatch):
    monkeypatch.setattr("search.queries.nearest.MAX_DEPTH", 100)
    question = synthetic.question(8)

    def ask(cursor):
        return synthetic.service.by_vector(
            question, MODEL, "detections", None, PageOptions(60, cursor)
        )

    second = ask(ask(None).cursor)

    assert len(second.hits) == 40
    with pytest.raises(InvalidQueryError, match="beyond the 100 best answers"):
        ask(second.cursor)


def test_cursor_belongs_to_question_filter_and_target(synthetic):
    service: SearchService = synthetic.service
    cursor = service.by_text("jet", "detections").cursor
    page = PageOptions(cursor=cursor)

    assert service.by_text("  jet ", "detections", None, page).hits
    for asked in (
        lambda: service.by_text("wind", "detections", None, page),
        lambda: service.by_text("jet", "papers", None, page),
        lambda: service.by_text("jet", "papers", None, page, "dense"),
        lambda: service.by_text("jet", "detections", DetectionFilter(obsid=(1,)), page),
        lambda: service.by_text("jet", "detections", None, PageOptions(10, cursor, by_source=True)),
        lambda: service.like("synthetic/1", "detections", None, page),
        lambda: service.select("detections", None, page),
    ):
        with pytest.raises(InvalidQueryError, match="belongs to another question"):
            asked()
