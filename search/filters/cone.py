"""Circles on the sky, and filters that hold exactly for what lies in them.

The engine's own ``geo_radius`` is not exact. Measured on Qdrant Edge 0.9 against positions all
over the sky, crowded at the poles, at RA 0 and about a dozen centres: its distances are right to
1e-10 arcsec, but its index never finds points at declination +90 (all of them are missed), misses
points up to 1.5 degrees inside a circle of tens of degrees in the southern sky, and antipodes come
out 0.003 arcsec wrong. Whether the index is asked depends on the rest of the filter. No margin
mends points that are never found.

So `with_exact_cones` puts ranges of the indexed floats ``ra_deg`` and ``dec_deg`` in the place of
each ``geo_radius``. Where few points lie in the box around a circle, those inside are named by
their ids. Where there are many, the circle is cut into strips of declination: the rectangle of a
strip that lies inside by all means is a condition, and only the points between it and the
rectangle that the circle cannot leave are read, measured here and named. Both ways give the exact
set, so ``and``, ``or``, ``not`` around a cone stay exact, and poles and RA 0 are no special cases.
"""

import math
import re
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
from qdrant_client import models

from common.errors import InvalidQueryError
from search.store.base import MAX_LIMIT, Store
from search.store.scroll import scroll_all

POSITION = "location"
"""The payload field of which a ``geo_radius`` is asked."""

METRES_PER_DEGREE = math.radians(6_371_008.8)  # on the engine's sphere

UNITS = {"deg": 1.0, "arcmin": 1 / 60, "arcsec": 1 / 3600, "'": 1 / 60, '"': 1 / 3600}
"""Units of a radius, in degrees."""

_NUMBER = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_BETWEEN = r"(?:\s*,\s*|\s+)"
_CONE = re.compile(rf"\s*{_NUMBER}{_BETWEEN}{_NUMBER}{_BETWEEN}{_NUMBER}\s*(\S*)\s*")

ROUNDING_DEG = 1e-11
"""A point on the rim is inside, whatever the last bit of its float64 says."""

PLACE = ["ra_deg", "dec_deg"]
"""The payload fields that circles are compared with."""

_PAD_DEG = 1e-5  # strips are this much wider or narrower than the circle, far beyond rounding
_FEW = 1000  # points that are rather named than described
_STRIPS = 24
_STRIPS_OF_A_DISC = 4  # nothing is cut out of its middle: more would save little

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cone:
    """A circle on the sky, its rim included: centre (ICRS) and radius in degrees."""

    ra_deg: float
    dec_deg: float
    radius_deg: float

    def __post_init__(self) -> None:
        _check("ra_deg", self.ra_deg, 0 <= _number(self.ra_deg) <= 360, "0 to 360")
        _check("dec_deg", self.dec_deg, -90 <= _number(self.dec_deg) <= 90, "-90 to 90")
        allowed = 0 < _number(self.radius_deg) <= 180
        _check("radius_deg", self.radius_deg, allowed, "more than 0 to 180")

    @classmethod
    def parse(cls, text: str) -> "Cone":
        """Return the cone that ``10.68 41.27 5arcmin`` stands for.

        Parameters
        ----------
        text : str
            RA and Dec in degrees (ICRS) and a radius with its unit, one of `UNITS`, separated by
            blanks or commas.

        Returns
        -------
        Cone
            The circle.

        Raises
        ------
        InvalidQueryError
            If the text is none, the radius has no unit, or a number is out of range.
        """
        if len(text) > 200 or (found := _CONE.fullmatch(text)) is None:
            raise InvalidQueryError(
                f"the cone {text[:60]!r} cannot be read: write RA and Dec in degrees and a radius "
                "with its unit, such as '10.68 41.27 5arcmin'"
            )
        ra, dec, radius, unit = found.groups()
        if unit.lower() not in UNITS:
            wrong = f"is in {unit[:20]!r}" if unit else "has no unit"
            raise InvalidQueryError(
                f"the radius of the cone {text[:60]!r} {wrong}: give it in deg, arcmin or arcsec, "
                f"such as {radius}arcmin"
            )
        return cls(float(ra), float(dec), float(radius) * UNITS[unit.lower()])

    def to_condition(self) -> models.FieldCondition:
        """Return the engine's own condition, to be made exact by `with_exact_cones`."""
        longitude = self.ra_deg - 360 if self.ra_deg > 180 else self.ra_deg
        centre = models.GeoPoint(lon=longitude, lat=self.dec_deg)
        radius = models.GeoRadius(center=centre, radius=self.radius_deg * METRES_PER_DEGREE)
        return models.FieldCondition(key=POSITION, geo_radius=radius)


def separation_deg(
    ra1_deg: npt.ArrayLike, dec1_deg: npt.ArrayLike, ra2_deg: npt.ArrayLike, dec2_deg: npt.ArrayLike
) -> FloatArray:
    """Return great-circle distances by Vincenty's formula, which is exact near and far alike.

    Parameters
    ----------
    ra1_deg, dec1_deg, ra2_deg, dec2_deg : array_like of float
        Positions in degrees; shapes broadcast.

    Returns
    -------
    ndarray of float64
        Distances in degrees, right to 1e-8 arcsec.

    References
    ----------
    .. [1] Vincenty 1975, Survey Review 23, 88.
    """
    # The difference of the given degrees is exact where it is small; that of the radians is not.
    step = np.radians(np.subtract(ra2_deg, ra1_deg, dtype=np.float64))
    climb = np.radians(np.subtract(dec2_deg, dec1_deg, dtype=np.float64))
    dec1, dec2 = np.radians(dec1_deg), np.radians(dec2_deg)
    east = np.cos(dec2) * np.sin(step)
    north = np.sin(climb) + 2 * np.sin(dec1) * np.cos(dec2) * np.sin(step / 2) ** 2
    along = np.sin(dec1) * np.sin(dec2) + np.cos(dec1) * np.cos(dec2) * np.cos(step)
    distance: FloatArray = np.degrees(np.arctan2(np.hypot(east, north), along))
    return distance


def with_exact_cones(
    condition: models.Filter | None, store: Store, collection: str
) -> models.Filter | None:
    """Return a filter with each ``geo_radius`` replaced by what lies exactly in its circle now."""
    if condition is None:
        return None
    parts = {name: getattr(condition, name) for name in ("must", "should", "must_not")}
    minimum = condition.min_should
    return models.Filter(
        **{name: _each(part, store, collection) for name, part in parts.items()},
        min_should=minimum
        and models.MinShould(
            conditions=_each(minimum.conditions, store, collection), min_count=minimum.min_count
        ),
    )


def _each(
    parts: list[models.Condition] | models.Condition | None, store: Store, collection: str
) -> Any:  # noqa: ANN401
    if parts is None:
        return None
    return [
        _exact(part, store, collection) for part in (parts if isinstance(parts, list) else [parts])
    ]


def _exact(part: models.Condition, store: Store, collection: str) -> models.Condition | None:
    match part:
        case models.Filter():
            return with_exact_cones(part, store, collection)
        case models.FieldCondition(geo_radius=models.GeoRadius() as circle):
            centre, radius_deg = circle.center, circle.radius / METRES_PER_DEGREE
            cone = Cone(centre.lon % 360, centre.lat, min(radius_deg, 180))
            return _members(cone, store, collection)
        case _:
            return part


def ring(centre: Cone, inner_deg: float, outer_deg: float) -> models.Filter:
    """Return a filter that all points of a ring around a centre pass, and others near its rims.

    The cone's own radius does not count; a ring from less than 0 on is a whole disc.
    """
    n = _STRIPS if inner_deg > 0 else _STRIPS_OF_A_DISC
    strips = _strips(centre, inner_deg, outer_deg, n)
    return models.Filter(should=[strip.rim() for strip in strips if not strip.is_full])


def _members(cone: Cone, store: Store, collection: str) -> models.Filter:
    """Return the filter that holds for the points in a cone and for no others."""
    inside: list[models.Condition] = []
    radius = cone.radius_deg
    box = models.Filter(should=[strip.around() for strip in _strips(cone, radius, radius, 1)])
    points, following = store.scroll(collection, box, _FEW, with_payload=PLACE)
    if following is not None:
        strips = _strips(cone, radius, radius, _STRIPS)
        inside = [strip.inside() for strip in strips if strip.inner_deg > 0]
        rim = models.Filter(should=[strip.rim() for strip in strips if not strip.is_full])
        points = list(scroll_all(store, collection, rim, PLACE, page=MAX_LIMIT))
    ra, dec = (
        np.array([(point.payload or {})[name] for point in points], dtype=np.float64)
        for name in PLACE
    )
    near = separation_deg(cone.ra_deg, cone.dec_deg, ra, dec) <= radius + ROUNDING_DEG
    named = [point.id for point, is_near in zip(points, near, strict=True) if is_near]
    return models.Filter(should=[*inside, models.HasIdCondition(has_id=named)])


@dataclass(frozen=True, slots=True)
class _Strip:
    """A range of declination, and how far a circle reaches to both sides of its RA there.

    Within ``inner_deg`` of ``ra_deg`` all of the strip is in the inner circle, beyond ``outer_deg``
    nothing is in the outer one; 180 is all around the sky.
    """

    ra_deg: float
    lo_deg: float
    hi_deg: float
    inner_deg: float
    outer_deg: float

    @property
    def is_full(self) -> bool:
        """Whether the inner circle holds the strip all around the sky."""
        return self.inner_deg >= 180

    def around(self) -> models.Filter:
        """Return the filter that all points in the outer circle pass, and some others."""
        return models.Filter(must=[self._dec(), *self._ra(self.outer_deg)])

    def inside(self) -> models.Filter:
        """Return the filter that only points in the inner circle pass, but not all of them."""
        return models.Filter(must=[self._dec(), *self._ra(self.inner_deg)])

    def rim(self) -> models.Filter:
        """Return the filter for points that are around and not inside."""
        beyond = self._ra(self.inner_deg) if self.inner_deg > 0 else None
        return models.Filter(must=[self._dec(), *self._ra(self.outer_deg)], must_not=beyond)

    def _dec(self) -> models.FieldCondition:
        return _range("dec_deg", gte=self.lo_deg, lte=self.hi_deg)

    def _ra(self, half_width_deg: float) -> list[models.Condition]:
        if half_width_deg >= 180:
            return []
        lo = (self.ra_deg - half_width_deg) % 360
        hi = (self.ra_deg + half_width_deg) % 360
        if lo <= hi:
            return [_range("ra_deg", gte=lo, lte=hi)]
        return [models.Filter(should=[_range("ra_deg", gte=lo), _range("ra_deg", lte=hi)])]


def _range(field: str, **bounds: float) -> models.FieldCondition:
    return models.FieldCondition(key=field, range=models.Range(**bounds))


def _strips(cone: Cone, inner_deg: float, outer_deg: float, n: int) -> list[_Strip]:
    """Cut two circles into about ``n`` strips, over each of which their reach grows or falls."""
    smaller, larger = inner_deg - _PAD_DEG, min(outer_deg + _PAD_DEG, 180)
    lo, hi = max(-90, cone.dec_deg - larger), min(90, cone.dec_deg + larger)
    cuts = [*np.linspace(lo, hi, n + 1)]
    for radius in (smaller, larger):
        cuts += [_widest(cone.dec_deg, radius), 180 - cone.dec_deg - radius]
        cuts.append(radius - cone.dec_deg - 180)
    edges = np.unique([cut for cut in cuts if lo <= cut <= hi])
    inner, outer = (_reach(cone.dec_deg, edges, radius) for radius in (smaller, larger))
    return [
        _Strip(
            cone.ra_deg,
            float(edges[i]),
            float(edges[i + 1]),
            float(min(inner[i], inner[i + 1])),
            float(max(outer[i], outer[i + 1])),
        )
        for i in range(len(edges) - 1)
    ]


def _widest(dec_deg: float, radius_deg: float) -> float:
    """Return the declination where a circle reaches farthest in RA; NaN where a pole is inside."""
    sine, cosine = math.sin(math.radians(dec_deg)), math.cos(math.radians(radius_deg))
    return math.degrees(math.asin(sine / cosine)) if abs(sine) < abs(cosine) else math.nan


def _reach(centre_dec_deg: float, dec_deg: FloatArray, radius_deg: float) -> FloatArray:
    """Return how far in RA a circle reaches to both sides at these declinations, 0 to 180 deg."""
    if radius_deg <= 0:
        return np.zeros_like(dec_deg)
    room = (
        np.sin(np.radians(radius_deg / 2)) ** 2
        - np.sin(np.radians(dec_deg - centre_dec_deg) / 2) ** 2
    )
    scale = np.cos(np.radians(dec_deg)) * np.cos(np.radians(centre_dec_deg))
    share = np.divide(room, scale, out=np.sign(room), where=scale > 0)
    reach: FloatArray = np.degrees(2 * np.arcsin(np.sqrt(np.clip(share, 0, 1))))
    return reach


def _number(value: object) -> float:
    """Return a finite number, or NaN, which no range holds."""
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan


def _check(field: str, value: object, allowed: bool, span: str) -> None:
    if not allowed:
        raise InvalidQueryError(
            f"{field} of the cone is {str(value)[:40]}: give a number of degrees from {span}"
        )
