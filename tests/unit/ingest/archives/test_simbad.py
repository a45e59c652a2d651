from dataclasses import replace

import pytest
from archives.http_server import BROKEN, CUT, FINE, GARBAGE, TRUNCATED, hang, too_many
from archives.simbad_server import SimbadServer

from common.errors import ArchiveError
from ingest.archives.pacing import LocalCourtesy
from ingest.archives.simbad import MOST_BIBCODES, Position, SimbadArchive

M31 = {
    "name": "M  31",
    "aliases": ["2CXO J004244.3+411608"],
    "ra": 10.68,
    "dec": 41.27,
    "otype": "AGN",
    "otypes": ["AGN", "G", "X"],
    "bibcodes": ["1999ApJ...500..001A", "2024A&A...600..001B", "2010ApJ...700..001C"],
}
EAST = {"name": "east", "ra": 0.0001, "dec": 0.0, "otype": "HXB"}
WEST = {"name": "west", "ra": 359.9996, "dec": 0.0, "otype": "Star"}
NOWHERE = {"name": "a burst", "aliases": ["GRB 1"], "ra": None, "dec": None, "otype": "gB"}
STRANGE = {"name": "strange", "ra": 200.0, "dec": 89.9999, "otype": "NoSuchType"}


@pytest.fixture
def server():
    with SimbadServer(lambda: [M31, EAST, WEST, NOWHERE, STRANGE]) as server:
        yield server


@pytest.fixture
def match(server, courtesy):
    return SimbadArchive(server.settings(), courtesy).match


def at(key, ra_deg, dec_deg, *names, radius_arcsec=3.0):
    return Position(key, ra_deg, dec_deg, radius_arcsec, names)


def test_a_name_counts_before_a_position(match):
    found = match([at("a", 0.0, 0.0, "2CXO J004244.3+411608")])["a"]
    assert found.main_id == "M 31"
    assert found.source_class == ("Galaxy", "AGN")
    assert found.otypes == ("AGN", "G", "X")
    assert found.identifiers == ("M 31", "2CXO J004244.3+411608")
    assert found.separation_arcsec > 100_000


def test_an_unknown_name_leaves_it_to_the_position(match):
    found = match([at("a", 10.68, 41.2701, "2CXO J999999.9+999999")])["a"]
    assert found.main_id == "M 31"
    assert found.separation_arcsec == pytest.approx(0.36, abs=0.01)


def test_the_nearest_object_is_taken_also_where_right_ascension_begins_anew(match):
    found = match([at("e", 359.99999, 0.0), at("w", 359.9997, 0.0)])
    assert {key: one.main_id for key, one in found.items()} == {"e": "east", "w": "west"}


@pytest.mark.parametrize("ra_deg", [0.0001, 360.0001, -359.9999])
def test_a_turn_more_or_less_is_the_same_place(match, ra_deg):
    found = match([at("e", ra_deg, 0.0)])["e"]
    assert found.main_id == "east"
    assert found.separation_arcsec == pytest.approx(0, abs=1e-6)


def test_the_nearest_counts_and_not_the_first(courtesy):
    far, near = ({**EAST, "name": f"at {dec}", "dec": dec} for dec in (0.0005, -0.0001))
    with SimbadServer(lambda: [far, near, {**far, "name": "twin"}]) as server:
        found = SimbadArchive(server.settings(), courtesy).match([at("a", 0.0001, 0.0)])
    assert found["a"].main_id == "at -0.0001"
    assert found["a"].separation_arcsec == pytest.approx(0.36)


@pytest.mark.parametrize("dec_deg", [123.0, float("nan")])
def test_a_place_that_is_none_does_not_spoil_the_others(match, dec_deg):
    found = match([at("no", 10.68, dec_deg), at("named", 0.0, dec_deg, "M  31"), at("e", 0, 0)])
    assert {key: one.main_id for key, one in found.items()} == {"named": "M 31", "e": "east"}


def test_an_object_far_from_a_place_that_is_none_has_no_distance(match):
    found = match([at("a", 0.0, float("nan"), "M  31")])
    assert found["a"].separation_arcsec is None


@pytest.mark.parametrize("name", ["2CXO  J004244.3+411608 ", "M  31"])
def test_blanks_in_a_name_do_not_matter(match, name):
    assert match([at("a", 0.0, 0.0, "", "no such name", name)])["a"].main_id == "M 31"


def test_the_first_name_counts_most(match):
    assert match([at("a", 100.0, 0.0, "west", "east")])["a"].main_id == "west"


def test_what_is_too_far_from_everything_is_left_out(match, server):
    assert match([at("a", 10.69, 41.27)]) == {}
    assert match([at("a", 10.69, 41.27, radius_arcsec=40)])["a"].main_id == "M 31"
    assert match([]) == {}
    assert len(server.requests) == 3  # nothing is asked about nothing


def test_an_object_without_a_place_is_found_by_its_name(match):
    found = match([at("a", 50.0, 50.0, "GRB 1")])["a"]
    assert (found.ra_deg, found.dec_deg, found.separation_arcsec) == (None, None, None)


def test_a_type_that_is_unknown_here_gives_no_class(match):
    found = match([at("a", 20.0, 89.9999, radius_arcsec=5)])["a"]
    assert found.otype == "NoSuchType"
    assert found.source_class == ()


def test_papers_come_newest_first(match):
    found = match([at("a", 10.68, 41.27)])["a"]
    assert found.bibcodes == tuple(sorted(M31["bibcodes"], reverse=True))


def test_two_detections_of_one_object_have_it_both(match):
    found = match([at("a", 10.68, 41.27), at("b", 10.68, 41.27, "M  31")])
    assert found["a"].oid == found["b"].oid
    assert found["a"].bibcodes == found["b"].bibcodes


def test_thousands_of_positions_take_few_requests(courtesy):
    objects = [
        {
            "name": f"s{n}",
            "ra": n % 360,
            "dec": n // 360,
            "otype": "QSO",
            "bibcodes": [f"20{n:017d}"],
        }
        for n in range(2500)
    ]
    with SimbadServer(lambda: objects) as server:
        archive = SimbadArchive(server.settings(), courtesy)
        found = archive.match([at(f"{n}", n % 360, n // 360, f"s{n}") for n in range(0, 2500)])
    assert len(found) == 2500
    assert all(found[f"{n}"].bibcodes == (f"20{n:017d}",) for n in range(2500))
    assert len(server.requests) == 6


def test_an_object_that_everybody_writes_about_does_not_hide_the_others(courtesy):
    famous = {**M31, "bibcodes": [f"{1990 + n % 30}ApJ...{n:04d}..1A" for n in range(900)]}
    objects = [
        famous,
        *(
            {**EAST, "name": f"e{n}", "ra": 20 + n, "bibcodes": ["2001ApJ...1....1A"]}
            for n in range(9)
        ),
    ]
    with SimbadServer(lambda: objects) as server:
        archive = SimbadArchive(server.settings(), courtesy, references=905)
        found = archive.match(
            [at("m31", 10.68, 41.27), *(at(f"{n}", 20 + n, 0.0) for n in range(9))]
        )
    assert len(server.requests) == 3  # one for places, two for papers
    assert found["m31"].n_references == 900
    newest = found["m31"].bibcodes
    assert len(newest) == MOST_BIBCODES
    assert newest[0].startswith("2019")
    assert min(newest)[:4] >= "2002"
    assert all(found[f"{n}"].bibcodes == ("2001ApJ...1....1A",) for n in range(9))


def test_papers_have_one_order_whatever_the_order_of_the_answer(courtesy):
    """Or a paper that is nowhere new would look new when objects are matched again."""
    bibcodes = [f"2020ApJ...{n:04d}..{n % 7}A" for n in range(700)]
    seen = set()
    for order in (bibcodes, bibcodes[::-1], bibcodes[1::2] + bibcodes[::2] + bibcodes[:3]):
        with SimbadServer(lambda order=order: [{**M31, "bibcodes": order}]) as server:
            found = SimbadArchive(server.settings(), courtesy).match([at("a", 10.68, 41.27)])
        seen.add(found["a"].bibcodes)
    assert len(seen) == 1
    assert len(seen.pop()) == MOST_BIBCODES


def test_the_courtesy_is_asked_before_every_request_and_attempt(server):
    class Counting:
        asked = 0

        def wait(self, archive):
            assert archive == "simbad"
            self.asked += 1

    courtesy = Counting()
    server.faults.extend([too_many(0), BROKEN, CUT])
    SimbadArchive(server.settings(), courtesy).match([at("a", 10.68, 41.27)])
    assert courtesy.asked == len(server.requests) == 5


def test_no_more_than_five_requests_a_second_are_sent(server):
    waits = []
    courtesy = LocalCourtesy({"simbad": server.settings().simbad_per_second}, sleep=waits.append)
    archive = SimbadArchive(server.settings(), courtesy)
    for _ in range(3):
        archive.match([at("a", 10.68, 41.27)])
    asked = [wait for wait in waits if wait > 0]
    assert len(server.requests) == 6
    assert len(asked) >= 5
    assert max(asked) > 0.9  # the sixth comes a second after the first


@pytest.mark.parametrize(
    "fault", [BROKEN, GARBAGE, TRUNCATED, CUT, too_many(0), hang(0.8)], ids=lambda one: one.kind
)
def test_a_bad_moment_is_survived_at_every_question(server, courtesy, fault):
    settings = server.settings(archive_timeout_s=0.5)
    server.faults.extend([fault, FINE] * 3)
    found = SimbadArchive(settings, courtesy).match([at("a", 10.68, 41.27, "no such name")])
    assert found["a"].bibcodes
    assert len(server.requests) == 6


def test_an_answer_that_is_cut_short_is_an_error(courtesy):
    objects = [{**EAST, "name": f"e{n}", "ra": n} for n in range(9)]
    with (
        SimbadServer(lambda: objects, max_rows=8) as server,
        pytest.raises(ArchiveError, match="OVERFLOW"),
    ):
        SimbadArchive(server.settings(), courtesy).match([at(f"{n}", n, 0.0) for n in range(9)])


@pytest.mark.parametrize(
    ("of", "spoiled"),
    [
        (b'name="n"', b'name="m"'),
        (b"<TR><TD>0</TD>", b"<TR><TD>1</TD>"),
        (b"<TR><TD>0</TD>", b"<TR><TD>-1</TD>"),
        (b'name="bibcode"', b'name="code"'),
    ],
)
def test_a_table_of_something_else_is_an_error(server, match, monkeypatch, of, spoiled):
    respond = server.respond

    def answer(request):
        said = respond(request)
        return replace(said, body=said.body.replace(of, spoiled))

    monkeypatch.setattr(server, "respond", answer)
    with pytest.raises(ArchiveError, match="a row that cannot be read"):
        match([at("a", 10.68, 41.27)])


@pytest.mark.parametrize("fault", [BROKEN, GARBAGE, TRUNCATED, CUT], ids=lambda fault: fault.kind)
def test_a_service_that_stays_broken_is_reported_once(match, server, fault):
    server.faults.extend([fault] * 20)
    with pytest.raises(ArchiveError, match="simbad"):
        match([at("a", 10.68, 41.27)])
    assert len(server.requests) == 5
