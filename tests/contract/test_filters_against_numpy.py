"""Random filters over 20,000 detections: both engines select what numpy selects."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import models

from common.records import Detection, catalogue_key
from common.source_class import normalise
from search.collections.schema import DETECTION_FIELDS, detection_payload
from search.filters.cone import Cone, with_exact_cones
from search.filters.filters import DetectionFilter
from search.store.base import CollectionSchema, VectorField

N = 20_000
NAME = "test-filters-against-numpy"
SCHEMA = CollectionSchema({"own": VectorField(4)}, DETECTION_FIELDS)
CLASSES = [normalise(name) for name in ("AGN", "Sy1", "QSO", "Galaxy", "Star", "LXB", "CV*", "AG?")]
LABELS = sorted({label for path in CLASSES for label in path})
INSTRUMENTS = ["ACIS", "HRC", "EPN"]
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
CROWDED = [
    (0, 90),
    (0, -90),
    (77, 89.999),
    (123, -89.9999),
    (0, 0),
    (359.9999, -30),
    (180, 20),
    (10.68, 41.27),
    (266.4, -29),
]
ARCSEC = 1 / 3600


def displaced(ra, dec, distance, bearing):
    """Return positions at distances and bearings from a point, all in degrees."""
    dec, distance, bearing = np.radians([np.broadcast_to(dec, distance.shape), distance, bearing])
    there = np.arcsin(
        np.clip(
            np.sin(dec) * np.cos(distance) + np.cos(dec) * np.sin(distance) * np.cos(bearing), -1, 1
        )
    )
    east = np.sin(bearing) * np.sin(distance) * np.cos(dec)
    turn = np.degrees(np.arctan2(east, np.cos(distance) - np.sin(dec) * np.sin(there)))
    return (ra + turn) % 360, np.degrees(there)


def positions(rng):
    """Return positions all over the sky, crowded places, and close pairs; the poles themselves."""
    ra = [rng.uniform(0, 360, N // 2)]
    dec = [np.degrees(np.arcsin(rng.uniform(-1, 1, N // 2)))]
    each = N // 4 // len(CROWDED)
    for place in CROWDED:
        near = displaced(*place, 10 ** rng.uniform(-5.5, 0.7, each), rng.uniform(0, 360, each))
        ra.append(near[0])
        dec.append(near[1])
    ra, dec = np.concatenate(ra), np.concatenate(dec)
    ra[:8], dec[:8] = [0, 200, 0, 90, 0, 180, 360, 270], [90, 90, -90, -90, 0, 0, 0, 45]
    twins = rng.integers(0, len(ra), N - len(ra))
    apart = rng.uniform(0.05, 0.3, len(twins)) * ARCSEC
    twin_ra, twin_dec = displaced(ra[twins], dec[twins], apart, rng.uniform(0, 360, len(twins)))
    return np.concatenate([ra, twin_ra]), np.concatenate([dec, twin_dec])


class Sky:
    """Columns of 20,000 detections, NaN, None or () where there is no value."""

    def __init__(self):
        rng = np.random.default_rng(20260304)
        self.ra, self.dec = positions(rng)
        unknown = rng.random(N) < 0.03
        self.ra[unknown] = self.dec[unknown] = np.nan
        self.numbers = {
            "hard_hs": rng.choice([-1, -0.5, 0, 0.25, 0.5, 1, *rng.uniform(-1, 1, 50)], N),
            "powlaw_gamma": rng.normal(1.8, 0.7, N),
            "flux_significance_b": rng.lognormal(1, 1, N),
            "exposure_s": rng.lognormal(9, 1, N),
        }
        for values in self.numbers.values():
            values[rng.random(N) < 0.25] = np.nan
        self.obsid = rng.integers(0, 60, N)
        self.instrument = np.array(INSTRUMENTS)[rng.integers(0, 3, N)]
        self.path = [CLASSES[i] if i < len(CLASSES) else () for i in rng.integers(0, 11, N)]
        self.classes = {label: np.array([label in path for path in self.path]) for label in LABELS}
        self.classified = np.array([bool(path) for path in self.path])
        self.day = rng.integers(0, 3650, N).astype(float)
        self.day[rng.random(N) < 0.1] = np.nan
        self.simulated = rng.random(N) < 0.3
        self.located = np.isfinite(self.ra)
        angles = np.radians([self.ra, self.dec])
        self.unit = np.stack(
            [
                np.cos(angles[1]) * np.cos(angles[0]),
                np.cos(angles[1]) * np.sin(angles[0]),
                np.sin(angles[1]),
            ]
        )
        self.points = [self.point(i) for i in range(N)]
        self.row = {point.id: i for i, point in enumerate(self.points)}

    def point(self, i):
        detection = Detection(
            key=catalogue_key("2.0", int(self.obsid[i]), 1, i),
            release="2.0",
            obi=1,
            region_id=i,
            telescope="CHANDRA",
            instrument=str(self.instrument[i]),
            obsid=int(self.obsid[i]),
            ra_deg=float(self.ra[i]) if self.located[i] else None,
            dec_deg=float(self.dec[i]) if self.located[i] else None,
            observed_at=self.moment(i),
            source_class=self.path[i],
            simulated=bool(self.simulated[i]),
            exposure_s=self.number("exposure_s", i),
            variables={
                name: self.number(name, i)
                for name in self.numbers
                if name != "exposure_s" and self.number(name, i) is not None
            },
        )
        return models.PointStruct(
            id=str(detection.id), vector={}, payload=detection_payload(detection)
        )

    def number(self, name, i):
        value = self.numbers[name][i]
        return float(value) if np.isfinite(value) else None

    def moment(self, i):
        if np.isnan(self.day[i]):
            return None
        return EPOCH + timedelta(days=self.day[i], seconds=i % 86_400)

    def within(self, cone):
        """Whether each detection is in a cone, by vectors: another formula than the one tested."""
        ra, dec = np.radians([cone.ra_deg, cone.dec_deg])
        centre = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
        half = np.linalg.norm(self.unit - centre[:, None], axis=0) / 2
        other = np.linalg.norm(self.unit + centre[:, None], axis=0) / 2
        distance = np.degrees(2 * np.arctan2(half, other))
        near = np.abs(distance - cone.radius_deg) < 1e-7 * ARCSEC
        return distance <= cone.radius_deg, near


SKY = Sky()


@pytest.fixture(scope="module")
def filled(store):
    store.create_collection(NAME, SCHEMA)
    store.upsert(NAME, SKY.points)
    yield store
    store.delete_collection(NAME)


def known(values, truth):
    """Return (true, false) arrays of a test; where there is no value it is neither."""
    return truth & values, ~truth & values


def number_test(name, operator, limit):
    values = SKY.numbers[name]
    truth = {
        "<": np.less,
        "<=": np.less_equal,
        ">": np.greater,
        ">=": np.greater_equal,
        "=": np.equal,
        "!=": np.not_equal,
    }[operator](values, limit)
    return f"{name} {operator} {limit!r}", known(np.isfinite(values), truth)


def class_test(operator, labels):
    truth = np.any([SKY.classes[label] for label in labels], axis=0)
    listed = ", ".join(map(repr, labels))
    text = f"class {operator} ({listed})" if "in" in operator else f"class {operator} {listed}"
    return text, known(SKY.classified, truth ^ (operator in ("!=", "not in")))


def cone_test(cone):
    inside, _ = SKY.within(cone)
    text = f"cone({cone.ra_deg!r}, {cone.dec_deg!r}, {cone.radius_deg!r} deg)"
    return text, known(SKY.located, inside)


def presence_test(name, there):
    values = {
        "class": SKY.classified,
        "position": SKY.located,
        "observed_at": np.isfinite(SKY.day),
    }.get(name)
    has = np.isfinite(SKY.numbers[name]) if values is None else values
    truth = has if there else ~has
    return f"{name} is {'not ' if there else ''}null", (truth, ~truth)


def joined(word, parts):
    texts = [f"({text})" for text, _ in parts]
    true = np.array([truth for _, (truth, _) in parts])
    false = np.array([falsehood for _, (_, falsehood) in parts])
    if word == "and":
        return " and ".join(texts), (true.all(axis=0), false.any(axis=0))
    return " or ".join(texts), (true.any(axis=0), false.all(axis=0))


def away_from_every_rim(cone):
    """No detection so near the rim that two formulas may differ over it."""
    return not SKY.within(cone)[1].any()


centres = st.one_of(
    st.sampled_from(CROWDED),
    st.integers(0, N - 1)
    .filter(lambda i: bool(SKY.located[i]))
    .map(lambda i: (float(SKY.ra[i]), float(SKY.dec[i]))),
    st.tuples(st.floats(0, 360), st.floats(-90, 90)),
)
radii = st.one_of(
    st.floats(-5, 2.25).map(lambda power: 10**power),
    st.sampled_from([0.1 * ARCSEC, 0.2 * ARCSEC, 1 / 60, 45.0, 90.0, 135.0, 180.0]),
    st.floats(20, 180),
)
cones = st.builds(lambda centre, radius: Cone(*centre, radius), centres, radii).filter(
    away_from_every_rim
)
limits = st.sampled_from([-0.5, 0.0, 0.5, 1.0, 2.0]) | st.floats(-1, 3)
tests = st.one_of(
    st.builds(
        number_test,
        st.sampled_from(sorted(SKY.numbers)),
        st.sampled_from(["<", "<=", ">", ">=", "=", "!="]),
        limits,
    ),
    st.builds(class_test, st.sampled_from(["=", "!="]), st.sampled_from(LABELS).map(lambda x: [x])),
    st.builds(
        class_test,
        st.sampled_from(["in", "not in"]),
        st.lists(st.sampled_from(LABELS), min_size=1, max_size=3),
    ),
    st.builds(
        presence_test,
        st.sampled_from(["class", "position", "observed_at", *SKY.numbers]),
        st.booleans(),
    ),
    cones.map(cone_test),
)
wheres = st.recursive(
    tests,
    lambda parts: st.one_of(
        parts.map(lambda part: (f"not ({part[0]})", part[1][::-1])),
        st.builds(joined, st.sampled_from(["and", "or"]), st.lists(parts, min_size=2, max_size=3)),
    ),
    max_leaves=5,
)


def bounded(name, low, high):
    values = SKY.numbers[name]
    return (low is None or values >= low) & (high is None or values <= high) & np.isfinite(values)


@st.composite
def filters(draw):
    """Return a filter and which detections it selects."""
    asked, passing = {}, np.ones(N, dtype=bool)
    kinds = draw(
        st.lists(
            st.sampled_from(
                ["class", "exclude", "where", "range", "obsid", "instrument", "days", "has", "cone"]
            ),
            min_size=1,
            max_size=3,
            unique=True,
        )
    )
    labels = st.lists(st.sampled_from(LABELS), min_size=1, max_size=3, unique=True)
    for kind in kinds:
        if kind == "class":
            asked["classes"] = draw(labels)
            passing &= np.any([SKY.classes[label] for label in asked["classes"]], axis=0)
        elif kind == "exclude":
            asked["exclude_classes"] = draw(labels)
            passing &= ~np.any([SKY.classes[label] for label in asked["exclude_classes"]], axis=0)
        elif kind == "where":
            asked["where"], (true, _) = draw(wheres)
            passing &= true
        elif kind == "range":
            name = draw(st.sampled_from(sorted(SKY.numbers)))
            low, high = sorted([draw(limits), draw(limits)])
            low, high = draw(st.sampled_from([(low, high), (low, None), (None, high)]))
            asked["ranges"] = {name: (low, high)}
            passing &= bounded(name, low, high)
        elif kind == "obsid":
            asked["obsid"] = draw(st.lists(st.integers(0, 70), min_size=1, max_size=30))
            passing &= np.isin(SKY.obsid, asked["obsid"])
        elif kind == "instrument":
            asked["instrument"] = draw(st.lists(st.sampled_from(INSTRUMENTS), min_size=1))
            passing &= np.isin(SKY.instrument, asked["instrument"])
        elif kind == "days":
            first, last = sorted([draw(st.integers(0, 3650)), draw(st.integers(0, 3650))])
            asked["observed_from"], asked["observed_to"] = (
                (EPOCH + timedelta(days=day)).date() for day in (first, last)
            )
            passing &= (SKY.day >= first) & (SKY.day <= last)
        elif kind == "has":
            present, absent = draw(st.permutations(sorted(SKY.numbers)))[:2]
            asked |= {"has": [present], "lacks": [absent]}
            passing &= np.isfinite(SKY.numbers[present]) & np.isnan(SKY.numbers[absent])
        elif kind == "cone":
            asked["cone"] = draw(cones)
            passing &= SKY.within(asked["cone"])[0] & SKY.located
    return DetectionFilter.model_validate(asked), passing


def selected(store, condition):
    """Return the rows that the store selects."""
    rows, offset = [], None
    while True:
        page, offset = store.scroll(
            NAME, condition, limit=10_000, offset=offset, with_payload=False
        )
        rows += [SKY.row[str(point.id)] for point in page]
        if offset is None:
            return sorted(rows)


@settings(max_examples=80, suppress_health_check=[*HealthCheck])
@given(drawn=filters())
def test_filter_selects_what_numpy_selects(filled, drawn):
    asked, passing = drawn
    condition = with_exact_cones(asked.to_qdrant(), filled, NAME)
    assert selected(filled, condition) == np.flatnonzero(passing).tolist()
    assert filled.count(NAME, condition) == passing.sum()


@settings(max_examples=30, suppress_health_check=[*HealthCheck])
@given(cone=cones)
def test_cone_selects_what_numpy_selects(filled, cone):
    condition = with_exact_cones(DetectionFilter(cone=cone).to_qdrant(), filled, NAME)
    inside = SKY.within(cone)[0] & SKY.located
    assert selected(filled, condition) == np.flatnonzero(inside).tolist()


@pytest.mark.parametrize("centre", [(0, 90), (200, 90), (0, -90), (0, 0), (360, 0), (180, 0)])
@pytest.mark.parametrize("radius", [0.01 * ARCSEC, ARCSEC, 1, 60, 120, 180])
def test_cone_is_exact_at_the_poles_and_across_ra_0(filled, centre, radius):
    cone = Cone(*centre, radius)
    inside = SKY.within(cone)[0] & SKY.located
    assert inside.any()
    condition = with_exact_cones(DetectionFilter(cone=cone).to_qdrant(), filled, NAME)
    assert selected(filled, condition) == np.flatnonzero(inside).tolist()
