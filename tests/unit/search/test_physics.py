import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.records import Detection, Spectrum
from search.collections.schema import detection_payload
from search.inference.physics import (
    FRAME_S,
    MAX_BACKGROUND_SHARE,
    MAX_OFF_AXIS_ARCMIN,
    MAX_PILE_UP,
    MAX_TOLD,
    MIN_COUNTS,
    checks_of,
    pile_up_fraction,
    verdict_of,
)

GOOD = {
    "instrument": "ACIS",
    "counts": 500.0,
    "exposure_s": 50_000.0,
    "background_counts": 100.0,
    "background_scaling": 0.1,
    "catalogue": {
        "theta": 1.5,
        "pileup_flag": False,
        "mstr_sat_src_flag": False,
        "streak_src_flag": False,
    },
}


def check(name, payload):
    (found,) = [one for one in checks_of(payload) if one.name == name]
    return found


def changed(catalogue=(), **fields):
    return {**GOOD, **fields, "catalogue": {**GOOD["catalogue"], **dict(catalogue)}}


def test_good_detection_passes_every_check_and_is_likely_an_object():
    checks = checks_of(GOOD)
    assert [one.passed for one in checks] == [True] * 6
    assert verdict_of(checks) == "likely object"


def test_nothing_known_makes_no_check_and_no_verdict():
    checks = checks_of({})
    assert [one.passed for one in checks] == [None] * 6
    assert verdict_of(checks) == "undecided"
    assert all(one.detail for one in checks)


def test_enough_counts_alone_do_not_make_an_object():
    checks = checks_of({"counts": 4000.0, "simulated": True})
    assert [one.passed for one in checks if one.passed is not None] == [True]
    assert verdict_of(checks) == "undecided"


def test_one_failed_check_makes_an_artefact_likely():
    assert verdict_of(checks_of(changed({"streak_src_flag": True}))) == "likely artefact"


@pytest.mark.parametrize(
    ("name", "at", "beyond"),
    [
        (
            "off-axis angle",
            changed({"theta": MAX_OFF_AXIS_ARCMIN}),
            changed({"theta": MAX_OFF_AXIS_ARCMIN + 0.01}),
        ),
        ("low counts", changed(counts=MIN_COUNTS), changed(counts=MIN_COUNTS - 1)),
        (
            "background share",
            changed(background_counts=500.0, background_scaling=MAX_BACKGROUND_SHARE),
            changed(background_counts=500.0, background_scaling=MAX_BACKGROUND_SHARE + 0.01),
        ),
    ],
)
def test_checks_turn_at_their_thresholds(name, at, beyond):
    assert check(name, at).passed is True
    assert check(name, beyond).passed is False


@pytest.mark.parametrize("column", ["sat_src_flag", "mstr_sat_src_flag"])
@pytest.mark.parametrize("said", [True, "TRUE", "True", 1.0])
def test_saturation_flag_is_read_however_a_table_spells_it(column, said):
    payload = changed({"mstr_sat_src_flag": False} | {column: said})
    assert check("saturation", payload).passed is False


def test_flag_that_says_nothing_leaves_the_check_unmade():
    assert check("readout streak", changed({"streak_src_flag": "NAN"})).passed is None


def test_pile_up_is_judged_by_the_rate_where_no_flag_is_stored():
    payload = {"instrument": "ACIS", "exposure_s": 10_000.0}
    faint, bright = (10_000 / FRAME_S * rate for rate in (0.1, 0.3))
    assert check("pile-up", payload | {"counts": faint}).passed is True
    assert check("pile-up", payload | {"counts": bright}).passed is False


def test_frame_time_of_the_spectrum_counts_before_that_of_a_full_frame():
    payload = {"instrument": "ACIS", "exposure_s": 10_000.0, "counts": 1000.0}
    assumed, known = (check("pile-up", payload | more) for more in ({}, {"frame_time_s": 0.8}))
    assert assumed.passed is False
    assert "0.32 counts per 3.2 s frame (frame time assumed)" in assumed.detail
    assert known.passed is True
    assert "0.08 counts per 0.8 s frame:" in known.detail


def test_frame_time_of_a_spectrum_is_stored_with_its_detection():
    edges = np.linspace(0.5, 8, 5)
    spectrum = Spectrum(np.ones(4), edges[:-1], edges[1:], 1000.0, frame_time_s=0.4)
    payload = detection_payload(Detection("file/1", "CHANDRA", "ACIS"), spectrum)
    assert "per 0.4 s frame:" in check("pile-up", payload).detail


@pytest.mark.parametrize("per_frame", [0.8, 1.0, 7.5])
def test_beyond_the_formula_words_stand_instead_of_a_share(per_frame):
    payload = {"instrument": "ACIS", "exposure_s": 3.2e4, "counts": per_frame * 1e4}
    found = check("pile-up", payload)
    assert found.passed is False
    assert "beyond this estimate" in found.detail
    assert "%" not in found.detail


def test_pile_up_flag_of_the_catalogue_overrules_the_rate():
    assert check("pile-up", changed({"pileup_flag": "TRUE"})).passed is False
    assert check("pile-up", changed(counts=50_000.0)).passed is True


@pytest.mark.parametrize("more", [{"simulated": True}, {"instrument": "EPN"}])
def test_pile_up_is_not_judged_by_the_rate_of_what_no_acis_has_seen(more):
    payload = {"instrument": "ACIS", "counts": 1e6, "exposure_s": 1e3} | more
    assert check("pile-up", payload).passed is None


def test_catalogue_photometry_stands_in_for_a_background_spectrum():
    photometry = {"cnts_aper_b": 100.0, "src_cnts_aper_b": 30.0}
    found = check("background share", {"counts": 90.0, "catalogue": photometry})
    assert found.passed is False
    assert "70%" in found.detail


def test_pile_up_fraction_is_that_of_poisson_groups():
    photons = 0.2
    events = 1 - math.exp(-photons)
    expected = 1 - photons * math.exp(-photons) / events
    assert pile_up_fraction(events) == pytest.approx(expected)
    assert pile_up_fraction(events) == pytest.approx(MAX_PILE_UP, abs=0.005)


@pytest.mark.parametrize(("per_frame", "share"), [(0.02, 0.01), (0.1, 0.05), (0.2, 0.1)])
def test_pile_up_fraction_is_that_of_the_table_of_pileup_map(per_frame, share):
    assert pile_up_fraction(per_frame) == pytest.approx(share, rel=0.15)


@given(st.floats(0, 2), st.floats(0, 2))
def test_pile_up_fraction_grows_with_the_rate(one, other):
    low, high = sorted([one, other])
    assert 0 <= pile_up_fraction(low) <= pile_up_fraction(high) + 1e-9 <= MAX_TOLD + 1e-9


@given(
    st.dictionaries(
        st.sampled_from([*GOOD, "simulated"]),
        st.one_of(st.none(), st.booleans(), st.floats(), st.integers(-10, 10)),
    ).map(lambda fields: {k: v for k, v in fields.items() if k not in ("catalogue", "instrument")})
)
def test_odd_values_never_break_a_check(fields):
    assert len(checks_of(fields)) == 6
