from datetime import UTC, datetime, timedelta, timezone

import pytest
from archives.cda_server import CDAServer
from archives.http_server import GARBAGE, Answer
from archives.universe import START, Universe
from archives.votable import votable

from common.errors import ArchiveError
from ingest.archives.cda import CDAArchive

LATER = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def server():
    with CDAServer(Universe(400)) as server:
        yield server


@pytest.mark.parametrize("page", [1, 2, 3, 19, 20, 21])
def test_observations_misses_nothing_where_many_have_one_time(server, courtesy, page):
    found = CDAArchive(server.settings(), courtesy, page).observations(START, LATER)
    assert [one.obsid for one in found] == [*range(1, 21)]
    assert len({one.public_at for one in found}) < 10


def test_observations_has_what_the_archive_says_in_our_units(server, courtesy):
    (one, *_) = CDAArchive(server.settings(), courtesy).observations(START, LATER)
    row = server.universe.observations()[0]
    assert (one.obsid, one.target, one.instrument, one.grating) == (1, "FIELD 1", "ACIS-S", "NONE")
    assert (one.ra_deg, one.dec_deg) == (row["ra"], row["dec"])
    assert one.exposure_s == 1000 * row["exposure_time"]
    assert one.observed_at == row["start_date"]
    assert one.public_at == row["public_avail"]
    assert one.public_at.tzinfo == UTC


def test_observations_keeps_to_the_span(server, courtesy):
    archive = CDAArchive(server.settings(), courtesy)
    times = sorted({row["public_avail"] for row in server.universe.observations()})
    found = archive.observations(times[1], times[3])
    assert {one.public_at for one in found} == {*times[1:3]}
    east = times[1].astimezone(timezone(timedelta(hours=5)))
    assert archive.observations(east, times[3]) == found
    assert archive.observations(LATER, LATER) == []


def test_observations_survives_a_bad_answer(server, courtesy):
    server.faults.append(GARBAGE)
    archive = CDAArchive(server.settings(), courtesy)
    assert len(archive.observations(START, LATER)) == 20


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"obsid": 1, "public_avail": "soon"}, "cannot be read"),
        ({"obsid": 1}, "cannot be read"),
        ({"public_avail": "2020-01-01T00:00:00"}, "cannot be read"),
    ],
)
def test_observations_does_not_guess(server, courtesy, row, said):
    kinds = {"obsid": int, "ra": float, "dec": float, "exposure_time": float}
    texts = ("target_name", "instrument", "grating", "start_date", "public_avail")
    kinds |= dict.fromkeys(texts, str)
    server.respond = lambda request: Answer(votable(kinds, [row]))
    with pytest.raises(ArchiveError, match=said):
        CDAArchive(server.settings(), courtesy).observations(START, LATER)


def test_observations_does_not_go_round_in_circles(server, courtesy):
    answer, answers = server.respond, []

    def always_the_first(request):
        answers.append(answer(request))
        return answers[0]

    server.respond = always_the_first
    with pytest.raises(ArchiveError, match="not in order"):
        CDAArchive(server.settings(), courtesy, 5).observations(START, LATER)


def test_observations_lacking_a_column_is_said(server, courtesy):
    server.respond = lambda request: Answer(votable({"obsid": int}, [{"obsid": 1}]))
    with pytest.raises(ArchiveError, match="without the columns target_name"):
        CDAArchive(server.settings(), courtesy).observations(START, LATER)
