import math
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from astropy.coordinates import angular_separation
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidTableError
from common.records import Detection, file_key
from common.variables import BY_NAME, VARIABLE_NAMES
from ingest.catalogue.catalogue import Catalogue, read_catalogue, read_detections


@pytest.fixture(scope="session")
def real(shared_data):
    return read_catalogue(shared_data / "csc" / "csc20_detections.csv.gz")


@pytest.fixture(scope="session")
def real_sources(shared_data):
    return read_catalogue(shared_data / "csc" / "csc20_sources_simbad.csv.gz")


def from_file(obsid=None, **given):
    return Detection(
        **{
            "key": file_key("CHANDRA", "ACIS", obsid, "0123abcd"),
            "telescope": "CHANDRA",
            "instrument": "ACIS",
            "obsid": obsid,
            "exposure_s": 7000.0,
        }
        | given
    )


def row(key, obsid, name="2CXO J000000.0+000000", ra=0.0, dec=0.0, **given):
    release, _, obi, region_id = key.removeprefix("csc").split("/") if key else [None] * 4
    values = {"variables": {"hard_hs": 0.5}, "catalogue": {"theta": 1.0}, "instrument": "ACIS"}
    return Detection(
        key=key,
        telescope="CHANDRA",
        obsid=obsid,
        obi=obi and int(obi),
        region_id=region_id and int(region_id),
        release=release,
        source_name=name,
        ra_deg=ra,
        dec_deg=dec,
        **values | given,
    )


# The real tables


def test_every_real_row_is_taken_or_refused(real):
    assert len(real.detections) + len(real.refused) == 18_510
    assert len({detection.key for detection in real.detections}) == len(real.detections)


def test_detections_matched_to_several_sources_are_refused_row_by_row(real):
    assert len(real.refused) == 109
    keys = Counter(refusal.input.split("(")[1] for refusal in real.refused)
    assert len(keys) == 30
    first = real.refused[0]
    assert first.input == "csc20_detections.csv.gz row 6274 (csc2.0/5469/0/1)"
    assert "25 different sources" in first.reason
    assert "match_type is 'u'" in first.reason


def test_a_real_row_is_read_as_published(real):
    detection = next(one for one in real.detections if one.key == "csc2.0/5479/0/17")
    assert detection.source_name == "2CXO J062244.5-002044"
    assert (detection.ra_deg, detection.dec_deg) == (95.68557, -0.345644)
    assert (detection.telescope, detection.instrument) == ("CHANDRA", "ACIS")
    assert detection.observed_at == datetime(2005, 8, 20, 9, 3, 34, tzinfo=UTC)
    assert detection.exposure_s == 39623.0
    assert detection.source_class == ("Star", "**", "XB*", "HXB")
    assert dict(detection.variables) == {
        "hard_hs": -0.2898,
        "hard_ms": -0.1624,
        "hard_hm": -0.1324,
        "var_prob_b": 0.072,
        "var_index_b": 0.0,
        "powlaw_gamma": 2.451,
        "powlaw_nh": 23.29,
        "powlaw_stat": 0.836,
        "bb_kt": 0.4657,
        "bb_nh": 1.986e-06,
        "bb_stat": 1.936,
        "brems_kt": 2.481,
        "brems_nh": 11.05,
        "brems_stat": 0.859,
        "flux_significance_b": 15.08,
    }
    assert detection.catalogue["powlaw_gamma_lolim"] == 2.239
    assert detection.catalogue["detector"] == "ACIS-7"
    assert detection.catalogue["pileup_flag"] is False


def test_nothing_that_is_no_value_is_kept(real):
    for detection in real.detections:
        assert all(BY_NAME[name].is_valid(value) for name, value in detection.variables.items())
        for value in detection.catalogue.values():
            assert isinstance(value, str | bool) or math.isfinite(value)
            assert value not in ("", "NAN")
        assert not set(detection.catalogue) & set(VARIABLE_NAMES)


def test_a_table_of_sources_has_no_detections_but_can_be_joined(real_sources, shared_data):
    assert real_sources.detections == []
    assert real_sources.refused == []
    matched = real_sources.match(from_file(1), source_name="CXO J000009.3+135618")
    assert matched.source_class == ("Galaxy", "AGN", "QSO")
    assert matched.catalogue["redshift"] == 2.23419
    with pytest.raises(InvalidTableError, match="no column obsid, obi, region_id"):
        read_detections(shared_data / "csc" / "csc20_sources_simbad.csv.gz")


# Joining


def test_the_real_spectrum_of_g21_5_becomes_its_catalogue_detection(real):
    matched = real.match(
        from_file(1838),
        source_name="G21.5-0.9",
        target_ra_deg=278.389583,
        target_dec_deg=-10.568528,
    )
    assert matched.key == "csc2.0/1838/0/165"
    assert matched.source_name == "2CXO J183333.5-103407"
    assert matched.matched_by == "position"
    assert matched.source_class == ("ISM", "SNR")
    assert matched.variables["powlaw_gamma"] == 1.487
    assert matched.exposure_s == 7000.0  # the file's own, not the catalogue's livetime


def test_a_detection_is_matched_by_its_ids_before_anything_else(real):
    known = real.detections[100]
    spectrum = from_file(
        known.obsid, obi=known.obi, region_id=known.region_id, release=known.release
    )
    elsewhere = real.detections[200]
    matched = real.match(
        spectrum, source_name=elsewhere.source_name, target_ra_deg=0.0, target_dec_deg=0.0
    )
    assert matched == replace(known, exposure_s=7000.0, matched_by="detection")


@pytest.mark.parametrize(
    "name",
    ["2CXO J183333.5-103407", "CXOJ183333.5-103407", "CXOU J183333.5-103407", "j183333.5-103407"],
)
def test_source_names_match_without_their_prefix(real, name):
    matched = real.match(from_file(1838), source_name=name)
    assert (matched.key, matched.matched_by) == ("csc2.0/1838/0/165", "source_name")


def test_the_x_of_an_extended_source_may_be_left_out(real):
    for name in ("2CXO J183333.6-103405X", "CXO J183333.6-103405"):
        assert real.match(from_file(1838), source_name=name).key == "csc2.0/1838/0/9001"


def test_a_point_source_is_preferred_to_an_extended_one_of_the_same_name():
    point, extended = row("csc2.0/1/0/1", 1, "2CXO J1+1"), row("csc2.0/1/0/2", 1, "2CXO J1+1X")
    catalogue = Catalogue([extended, point])
    assert catalogue.match(from_file(1), source_name="CXO J1+1").key == point.key
    assert catalogue.match(from_file(1), source_name="CXO J1+1X").key == extended.key


def test_another_observation_tells_about_the_source_but_lends_no_values():
    other = row("csc2.0/2/0/7", 2, source_class=("Galaxy", "AGN"))
    spectrum = from_file(1)
    matched = Catalogue([other]).match(spectrum, target_ra_deg=0.0, target_dec_deg=0.0)
    assert matched == replace(
        spectrum,
        source_name=other.source_name,
        ra_deg=0.0,
        dec_deg=0.0,
        source_class=("Galaxy", "AGN"),
        matched_by="position",
    )


def test_a_row_of_a_source_lends_its_values():
    matched = Catalogue([row("", None)]).match(from_file(1), source_name="CXOJ000000.0+000000")
    assert matched.key == from_file(1).key
    assert matched.variables == {"hard_hs": 0.5}
    assert matched.catalogue == {"theta": 1.0}


def test_the_same_observation_is_preferred_to_a_nearer_row():
    nearer, own = row("csc2.0/2/0/7", 2, dec=0.1 / 3600), row("csc2.0/1/0/7", 1, dec=2 / 3600)
    matched = Catalogue([nearer, own]).match(from_file(1), target_ra_deg=0.0, target_dec_deg=0.0)
    assert matched.key == own.key


@pytest.mark.parametrize(
    "given",
    [
        {"telescope": "XMM", "instrument": "EPN"},
        {"instrument": "HRC"},
        {"obi": 3},
        {"region_id": 8, "ra_deg": 0.0, "dec_deg": 0.0},
    ],
    ids=["telescope", "instrument", "obi", "region"],
)
def test_a_row_is_not_taken_for_a_spectrum_of_another(given):
    catalogue = Catalogue([row("csc2.0/1/0/7", 1)])
    matched = catalogue.match(from_file(1, **given), target_ra_deg=0.0, target_dec_deg=0.0)
    assert matched.key == from_file(1).key
    assert matched.variables == {}
    assert matched.source_name == "2CXO J000000.0+000000"


def test_which_of_two_intervals_a_spectrum_is_from_is_not_guessed():
    catalogue = Catalogue([row("csc2.0/1/0/7", 1), row("csc2.0/1/1/7", 1)])
    target = {"target_ra_deg": 0.0, "target_dec_deg": 0.0}
    assert catalogue.match(from_file(1), **target).variables == {}
    assert catalogue.match(from_file(1, obi=1), **target).key == "csc2.0/1/1/7"


def test_the_target_of_an_observation_is_not_taken_for_another_region():
    catalogue = Catalogue([row("csc2.0/1/0/7", 1)])
    spectrum = from_file(1, region_id=9)
    assert catalogue.match(spectrum, target_ra_deg=0.0, target_dec_deg=0.0) == spectrum


def test_what_matches_nothing_is_returned_unchanged(real):
    spectrum = from_file(1)
    assert real.match(spectrum) is spectrum
    assert real.match(spectrum, target_ra_deg=0.0, target_dec_deg=89.0) is spectrum


@pytest.mark.parametrize(("radius", "by"), [(1.9, None), (2.1, "position")])
def test_positions_match_within_the_radius_only(radius, by):
    catalogue = Catalogue([row("csc2.0/1/0/7", 1, ra=359.9999, dec=2 / 3600)])
    matched = catalogue.match(
        from_file(1), target_ra_deg=359.9999, target_dec_deg=0.0, radius_arcsec=radius
    )
    assert matched.matched_by == by


near_poles = st.floats(89.99, 90.0) | st.floats(-90.0, -89.99)
declinations = st.floats(-90.0, 90.0) | near_poles
near_zero = st.floats(0.0, 0.01) | st.floats(359.99, 360.0)
right_ascensions = st.floats(0.0, 360.0) | near_zero


@given(
    st.lists(st.tuples(right_ascensions, declinations), min_size=1, max_size=40),
    st.data(),
    st.floats(0.01, 7200.0),
)
def test_neighbours_are_those_of_brute_force(positions, data, radius):
    rows = [row("", None, name=str(n), ra=ra, dec=dec) for n, (ra, dec) in enumerate(positions)]
    centre = data.draw(st.sampled_from(positions)) if data.draw(st.booleans()) else None
    ra, dec = centre or data.draw(st.tuples(right_ascensions, declinations))
    distance = 3600 * np.degrees(
        angular_separation(*np.radians([ra, dec]), *np.radians(positions).T)
    )
    found = [int(one.source_name) for one in Catalogue(rows).within(ra, dec, radius)]
    assert set(np.flatnonzero(distance < radius - 1e-6)) <= set(found)
    assert set(found) <= set(np.flatnonzero(distance <= radius + 1e-6))
    assert all(np.diff(distance[found]) > -1e-6)


def test_of_several_tables_the_first_match_wins():
    first = row("csc2.0/1/0/7", 1, variables={"hard_hs": 0.1})
    second = row("csc2.0/1/0/7", 1, variables={"hard_hs": 0.2})
    source = row("", None, source_class=("Star",))
    merged = Catalogue.merge([Catalogue([source]), Catalogue([first]), Catalogue([second])])
    assert merged.detections == [first]
    target = {"target_ra_deg": 0.0, "target_dec_deg": 0.0}
    assert merged.match(from_file(1), **target).variables == {"hard_hs": 0.1}
    assert merged.match(from_file(3), **target).source_class == ("Star",)
