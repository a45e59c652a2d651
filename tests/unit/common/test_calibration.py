import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.calibration import (
    CALIBRATION,
    Calibration,
    ClassRule,
    Origin,
    RuleSet,
    VariableRule,
    read_calibration,
    write_calibration,
)
from common.errors import BundleError
from common.estimation import AVERAGES, average, distances, spread, vote

SIMULATED = {"made_from": "validation split of pairs", "simulated": True}
ORIGIN = Origin(**SIMULATED, n_detections=200, n_sources=130)
RULE = VariableRule(
    **SIMULATED,
    representations=("spectrum", "both"),
    k=5,
    average="median",
    expert="spectrum",
    smallest_spread=0.1,
    interval={"68": (-1.0, 1.5), "90": (-2.0, 2.5)},
    coverage={"68": 0.67, "90": 0.91},
    width={"68": 0.5, "90": 0.9},
    n=200,
)
CLASSES = ClassRule(
    **SIMULATED,
    representation="both",
    k=20,
    share=(0.1, 0.9),
    probability=(0.0, 0.95),
    error_before=0.1,
    error_after=0.02,
    n=200,
)
SET = RuleSet(variables={"hard_hs": RULE}, classes=CLASSES, near=(0.1, 0.2, 0.9), near_k=10)
GIVEN = Calibration(
    model_id="abc",
    origins=(ORIGIN,),
    with_text=None,
    spectrum_only=SET,
)


def document(*path, value):
    found = json.loads(GIVEN.to_json())
    at = found
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return json.dumps(found)


def test_a_calibration_comes_back_from_its_document(tmp_path):
    assert Calibration.from_json(GIVEN.to_json()) == GIVEN
    path = write_calibration(GIVEN, tmp_path)
    assert path == tmp_path / CALIBRATION
    assert read_calibration(path, "abc") == GIVEN
    assert list(tmp_path.iterdir()) == [path]


def test_a_calibration_says_what_it_was_made_from():
    words = "validation split of pairs: 200 simulated detections of 130 sources"
    assert GIVEN.in_words() == words


def test_another_models_calibration_is_refused_with_the_cure(tmp_path):
    path = write_calibration(GIVEN, tmp_path)
    with pytest.raises(BundleError, match=r"model abc.*in use is xyz.*chandra-search calibrate"):
        read_calibration(path, "xyz")


IN_RULE = ("spectrum_only", "variables", "hard_hs")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format_version",), 3),
        (("model_id",), None),
        (("origins",), []),
        (("origins", 0, "n_detections"), "200"),
        (("origins", 0, "simulated"), 1),
        (("widened",), {"68": 0.9, "90": 1.2}),
        (("more",), 1),
        (("spectrum_only", "near"), [0.2, 0.1]),
        (("spectrum_only", "near"), [0.1, float("nan")]),
        (("spectrum_only", "near_scale"), [1.0]),
        (("spectrum_only", "near_scale"), [0.0]),
        (("spectrum_only", "near_counts"), [10.0]),
        (("spectrum_only", "variables"), {"hard_xx": json.loads(RULE.model_dump_json())}),
        ((*IN_RULE, "interval", "68"), [float("nan"), 1.0]),
        ((*IN_RULE, "interval", "68"), [1.0, -1.0]),
        ((*IN_RULE, "interval"), {"68": [-1.0, 1.0]}),
        ((*IN_RULE, "representations"), []),
        ((*IN_RULE, "representations"), ["colour"]),
        ((*IN_RULE, "k"), 0),
        ((*IN_RULE, "simulated"), None),
        ((*IN_RULE, "average"), "mode"),
        ((*IN_RULE, "smallest_spread"), float("inf")),
        (("spectrum_only", "classes", "share"), [0.9, 0.1]),
        (("spectrum_only", "classes", "probability"), [0.5]),
        (("spectrum_only", "classes", "probability"), [0.5, 1.5]),
    ],
)
def test_a_damaged_calibration_is_refused_by_field(path, value):
    with pytest.raises(BundleError, match=f"{path[0]}.*write it anew"):
        Calibration.from_json(document(*path, value=value))


REAL = Origin(
    made_from="fits, cross-validated by source",
    simulated=False,
    drawn=True,
    n_detections=1556,
    n_sources=582,
)
ON_BOTH = {
    "model_id": "abc",
    "origins": (REAL, ORIGIN),
    "widened": {"68": 1.5, "90": 1.25},
    "with_text": None,
    "spectrum_only": RuleSet(
        variables={
            "hard_hs": RULE.model_copy(
                update={"made_from": REAL.made_from, "simulated": REAL.simulated}
            ),
            "apec_kt": RULE,
        },
        classes=CLASSES,
        near=(0.1, 0.2),
        near_k=10,
    ),
}


def test_each_rule_says_what_it_was_made_from(tmp_path):
    both = Calibration(**ON_BOTH)
    assert read_calibration(write_calibration(both, tmp_path), "abc") == both
    rules = both.spectrum_only.variables
    assert both.origin_of(rules["hard_hs"]) == (
        "fits, cross-validated by source: 1,556 observed detections of 582 sources (values "
        "observed, spectra drawn from them)"
    )
    assert both.origin_of(rules["apec_kt"]) == GIVEN.in_words()
    assert both.in_words() == f"{REAL.in_words()}; otherwise {GIVEN.in_words()}"


@pytest.mark.parametrize(
    "wrong",
    [
        {"origins": (REAL,)},
        {"origins": (ORIGIN.model_copy(update={"simulated": False}), REAL)},
        {"origins": (REAL, ORIGIN, ORIGIN)},
        {"widened": {"68": 1.5}},
    ],
)
def test_rules_from_nowhere_are_refused(wrong):
    with pytest.raises(ValidationError, match=r"origins|one name|widened"):
        Calibration(**ON_BOTH | wrong)


def test_documents_of_format_1_are_read():
    old = json.loads(GIVEN.to_json())
    (origin,) = old.pop("origins")
    del old["widened"], origin["drawn"]
    rule, classes = old["spectrum_only"]["variables"]["hard_hs"], old["spectrum_only"]["classes"]
    for name in SIMULATED:
        del rule[name], classes[name]
    assert Calibration.from_json(json.dumps(old | origin | {"format_version": 1})) == GIVEN


@pytest.mark.parametrize("rest", [{}, {"spectrum_only": 3}, {"spectrum_only": {"variables": [1]}}])
def test_what_is_left_of_format_1_is_refused(rest):
    with pytest.raises(BundleError, match="write it anew"):
        Calibration.from_json(json.dumps({"format_version": 1, "made_from": "x"} | rest))


@pytest.mark.parametrize("text", ["", "[]", "{", '"calibration"'])
def test_what_is_no_calibration_is_refused(text):
    with pytest.raises(BundleError, match=f"{CALIBRATION} is no calibration"):
        Calibration.from_json(text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"nothing\.json cannot be read"):
        read_calibration(tmp_path / "nothing.json", "abc")


@given(st.integers(0, 2**31), st.sampled_from(AVERAGES))
def test_an_average_lies_among_its_values(seed, how):
    rng = np.random.default_rng(seed)
    values, distance = rng.normal(size=(4, 7)), rng.uniform(0, 2, (4, 7))
    estimate = average(values, distance, how)
    assert (values.min(axis=1) - 1e-9 <= estimate).all()
    assert (estimate <= values.max(axis=1) + 1e-9).all()


def test_an_unknown_average_is_refused():
    with pytest.raises(ValueError, match="unknown average 'mode'"):
        average(np.zeros((1, 1)), np.zeros((1, 1)), "mode")


def test_spread_is_the_standard_deviation_and_never_below_the_smallest():
    assert spread(np.array([[1.0, 3.0], [2.0, 2.0]]), 0.5) == pytest.approx([1.25**0.5, 0.5])


def test_distances_are_those_of_unit_vectors():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 5))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert distances(x @ x[0]) == pytest.approx(np.linalg.norm(x - x[0], axis=1), abs=1e-7)
    assert distances(np.array([1.0 + 1e-7])) == [0]


def test_a_vote_for_a_class_counts_for_all_above_it():
    paths = [("Galaxy", "AGN", "SyG"), ("Galaxy", "AGN"), ("Star",)]
    shares = vote(paths, np.array([0.5, 0.5, 1.0]))
    assert shares == pytest.approx(
        {
            ("Galaxy",): 0.8,
            ("Galaxy", "AGN"): 0.8,
            ("Galaxy", "AGN", "SyG"): 0.4,
            ("Star",): 0.2,
        }
    )
