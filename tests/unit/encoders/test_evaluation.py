import dataclasses
import json
import math

import numpy as np
import pytest

from common.errors import InvalidTableError
from common.ports import Vectors
from common.representations import REPRESENTATIONS, Representations
from encoders.evaluation.evaluate import evaluate
from encoders.evaluation.representations import represent
from encoders.evaluation.result import Evaluation, Interval, RetrievalResult
from encoders.retrieval import Retrieval
from ingest.dataset.dataset import read_dataset

KINDS = (("Galaxy", "AGN"), ("Star", "**", "XB*", "LXB"))
N_SOURCES = 150


def unit_rows(n, seed, width=6):
    rows = np.random.default_rng(seed).normal(size=(n, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def split_rows(source):
    bounds = {"train": (0, 0.6), "validation": (0.6, 0.8), "test": (0.8, 1)}
    n = source.max() + 1
    return {
        part: np.flatnonzero((low * n <= source) & (source < high * n))
        for part, (low, high) in bounds.items()
    }


@pytest.fixture(scope="module")
def known():
    # Two detections a source; variables and classes that follow the first dimension.
    source = np.repeat(np.arange(N_SOURCES), 2)
    own = unit_rows(N_SOURCES, 0)[source]
    text = unit_rows(N_SOURCES, 1)[source]
    rng = np.random.default_rng(2)
    return Representations(
        dataset="two kinds",
        simulated=True,
        model_id="0123456789abcdef",
        text_model="words",
        vectors={
            "spectrum": own, "text": text, "shared_spectrum": own, "shared_text": own,
            "both": np.hstack([own, own]),
        },
        variables={
            "hard_hs": own[:, 0] + rng.normal(0, 0.01, len(own)),
            "var_prob_b": text[:, 0].astype(float),
        },
        source=source,
        source_class=[KINDS[int(x > 0)] for x in own[:, 0]],
        names=[f"2CXO J{i:06d}" for i in range(len(own))],
        counts=np.arange(len(own)) + 10.0,
        split=split_rows(source),
    )  # fmt: skip


def without_texts(representations):
    vectors = {name: representations.vectors[name] for name in ("spectrum", "shared_spectrum")}
    return dataclasses.replace(representations, vectors=vectors)


@pytest.fixture(scope="module")
def result(known):
    return evaluate(known)


def assert_strict_json(evaluation):
    text = json.dumps(evaluation.to_dict(), allow_nan=False)
    assert json.loads(text)["model_id"] == evaluation.model_id


def test_matching_vectors_find_every_source_first(result):
    for direction in (result.spectrum_to_text, result.text_to_spectrum):
        assert direction.overall.to_dict() == {
            "recall_at_1_percent": 1.0,
            "recall_at_5_percent": 1.0,
            "recall_at_10_percent": 1.0,
            "median_rank": 1.0,
            "candidates": 30,
        }
        assert direction.interval["recall_at_1_percent"] == Interval(1.0, 0.0, 1.0, 1.0)
    assert len(result.spectrum_to_text.overall.ranks) == 60
    assert len(result.text_to_spectrum.overall.ranks) == 30


def test_vectors_that_tell_nothing_come_last(known):
    same = np.ones_like(known.vectors["spectrum"])
    blind = dataclasses.replace(known, vectors={name: same for name in REPRESENTATIONS})
    found = evaluate(blind, figures=False)
    for direction in (found.spectrum_to_text, found.text_to_spectrum):
        assert set(direction.overall.ranks) == {30}
        assert direction.interval["median_rank_percent"].value == 100


def test_parts_of_retrieval_hold_every_query_once(result):
    for direction in (result.spectrum_to_text, result.text_to_spectrum):
        n = len(direction.overall.ranks)
        assert sum(len(part.ranks) for *_, part in direction.by_counts) == n
        assert sum(len(part.ranks) for part in direction.by_class.values()) == n
        assert set(direction.by_class) == {"AGN", "LXB"}
        lows = [low for low, *_ in direction.by_counts]
        assert lows == sorted(lows)
        assert len(lows) == 10


def test_a_text_is_as_bright_as_its_brightest_detection(result, known):
    highest = result.text_to_spectrum.by_counts[0][0]
    assert highest == known.counts[known.split["test"]][:2].max()


def test_an_estimate_is_the_mean_of_the_nearest_training_detections(known):
    place = known.source.astype(float)  # a source's own number: its neighbours' are unrelated
    found = evaluate(
        dataclasses.replace(known, variables={"hard_hs": place}), k=2, figures=False
    ).regression["hard_hs"]
    train, test = known.split["train"], known.split["test"]
    x = known.vectors["spectrum"]
    order = np.argsort(-x[test] @ x[train].T, axis=1, kind="stable")
    expected = place[train][order[:, :2]].mean(axis=1)  # both detections of the nearest source
    error = np.abs(expected - place[test]).mean()
    assert found.by_representation["spectrum"].value == pytest.approx(error)
    baseline = np.abs(place[train].mean() - place[test]).mean()
    assert found.mean_baseline.value == pytest.approx(baseline)
    assert found.n_test == len(test)


def test_the_mixture_of_experts_takes_the_representation_that_validates_best(result):
    assert result.regression["var_prob_b"].moe_choice == "text"
    assert result.regression["hard_hs"].moe_choice != "text"
    for row in result.regression.values():
        assert row.moe == row.by_representation[row.moe_choice]
        assert row.refined.value < row.mean_baseline.value
        assert row.refined.low <= row.refined.value <= row.refined.high
        assert not row.worse_than_best_single


def test_means_over_variables_are_of_ratios_and_of_gains(result):
    rows = result.regression.values()
    ratios = [row.refined.value / row.mean_baseline.value for row in rows]
    assert result.mean_ratio["refined"].value == pytest.approx(np.mean(ratios))
    assert set(result.mean_ratio) == {*REPRESENTATIONS, "moe", "refined"}
    errors = [{name: x.value for name, x in row.by_representation.items()} for row in rows]
    gains = [1 - one["both"] / min(one["spectrum"], one["text"]) for one in errors]
    assert result.mean_gain["both"].value == pytest.approx(np.mean(gains))
    assert set(result.mean_gain) == {"both", "moe", "refined"}
    assert result.mean_gain["both"].error > 0


def test_classes_are_told_where_vectors_tell_them(result):
    by_name = {one.representation: one for one in result.classification}
    assert set(by_name) == set(REPRESENTATIONS)
    told = by_name["spectrum"]
    assert told.classes == ["AGN", "LXB"]
    assert told.balanced_accuracy.value > 0.75
    assert told.agn_or_compact == told.balanced_accuracy  # the classes are just these two
    assert np.sum(told.confusion) == 60
    assert abs(by_name["text"].balanced_accuracy.value - 0.5) < 0.25


def test_the_detection_unlike_all_others_is_the_first_outlier(known):
    x = np.tile(unit_rows(1, 3), (len(known.source), 1)) + unit_rows(len(known.source), 4) / 50
    x[17] = -x[17]
    strange = dataclasses.replace(known, vectors={**known.vectors, "both": x})
    outliers = evaluate(strange).outliers
    assert outliers.top[0].name == known.names[17]
    assert outliers.top[0].score == outliers.scores.max() == 1
    assert outliers.representation == "both"
    assert sum(size for size, *_ in outliers.by_class.values()) == len(known.names)


def test_maps_show_each_detection_once(result, known):
    assert [one.representation for one in result.maps] == ["both", "spectrum"]
    for one in result.maps:
        assert one.position.shape == (len(known.names), 2)
        assert np.array_equal(one.rows, np.arange(len(known.names)))
        assert np.isfinite(one.position).all()


def test_equal_seeds_give_equal_documents(known, result):
    assert evaluate(known).to_dict() == result.to_dict()


def test_quick_runs_leave_out_forest_and_maps(known, result):
    quick = evaluate(known, figures=False)
    assert quick.outliers is None
    assert quick.maps == []
    assert quick.regression == result.regression


def test_the_document_is_strict_json(result):
    assert_strict_json(result)
    document = result.to_dict()
    forth = document["spectrum_to_text"]["overall"]
    assert forth["curve"]["0.5"] == 1
    assert "ranks" not in forth
    assert document["sizes"] == {"train": 180, "validation": 60, "test": 60}


def test_the_document_has_null_where_a_figure_is_not_finite():
    nothing = RetrievalResult(
        Retrieval((1,), 1), {"median_rank_percent": Interval(1.0, math.nan, -math.inf, 1.0)}, {}, []
    )
    known = evaluate_nothing(nothing)
    interval = known.to_dict()["spectrum_to_text"]["interval"]["median_rank_percent"]
    assert interval == {"value": 1.0, "error": None, "low": None, "high": 1.0}
    assert_strict_json(known)


def evaluate_nothing(retrieval):
    return Evaluation(
        "d", True, "m", "t", "fixed split", {"train": np.int64(3)}, retrieval, None, {}, [], None,
        [], [], (),
    )  # fmt: skip


def test_without_texts_sources_are_cross_validated(known):
    found = evaluate(without_texts(known))
    assert found.scheme == "cross-validated by source"
    assert found.sizes == {"detections": 300, "sources": 150, "folds": 5}
    assert found.spectrum_to_text is None
    assert found.text_to_spectrum is None
    assert found.mean_gain == {}
    assert found.regression["hard_hs"].n_test == 300  # each is tested once
    assert found.outliers.representation == "shared_spectrum"
    assert any("must not have been trained on these" in note for note in found.notes)
    assert_strict_json(found)


def test_the_scheme_can_be_chosen(known):
    assert evaluate(without_texts(known), scheme="fixed split", figures=False).sizes["test"] == 60
    crossed = evaluate(known, scheme="cross-validated by source", figures=False)
    assert len(crossed.spectrum_to_text.overall.ranks) == 300
    assert crossed.spectrum_to_text.overall.candidates == 150


def test_no_source_helps_to_estimate_itself(known):
    rng = np.random.default_rng(5)
    noise = rng.normal(size=N_SOURCES)[known.source]  # only the other detection knows it
    alone = dataclasses.replace(without_texts(known), variables={"hard_hs": noise})
    found = evaluate(alone, figures=False).regression["hard_hs"]
    assert found.by_representation["spectrum"].value > 0.8 * found.mean_baseline.value


def test_too_few_pairs_for_a_split_are_refused(known):
    split = {**known.split, "test": np.array([], dtype=np.int64)}
    with pytest.raises(InvalidTableError, match=r"'test': 0.*give a dataset of about 20 sources"):
        evaluate(dataclasses.replace(known, split=split))


def test_too_few_sources_for_folds_are_refused(known):
    few = dataclasses.replace(
        without_texts(known),
        source=np.arange(300) % 2,
        split={part: np.arange(0) for part in known.split},
    )
    with pytest.raises(InvalidTableError, match=r"2 sources.*too few for 5 folds"):
        evaluate(few)


def test_no_neighbours_are_refused(known):
    with pytest.raises(InvalidTableError, match="k=0"):
        evaluate(known, k=0)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full(300, np.nan), "no detection has a value"),
        (np.full(300, 2.5), "its value is always 2.5"),
        (np.where(np.arange(300) < 2, [1.0] * 300, np.nan), "only 2 detections to learn from"),
    ],
)
def test_a_variable_that_cannot_be_estimated_is_noted(known, values, reason):
    some = dataclasses.replace(known, variables={**known.variables, "bb_kt": values})
    found = evaluate(some, figures=False)
    assert "bb_kt" not in found.regression
    assert any(note.startswith(f"bb_kt left out: {reason}") for note in found.notes)
    assert_strict_json(found)


def test_an_evaluation_without_any_variable_has_no_means(known):
    found = evaluate(dataclasses.replace(known, variables={}), figures=False)
    assert found.regression == found.mean_ratio == found.mean_gain == {}
    assert found.dimensions == []
    assert_strict_json(found)


def test_missing_values_are_neither_estimated_nor_used(known):
    values = known.variables["hard_hs"].copy()
    values[::2] = np.nan  # of each source, one detection remains
    found = evaluate(dataclasses.replace(known, variables={"hard_hs": values}), figures=False)
    assert found.regression["hard_hs"].n_test == 30
    assert math.isfinite(found.regression["hard_hs"].refined.value)


def test_one_class_alone_is_not_classified_but_noted(known):
    one = dataclasses.replace(known, source_class=[KINDS[0]] * 300)
    found = evaluate(one, figures=False)
    assert found.classification == []
    assert any("no classification: 1 class" in note for note in found.notes)


def test_rare_classes_and_missing_compact_objects_are_noted(known):
    star = ("Star",)
    classes = [path if path == KINDS[0] else star for path in known.source_class]
    classes[0] = ("Star", "Planet")
    found = evaluate(dataclasses.replace(known, source_class=classes), figures=False)
    assert [one.agn_or_compact for one in found.classification] == [None] * 5
    assert any("not classified: Planet" in note for note in found.notes)
    assert any("too few of compact object" in note for note in found.notes)


def test_equal_vectors_are_not_drawn_but_noted(known):
    same = np.ones_like(known.vectors["spectrum"])
    blind = dataclasses.replace(known, vectors={name: same for name in REPRESENTATIONS})
    found = evaluate(blind)
    assert found.maps == []
    assert any("no map of both" in note for note in found.notes)
    assert_strict_json(found)


def test_dimensions_correlate_with_what_they_hold(known):
    found = {one.representation: one for one in evaluate(known, figures=False).dimensions}
    assert set(found) == {"spectrum", "shared_spectrum", "shared_text"}
    table = found["spectrum"].correlation
    assert table.shape == (6, 2)
    expected = np.corrcoef(known.vectors["spectrum"][:, 1], known.variables["hard_hs"])[0, 1]
    assert table[1, 0] == pytest.approx(expected, abs=1e-6)
    assert np.argmax(np.abs(table[:, 0])) == 0


def test_progress_is_told(known):
    told = []
    evaluate(known, progress=lambda *args: told.append(args))
    assert ("estimating variables", 2, 2) in told
    assert ("drawing maps", 2, 2) in told


def test_evaluation_of_a_trained_bundle_beats_guessing(dataset, bundle):
    found = evaluate(represent(dataset, bundle), figures=False)
    errors = found.regression["hard_hs"]
    assert errors.by_representation["shared_spectrum"].value < 0.2 * errors.mean_baseline.value
    for direction in (found.spectrum_to_text, found.text_to_spectrum):
        assert np.median(direction.overall.ranks) <= (direction.overall.candidates + 1) / 2


class PlainEncoder:
    """Encodes a spectrum as what few numbers say of its shape."""

    model_id, text_model = "plain", "none"

    def encode_spectra(self, counts, exposure_s, progress=None):
        shape = counts.reshape(len(counts), 20, 20).sum(axis=2)
        shape = shape / np.linalg.norm(shape, axis=1, keepdims=True)
        return Vectors(shape.astype(np.float32), shape.astype(np.float32))


def test_published_fits_are_cross_validated(shared_data):
    catalogue = read_dataset(shared_data / "csc" / "csc20_fits.npz")
    found = evaluate(represent(catalogue, PlainEncoder()), figures=False)
    assert found.scheme == "cross-validated by source"
    assert set(found.mean_ratio) == {"spectrum", "shared_spectrum", "moe", "refined"}
    assert len(found.regression) == 15  # this release has no APEC fits
    assert sum("apec" in note for note in found.notes) == 5
    assert [note.split(":")[0] for note in found.notes if "extreme" in note] == ["bb_kt"]
    for row in found.regression.values():  # guessing is beaten on each variable
        assert row.refined.value < row.mean_baseline.value
    hardness = found.regression["hard_hs"]
    assert hardness.refined.high < 0.5 * hardness.mean_baseline.low
    assert found.mean_ratio["refined"].value < found.mean_ratio["spectrum"].value
