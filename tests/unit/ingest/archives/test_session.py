import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from archives.http_server import (
    BROKEN,
    CUT,
    TRUNCATED,
    Answer,
    ArchiveServer,
    hang,
    status,
    too_many,
)

from common.errors import ArchiveError, BudgetError, InputError, NotFoundError
from ingest.archives.http_session import PoliteSession
from ingest.archives.pacing import LATE_S, LocalCourtesy


class Counting:
    """A courtesy that grants so many requests."""

    def __init__(self, grants=1000):
        self.asked = []
        self.grants = grants

    def wait(self, archive):
        self.asked.append(archive)
        if len(self.asked) > self.grants:
            raise BudgetError("used up", datetime.now(UTC))


@pytest.fixture
def waits():
    return []


@pytest.fixture
def session(settings, waits):
    settings = settings.model_copy(update={"archive_backoff_s": 1.0, "archive_timeout_s": 0.5})
    return PoliteSession("csc", settings, Counting(), waits.append)


@pytest.mark.parametrize(
    "fault",
    [BROKEN, too_many(), CUT, TRUNCATED, hang(0.8), status(503), status(408)],
    ids=lambda fault: f"{fault.kind}{fault.status}",
)
def test_session_repeats_what_may_pass(session, waits, fault):
    with ArchiveServer([fault, fault]) as server:
        assert session.request("GET", server.url).content == b"ok"
    assert len(server.requests) == 3
    assert len(waits) == 2


def test_session_waits_longer_each_time_and_never_the_same(session, waits):
    for _ in range(40):
        with ArchiveServer([BROKEN] * 4) as server:
            session.request("GET", server.url)
    by_attempt = [waits[i::4] for i in range(4)]
    for attempt, seconds in enumerate(by_attempt):
        assert max(seconds) <= 2**attempt
        assert len({*seconds}) > 30
    means = [sum(seconds) / 40 for seconds in by_attempt]
    assert means == sorted(means)


def test_session_obeys_retry_after_in_seconds(session, waits):
    with ArchiveServer([too_many(30)]) as server:
        session.request("GET", server.url)
    assert waits == [30]


def test_session_obeys_retry_after_as_a_date(session, waits):
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    with ArchiveServer([too_many(until)]) as server:
        session.request("GET", server.url)
    assert 55 < waits[0] <= 60


def test_session_passes_over_a_retry_after_that_says_nothing(session, waits):
    with ArchiveServer([too_many("soon")]) as server:
        session.request("GET", server.url)
    assert waits[0] <= 1


def test_session_gives_up_when_asked_for_too_much_patience(session, waits):
    with ArchiveServer([too_many(3600)]) as server, pytest.raises(ArchiveError) as raised:
        session.request("GET", server.url)
    assert raised.value.retry_after_s == 3600
    assert waits == []
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("code", "error"), [(400, InputError), (403, InputError), (404, NotFoundError)]
)
def test_session_does_not_repeat_what_cannot_pass(session, code, error):
    with ArchiveServer([status(code)]) as server, pytest.raises(error, match=f"csc .*{code}"):
        session.request("GET", server.url)
    assert len(server.requests) == 1


def test_session_reports_a_lasting_failure_once(session, waits, caplog):
    with (
        caplog.at_level(logging.WARNING),
        ArchiveServer([BROKEN] * 9) as server,
        pytest.raises(ArchiveError, match="csc answers 500: Sorry"),
    ):
        session.request("GET", server.url)
    assert len(server.requests) == 5
    assert len(waits) == 4
    assert len([record for record in caplog.records if "attempt" in record.message]) == 4


def test_session_asks_the_courtesy_at_each_attempt(settings):
    courtesy = Counting()
    session = PoliteSession("ads", settings, courtesy)
    with ArchiveServer([BROKEN, BROKEN]) as server:
        session.request("GET", server.url)
        session.request("GET", server.url, courtesy="ads-bigquery")
    assert courtesy.asked == ["ads"] * 3 + ["ads-bigquery"]


def test_session_does_not_ask_beyond_the_budget(settings):
    session = PoliteSession("ads", settings, Counting(grants=1))
    with ArchiveServer([BROKEN, BROKEN]) as server, pytest.raises(BudgetError):
        session.request("GET", server.url)
    assert len(server.requests) == 1


def test_session_reads_no_more_than_allowed(settings):
    class Large(ArchiveServer):
        def respond(self, request):
            return Answer(b"x" * 200_000)

    settings = settings.model_copy(update={"archive_max_answer_mb": 0.1})
    with Large() as server, pytest.raises(InputError, match="CHANDRA_ARCHIVE_MAX_ANSWER_MB"):
        PoliteSession("csc", settings, Counting()).request("GET", server.url)
    assert len(server.requests) == 1


class Marking(ArchiveServer):
    """Gives whoever asks a cookie of its own."""

    def respond(self, request):
        return Answer(b"ok", headers={"Set-Cookie": f"visit={len(self.requests)}"})


def shown(server):
    return [request.headers.get("Cookie") for request in server.requests]


def test_session_of_a_thread_is_no_other_threads(settings):
    session = PoliteSession("csc", settings, Counting())
    with Marking() as server:
        session.request("GET", server.url)
        with ThreadPoolExecutor(1) as other:
            other.submit(session.request, "GET", server.url).result()
        session.request("GET", server.url)
    assert shown(server) == [None, None, "visit=1"]


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def test_session_closes_the_connections_of_all_threads_and_may_be_used_again(settings):
    session = PoliteSession("csc", settings, Counting())
    together = threading.Barrier(3)

    def ask(url):
        together.wait(30)
        session.request("GET", url)

    with ArchiveServer() as server, ThreadPoolExecutor(3) as threads:
        list(threads.map(ask, [server.url] * 3))
        assert server.connections == 3
        session.close()
        until(lambda: server.connections == 0)
        assert session.request("GET", server.url).content == b"ok"
        session.close()


def test_session_keeps_nothing_open_for_threads_that_have_ended(settings):
    session = PoliteSession("csc", settings, Counting())
    with ArchiveServer() as server:
        for _ in range(3):
            thread = threading.Thread(target=session.request, args=("GET", server.url))
            thread.start()
            thread.join()
        until(lambda: server.connections == 0)


def test_session_says_when_nobody_is_there(session):
    with ArchiveServer() as server:
        pass
    with pytest.raises(ArchiveError, match="no connection"):
        session.request("GET", server.url)


def test_session_shows_the_words_of_a_page_and_not_its_markup(session):
    class Refusing(ArchiveServer):
        def respond(self, request):
            return Answer(b"<html><body class='x'><p>No such\n table</p></body></html>", 400)

    with Refusing() as server, pytest.raises(InputError, match=r"400: No such table$"):
        session.request("GET", server.url)


def test_local_courtesy_spaces_requests():
    waits = []
    courtesy = LocalCourtesy({"simbad": 5.0}, sleep=waits.append)
    for _ in range(4):
        courtesy.wait("simbad")
    courtesy.wait("csc")  # which nobody limits
    assert waits == pytest.approx([0, 0.24, 0.48, 0.72], abs=0.02)


def test_local_courtesy_lets_who_overslept_wait_for_another_moment():
    waits = []

    def oversleep(seconds):
        waits.append(seconds)
        if len(waits) == 1:
            time.sleep(LATE_S * 1.5)

    courtesy = LocalCourtesy({"simbad": 5.0}, sleep=oversleep)
    courtesy.wait("simbad")
    assert waits == pytest.approx([0, 0.24 - LATE_S * 1.5], abs=0.03)


def test_local_courtesy_spends_before_it_grants():
    def spend(archive):
        raise BudgetError(archive, datetime.now(UTC))

    with pytest.raises(BudgetError, match="ads"):
        LocalCourtesy({}, spend).wait("ads")
