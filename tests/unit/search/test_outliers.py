import numpy as np
import pytest
from fake_encoder import FakeEncoder
from qdrant_client import models

from common.errors import InvalidQueryError, NotFoundError
from common.records import point_id
from search.collections import schema
from search.filters.filters import DetectionFilter
from search.inference.outliers import CLASS_RANK, RUN, SCORE, OutlierFinder
from search.store.embedded import EmbeddedStore

N = 150
PLANTED = (7, 90)
FIELDS = [SCORE, CLASS_RANK, RUN]


def identifier(row):
    return str(point_id("detection", f"csc2.0/{row}/0/1"))


def point(row, rng, with_text):
    """One of a tight crowd of detections, or a planted one on the far side of the sphere."""
    encoder = FakeEncoder()
    sign = -1 if row in PLANTED else 1
    near = np.eye(encoder.shared_width)[0] * sign + 0.05 * rng.normal(size=encoder.shared_width)
    near /= np.linalg.norm(near)
    vectors = {
        schema.SPECTRUM: [1.0] * encoder.spectrum_width,
        schema.SHARED_SPECTRUM: near.tolist(),
    }
    if with_text:
        vectors[schema.BOTH] = np.concatenate([near, near]).tolist()
    payload = {
        "key": f"csc2.0/{row}/0/1",
        "source_name": f"2CXO J{row:06d}.0+000000",
        "class_path": ["Galaxy", "AGN"] if row % 2 else ["Star"],
        "instrument": "ACIS",
        "obsid": row,
        "counts": 500.0,
        "has_spectrum": True,
        "hard_hs": float(0.9 if row in PLANTED else 0.1 * rng.normal()),
        "powlaw_gamma": float(1.8 + 0.1 * rng.normal()),
    }
    return models.PointStruct(id=identifier(row), vector=vectors, payload=payload)


@pytest.fixture
def open_store(tmp_path):
    opened = []

    def open_(with_text=lambda _row: True, n=N, seed=0):
        store = EmbeddedStore(tmp_path / f"store{len(opened)}")
        opened.append(store)
        schema.open_collections(store, FakeEncoder())
        rng = np.random.default_rng(seed)
        store.upsert(schema.DETECTIONS, [point(row, rng, with_text(row)) for row in range(n)])
        return store

    yield open_
    for store in opened:
        store.close()


def stored(store):
    ids = [identifier(row) for row in range(N)]
    return [record.payload for record in store.retrieve(schema.DETECTIONS, ids, FIELDS)]


def test_planted_outliers_come_first(open_store):
    finder = OutlierFinder(open_store())
    assert finder.score() == N
    report = finder.ranking(limit=5)
    first = {one.hit.payload["obsid"] for one in report.outliers[:2]}
    assert first == set(PLANTED)
    assert report.outliers[0].hit.score == 1.0
    assert [one.rank for one in report.outliers] == [1, 2, 3, 4, 5]
    assert report.n_scored == N
    assert report.representation == schema.BOTH


def test_ranking_is_by_stored_score(open_store):
    store = open_store()
    finder = OutlierFinder(store)
    finder.score()
    scores = sorted((payload[SCORE] for payload in stored(store)), reverse=True)
    for limit in (1, 3, 40, N, N + 10):
        listed = [one.hit.score for one in finder.ranking(limit=limit).outliers]
        assert listed == pytest.approx(scores[:limit])


def test_ranks_within_a_class_run_from_one_in_the_order_of_scores(open_store):
    store = open_store()
    OutlierFinder(store).score()
    payloads = stored(store)
    for parity in (0, 1):
        own = sorted(payloads[parity::2], key=lambda payload: payload[CLASS_RANK])
        assert [payload[CLASS_RANK] for payload in own] == list(range(1, N // 2 + 1))
        scores = [payload[SCORE] for payload in own]
        assert scores == sorted(scores, reverse=True)


def test_equal_seeds_give_equal_scores_and_others_do_not(open_store):
    store = open_store()
    finder = OutlierFinder(store)
    runs = []
    for seed in (3, 3, 4):
        finder.score(seed=seed)
        runs.append([payload[SCORE] for payload in stored(store)])
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_a_filter_scores_only_its_part_and_mixed_runs_are_told(open_store):
    store = open_store()
    finder = OutlierFinder(store)
    finder.score()
    before = stored(store)
    finder.score(DetectionFilter(classes=("AGN",)), seed=1)
    after = stored(store)
    assert after[0::2] == before[0::2]
    assert all(new[RUN]["seed"] == 1 and new[RUN]["n"] == N // 2 for new in after[1::2])
    assert any("runs are mixed" in note for note in finder.ranking(limit=N).notes)
    only = finder.ranking(DetectionFilter(classes=("AGN",)), limit=N)
    assert only.n_scored == len(only.outliers) == N // 2
    assert not any("mixed" in note for note in only.notes)


def test_what_has_no_text_is_left_out_and_told_where_most_have_one(open_store):
    store = open_store(with_text=lambda row: row < 100)
    finder = OutlierFinder(store)
    assert finder.score() == 100
    report = finder.ranking()
    assert report.representation == schema.BOTH
    assert any(note.startswith("50 of 150 detections") for note in report.notes)


def test_few_texts_leave_the_judgement_to_spectra(open_store):
    finder = OutlierFinder(open_store(with_text=lambda row: row < 10))
    assert finder.score() == N
    assert finder.ranking().representation == schema.SHARED_SPECTRUM


def test_score_of_a_run_that_a_detection_took_no_part_in_is_removed(open_store):
    store = open_store(with_text=lambda row: row < 10)
    finder = OutlierFinder(store)
    finder.score()
    rng = np.random.default_rng(0)
    told = [point(row, rng, True) for row in range(100)]
    store.upsert(schema.DETECTIONS, told)
    finder.score()
    assert [row for row, payload in enumerate(stored(store)) if SCORE in payload] == list(
        range(100)
    )


def test_deviation_is_in_robust_spreads_from_the_neighbours_median(open_store):
    finder = OutlierFinder(open_store())
    finder.score()
    for outlier in finder.ranking(limit=2).outliers:
        largest = outlier.deviations[0]
        assert largest.variable == "hard_hs"
        assert largest.value == pytest.approx(0.9)
        assert abs(largest.neighbours_median) < 0.1
        assert 6 < largest.deviation < 14
        assert outlier.verdict == "undecided"  # these hold nothing that could fail


def test_progress_ends_with_all_scores_written(open_store):
    told = []
    OutlierFinder(open_store()).score(progress=lambda *step: told.append(step))
    assert [stage for stage, done, total in told if done == total == N] == [
        "reading vectors",
        "scoring",
        "writing scores",
    ]


def test_nothing_scored_is_an_error_with_the_cure(open_store):
    with pytest.raises(NotFoundError, match="outliers score"):
        OutlierFinder(open_store()).ranking()


def test_filter_that_nothing_scored_fits_gives_an_empty_report(open_store):
    finder = OutlierFinder(open_store())
    finder.score()
    report = finder.ranking(DetectionFilter(instrument=("EPN",)))
    assert (list(report.outliers), report.n_scored) == ([], 0)


def test_too_few_detections_have_no_outliers(open_store):
    with pytest.raises(NotFoundError, match="5 detections"):
        OutlierFinder(open_store(n=5)).score()


def test_a_limit_out_of_range_is_refused(open_store):
    finder = OutlierFinder(open_store(n=5))
    for limit in (0, -1, 1001):
        with pytest.raises(InvalidQueryError, match="limit"):
            finder.ranking(limit=limit)
