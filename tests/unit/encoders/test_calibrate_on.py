import dataclasses

import numpy as np
import pytest

from common.calibration import Calibration, Origin, VariableRule
from common.errors import InputError
from common.representations import Representations
from encoders.evaluation.calibrate import calibrate
from encoders.evaluation.calibrate_on import calibrate_on, some_of, widening
from encoders.evaluation.intervals import (
    Residuals,
    bounds_of,
    envelope,
    on_other_half,
    stretch,
    widened,
)

N_REAL, N_SIMULATED = 600, 3000


def made(n, seed, *, simulated, noise, shift=0.0):
    """Detections of n / 2 sources on a circle; values lie about the angle, apec_kt everywhere."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0.2, 2.8, n)
    x = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    half = n // 2
    return Representations(
        dataset="simulations" if simulated else "fits",
        simulated=simulated,
        model_id="abc",
        text_model="none",
        vectors={"spectrum": x, "shared_spectrum": x},
        variables={
            name: angle + shift + rng.normal(0, noise, n)
            for name in ("bb_kt", "hard_hs", "apec_kt")
        },
        source=np.arange(n) // 2,
        source_class=[("Star",) if one < 1.5 else ("Galaxy",) for one in angle],
        names=[str(i) for i in range(n)],
        counts=np.ones(n),
        split={
            "train": np.arange(half),
            "validation": np.arange(half, half + half // 2),
            "test": np.arange(half + half // 2, n),
        },
    )


def without(representations, name):
    nothing = np.full(len(representations.source), np.nan)
    return dataclasses.replace(
        representations, variables={**representations.variables, name: nothing}
    )


REAL = without(made(N_REAL, 1, simulated=False, noise=0.3, shift=0.2), "apec_kt")
SIMULATED = made(N_SIMULATED, 2, simulated=True, noise=0.1)


@pytest.fixture(scope="module")
def found():
    return calibrate_on(REAL, SIMULATED)


@pytest.fixture(scope="module")
def alone():
    return calibrate(SIMULATED)


def test_all_real_values_calibrate_and_the_rest_is_simulated(found):
    rules = found.spectrum_only.variables
    assert {name: (rule.simulated, rule.n) for name, rule in rules.items()} == {
        "bb_kt": (False, N_REAL),
        "hard_hs": (False, N_REAL),
        "apec_kt": (True, N_SIMULATED // 4),
    }
    assert found.origins[0] == Origin(
        made_from="fits, cross-validated by source",
        simulated=False,
        n_detections=N_REAL,
        n_sources=N_REAL // 2,
    )
    assert found.origins[1].simulated


def test_intervals_hold_real_values_with_neighbours_of_either_kind(found, alone):
    """Simulated neighbours are wrong by 0.2 here, so one side must be wider than with real ones."""
    rule, before = (one.spectrum_only.variables["bb_kt"] for one in (found, alone))
    new = made(2000, 3, simulated=False, noise=0.3, shift=0.2)
    for level, least in (("68", 0.66), ("90", 0.88)):
        assert held(rule, new, REAL, level) >= least
        assert held(rule, new, SIMULATED, level) >= least
        assert held(before, new, SIMULATED, level) < 0.6
    assert rule.coverage["68"] == pytest.approx(0.68, abs=0.05)
    assert rule.coverage["90"] == pytest.approx(0.9, abs=0.04)


def held(rule, new, near, level):
    """Return how many values of new detections their intervals hold, one by one as a store does."""
    values, inside = near.variables["bb_kt"], 0
    for x, value in zip(new.vectors["spectrum"], new.variables["bb_kt"], strict=True):
        nearest = np.argsort(((near.vectors["spectrum"] - x) ** 2).sum(axis=1))
        pool, taken = values[nearest[:20]], values[nearest[: rule.k]]
        estimate = np.median(taken) if rule.average == "median" else taken.mean()
        low, high = estimate + np.array(rule.interval[level]) * np.hypot(
            pool.std(), rule.smallest_spread
        )
        inside += low <= value <= high
    return inside / len(new.source)


def test_what_stays_simulated_is_widened_by_what_the_others_needed(found, alone):
    before, after = (one.spectrum_only.variables["apec_kt"] for one in (alone, found))
    for level in ("68", "90"):
        factor = found.widened[level]
        assert 2 < factor < 6
        low, high = before.interval[level]
        wide_low, wide_high = after.interval[level]
        assert wide_high - wide_low == pytest.approx(factor * (high - low))
        assert wide_high + wide_low == pytest.approx(high + low)
        assert after.width[level] == pytest.approx(factor * before.width[level])


def test_a_real_spectrum_is_outside_when_it_is_far_from_both_kinds(found, alone):
    usual, before = (np.array(one.spectrum_only.near_scale) for one in (found, alone))
    assert (usual > 1.5 * before).all()  # real ones are fewer and lie farther from each other
    assert (usual < 0.2).all()
    assert (np.diff(found.spectrum_only.near) >= 0).all()


def test_classes_are_those_of_the_real_ones(found):
    assert not found.spectrum_only.classes.simulated
    unknown = dataclasses.replace(REAL, source_class=[()] * N_REAL)
    assert calibrate_on(unknown, SIMULATED).spectrum_only.classes.simulated


def test_with_a_text_the_intervals_of_real_values_are_those_of_the_spectrum():
    text = np.random.default_rng(0).normal(size=(N_SIMULATED, 2)).astype(np.float32)
    vectors = {**SIMULATED.vectors, "text": text, "shared_text": text}
    vectors["both"] = np.hstack([vectors["shared_spectrum"], text])
    found = calibrate_on(REAL, dataclasses.replace(SIMULATED, vectors=vectors))
    told, bare = found.with_text, found.spectrum_only
    assert told.variables["bb_kt"] == bare.variables["bb_kt"]
    assert told.variables["apec_kt"].simulated
    assert told.near == bare.near


def test_a_calibration_is_the_same_for_the_same_vectors(found):
    assert calibrate_on(REAL, SIMULATED) == found
    assert Calibration.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("real", "simulated", "cure"),
    [
        (made(80, 1, simulated=False, noise=0.3), SIMULATED, r"fits: 80 .*at least 100"),
        (REAL, dataclasses.replace(SIMULATED, model_id="xyz"), "encode both with one bundle"),
        (REAL, dataclasses.replace(SIMULATED, simulated=False), "simulations is no simulation"),
        (
            dataclasses.replace(
                REAL, variables={name: np.full(N_REAL, np.nan) for name in REAL.variables}
            ),
            SIMULATED,
            "fewer than 100 values of every variable",
        ),
        (REAL, made(200, 2, simulated=True, noise=0.1), "simulations: .*at least 100 of each"),
    ],
)
def test_what_cannot_be_calibrated_is_refused_with_the_cure(real, simulated, cure):
    with pytest.raises(InputError, match=cure):
        calibrate_on(real, simulated)


def test_an_envelope_holds_the_bounds_of_every_kind():
    one, other = {"68": (-1.0, 2.0), "90": (-3.0, 4.0)}, {"68": (-2.0, 1.0), "90": (-2.5, 5.0)}
    assert envelope([one, other]) == {"68": (-2.0, 2.0), "90": (-3.0, 5.0)}
    assert envelope([one]) == one


def residuals(n, spread, seed):
    """Residuals of a normal distribution, one of each source."""
    drawn = np.random.default_rng(seed).normal(0, spread, n)
    return Residuals(drawn, np.ones(n), np.arange(n))


def test_coverage_is_that_of_the_worse_kind_and_width_that_of_the_wider():
    good, bad = residuals(4000, 1, 0), residuals(2000, 4, 1)
    coverage, width = on_other_half([good, bad])
    assert coverage["68"] == pytest.approx(0.68, abs=0.03)
    assert width["68"] == pytest.approx(on_other_half([bad])[1]["68"], rel=0.1)


def test_spectra_that_real_ones_are_unlike_count_as_much_as_these():
    """Spectra of several components: estimates from fits of one are farther off for them."""
    alike, unlike = (made(N_SIMULATED, 2, simulated=True, noise=n, shift=0.2) for n in (0.3, 1.5))
    new = [made(1600, 4, simulated=False, noise=noise, shift=0.2) for noise in (0.3, 1.5)]
    narrow, wide = (calibrate_on(REAL, s).spectrum_only.variables["bb_kt"] for s in (alike, unlike))
    assert np.mean([held(wide, one, REAL, "68") for one in new]) >= 0.66
    assert held(wide, new[1], REAL, "68") > 1.3 * held(narrow, new[1], REAL, "68")


def test_residuals_of_two_sets_are_those_of_different_sources():
    both = residuals(3, 1, 0).and_of(residuals(2, 1, 1))
    assert both.source.tolist() == [0, 1, 2, 3, 4]
    assert len(both.ratio()) == 5


def test_stretched_intervals_cover_their_level():
    bounds = bounds_of(residuals(5000, 1, 1))
    wide = residuals(5000, 3, 2)
    factor = stretch(bounds, wide)
    assert factor["68"] == pytest.approx(3, rel=0.1)
    assert factor["90"] == pytest.approx(3, rel=0.1)
    for level, (low, high) in bounds.items():
        middle, half = (low + high) / 2, factor[level] * (high - low) / 2
        inside = np.abs(wide.ratio() - middle) <= half
        assert inside.mean() == pytest.approx(int(level) / 100, abs=0.01)
    assert stretch({"68": (1.0, 1.0), "90": (0.0, 1.0)}, wide).keys() == {"90"}


def test_widening_is_the_median_and_never_makes_narrower():
    needed = [{"68": 1.2, "90": 0.7}, {"68": 3.0, "90": 0.8}, {"68": 1.4}]
    assert widening(needed) == {"68": 1.4, "90": 1.0}
    assert widening([]) == {"68": 1.0, "90": 1.0}


def test_a_widened_interval_of_90_percent_still_holds_that_of_68():
    rule = VariableRule(
        made_from="x", simulated=True, representations=("spectrum",), k=3, average="mean",
        expert="spectrum", smallest_spread=0.1, interval={"68": (-1.0, 1.0), "90": (-1.2, 1.2)},
        coverage={"68": 0.7, "90": 0.9}, width={"68": 1.0, "90": 1.2}, n=200,
    )  # fmt: skip
    wide = widened(rule, {"68": 2.0, "90": 1.0})
    assert wide.interval == {"68": (-2.0, 2.0), "90": (-2.0, 2.0)}


def test_some_of_a_dataset_keeps_each_source_whole_and_in_its_part(dataset):
    few = some_of(dataset, 31)  # the 60 sources have two detections each
    assert len(few) == 30
    assert few.n_sources == 15
    assert len(few.texts) == 15
    whole = dataset.split()
    for part, sources in few.split().items():
        assert sources.tolist() == [one for one in whole[part].tolist() if one < 15]
    assert some_of(dataset) is dataset
