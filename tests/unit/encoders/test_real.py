"""A benchmark of real data, on vectors made by hand."""

import dataclasses
import math

import numpy as np
import pytest

from common.calibration import Calibration, Origin, RuleSet, VariableRule
from common.corpus import CorpusText, is_held_out
from common.dataset import Dataset, Question, Text
from common.errors import InputError
from common.ports import Vectors, no_progress
from common.records import Detection, Summary
from common.source_class import normalise
from encoders.bundle import PlacedTexts
from encoders.evaluation.real import Judged, auc, percentiles, score_real

KINDS = ("Sy2", "Star", "HXB")
ANGLE = {"Sy2": 0.0, "Star": 1.2, "HXB": 2.4, "weather": 4.0}


def at(angle):
    return [math.cos(angle), math.sin(angle)]


class ByKind:
    """Spectra lie at the angle of their kind, texts at that of the kind they name.

    The kind of a spectrum is its brightest third; faint ones lie off by ``drift``.
    """

    model_id = "by-kind"
    text_model = "words"

    def __init__(self, drift=0.0, probability=None):
        self.drift, self.probability = drift, probability

    def encode_spectra(self, counts, exposure_s, progress=no_progress):
        kind = [KINDS[int(np.argmax(one[[0, 200, 399]]))] for one in counts]
        drift = np.where(counts.sum(axis=1) < 2000, self.drift, 0.0)
        angles = [ANGLE[k] + d for k, d in zip(kind, drift, strict=True)]
        own = np.array([at(angle) for angle in angles], dtype=np.float32)
        return Vectors(own, own)

    def encode_summaries(self, summaries, progress=no_progress):
        names = [next(k for k in ANGLE if k in one.nature) for one in summaries]
        own = np.array([at(ANGLE[name]) for name in names], dtype=np.float32)
        own += np.arange(len(own), dtype=np.float32)[:, None] * 1e-4  # no ties
        return Vectors(own, own)

    def place_summaries(self, summaries, progress=no_progress):
        shared = self.encode_summaries(summaries).shared
        names = [next(k for k in ANGLE if k in one.nature) for one in summaries]
        topics = [np.nan if self.probability is None else self.probability(n) for n in names]
        return PlacedTexts(shared, np.array(topics))

    def encode_question(self, question):
        return self.encode_summaries([Summary(question, question, question, "given")])


class Titles:
    def summarize(self, texts, progress=no_progress):
        return [Summary(title, title, title, "extractive") for title, _ in texts]


def spectra(totals):
    counts = np.ones((len(totals), 400)) * 1e-3
    for row, total in enumerate(totals):
        counts[row, [0, 200, 399]] = total / 10
        counts[row, [0, 200, 399][row % 3]] = total
    return np.rint(counts)


def a_dataset(totals=(5e3, 5e3, 5e3, 5e3, 5e3, 5e3), own_texts=True, **changes):
    n = len(totals)
    kinds = [KINDS[row % 3] for row in range(n)]
    summary = [Summary(f"a {kind}", "x", "y", "given") for kind in kinds]
    fields = {
        "name": "judged",
        "counts": spectra(totals),
        "exposure_s": np.full(n, 1e4),
        "source": np.arange(n),
        "variables": {"bb_kt": np.arange(n) / 10.0, "flux_significance_b": np.arange(n) / 10.0},
        "detections": [
            Detection(
                f"key/{row}", "CHANDRA", "ACIS", source_name=f"S{row}",
                source_class=normalise(kinds[row]), catalogue={"exposure_known": row % 2 == 0},
            )
            for row in range(n)
        ],
        "texts": [Text(row, f"own {row}", summary[row]) for row in range(n)] if own_texts else [],
        "simulated": False,
        "use": "test",
    }  # fmt: skip
    return Dataset(**fields | changes)


IDS = [one for one in (f"id {n}" for n in range(1000)) if is_held_out(one)]


def corpus(n_off_topic=30, n_topical=0):
    kinds = [("other", "weather", 0.0)] * n_off_topic + [("xray-source", "Star", 9.0)] * n_topical
    return [
        CorpusText(IDS[i], title, f"text {i}", kind, score=score)
        for i, (kind, title, score) in enumerate(kinds)
    ]


def scored(dataset=None, model=None, **changes):
    judged = Judged(dataset or a_dataset(), **{"corpus": corpus()} | changes)
    return score_real(judged, model or ByKind(), Titles())


# Ranks


def test_a_percentile_is_the_share_that_scores_higher():
    assert percentiles(np.array([3.0, 0.0, 2.0]), np.array([1.0, 2.0])).tolist() == [0, 1, 0.25]


def test_auc_counts_pairs_in_right_order_with_their_weights():
    score, positive = np.array([3.0, 1.0, 2.0, 2.0]), np.array([True, True, False, False])
    assert auc(score, positive, np.ones((1, 4)))[0] == 0.5
    assert auc(score, positive, np.array([[2.0, 1.0, 1.0, 1.0]]))[0] == pytest.approx(2 / 3)
    assert np.isnan(auc(score, positive, np.array([[0.0, 0.0, 1.0, 1.0]]))[0])
    assert auc(np.zeros(4), positive, np.ones((1, 4)))[0] == 0.5


# Topical precision


def test_spectra_whose_nearest_texts_are_topical_are_precise():
    found = scored(a_dataset([5e3] * 30))
    assert found.topical_precision_at_10 == 1
    assert found.topical_prior == 0.5
    assert found.interval["topical_precision_at_10"].error == 0


def test_spectra_among_off_topic_texts_are_not_precise():
    found = scored(corpus=corpus(60), dataset=a_dataset([5e3] * 3))
    assert found.topical_precision_at_10 < 0.5
    assert found.topical_prior == pytest.approx(3 / 63)


def test_texts_that_are_unlikely_to_be_topical_are_not_shown():
    model = ByKind(probability=lambda name: 0.1 if name == "weather" else 0.9)
    few = a_dataset([5e3] * 3)
    assert scored(few).topical_precision_at_10 < 1
    assert scored(few, model).topical_precision_at_10 == 1
    assert scored(few, ByKind(probability=lambda _: 0.1)).topical_precision_at_10 == 0


def test_precision_is_of_objects_not_of_spectra():
    often = a_dataset([5e3] * 6, source=np.array([0, 1, 2, 2, 2, 2]), texts=[])
    texts = [Text(0, "own", Summary("a Sy2", "x", "y", "given"))] * 10
    found = scored(dataclasses.replace(often, texts=texts))
    assert found.sizes["objects"] == 3
    # Nearest to kind 0 are ten topical texts; nearest to the others is the weather for one of them.
    by_kind = {0: 1.0, 1: 1.0}
    third = found.topical_precision_at_10 * 3 - sum(by_kind.values())
    assert 0 <= third <= 1


def test_without_off_topic_texts_there_is_no_precision():
    found = scored(corpus=[])
    assert found.topical_precision_at_10 is None
    assert found.topical_prior is None
    assert "no text is off-topic: give --corpus" in found.notes[0]


def test_only_the_held_out_fifth_is_in_the_pool():
    seen = [dataclasses.replace(one, id="id 0") for one in corpus(1)]
    assert not is_held_out("id 0")
    assert scored(corpus=[*corpus(30), *seen]).sizes["texts"] == 36


def test_texts_that_are_neither_topical_nor_off_topic_are_left_out():
    between = CorpusText(IDS[-1], "Star", "X-ray", "xray-source", score=5.0)
    assert scored(corpus=[*corpus(30), between]).sizes["texts"] == 36


# Own texts


def test_own_texts_come_first_where_spectra_and_texts_agree():
    found = scored(a_dataset([5e3] * 3), corpus=corpus(30, 10)).own_text_percentile
    assert found.by_object == {"S0": 0, "S1": pytest.approx(0, abs=1), "S2": 0}
    assert found.mean == pytest.approx(np.mean(list(found.by_object.values())))


def test_objects_without_texts_take_no_part():
    dataset = a_dataset()
    found = scored(dataclasses.replace(dataset, texts=dataset.texts[:2]))
    assert set(found.own_text_percentile.by_object) == {"S0", "S1"}
    assert found.sizes["objects_with_texts"] == 2
    assert scored(a_dataset(own_texts=False)).own_text_percentile is None


# Questions


def test_questions_find_the_spectra_of_their_class():
    asked = [Question("Sy2", "a Sy2"), Question("Star", "a Star"), Question("HXB", "a Sy2 again")]
    found = scored(questions=asked)
    aucs = found.question_auc.by_question
    assert aucs["a Sy2"] == aucs["a Star"] == 1
    assert aucs["a Sy2 again"] < 0.5
    assert found.question_auc.mean == pytest.approx(np.mean(list(aucs.values())))
    assert found.classes["a Sy2 again"] == "HXB"


def test_questions_whose_class_has_no_spectrum_are_left_out():
    found = scored(questions=[Question("TDE", "a Star"), Question("Sy2", "a Sy2")])
    assert list(found.question_auc.by_question) == ["a Sy2"]
    assert any("1 of 2 questions left out" in note for note in found.notes)
    assert scored(questions=[Question("TDE", "a Star")]).question_auc is None


def test_a_class_above_is_not_the_class_asked_for():
    assert scored(questions=[Question("AGN", "a Sy2")]).question_auc is None


# Counts


def test_drift_is_the_cosine_with_a_thousand_counts():
    found = scored(a_dataset([2e4] * 3), ByKind(drift=math.acos(0.6)))
    assert found.count_drift["3000"] == pytest.approx(0.6, abs=0.01)
    assert found.count_drift["10000"] == pytest.approx(0.6, abs=0.01)
    assert found.count_drift["1000000"] is None
    assert "count_drift_1000000" not in found.interval


# Intervals


def calibration(low, high):
    rule = VariableRule(
        representations=("shared_spectrum",), k=3, average="mean", expert="spectrum",
        smallest_spread=0.0, interval={"68": (low, high), "90": (2 * low, 2 * high)},
        coverage={"68": 0.7, "90": 0.9}, width={"68": 1.0, "90": 2.0}, n=100, made_from="here",
        simulated=True,
    )  # fmt: skip
    rules = RuleSet(
        variables={"bb_kt": rule, "flux_significance_b": rule}, classes=None,
        near=(0.0, 1.0), near_k=1,
    )  # fmt: skip
    return Calibration(
        model_id="by-kind",
        origins=(Origin(made_from="here", simulated=True, n_detections=100, n_sources=100),),
        with_text=None, spectrum_only=rules,
    )  # fmt: skip


def others():
    """Sixty detections of other sources, their values about 6."""
    values = np.where(np.arange(60) % 2, 5.0, 7.0)
    dataset = a_dataset(
        [5e3] * 60, use="any", variables={"bb_kt": values, "flux_significance_b": values}
    )
    detections = [dataclasses.replace(one, source_name=None) for one in dataset.detections]
    return dataclasses.replace(dataset, detections=detections)


@pytest.mark.parametrize(("low", "high", "expected"), [(-1e3, 1e3, 1.0), (-1e-6, 1e-6, 0.0)])
def test_coverage_is_how_often_the_interval_holds_the_value(low, high, expected):
    reference = others()
    found = scored(reference=reference, calibration=calibration(low, high))
    assert found.coverage_68 == found.coverage_90 == expected
    assert found.bright_spectra is None


def test_the_source_itself_is_no_neighbour():
    same = a_dataset([5e3] * 3, use="any")
    found = scored(a_dataset([5e3] * 3), reference=same, calibration=calibration(-1, 1))
    assert found.coverage_68 is None  # two others are fewer than k = 3


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({}, "no coverage: give --reference"),
        ({"reference": a_dataset()}, "no coverage: the bundle has no calibration"),
        ({"dataset": a_dataset(variables={})}, "no coverage: no detection has a catalogue value"),
    ],
)
def test_without_what_coverage_needs_a_note_says_so(changes, note):
    found = scored(**changes)
    assert found.coverage_68 is None
    assert any(note in one for one in found.notes)


def test_bright_spectra_are_compared_with_a_thousand_of_their_counts():
    reference = others()
    found = scored(
        a_dataset([2e4] * 6), reference=reference, calibration=calibration(-1, 1)
    ).bright_spectra
    assert found.n == 6
    assert found.error == pytest.approx(found.error_thinned)


# The whole


def test_equal_seeds_give_equal_results_and_intervals_bracket_the_figure():
    asked = [Question("Sy2", "a Sy2")]
    one, other = scored(questions=asked), scored(questions=asked)
    assert one == other
    for interval in one.interval.values():
        assert interval.low <= interval.value + 1e-9
        assert interval.value <= interval.high + 1e-9


def test_some_rows_may_take_part_alone():
    found = scored(rows=np.array([0, 2]))
    assert (found.sizes["spectra"], found.sizes["objects"]) == (2, 2)
    with pytest.raises(InputError, match="no spectrum to judge by"):
        scored(rows=np.array([], dtype=int))
