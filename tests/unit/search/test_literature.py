import itertools

import numpy as np
import pytest
from small_store import paper_point, summary
from synthetic_store import N_PAPERS, SyntheticStore

from common.errors import InvalidQueryError
from common.records import Paper
from search.collections.schema import PAPERS
from search.filters.filters import PaperFilter
from search.results import PageOptions


@pytest.fixture(scope="module")
def synthetic(module_folder):
    synthetic = SyntheticStore(module_folder("papers") / "store", n=30)
    with synthetic.store:
        yield synthetic


@pytest.fixture
def service(synthetic):
    return synthetic.service


def ids(hits):
    return [hit.id for hit in hits]


def pages(ask, limit):
    hits, cursor = [], None
    while True:
        page = ask(PageOptions(limit, cursor))
        hits += page.hits
        cursor = page.cursor
        if cursor is None:
            return hits


def words_of(hit):
    return set(hit.payload["abstract"].lower().replace(".", "").split())


def test_hybrid_ranks_what_is_better_both_ways_above(service):
    hits = service.by_text("jet merger dust", "papers", None, PageOptions(200)).hits
    scores = [(hit.cosine, hit.keyword_score or 0.0) for hit in hits]

    for place, (cosine, keyword_score) in enumerate(scores):
        assert not any(c > cosine and k > keyword_score for c, k in scores[place + 1 :])
    assert 0 < sum(k == 0 for _, k in scores) < len(scores)


def test_hybrid_ranks_what_both_ways_find_above_what_one_finds_as_well(service):
    question = "jet merger dust"
    hits = service.by_text(question, "papers", None, PageOptions(200)).hits
    dense = ids(service.by_text(question, "papers", None, PageOptions(200), "dense").hits)
    found_by_words = {hit.id for hit in hits if hit.keyword_score is not None}

    place = {identifier: i for i, identifier in enumerate(ids(hits))}
    for before, after in itertools.pairwise(dense):
        if before in found_by_words and after not in found_by_words:
            assert place[before] < place[after]


def test_hybrid_explains_both_scores_of_every_answer(synthetic, service):
    question = "corona wind"
    hits = service.by_text(question, "papers", None, PageOptions(50)).hits
    asked = synthetic.encoder.encode_question(question).own[0]

    assert {hit.compared for hit in hits} == {"text+bm25"}
    for hit in hits:
        (record,) = synthetic.store.retrieve(PAPERS, [hit.id], with_vectors=["text"])
        assert hit.cosine == pytest.approx(np.dot(record.vector["text"], asked), abs=1e-5)
        assert (hit.keyword_score is not None) == bool({"corona", "wind"} & words_of(hit))


def test_keywords_find_only_papers_with_a_word_of_the_question(service):
    hits = pages(lambda a: service.by_text("burst of a nova", "papers", None, a, "keywords"), 13)

    assert len(set(ids(hits))) == len(hits)
    assert all({"burst", "nova"} & words_of(hit) for hit in hits)
    assert {hit.compared for hit in hits} == {"bm25"}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    everything = service.select("papers", None, PageOptions(1000)).hits
    assert len(hits) == sum(bool({"burst", "nova"} & words_of(hit)) for hit in everything)


def test_dense_ranking_is_by_cosine_alone(service):
    hits = service.by_text("halo", "papers", None, PageOptions(20), "dense").hits

    assert {hit.compared for hit in hits} == {"text"}
    assert [hit.score for hit in hits] == [hit.cosine for hit in hits]
    assert {hit.keyword_score for hit in hits} == {None}


@pytest.mark.parametrize("ranking", ["hybrid", "dense"])
@pytest.mark.parametrize("limit", [17, 200])
def test_pages_put_together_are_every_paper_once(service, ranking, limit):
    hits = pages(lambda a: service.by_text("shock cluster", "papers", None, a, ranking), limit)

    assert len(hits) == len(set(ids(hits))) == N_PAPERS


def test_hybrid_pages_are_those_of_one_long_page(service):
    together = pages(lambda a: service.by_text("iron line", "papers", None, a), 30)
    scores = [hit.score for hit in together]

    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx(
        [hit.score for hit in service.by_text("iron line", "papers", None, PageOptions(200)).hits]
    )


@pytest.mark.parametrize("ranking", ["hybrid", "keywords"])
def test_page_beyond_what_is_ranked_by_words_says_so(service, monkeypatch, ranking):
    monkeypatch.setattr("search.queries.literature.DEPTH", 20)

    def ask(cursor):
        return service.by_text("jet wind iron", "papers", None, PageOptions(50, cursor), ranking)

    first = ask(None)

    assert 20 <= len(first.hits) <= 40
    with pytest.raises(InvalidQueryError, match="papers that one search by words ranks"):
        ask(first.cursor)


def test_paper_added_between_hybrid_pages_repeats_nothing_and_loses_nothing(tmp_path):
    synthetic = SyntheticStore(tmp_path / "store", n=5, n_papers=40)
    with synthetic.store:
        shown, cursor, number = [], None, 0
        while True:
            page = synthetic.service.by_text("jet wind", "papers", None, PageOptions(7, cursor))
            shown += ids(page.hits)
            cursor = page.cursor
            if cursor is None:
                break
            text = "jet wind " * (1 + number % 3)
            new = Paper(f"2025ApJ...{number:03d}....9Z", text, text, summary=summary(text))
            synthetic.store.upsert(PAPERS, [paper_point(synthetic.encoder, new)])
            number += 1

    assert len(shown) == len(set(shown))
    assert {paper.id for paper in synthetic.papers} <= set(shown)


def test_answers_come_with_the_sentences_that_fit(service):
    for ranking in ("hybrid", "dense"):
        hits = service.by_text("a flare", "papers", None, PageOptions(50), ranking).hits
        for hit in hits:
            assert bool(hit.highlights) == ("flare" in words_of(hit))
            assert all("flare" in sentence for sentence in hit.highlights)


def test_filter_holds_for_both_ways(service):
    hits = service.by_text("jet", "papers", PaperFilter(year_from=2015), PageOptions(200)).hits

    assert len(hits) == N_PAPERS // 4
    assert min(hit.payload["year"] for hit in hits) == 2015


def test_question_without_a_word_to_look_up_is_answered_by_vectors_alone(service):
    hits = service.by_text("the of and", "papers").hits

    assert len(hits) == 10
    assert {hit.keyword_score for hit in hits} == {None}
    with pytest.raises(InvalidQueryError, match="no word to look up"):
        service.by_text("the of and", "papers", ranking="keywords")


@pytest.mark.parametrize("ranking", ["hybrid", "keywords"])
def test_diversity_with_words_is_refused_with_the_cure(service, ranking):
    with pytest.raises(InvalidQueryError, match="set ranking to 'dense'"):
        service.by_text("jet", "papers", None, PageOptions(diversity=0.5), ranking)


def test_diversity_of_dense_papers(service):
    page = service.by_text("jet", "papers", None, PageOptions(diversity=0.5), "dense")

    assert len(page.hits) == 10
    assert page.cursor is None
