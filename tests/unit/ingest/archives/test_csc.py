import itertools

import pytest
from archives.csc_server import CSCServer
from archives.http_server import BROKEN, GARBAGE, TRUNCATED, Answer
from archives.universe import Universe, number_at, place_of
from archives.votable import votable

from common.errors import ArchiveError, InputError
from common.records import Detection, Refusal
from ingest.archives.csc import CSCArchive


@pytest.fixture
def archive(server, courtesy):
    return CSCArchive(server.settings(), courtesy)


def numbers_of(pages):
    return [number_at(one.obsid, one.obi, one.region_id) for page in pages for one in page]


@pytest.mark.parametrize("page", [1, 2, 7, 24, 25, 26, 5000])
def test_detections_misses_nothing_and_doubles_nothing(archive, page):
    assert numbers_of(archive.detections(page=page)) == [*range(25)]


def test_detections_goes_on_after_a_key(archive):
    for n in range(0, 25, 4):
        assert numbers_of(archive.detections(place_of(n), page=10)) == [*range(n + 1, 25)]


def test_detections_asks_until_a_page_is_empty(archive, server):
    [*archive.detections(page=20)]
    server.universe.add_detections(3)
    assert numbers_of(archive.detections(page=20)) == [*range(28)]


def test_detections_of_nothing_is_no_page(courtesy):
    with CSCServer(Universe(0)) as server:
        assert [*CSCArchive(server.settings(), courtesy).detections()] == []


@pytest.mark.parametrize("max_rows", [2, 3, 11])
def test_detections_survives_a_service_that_cuts_answers_without_a_word(
    universe, courtesy, max_rows
):
    with CSCServer(universe, max_rows=max_rows, silent=True) as server:
        archive = CSCArchive(server.settings(), courtesy)
        assert numbers_of(archive.detections(page=20)) == [*range(25)]


@pytest.mark.parametrize("max_rows", [2, 3, 11])
def test_detections_asks_for_fewer_where_an_answer_was_cut(universe, courtesy, max_rows):
    with CSCServer(universe, max_rows=max_rows) as server:
        archive = CSCArchive(server.settings(), courtesy)
        assert numbers_of(archive.detections(page=20)) == [*range(universe.n_detections)]


def test_detections_gives_up_where_even_the_rows_of_one_key_are_cut(universe, courtesy):
    universe.double(5, 4)
    with CSCServer(universe, max_rows=2) as server:
        pages = CSCArchive(server.settings(), courtesy).detections(page=20)
        with pytest.raises(ArchiveError, match="OVERFLOW"):
            numbers_of(pages)


@pytest.mark.parametrize("page", range(1, 9))
def test_detections_refuses_one_of_several_sources_wherever_a_page_ends(archive, universe, page):
    universe.double(5, 3)
    universe.double(6, 2)
    rows = [row for one in archive.detections(page=page) for row in one]
    assert len(rows) == 25
    refused = [row for row in rows if isinstance(row, Refusal)]
    assert [row.input for row in refused] == ["csc2.1/1/0/6", "csc2.1/1/0/7"]
    assert [row.reason.split(",")[0] for row in refused] == [
        "3 rows give this detection to 3 different sources",
        "2 rows give this detection to 2 different sources",
    ]
    assert rows.index(refused[0]) == 5


def test_detections_has_what_the_row_says(archive, universe):
    row = universe.rows()[13]
    one = [*itertools.chain(*archive.detections())][13]
    assert isinstance(one, Detection)
    assert one.key == f"csc2.1/{row['obsid']}/{row['obi']}/{row['region_id']}"
    assert one.source_name == row["name"]
    assert (one.ra_deg, one.dec_deg) == (row["ra"], row["dec"])
    assert one.exposure_s == row["livetime"]
    assert one.instrument == "ACIS"
    assert one.observed_at.isoformat() == row["gti_obs"] + "+00:00"
    assert dict(one.variables)
    assert all(row[name] == value for name, value in one.variables.items())
    assert one.catalogue["theta"] == row["theta"]
    assert one.catalogue["pileup_flag"] is False


def test_detections_follows_what_happens_to_the_catalogue(archive, universe):
    universe.withdraw(3)
    universe.rename(4, "2CXO J000000.0+000000")
    rows = [*itertools.chain(*archive.detections())]
    assert numbers_of([rows]) == [n for n in range(25) if n != 3]
    assert rows[3].source_name == "2CXO J000000.0+000000"


def test_detections_survives_a_bad_day(universe, courtesy):
    with CSCServer(universe, rate=0.3, seed=5) as server:
        archive = CSCArchive(server.settings(archive_attempts=12), courtesy)
        assert numbers_of(archive.detections(page=5)) == [*range(25)]
        assert len(server.requests) > 8


@pytest.mark.parametrize("fault", [BROKEN, GARBAGE, TRUNCATED], ids=lambda fault: fault.kind)
def test_detections_fails_when_a_page_cannot_be_had(archive, server, fault):
    pages = archive.detections(page=20)
    assert len(next(pages)) == 19
    server.faults.extend([fault] * 9)
    with pytest.raises(ArchiveError):
        next(pages)


def test_detections_does_not_go_round_in_circles(archive, server):
    server.respond = lambda request: Answer(_table(server.universe.rows()[:20]))
    with pytest.raises(ArchiveError, match="not in order"):
        [*archive.detections(page=20)]


def test_detections_does_not_take_rows_in_disorder(archive, server):
    server.respond = lambda request: Answer(_table(server.universe.rows()[::-1]))
    with pytest.raises(ArchiveError, match="not in order"):
        next(archive.detections())


def test_detections_asks_for_a_release_by_its_name(archive, server):
    assert next(archive.detections(catalog="rel2.0"))[0].key.startswith("csc2.0/")
    assert " csc2.observation_source " in server.requests[-1].params["QUERY"]
    assert next(archive.detections(catalog="cur"))[0].key.startswith("csc2.1/")
    with pytest.raises(InputError, match=r"rel2\.1"):
        next(archive.detections(catalog="rel3"))


def _table(rows):
    kinds = {"name": str, "ra": float, "dec": float, "obsid": int, "obi": int, "region_id": int}
    return votable(kinds, rows)


def test_detections_without_a_key_are_not_guessed_at(archive, server):
    rows = [row | {"region_id": None} for row in server.universe.rows()]
    server.respond = lambda request: Answer(_table(rows))
    with pytest.raises(ArchiveError, match="without obsid, obi or region_id"):
        next(archive.detections())
    server.respond = lambda request: Answer(votable({"name": str}, rows))
    with pytest.raises(ArchiveError, match="without the columns obsid, obi, region_id"):
        next(archive.detections())
