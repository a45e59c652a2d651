import dataclasses

import numpy as np
import pytest

from common.calibration import Calibration
from common.errors import InputError
from common.representations import Representations
from encoders.evaluation.calibrate import calibrate
from encoders.evaluation.neighbour_rules import calibration_error

N = 3000


def made(n=N, seed=0):
    """Detections of n / 2 sources on a circle; the noise of bb_kt grows along it."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0.2, 2.8, n)
    x = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    away = rng.normal(size=(n, 2)).astype(np.float32)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    star = rng.uniform(0, 1, n) < angle / 3
    half = n // 2
    return Representations(
        dataset="circle",
        simulated=True,
        model_id="abc",
        text_model="none",
        vectors={"spectrum": x, "shared_spectrum": x, "text": away, "shared_text": away,
                 "both": np.hstack([x, away])},
        variables={
            "bb_kt": angle + rng.normal(0, 0.1 * angle),
            "apec_z": np.where(np.arange(n) % 100, np.nan, 1.0),
        },
        source=np.arange(n) // 2,
        source_class=[("Star", "CV*") if s else ("Galaxy",) for s in star],
        names=[str(i) for i in range(n)],
        counts=np.ones(n),
        split={
            "train": np.arange(half),
            "validation": np.arange(half, half + half // 2),
            "test": np.arange(half + half // 2, n),
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def found():
    return calibrate(made())


def test_intervals_cover_what_they_promise_on_other_sources(found):
    for rules in (found.spectrum_only, found.with_text):
        rule = rules.variables["bb_kt"]
        assert rule.coverage["68"] == pytest.approx(0.68, abs=0.06)
        assert rule.coverage["90"] == pytest.approx(0.90, abs=0.04)
        assert rule.width["68"] < rule.width["90"]


def test_representations_that_say_nothing_are_not_used(found):
    assert "text" not in found.with_text.variables["bb_kt"].representations
    assert found.with_text.variables["bb_kt"].expert in ("spectrum", "shared_spectrum")
    assert found.with_text.classes.representation not in ("text", "shared_text")


def test_a_spectrum_alone_is_never_asked_for_its_text(found):
    of_spectrum = {"spectrum", "shared_spectrum"}
    for rule in found.spectrum_only.variables.values():
        assert set(rule.representations) <= of_spectrum
    assert found.spectrum_only.classes.representation in of_spectrum


def test_variables_with_few_values_are_left_out(found):
    assert set(found.with_text.variables) == {"bb_kt"}


def test_probabilities_never_fall_with_the_vote(found):
    classes = found.with_text.classes
    assert (np.diff(classes.probability) >= 0).all()
    assert classes.error_after < 0.06


def test_a_calibration_is_the_same_for_the_same_vectors(found):
    assert calibrate(made()) == found
    assert Calibration.from_json(found.to_json()) == found


def test_without_texts_there_is_no_rule_for_them():
    given = made(1000)
    spectra = {name: given.vectors[name] for name in ("spectrum", "shared_spectrum")}
    assert calibrate(dataclasses.replace(given, vectors=spectra)).with_text is None


def test_unknown_classes_everywhere_are_not_calibrated():
    given = dataclasses.replace(made(1000), source_class=[()] * 1000)
    assert calibrate(given).spectrum_only.classes is None


def test_too_few_detections_are_refused_with_how_many_are_needed():
    with pytest.raises(InputError, match=r"circle: 160 .* 80 .*at least 100"):
        calibrate(made(320))


def test_calibration_error_of_known_promises():
    assert calibration_error(np.array([1.0, 1.0, 0.0]), np.array([1.0, 1.0, 0.0])) == 0
    assert calibration_error(np.full(10, 0.9), np.array([1.0] * 5 + [0.0] * 5)) == pytest.approx(
        0.4
    )
