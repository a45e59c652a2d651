import math

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord, angular_separation
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from common.errors import InvalidQueryError
from search.collections.schema import _location
from search.filters.cone import METRES_PER_DEGREE, Cone, separation_deg, with_exact_cones

ARCSEC = 1 / 3600


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.68 41.27 5arcmin", (10.68, 41.27, 5 / 60)),
        ("10.68, 41.27, 5 arcmin", (10.68, 41.27, 5 / 60)),
        ("  10.68,+41.27 5ARCMIN ", (10.68, 41.27, 5 / 60)),
        ("10.68 -41.27 0.1 arcsec", (10.68, -41.27, 0.1 / 3600)),
        ("0 90 1e-1deg", (0, 90, 0.1)),
        ("360 -90 180 deg", (360, -90, 180)),
        ("10 20 5'", (10, 20, 5 / 60)),
        ('10 20 .5"', (10, 20, 0.5 / 3600)),
    ],
)
def test_cone_is_read_from_text(text, expected):
    cone = Cone.parse(text)
    assert (cone.ra_deg, cone.dec_deg, cone.radius_deg) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10.68 41.27 5", "has no unit: give it in deg, arcmin or arcsec, such as 5arcmin"),
        ("10.68 41.27 5 parsec", "is in 'parsec'"),
        ("10.68 41.27 5 m", "is in 'm'"),
        ("10.68 41.27", "cannot be read"),
        ("", "cannot be read"),
        ("M31 5arcmin", "cannot be read"),
        ("00:42:44 +41:16:09 5arcmin", "cannot be read"),
        ("10.68 41.27 5arcmin'; drop", "cannot be read"),
        ("nan 41.27 5arcmin", "cannot be read"),
        ("10.68 41.27 infdeg", "cannot be read"),
        ("1 " * 500, "cannot be read"),
        (
            "-10 41.27 5arcmin",
            "ra_deg of the cone is -10.0: give a number of degrees from 0 to 360",
        ),
        ("360.1 0 5arcmin", "ra_deg of the cone is 360.1"),
        ("10 90.5 5arcmin", "dec_deg of the cone is 90.5: give a number of degrees from -90 to 90"),
        ("10 0 0arcmin", "radius_deg of the cone is 0.0"),
        ("10 0 -1arcmin", "radius_deg of the cone is -0.01"),
        ("10 0 181deg", "radius_deg of the cone is 181.0"),
        ("10 0 1e999deg", "radius_deg of the cone is inf"),
    ],
)
def test_text_that_is_no_cone_is_refused_with_the_cure(text, message):
    with pytest.raises(InvalidQueryError) as caught:
        Cone.parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, "10", None, True, [10]])
@pytest.mark.parametrize("field", ["ra_deg", "dec_deg", "radius_deg"])
def test_number_that_is_none_is_refused_by_the_name_of_its_field(field, wrong):
    with pytest.raises(InvalidQueryError, match=f"{field} of the cone"):
        Cone(**{"ra_deg": 10, "dec_deg": 20, "radius_deg": 1} | {field: wrong})


right_ascensions, declinations = st.floats(0, 360), st.floats(-90, 90)


@given(right_ascensions, declinations, right_ascensions, declinations)
def test_separation_is_that_of_astropy(ra1, dec1, ra2, dec2):
    expected = np.degrees(angular_separation(*np.radians([ra1, dec1, ra2, dec2])))
    assert separation_deg(ra1, dec1, ra2, dec2) == pytest.approx(expected, abs=1e-5 * ARCSEC)


# astropy's own offsets lose digits at the poles; those are among the known values below.
@given(right_ascensions, st.floats(-89, 89), st.floats(1e-4, 10), st.floats(0, 360))
def test_separation_of_close_positions_is_exact(ra, dec, arcsec, bearing):
    there = SkyCoord(ra, dec, unit="deg").directional_offset_by(
        bearing * units.deg, arcsec * units.arcsec
    )
    found = separation_deg(ra, dec, there.ra.deg, there.dec.deg)
    assert found == pytest.approx(arcsec * ARCSEC, abs=1e-6 * ARCSEC)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0, 90), (200, 90), 0),
        ((0, 90), (77, -90), 180),
        ((10, 30), (190, -30), 180),
        ((10, 30), (190, -30 + ARCSEC), 180 - ARCSEC),
        ((359.99995, 0), (0.00005, 0), 0.0001),
        ((0, 0), (360, 0), 0),
        ((0, 89.99999), (180, 89.99999), 2e-5),
        ((12, 60), (12 + ARCSEC, 60), ARCSEC / 2),
    ],
)
def test_separation_has_known_values(one, other, expected):
    assert separation_deg(*one, *other) == pytest.approx(expected, abs=1e-8 * ARCSEC)


def test_separations_broadcast():
    assert separation_deg(0, 0, np.zeros((3, 1)), np.arange(4)).shape == (3, 4)


@given(right_ascensions, declinations)
def test_condition_asks_of_the_place_that_the_schema_stores(ra, dec):
    circle = Cone(ra, dec, 2).to_condition().geo_radius
    assert {"lon": circle.center.lon, "lat": circle.center.lat} == _location(ra, dec)
    assert circle.radius == pytest.approx(222_390, rel=1e-4)
    assert circle.radius == 2 * METRES_PER_DEGREE


class Positions:
    """A store of a few positions that answers every box with all of them."""

    def __init__(self, *places):
        self.records = [
            models.Record(id=i, payload={"ra_deg": ra, "dec_deg": dec})
            for i, (ra, dec) in enumerate(places)
        ]

    def scroll(self, collection, condition, limit, offset=None, with_payload=True):
        assert collection == "detections"
        return self.records, None


def test_cones_are_replaced_at_every_depth_and_nothing_else_is():
    other = models.FieldCondition(key="obsid", match=models.MatchValue(value=1))
    cone = Cone(10, 20, 1).to_condition()
    node = models.Filter(
        must=[other, models.Filter(should=[cone, other])],
        must_not=[models.Filter(must=[models.Filter(must_not=[cone])])],
        min_should=models.MinShould(conditions=[cone, other], min_count=1),
    )
    exact = with_exact_cones(node, Positions((10, 20.5), (10, 22), (10.9, 20)), "detections")
    members = models.Filter(should=[models.HasIdCondition(has_id=[0, 2])])
    assert exact == models.Filter(
        must=[other, models.Filter(should=[members, other])],
        must_not=[models.Filter(must=[models.Filter(must_not=[members])])],
        min_should=models.MinShould(conditions=[members, other], min_count=1),
    )


def test_filter_without_a_cone_stays_what_it_is():
    node = models.Filter(must=[models.FieldCondition(key="a", match=models.MatchValue(value=1))])
    assert with_exact_cones(node, Positions(), "detections") == node
    assert with_exact_cones(None, Positions(), "detections") is None
