import logging
from datetime import UTC, datetime, timedelta

import pytest
from archives.ads_server import TOKEN, ADSServer, entered
from archives.http_server import BROKEN, CUT, GARBAGE, TRUNCATED, Answer, Fault, hang, too_many

from common.errors import ArchiveError, BudgetError, InputError, NotFoundError
from common.records import Paper, Refusal
from ingest.archives.ads import LONGEST_QUERY, ROWS, ADSArchive

DAY = timedelta(days=1)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def papers():
    return [
        entered(f"2026ApJ...{n:04d}...{n % 9 + 1}A", NEW_YEAR + n * DAY, citation_count=n)
        for n in range(30)
    ]


@pytest.fixture
def server(papers):
    with ADSServer(lambda: papers) as server:
        yield server


@pytest.fixture
def ads(server, courtesy):
    return ADSArchive(server.settings(), courtesy)


def all_of(pages):
    return [one for page in pages for one in page]


def test_papers_that_were_entered_in_a_span_are_found(ads, papers):
    found = all_of(ads.added(NEW_YEAR + 3 * DAY, NEW_YEAR + 5 * DAY))
    assert [one.bibcode for one in found] == [p["bibcode"] for p in papers[3:6]]
    assert found[0].title == papers[3]["title"][0]
    assert all(isinstance(one, Paper) for one in found)


def test_a_span_within_a_day_finds_all_of_the_day(ads, papers):
    noon = NEW_YEAR + 7.5 * DAY
    assert [one.bibcode for one in all_of(ads.added(noon, noon))] == [papers[7]["bibcode"]]


def test_papers_whose_record_changed_are_found_by_when_they_were_indexed(ads, papers):
    papers[2]["indexed_at"] = NEW_YEAR + 300 * DAY
    found = all_of(ads.changed(NEW_YEAR + 299 * DAY, NEW_YEAR + 301 * DAY))
    assert [one.bibcode for one in found] == [papers[2]["bibcode"]]


def test_all_pages_are_read(courtesy):
    papers = [entered(f"2026ApJ..{n:05d}...1A") for n in range(4500)]
    with ADSServer(lambda: papers) as server:
        found = all_of(ADSArchive(server.settings(), courtesy).added(NEW_YEAR, NEW_YEAR))
    assert len({one.bibcode for one in found}) == 4500
    assert len(server.requests) == 3


def test_a_page_that_is_shorter_than_asked_for_is_no_end(courtesy):
    papers = [entered(f"2026ApJ..{n:05d}...1A") for n in range(45)]
    with ADSServer(lambda: papers, rows=20) as server:
        found = all_of(ADSArchive(server.settings(), courtesy).added(NEW_YEAR, NEW_YEAR))
    assert len(found) == 45


def test_papers_that_change_places_between_pages_are_not_lost_silently(courtesy):
    papers = [entered(f"2026ApJ..{n:05d}...1A") for n in range(40)]
    with ADSServer(lambda: papers, rows=20) as server:
        pages = ADSArchive(server.settings(), courtesy).added(NEW_YEAR, NEW_YEAR)
        next(pages)
        del papers[3]  # now the second page would begin one paper too late
        papers.append(entered("2026ApJ..99999...1A"))
        with pytest.raises(ArchiveError, match="changed"):
            all_of(pages)


def test_papers_that_come_in_between_pages_are_not_read_twice(courtesy):
    papers = [entered(f"2026ApJ..{n:05d}...1A") for n in range(10, 50)]
    with ADSServer(lambda: papers, rows=20) as server:
        pages = ADSArchive(server.settings(), courtesy).added(NEW_YEAR, NEW_YEAR)
        first = next(pages)
        papers.append(entered("2026ApJ..00001...1A"))
        found = [one.bibcode for one in [*first, *all_of(pages)]]
    assert len(found) == len(set(found)) == 40


def test_a_service_that_answers_less_than_it_has_found_is_reported(courtesy):
    papers = [entered(f"2026ApJ..{n:05d}...1A") for n in range(3)]
    with (
        ADSServer(lambda: papers, rows=1) as server,
        pytest.raises(ArchiveError, match="1 of 3 papers"),
    ):
        all_of(ADSArchive(server.settings(), courtesy).added(NEW_YEAR, NEW_YEAR))


def test_a_record_that_is_no_use_is_refused_by_its_bibcode(ads, papers):
    papers[0] |= {"abstract": None}
    papers[1] |= {"title": 7}
    first, second = all_of(ads.added(NEW_YEAR, NEW_YEAR + DAY))
    assert isinstance(first, Refusal)
    assert first.input == papers[0]["bibcode"]
    assert "no abstract" in first.reason
    assert isinstance(second, Refusal)
    assert "title is int" in second.reason


def test_a_bibcode_keeps_its_ampersand_and_a_title_loses_its_markup(ads, papers):
    papers[0] = entered("2026A&A...602....1B", title=["<SUP>55</SUP>Fe &amp; dust"])
    (found,) = all_of(ads.added(NEW_YEAR, NEW_YEAR))
    assert found.bibcode == "2026A&A...602....1B"
    assert found.title == "^55Fe & dust"


def test_former_bibcodes_come_along(ads, papers):
    papers[0] |= {"alternate_bibcode": ["2025arXiv250100001X"]}
    (found,) = all_of(ads.added(NEW_YEAR, NEW_YEAR))
    assert found.alternate_bibcodes == ("2025arXiv250100001X",)


def test_papers_about_objects_are_found_in_two_steps(ads, server, papers):
    server.numbers = {"NGC 4258": 1575544, "M 31": 12}
    papers[4]["objects"] = [1575544]
    questions = ads.objects(['NGC  "4258"', "M 31"])
    assert len(questions) == 2
    (found,) = all_of(ads.search(questions[0]))
    assert found["bibcode"] == papers[4]["bibcode"]
    assert server.paths() == ["/v1/objects/query"] * 2 + ["/v1/search/query"]


def test_an_object_that_ads_does_not_know_is_named(ads, server):
    with pytest.raises(NotFoundError, match="no object 'Nibiru': No objects found"):
        ads.objects(["Nibiru"])
    assert len(server.requests) == 1


def test_records_have_the_fields_asked_for(ads, papers):
    (page,) = ads.search("On 2026ApJ", fields=["citation_count"])
    assert page[3] == {"bibcode": papers[3]["bibcode"], "citation_count": 3}
    papers[0]["alternate_bibcode"] = ["2025arXiv250100001X"]
    first = all_of(ads.search("On 2026ApJ"))[0]
    assert (first["citation_count"], first["alternate_bibcode"]) == (0, ["2025arXiv250100001X"])


def test_a_search_begins_where_it_is_told_to(ads, server, papers):
    pages = [*ads.search("On 2026ApJ", rows=10, start=5)]
    assert [one["bibcode"] for one in all_of(pages)] == [one["bibcode"] for one in papers[5:]]
    assert [int(request.params["start"]) for request in server.requests] == [5, 14, 23]


@pytest.mark.parametrize("rows", [1, ROWS + 1])
def test_pages_have_a_size_that_ads_grants(ads, rows):
    with pytest.raises(ValueError, match="rows a page"):
        next(ads.search("star", rows=rows))


def test_citations_are_told_by_the_bibcodes_asked_for(ads, papers):
    papers[5]["alternate_bibcode"] = ["2025arXiv250100005X"]
    counts = ads.citations([papers[3]["bibcode"], "2025arXiv250100005X", "1999ApJ...000..000Z"])
    assert counts == {papers[3]["bibcode"]: 3, "2025arXiv250100005X": 5}
    assert ads.citations([]) == {}


def test_citations_of_many_are_asked_for_two_thousand_at_a_time(server, papers):
    asked = []

    class Noting:
        def wait(self, archive):
            asked.append(archive)

    ADSArchive(server.settings(), Noting()).citations(
        [f"1990ApJ..{n:05d}...1A" for n in range(ROWS + 1)]
    )
    assert asked == ["ads-bigquery", "ads-bigquery"]


def test_bibcodes_go_out_and_come_back_with_their_ampersands(ads, papers):
    papers[0] = entered("2026A&A...602....1B", citation_count=9)
    assert ads.citations(["2026A&A...602....1B"]) == {"2026A&A...602....1B": 9}
    (record,) = ads.bigquery(["2026A&A...602....1B"])
    assert record["bibcode"] == "2026A&A...602....1B"


def test_two_bibcodes_of_one_paper_have_its_citations_both(ads, papers):
    both = [papers[5]["bibcode"], "2025arXiv250100005X"]
    papers[5]["identifier"] = [both[1], "10.1000/a", "arXiv:2501.00005"]
    assert ads.citations(both) == dict.fromkeys(both, 5)


def test_a_big_answer_that_is_not_whole_is_an_error(courtesy, papers):
    with (
        ADSServer(lambda: papers, rows=7) as server,
        pytest.raises(ArchiveError, match="7 of 30 records"),
    ):
        ADSArchive(server.settings(), courtesy).citations([one["bibcode"] for one in papers])


@pytest.mark.parametrize(
    "fault",
    [BROKEN, GARBAGE, TRUNCATED, CUT, too_many(0), hang(0.8)],
    ids=lambda fault: f"{fault.kind}{fault.status}",
)
def test_a_broken_answer_is_asked_for_again(server, courtesy, fault):
    ads = ADSArchive(server.settings(archive_timeout_s=0.5), courtesy)
    server.faults.extend([fault] * 4)
    assert len(all_of(ads.added(NEW_YEAR, NEW_YEAR + 40 * DAY))) == 30
    assert len(server.requests) == 5


def test_json_that_is_no_answer_is_asked_for_again_and_then_reported(ads, server, monkeypatch):
    monkeypatch.setattr(server, "respond", lambda _request: Answer(b'{"response": {"docs": [1'))
    with pytest.raises(ArchiveError, match="what is no answer"):
        all_of(ads.added(NEW_YEAR, NEW_YEAR))
    assert len(server.requests) == 5


def test_used_up_requests_are_waited_for_and_not_repeated(ads, server):
    server.granted = 0
    with pytest.raises(BudgetError) as caught:
        all_of(ads.added(NEW_YEAR, NEW_YEAR))
    assert caught.value.retry_at == datetime.fromtimestamp(server.reset, UTC)
    assert len(server.requests) == 1


def test_what_was_read_before_the_allowance_ended_is_not_lost(courtesy):
    papers = [entered(f"2026ApJ..{n:05d}...1A") for n in range(45)]
    with ADSServer(lambda: papers, rows=20, granted=1) as server:
        pages = ADSArchive(server.settings(), courtesy).added(NEW_YEAR, NEW_YEAR)
        assert len(next(pages)) == 20
        with pytest.raises(BudgetError, match="grants no more requests until"):
            next(pages)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "reset", [{}, {"X-RateLimit-Reset": "soon"}, {"X-RateLimit-Reset": "9" * 30}]
)
def test_an_allowance_without_a_known_end_ends_at_midnight(ads, server, reset):
    server.faults.append(Fault("status", 429, {"X-RateLimit-Remaining": "0", **reset}))
    with pytest.raises(BudgetError) as caught:
        all_of(ads.added(NEW_YEAR, NEW_YEAR))
    assert timedelta(0) < caught.value.retry_at - datetime.now(UTC) <= DAY
    assert (caught.value.retry_at.hour, caught.value.retry_at.minute) == (0, 0)


def test_a_refused_token_is_named_and_never_shown(server, courtesy, caplog):
    caplog.set_level(logging.DEBUG)
    ads = ADSArchive(server.settings(ads_token="an-expired-token"), courtesy)
    with pytest.raises(InputError, match="CHANDRA_ADS_TOKEN") as caught:
        all_of(ads.added(NEW_YEAR, NEW_YEAR))
    assert len(server.requests) == 1
    for secret in ("an-expired-token", TOKEN):
        assert secret not in f"{caught.value}{caplog.text}"


def test_no_token_says_where_to_get_one_before_anything_is_asked(server, courtesy):
    ads = ADSArchive(server.settings(ads_token=None), courtesy)
    with pytest.raises(InputError, match=r"ui\.adsabs\.harvard\.edu/user/settings/token"):
        all_of(ads.added(NEW_YEAR, NEW_YEAR))
    assert server.requests == []


@pytest.mark.parametrize("token", ["", "two words", "two\nlines", "töken"])
def test_a_token_that_cannot_be_sent_is_not_sent_nor_shown(server, courtesy, token):
    ads = ADSArchive(server.settings(ads_token=token), courtesy)
    with pytest.raises(InputError, match="CHANDRA_ADS_TOKEN") as caught:
        ads.citations(["2026ApJ...0001....1A"])
    assert not token or token not in str(caught.value)
    assert server.requests == []


def test_a_token_with_a_line_end_as_files_have_it_is_fine(server, courtesy):
    assert ADSArchive(server.settings(ads_token=f"{TOKEN}\n"), courtesy).citations(["x"]) == {}


def test_another_password_on_this_machine_is_not_sent(ads, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert len(all_of(ads.added(NEW_YEAR, NEW_YEAR + DAY))) == 2


def test_a_question_that_is_too_long_is_refused_before_it_is_asked(server, courtesy):
    ads = ADSArchive(server.settings(ads_query="x" * LONGEST_QUERY), courtesy)
    with pytest.raises(InputError, match="CHANDRA_ADS_QUERY"):
        all_of(ads.added(NEW_YEAR, NEW_YEAR))
    assert server.requests == []
