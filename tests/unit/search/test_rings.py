from uuid import uuid4

import numpy as np
import pytest
from qdrant_client import models

from search.collections.schema import DETECTIONS
from search.filters.cone import Cone, separation_deg
from search.queries.regions import nearest_to_centre
from search.queries.rings import nearest_places
from search.store.base import CollectionSchema, VectorField
from search.store.embedded import EmbeddedStore

N = 4000
READ = 100
FLOAT = models.PayloadSchemaType.FLOAT
CONES = [
    Cone(120.0, 30.0, 180.0),
    Cone(0.0, 90.0, 180.0),
    Cone(359.9, -89.0, 100.0),
    Cone(5.0, 0.0, 60.0),
    Cone(200.0, 41.0, 1e-3),  # of a crowd
]


class CountingStore:
    """A store that notes how many points each read of it gave."""

    def __init__(self, store):
        self._store = store
        self.reads = []

    def retrieve(self, *arguments):
        return self._store.retrieve(*arguments)

    def scroll(self, *arguments, **options):
        records, following = self._store.scroll(*arguments, **options)
        self.reads.append(len(records))
        return records, following


@pytest.fixture(scope="module")
def sky(module_folder):
    """Detections all over the sky, many of them in one crowd, and a hundred at the same place."""
    rng = np.random.default_rng(5)
    ra, dec = rng.uniform(0, 360, N), np.degrees(np.arcsin(rng.uniform(-1, 1, N)))
    ra[:500], dec[:500] = 200 + 1e-4 * rng.normal(size=500), 41 + 1e-4 * rng.normal(size=500)
    ra[500:600], dec[500:600] = 200.0, -41.0
    dec[600:603] = 90.0, -90.0, 90.0
    names = [str(uuid4()) for _ in range(N)]
    with EmbeddedStore(module_folder("rings") / "store") as store:
        indexes = {"ra_deg": FLOAT, "dec_deg": FLOAT}
        store.create_collection(DETECTIONS, CollectionSchema({"own": VectorField(2)}, indexes))
        places = zip(names, ra.tolist(), dec.tolist(), strict=True)
        points = [
            models.PointStruct(id=name, vector={}, payload={"ra_deg": a, "dec_deg": d})
            for name, a, d in places
        ]
        store.upsert(DETECTIONS, points)
        kept = [one.payload for one in store.retrieve(DETECTIONS, names)]  # an ulp off, some
        ra, dec = (np.array([one[field] for one in kept]) for field in ("ra_deg", "dec_deg"))
        yield store, names, ra, dec


def expected(sky, cone):
    """Return all places in a cone, measured one by one."""
    _, names, ra, dec = sky
    away = separation_deg(cone.ra_deg, cone.dec_deg, ra, dec)
    inside = np.flatnonzero(away <= cone.radius_deg + 1e-11)
    return sorted((float(away[row]), names[row]) for row in inside)


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize("wanted", [101, 700, N])
def test_places_are_those_of_all_detections_measured_and_sorted(sky, cone, wanted):
    found, last = [], ()
    while page := nearest_places(sky[0], cone, None, last, wanted, READ):
        found += page
        last = page[-1]
    assert found == expected(sky, cone)


@pytest.mark.parametrize("cone", CONES[:4])
@pytest.mark.parametrize("n_shown", [0, 1000, 3000])
def test_a_page_reads_a_part_of_the_cone_and_little_at_a_time(sky, cone, n_shown):
    inside = expected(sky, cone)
    n_shown = min(n_shown, len(inside) // 2)
    last = inside[n_shown - 1] if n_shown else ()
    store = CountingStore(sky[0])
    found = nearest_places(store, cone, None, last, 10, READ)
    assert found == inside[n_shown : n_shown + 10]
    assert max(store.reads) <= READ
    assert sum(store.reads) < len(inside) / 2


@pytest.mark.parametrize("cone", CONES[:3])
def test_a_cone_that_holds_the_sky_is_not_read_for_a_page(sky, cone):
    store = CountingStore(sky[0])
    first = nearest_to_centre(store, cone, None, 10, None)
    second = nearest_to_centre(store, cone, None, 10, first.cursor)
    found = [str(hit.id) for hit in first.hits + second.hits]
    assert found == [name for _, name in expected(sky, cone)[:20]]
    assert sum(store.reads) < N


def test_what_stands_at_one_place_is_cut_off_by_the_ids(sky):
    cone = Cone(200.0, -41.0, 90.0)
    everything = expected(sky, cone)
    store = CountingStore(sky[0])
    first = nearest_places(store, cone, None, (), 30, 20)
    assert first == everything[:30]
    assert nearest_places(store, cone, None, first[-1], 100, 20) == everything[30:130]
    assert max(store.reads) <= 200


def test_places_keep_to_a_filter(sky):
    south = models.Filter(must=[models.FieldCondition(key="dec_deg", range=models.Range(lt=-80.0))])
    found = nearest_places(sky[0], CONES[0], south, (), N, READ)
    kept = {name for name, dec in zip(sky[1], sky[3], strict=True) if dec < -80}
    assert found == [place for place in expected(sky, CONES[0]) if place[1] in kept]
