import base64
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidQueryError
from search.queries.pages import MAX_LIMIT, Cursor, after, check_arrange, cursor_of, cut, mark
from search.results import PageOptions

IDS = st.uuids().map(str)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
PLACES = st.one_of(st.just(()), st.tuples(IDS), st.tuples(NUMBERS, IDS))
MARKS = st.frozensets(st.text(max_size=5).map(mark), max_size=5)
CURSORS = st.builds(Cursor, PLACES, st.integers(0, 10_000), MARKS)


@given(CURSORS, st.text())
def test_cursor_is_read_as_it_was_written_and_fits_into_a_url(cursor, question):
    text = cursor.write(question)

    assert Cursor.read(text, question) == cursor
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


@given(CURSORS, st.text(), st.text())
def test_cursor_of_another_question_is_refused(cursor, question, other):
    if question == other:
        return
    with pytest.raises(InvalidQueryError, match="belongs to another question"):
        Cursor.read(cursor.write(question), other)


@given(CURSORS, st.data())
def test_cursor_with_one_character_altered_is_refused(cursor, data):
    text = cursor.write("q")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    position = data.draw(st.integers(0, len(raw) - 1))
    altered = bytearray(raw)
    altered[position] ^= data.draw(st.integers(1, 255))

    with pytest.raises(InvalidQueryError, match="damaged"):
        Cursor.read(base64.urlsafe_b64encode(bytes(altered)).decode(), "q")


@pytest.mark.parametrize("text", ["", "a", "0", "%00", "é", "=" * 9, "AAAA", "x" * 100_000])
def test_text_that_is_no_cursor_is_refused(text):
    with pytest.raises(InvalidQueryError, match="begin again without cursor"):
        Cursor.read(text, "q")


@pytest.mark.parametrize(
    "forged",
    [
        Cursor((math.nan, "a"), 0),
        Cursor((math.inf, "a"), 0),
        Cursor((1, "a"), 0),
        Cursor((0.5, 0.5), 0),
        Cursor(([], "a"), 0),
        Cursor((0.5, "a"), -1),
        Cursor((0.5, "a"), 1.5),
        Cursor((0.5, "a"), True),
        Cursor((), 0, frozenset({b"too short"})),
    ],
)
def test_forged_cursor_of_the_right_question_is_refused(forged):
    with pytest.raises(InvalidQueryError, match="damaged"):
        Cursor.read(forged.write("q"), "q")


def test_cursor_of_another_arrangement_of_the_question_is_refused():
    arrange = PageOptions(cursor=Cursor(("a",), 0).write("q"))

    with pytest.raises(InvalidQueryError, match="damaged"):
        cursor_of(arrange, "q", 2)


@given(
    st.lists(st.tuples(st.integers(0, 5).map(float), IDS), unique_by=lambda item: item[1]),
    st.integers(1, 7),
)
def test_pages_put_together_are_the_whole_list_in_order(items, limit):
    pages, cursor = [], None
    while True:
        page, cursor = cut(items, lambda item: item, PageOptions(limit, cursor), "q", 2)
        pages += page
        if cursor is None:
            break
        assert len(page) == limit

    assert pages == sorted(items)


def test_last_answer_is_not_repeated_when_its_score_comes_back_a_rounding_error_off():
    shown = Cursor((-0.5, "b"), 2)

    rest = after([(-0.7, "a"), (-0.4999999, "b"), (-0.4, "c")], lambda item: item, shown)

    assert rest == [(-0.4, "c")]


@pytest.mark.parametrize("limit", [-1, 0, MAX_LIMIT + 1])
def test_limit_out_of_range_is_refused(limit):
    with pytest.raises(InvalidQueryError, match=f"limit is {limit}: give a number from 1 to 1,000"):
        check_arrange(PageOptions(limit))


@pytest.mark.parametrize("diversity", [-0.1, 1.1, math.nan, math.inf])
def test_diversity_out_of_range_is_refused(diversity):
    with pytest.raises(InvalidQueryError, match="diversity is"):
        check_arrange(PageOptions(diversity=diversity))


def test_cursor_with_diversity_is_refused_with_the_reason():
    with pytest.raises(InvalidQueryError, match="depend on all before them"):
        check_arrange(PageOptions(diversity=0.5, cursor="any"))
