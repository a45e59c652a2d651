from io import StringIO

import pytest
from rich.console import Console

from cli.console import Report, answers, table_of
from cli.jobs import _shown
from common.records import Outcome

NOTE = "https://cda.harvard.edu/csc21tap/async/" + 30 * "0123456789" + " did not answer: try again"


@pytest.fixture
def status():
    feed = {"counts": {}, "watermark": "000001 001004/000/12", "polled_at": None, "error": NOTE}
    job = {"done_at": None, "next_at": None, "running_until": None, "attempts": 1, "error": NOTE}
    return {"feeds": dict.fromkeys(("ads", "cda", "csc"), feed), "jobs": {"discover csc": job}}


def test_nothing_is_cut_where_there_is_no_terminal(status, capsys):
    answers.print(_shown(status))
    assert capsys.readouterr().out.count(NOTE) == 4


def test_nothing_is_cut_on_a_narrow_terminal(status):
    terminal = Console(file=StringIO(), width=80, force_terminal=True, no_color=True)
    terminal.print(_shown(status))
    shown = terminal.file.getvalue()
    assert "…" not in shown


def test_reasons_of_refusals_are_whole_and_told_as_they_are(capsys):
    refused = Outcome("obs/[a]/one.pi", "refused", f"[b] {NOTE}")
    Report([refused]).print()
    shown = capsys.readouterr().out
    assert "[a]/one.pi" in shown
    assert f"[b] {NOTE}" in shown


def test_a_table_is_no_wider_than_what_is_in_it(capsys):
    table = table_of("a", "b")
    table.add_row("1", "2")
    answers.print(table)
    assert max(map(len, capsys.readouterr().out.splitlines())) < 20
