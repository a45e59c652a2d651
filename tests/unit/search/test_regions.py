import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from small_store import paper_point, summary
from synthetic_store import SyntheticStore

from common.errors import InvalidQueryError
from common.records import Paper
from search.collections.schema import PAPERS
from search.filters.cone import Cone
from search.filters.filters import DetectionFilter, PaperFilter
from search.queries import regions
from search.results import PageOptions

CONES = [
    Cone(180.0, 0.0, 20.0),
    Cone(0.3, -10.0, 15.0),
    Cone(77.0, 89.5, 12.0),
    Cone(200.0, -90.0, 10.0),
    Cone(10.0, 10.0, 180.0),
]


@pytest.fixture(scope="module")
def synthetic(module_folder):
    synthetic = SyntheticStore(module_folder("sky") / "store")
    synthetic.sky = SkyCoord(synthetic.ra_deg, synthetic.dec_deg, unit="deg")
    with synthetic.store:
        yield synthetic


def away(synthetic, cone):
    centre = SkyCoord(cone.ra_deg, cone.dec_deg, unit="deg")
    return synthetic.sky.separation(centre).deg


@pytest.mark.parametrize("cone", CONES)
def test_cone_has_what_lies_inside_nearest_first(synthetic, cone):
    page = synthetic.service.cone(cone, limit=10_000)
    distance = away(synthetic, cone)
    rows = np.argsort(distance)[: np.sum(distance <= cone.radius_deg)]

    assert page.cursor is None
    assert [hit.id for hit in page.hits] == [synthetic.ids[row] for row in rows]
    arcsec = [hit.separation_arcsec for hit in page.hits]
    assert arcsec == pytest.approx(distance[rows] * 3600, abs=1e-4)
    assert {hit.score for hit in page.hits} == {None}


def test_cone_pages_put_together_are_the_whole_cone(synthetic):
    cone, hits, cursor = CONES[0], [], None
    while True:
        page = synthetic.service.cone(cone, limit=11, cursor=cursor)
        hits += page.hits
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page.hits) == 11

    assert hits == synthetic.service.cone(cone).hits


def test_cone_keeps_to_the_filter(synthetic):
    wanted = DetectionFilter(classes=("AGN",))
    inside = away(synthetic, CONES[0]) <= CONES[0].radius_deg
    rows = np.flatnonzero(inside & np.isin(synthetic.source_class, [0, 1]))

    page = synthetic.service.cone(CONES[0], wanted)

    assert {hit.id for hit in page.hits} == {synthetic.ids[row] for row in rows}


def test_cone_where_nothing_is_has_no_answer(synthetic):
    page = synthetic.service.cone(Cone(1.0, 1.0, 1e-5))

    assert (page.hits, page.cursor) == ([], None)


@pytest.mark.parametrize("limit", [0, 10_001])
def test_cone_limit_out_of_range_is_refused(synthetic, limit):
    with pytest.raises(InvalidQueryError, match="give a number from 1 to 10,000"):
        synthetic.service.cone(CONES[0], limit=limit)


def test_cone_cursor_of_another_cone_is_refused(synthetic):
    cursor = synthetic.service.cone(CONES[0], limit=1).cursor

    with pytest.raises(InvalidQueryError, match="belongs to another question"):
        synthetic.service.cone(CONES[1], limit=1, cursor=cursor)


def expected(synthetic, cone):
    """Return how many sources inside a cone each paper mentions, by hand."""
    inside = np.flatnonzero(away(synthetic, cone) <= cone.radius_deg)
    names = {synthetic.name(row) for row in inside}
    counts = {paper.id: len(names.intersection(paper.source_names)) for paper in synthetic.papers}
    return {identifier: count for identifier, count in counts.items() if count}


@pytest.mark.parametrize("cone", CONES)
def test_papers_of_a_region_mention_its_sources_most_first_then_newest(synthetic, cone):
    hits = synthetic.service.papers_in(cone, arrange=PageOptions(1000)).hits

    assert {hit.id: hit.score for hit in hits} == expected(synthetic, cone)
    order = [(-hit.score, -hit.payload["year"]) for hit in hits]
    assert order == sorted(order)


def test_papers_of_a_region_page_on_and_keep_to_the_filter(synthetic):
    cone, hits, cursor = CONES[4], [], None
    wanted = PaperFilter(year_from=2010)
    while True:
        page = synthetic.service.papers_in(cone, wanted, PageOptions(9, cursor))
        hits += page.hits
        cursor = page.cursor
        if cursor is None:
            break

    assert hits == synthetic.service.papers_in(cone, wanted, PageOptions(1000)).hits
    assert {hit.payload["year"] >= 2010 for hit in hits} == {True}
    assert len(hits) == 100


def test_papers_that_detections_name_belong_to_the_region(tmp_path):
    synthetic = SyntheticStore(tmp_path / "store", n=3, n_papers=0)
    bibcode, former = "2001ApJ...555....1B", "2000astro.ph..1234B"
    paper = Paper(
        bibcode, "T", "A", alternate_bibcodes=(former,), summary=summary("A"), simulated=True
    )
    with synthetic.store:
        synthetic.store.upsert(PAPERS, [paper_point(synthetic.encoder, paper)])
        synthetic.store.set_payload(
            "detections",
            {
                synthetic.ids[0]: {"bibcodes": [bibcode]},
                synthetic.ids[1]: {"bibcodes": [former, "2009A&A...500....1X"]},
            },
        )
        everywhere = Cone(0.0, 0.0, 180.0)
        elsewhere = Cone(synthetic.ra_deg[2], synthetic.dec_deg[2], 0.001)
        page = synthetic.service.papers_in(everywhere)
        nothing = synthetic.service.papers_in(elsewhere)

    n_sources = len({synthetic.name(0), synthetic.name(1)})
    assert [(hit.id, hit.score) for hit in page.hits] == [(paper.id, n_sources)]
    assert nothing.hits == []


def test_region_with_too_many_detections_is_refused_with_the_number(synthetic, monkeypatch):
    monkeypatch.setattr(regions, "MOST_FOR_PAPERS", 100)

    with pytest.raises(InvalidQueryError, match="2,000 detections in the cone"):
        synthetic.service.papers_in(CONES[4])


@pytest.mark.parametrize("arrange", [PageOptions(by_source=True), PageOptions(diversity=0.5)])
def test_papers_of_a_region_cannot_be_arranged_otherwise(synthetic, arrange):
    with pytest.raises(InvalidQueryError, match="leave by_source and diversity out"):
        synthetic.service.papers_in(CONES[0], arrange=arrange)
