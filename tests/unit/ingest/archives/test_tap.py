import numpy as np
import pytest
from archives.http_server import BROKEN, CUT, GARBAGE, TRUNCATED, Answer, ArchiveServer
from archives.votable import error, votable
from astropy.table import Table

from common.errors import ArchiveError, InputError
from ingest.archives.http_session import PoliteSession
from ingest.archives.tap import query

COLUMNS = {"obsid": int, "name": str, "gamma": float}
ROWS = [{"obsid": 1, "name": "2CXO J1 & 2", "gamma": 1.8}, {"obsid": 2, "name": "b"}]


class Service(ArchiveServer):
    answer = Answer(votable(COLUMNS, ROWS))

    def respond(self, request):
        return self.answer


@pytest.fixture
def service():
    with Service() as service:
        yield service


@pytest.fixture
def ask(settings, courtesy, service):
    session = PoliteSession("csc", settings, courtesy)

    def ask(adql="SELECT 1", **options):
        return query(session, f"{service.url}/tap/", adql, **options)

    return ask


def test_query_returns_all_rows_with_what_is_absent_masked(ask, service):
    table = ask("SELECT * FROM a WHERE b > 'é'")
    assert table["obsid"].tolist() == [1, 2]
    assert table["name"].tolist() == ["2CXO J1 & 2", "b"]
    assert table["gamma"].tolist()[0] == 1.8
    assert np.ma.is_masked(table["gamma"][1])
    (asked,) = service.requests
    assert (asked.method, asked.path) == ("POST", "/tap/sync")
    assert asked.params["QUERY"] == "SELECT * FROM a WHERE b > 'é'"
    assert asked.params["LANG"] == "ADQL"
    assert "MAXREC" not in asked.params


def test_query_tells_how_many_rows_it_wants(ask, service):
    ask(maxrec=7)
    assert service.requests[0].params["MAXREC"] == "7"


def test_query_sends_tables_again_with_each_attempt(ask, service):
    service.faults.extend([BROKEN, BROKEN])
    ask(uploads={"here": Table({"ra": [1.5, 2.5]})})
    assert len(service.requests) == 3
    for request in service.requests:
        assert request.params["UPLOAD"] == "here,param:here"
        assert b"2.5" in request.files["here"]


def test_query_follows_to_the_result(ask, service):
    """The Chandra archive answers 303."""
    answer = service.answer
    service.respond = lambda request: (
        answer
        if request.path == "/result"
        else Answer(status=303, headers={"Location": f"{service.url}/result"})
    )
    assert len(ask()) == 2
    assert [request.method for request in service.requests] == ["POST", "GET"]


def test_query_takes_a_status_for_what_it_says(ask, service):
    """A service may begin with OK and end with an error."""
    body = service.answer.body.replace(
        b"</TABLE>", b'</TABLE><INFO name="QUERY_STATUS" value="ERROR">time is up</INFO>'
    )
    service.answer = Answer(body)
    with pytest.raises(InputError, match="time is up"):
        ask()


def test_query_returns_an_empty_table(ask, service):
    service.answer = Answer(votable(COLUMNS, []))
    table = ask()
    assert len(table) == 0
    assert table.colnames == [*COLUMNS]


def test_query_never_returns_a_short_table(ask, service):
    service.answer = Answer(votable(COLUMNS, ROWS, overflow=True))
    with pytest.raises(ArchiveError, match="OVERFLOW"):
        ask()


def test_query_passes_on_what_the_service_says(ask, service):
    service.answer = Answer(error("no column 'gama' & no table"))
    with pytest.raises(InputError, match="no column 'gama' & no table"):
        ask()
    assert len(service.requests) == 1


def test_query_passes_on_an_error_sent_with_its_status(ask, service):
    service.answer = Answer(error("no column 'gama'"), 400)
    with pytest.raises(InputError, match="400: no column 'gama'"):
        ask()


@pytest.mark.parametrize("fault", [GARBAGE, TRUNCATED, CUT], ids=lambda fault: fault.kind)
def test_query_repeats_after_a_broken_answer(ask, service, fault):
    service.faults.extend([fault] * 4)
    assert len(ask()) == 2
    assert len(service.requests) == 5


def test_query_gives_up_on_lasting_garbage(ask, service):
    service.faults.extend([GARBAGE] * 9)
    with pytest.raises(ArchiveError, match="no whole table"):
        ask()
    assert len(service.requests) == 5


def test_query_refuses_an_answer_cut_anywhere(settings, courtesy):
    whole = votable(COLUMNS, ROWS)
    settings = settings.model_copy(update={"archive_attempts": 1})
    session = PoliteSession("csc", settings, courtesy)
    with Service() as service:
        for length in range(len(whole) - len("</VOTABLE>\n"), 0, -7):
            service.answer = Answer(whole[:length])
            with pytest.raises(ArchiveError):
                query(session, service.url, "SELECT 1")


def test_query_does_not_follow_a_table_to_elsewhere(ask, service):
    stream = b'<TABLE><FIELD name="a" datatype="int"/><DATA><BINARY>'
    stream += b'<STREAM href="file:///etc/passwd"/></BINARY></DATA></TABLE>'
    service.answer = Answer(b"<VOTABLE><RESOURCE>" + stream + b"</RESOURCE></VOTABLE>")
    with pytest.raises(ArchiveError, match="elsewhere"):
        ask()
