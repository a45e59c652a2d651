"""Random points with a dozen payload fields, and random filters over them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import numpy as np
from hypothesis import strategies as st
from qdrant_client import models

from search.store.base import CollectionSchema, VectorField

KIND = models.PayloadSchemaType
SIZES = {"own": 16, "text": 8}
SCHEMA = CollectionSchema(
    {"own": VectorField(16), "text": VectorField(8, on_disk=True)},
    {
        "class_path": KIND.KEYWORD,
        "instrument": KIND.KEYWORD,
        "release": KIND.KEYWORD,
        "bibcodes": KIND.KEYWORD,
        "obsid": KIND.INTEGER,
        "region_id": KIND.INTEGER,
        "hard_hs": KIND.FLOAT,
        "gamma": KIND.FLOAT,
        "counts": KIND.FLOAT,
        "observed_at": KIND.DATETIME,
        "simulated": KIND.BOOL,
        "has_spectrum": KIND.BOOL,
    },
)
PATHS = [["Galaxy"], ["Galaxy", "AGN"], ["Galaxy", "AGN", "Sy1"], ["Star"], ["Star", "XB*", "LXB"]]
LABELS = sorted({label for path in PATHS for label in path} | {"QSO"})
BIBCODES = [f"20{n:02d}ApJ...900..{n:03d}A" for n in range(30)]
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
NUMBERS = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0]) | st.floats(-1, 1)
MOMENTS = st.integers(0, 40).map(lambda quarter: EPOCH + timedelta(days=90 * quarter))
FLAGS = ["simulated", "has_spectrum"]


def random_points(n):
    """Points whose every field and vector is missing in some."""
    rng = np.random.default_rng(20260304)
    drawn = {
        "class_path": lambda: PATHS[rng.integers(len(PATHS))],
        "instrument": lambda: ["ACIS", "HRC", "EPN"][rng.integers(3)],
        "release": lambda: ["2.0", "2.1"][rng.integers(2)],
        "bibcodes": lambda: [BIBCODES[i] for i in rng.integers(30, size=rng.integers(1, 4))],
        "obsid": lambda: int(rng.integers(8)),
        "region_id": lambda: int(rng.integers(1000)),
        "hard_hs": lambda: float(rng.choice([-1.0, -0.5, 0.0, 0.25, 0.5, rng.uniform(-1, 1)])),
        "gamma": lambda: float(rng.normal()),
        "counts": lambda: float(np.round(rng.lognormal(5, 2), 2)),
        "observed_at": lambda: (EPOCH + timedelta(days=int(rng.integers(3600)))).isoformat(),
        "simulated": lambda: bool(rng.integers(2)),
        "has_spectrum": lambda: bool(rng.integers(2)),
    }
    return [
        models.PointStruct(
            id=str(uuid5(UUID(int=0), str(i))),
            payload={key: draw() for key, draw in drawn.items() if rng.random() < 0.7},
            vector={k: rng.normal(size=n).tolist() for k, n in SIZES.items() if rng.random() < 0.8},
        )
        for i in range(n)
    ]


def field(key, **condition):
    return models.FieldCondition(key=key, **condition)


def bounds(values, build):
    """Draw a range with one or two bounds, possibly an empty one."""
    return st.dictionaries(
        st.sampled_from(["gt", "gte", "lt", "lte"]), values, min_size=1, max_size=2
    ).map(lambda given: build(**given))


def any_of(key, values):
    chosen = st.lists(st.sampled_from(values), min_size=1, max_size=3)
    return chosen.map(lambda given: field(key, match=models.MatchAny(any=given)))


def conditions(points):
    return st.one_of(
        st.sampled_from(LABELS).map(
            lambda value: field("class_path", match=models.MatchValue(value=value))
        ),
        any_of("class_path", LABELS),
        any_of("instrument", ["ACIS", "HRC", "EPN"]),
        any_of("release", ["2.0", "2.1", "3.0"]),
        any_of("bibcodes", BIBCODES),
        any_of("region_id", range(1000)),
        st.lists(st.integers(0, 9), min_size=1, max_size=3).map(
            lambda values: field("obsid", match=models.MatchExcept(**{"except": values}))
        ),
        st.integers(0, 9).map(lambda value: field("obsid", match=models.MatchValue(value=value))),
        st.builds(
            lambda key, value: field(key, match=models.MatchValue(value=value)),
            st.sampled_from(FLAGS),
            st.booleans(),
        ),
        st.builds(
            field, st.sampled_from(["hard_hs", "gamma"]), range=bounds(NUMBERS, models.Range)
        ),
        bounds(st.floats(0, 10_000), models.Range).map(lambda r: field("counts", range=r)),
        bounds(st.integers(-1, 9) | NUMBERS, models.Range).map(lambda r: field("obsid", range=r)),
        bounds(MOMENTS, models.DatetimeRange).map(lambda r: field("observed_at", range=r)),
        st.sampled_from([*SCHEMA.payload_indexes]).map(
            lambda key: models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
        ),
        st.lists(st.sampled_from([point.id for point in points]), max_size=20).map(
            lambda ids: models.HasIdCondition(has_id=ids)
        ),
        st.sampled_from([*SIZES]).map(lambda name: models.HasVectorCondition(has_vector=name)),
    )


def combined(parts):
    several = st.lists(parts, min_size=1, max_size=3)
    return st.one_of(
        st.builds(models.Filter, must=several, must_not=st.none() | several),
        st.builds(models.Filter, should=several, must_not=st.none() | several),
        st.builds(models.Filter, must_not=several),
        several.flatmap(
            lambda given: st.integers(1, len(given)).map(
                lambda n: models.Filter(min_should=models.MinShould(conditions=given, min_count=n))
            )
        ),
    )


def filters(points):
    """Filters of conditions joined by and, or, not and at least, nested."""
    return combined(st.recursive(conditions(points), combined, max_leaves=6))
