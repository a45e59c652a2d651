from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import models
from qdrant_rest.filter_oracle import matches

from common.errors import InvalidQueryError
from search.filters.cone import Cone
from search.filters.filters import DETECTION_KINDS
from search.filters.where import MAX_CHARACTERS, MAX_DEPTH, parse_where

FIELDS = {
    "hard_hs": "number",
    "gamma": "number",
    "order_by": "number",  # starts with a keyword
    "obsid": "integer",
    "instrument": "text",
    "observed_at": "date",
    "simulated": "flag",
    "class": "class",
    "position": "position",
}


def holds(expression, **payload):
    node = parse_where(expression, FIELDS)
    return matches(node, models.PointStruct(id=1, vector={}, payload=payload))


@pytest.mark.parametrize(
    "expression",
    [
        "hard_hs > 0.3",
        "hard_hs>.3",
        "hard_hs >= 5e-1 AND hard_hs <= +0.5",
        "hard_hs = 0.5",
        "hard_hs == 0.5",
        "hard_hs != -0.5",
        "hard_hs between 0.5 and 1",
        "hard_hs not between 0.6 and 1",
        "hard_hs in (1, 0.5)",
        "hard_hs NOT IN (1, 2)",
        "hard_hs is not null",
        "gamma is null",
        "not hard_hs < 0.5",
        "not (hard_hs < 0.5 or hard_hs > 0.5)",
        "not not hard_hs = 0.5",
        "gamma > 0 or hard_hs = 0.5 and obsid = 1575",
        "order_by = 1",
        "obsid in (1, 1575) and obsid > 1574.5",
        "obsid = 1.575e3",
        "instrument = 'ACIS'",
        'instrument in ("HRC", "ACIS")',
        "instrument != 'HRC'",
        "simulated = false",
        "simulated != TRUE",
        "(((hard_hs > 0.3)))",
        "hard_hs\n>\t0.3",
    ],
)
def test_expression_holds(expression):
    assert holds(
        expression, hard_hs=0.5, obsid=1575, instrument="ACIS", simulated=False, order_by=1
    )


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("observed_at = '2019-07-31'", True),
        ("observed_at <= '2019-07-31'", True),
        ("observed_at < '2019-07-31'", False),
        ("observed_at > '2019-07-31'", False),
        ("observed_at >= '2019-07-31'", True),
        ("observed_at > '2019-07-30'", True),
        ("observed_at between '2019-07-01' and '2019-07-31'", True),
        ("observed_at in ('2019-07-30', '2019-07-31')", True),
        ("observed_at != '2019-07-31'", False),
        ("observed_at > '2019-07-31T20:00:00'", True),
        ("observed_at > '2019-07-31T23:00:00Z'", False),
        ("observed_at > '2019-07-31T23:00:00+02:00'", True),
    ],
)
def test_date_without_time_is_the_whole_day_in_utc(expression, expected):
    assert holds(expression, observed_at="2019-07-31T22:30:00+00:00") is expected


@pytest.mark.parametrize(
    "expression",
    [
        "gamma > 2",
        "not gamma > 2",
        "gamma != 2",
        "not gamma = 2",
        "gamma not in (1, 2)",
        "not gamma between 1 and 2",
        "gamma > 2 and hard_hs = 0.5",
        "not (gamma > 2 and hard_hs = 0.5)",
        "gamma is not null",
        "not gamma is null",
    ],
)
def test_missing_value_makes_a_test_and_its_negation_fail(expression):
    assert not holds(expression, hard_hs=0.5)


@pytest.mark.parametrize(
    "expression",
    [
        "gamma != 2 or gamma is null",
        "gamma > 2 or hard_hs = 0.5",
        "not (gamma > 2 and hard_hs < 0)",
    ],
)
def test_missing_value_does_not_spoil_what_is_true_without_it(expression):
    assert holds(expression, hard_hs=0.5)


def test_field_with_several_values_matches_any_of_them():
    assert holds("instrument = 'ACIS'", instrument=["HRC", "ACIS"])
    assert not holds("instrument != 'ACIS'", instrument=["HRC", "ACIS"])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("class = 'AGN'", True),
        ("class = 'seyfert_1'", True),
        ("class in ('Star', \"Galaxy\")", True),
        ("class = 'Star'", False),
        ("class != 'AGN'", False),
        ("class != 'Star'", True),
        ("class not in ('Star', 'LXB')", True),
        ("not class = 'Star'", True),
        ("class is null", False),
        ("class is not null and class != 'QSO'", True),
    ],
)
def test_class_holds_for_what_is_below_it(expression, expected):
    assert holds(expression, class_path=["Galaxy", "AGN", "SyG", "Sy1"]) is expected


@pytest.mark.parametrize("operator", ["=", "!="])
def test_unknown_class_is_neither_this_nor_another(operator):
    assert not holds(f"class {operator} 'AGN'")
    assert holds("class is null")


@pytest.mark.parametrize(
    "cone",
    ["cone(10.68, -41.27, 5 arcmin)", "CONE ( 10.68,-41.27,5arcmin )", "cone(10.68,-41.27,5')"],
)
def test_cone_is_the_condition_of_its_circle(cone):
    expected = Cone(10.68, -41.27, 5 / 60).to_condition()
    assert parse_where(cone, FIELDS) == models.Filter(must=[expected])


def test_negated_cone_leaves_out_what_has_no_position():
    node = parse_where("not cone(10, 20, 1 deg)", FIELDS)
    assert node.must_not == [
        Cone(10, 20, 1).to_condition(),
        models.IsEmptyCondition(is_empty=models.PayloadField(key="ra_deg")),
    ]
    assert holds("position is null")
    assert holds("position is not null", ra_deg=1.0)


def test_cone_is_no_reserved_word():
    node = parse_where("cone > 1", {"cone": "number"})
    assert matches(node, models.PointStruct(id=1, vector={}, payload={"cone": 2}))


def test_cone_is_refused_where_nothing_has_a_position():
    with pytest.raises(InvalidQueryError, match="character 1: there is no field position"):
        parse_where("cone(10, 20, 1 deg)", {"year": "integer"})


ERRORS = [
    ("class = 'Seifert'", 9, "unknown source class 'Seifert'"),
    ("obsid = 1 and class in ('AGN', 'Sy')", 32, "unknown source class 'Sy'"),
    ("class = AGN", 9, "text in quotes"),
    ("class = 1", 9, "expected a source class in quotes, such as 'AGN', not 1"),
    ("class > 'AGN'", 9, "has no order: use =, != or in"),
    ("position = 1", 10, "a position is compared by cone(ra, dec, radius)"),
    ("cone(10, 20, 5)", 14, "expected a radius with its unit, such as 5 arcmin"),
    ("cone(10, 20, 5 parsec)", 14, "expected a radius with its unit"),
    ("cone(10, 20)", 12, "expected a comma"),
    ("cone(361, 20, 5 deg)", 1, "ra_deg of the cone is 361.0: give a number of degrees from 0"),
    ("cone(1, -91, 5 deg)", 1, "dec_deg of the cone is -91.0"),
    ("obsid = 1 or cone(1, 2, 0 deg)", 14, "radius_deg of the cone is 0.0"),
    ("cone(1, 2, 181 deg)", 1, "radius_deg of the cone is 181.0"),
    ("hard_hs >", 10, "expected one of: a number, text in quotes, true or false"),
    ("hard_hs > 0.3 adn obsid = 1", 15, "expected one of: and, or, the end"),
    ("hard_hs 0.3", 9, "expected one of: a comparison such as >=, between, in, is, not"),
    ("hard_hs > 1 )", 13, "expected"),
    ("(hard_hs > 1", 13, "a closing parenthesis"),
    ("hard_hs > 1 and", 16, "a field name"),
    ("2 > hard_hs", 1, "a field name"),
    ("hard_hs in ()", 13, "a number"),
    ("hard_hs > nan", 11, "a number"),
    ("hard_hs > inf", 11, "a number"),
    ("hard_hs > 1e999", 11, "too large"),
    ("hard_hs > -1e999", 11, "too large"),
    ("hard_hs > 0x10", 11, "expected"),
    ("instrument = ACIS", 14, "text in quotes"),
    ("instrument = 'ACIS", 14, "this quote is never closed"),
    ("hard_hs > 0.3 & obsid = 1", 15, "expected"),
    ("hard_hs > 1; drop", 12, "expected"),
    ("hardhs > 1", 1, "there is no field hardhs; did you mean hard_hs?"),
    ("hard_hs > 1 or zzzzzz = 1", 16, "there is no field zzzzzz; known: hard_hs, gamma"),
    ("hard_hs > 'x'", 11, "expected a number, not 'x'"),
    ("hard_hs = true", 11, "expected a number, not true"),
    ("obsid = 1.5", 9, "expected a whole number below 2^53, not 1.5"),
    ("obsid = 9007199254740993", 9, "expected a whole number below 2^53"),
    ("obsid = 'x'", 9, "expected a whole number, not 'x'"),
    ("instrument = 1", 14, "expected text in quotes, not 1"),
    ("instrument > 'A'", 14, "has no order: use =, != or in"),
    ("instrument between 'A' and 'B'", 20, "has no order"),
    ("simulated = 'yes'", 13, "expected true or false, not 'yes'"),
    ("simulated > false", 13, "has no order"),
    ("observed_at > 2019", 15, "expected a date in quotes"),
    ("observed_at > '2019'", 15, "is no date: write '2019-07-31'"),
    ("observed_at > '2019-02-30'", 15, "is no date"),
    ("observed_at > '9999-12-31T23:00:00-12:00'", 15, "is no date"),
]


UNITS = [
    ("exposure_s > 10 ks", 17, "stand without a unit, leave ks out: exposure_s is in s"),
    ("exposure_s > 10ks", 14, "leave ks out: exposure_s is in s"),
    ("bb_kt between 1 and 2 keV", 23, "leave keV out: bb_kt is in keV"),
    ("bb_kt in (1.5, 2e1 keV)", 20, "leave keV out: bb_kt is in keV"),
    ("hard_hs > 1 keV or bb_kt > 1", 13, "leave keV out: hard_hs has no unit"),
    ("powlaw_nh > 1 cm^-2", 15, "leave cm^-2 out: powlaw_nh is in 1e20 cm**-2"),
    ("hard_hs > 1 and cone(10 deg, 20, 5 deg)", 25, "expected a comma"),
]


@pytest.mark.parametrize(("expression", "character", "message"), ERRORS)
def test_error_says_what_is_wrong_and_points_at_the_place(expression, character, message):
    with pytest.raises(InvalidQueryError) as caught:
        parse_where(expression, FIELDS)
    told, shown, caret = str(caught.value).split("\n")
    assert told.startswith(f"--where, character {character}: ")
    assert message in told
    assert shown == f"  {expression}"
    assert caret == " " * (character + 1) + "^"


def test_error_shows_only_the_neighbourhood_of_a_far_place():
    expression = "hard_hs > 1 or " * 200 + "hardhs > 1 or\nhard_hs > 2 or " + "gamma > 1 or " * 99
    with pytest.raises(InvalidQueryError) as caught:
        parse_where(expression + "gamma > 1", FIELDS)
    told, shown, caret = str(caught.value).split("\n")
    assert told.startswith("--where, character 3001: there is no field hardhs")
    assert len(shown) < 110
    assert shown[len(caret) - 1 :].startswith("hardhs > 1 or hard_hs")


@pytest.mark.parametrize("name", ["A\u200bB", "A\0B", "A\ud800"])
def test_text_that_cannot_be_printed_is_refused(name):
    with pytest.raises(InvalidQueryError, match="character 14: this text holds characters"):
        parse_where(f"instrument = '{name}'", FIELDS)


@pytest.mark.parametrize("expression", ["", "  \n "])
def test_empty_expression_is_refused(expression):
    with pytest.raises(InvalidQueryError, match="is empty"):
        parse_where(expression, FIELDS)


def test_expression_of_100_000_characters_is_refused():
    with pytest.raises(InvalidQueryError, match="100,000 characters, at most 10,000"):
        parse_where("x" * 100_000, FIELDS)


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 5000 + ")" * 5000,
        "(" * (MAX_CHARACTERS - 1) + "x",
        "not " * 2400 + "gamma > 1",
        "gamma=1 or (gamma=2 and (" * 390 + "gamma=3" + "))" * 100,
        "gamma=1 or (gamma=2 and (" * 360 + "gamma=3" + "))" * 360,
        "hard_hs > 1 and " * 600 + "(",
    ],
)
def test_absurd_nesting_is_refused_without_a_crash(expression):
    with pytest.raises(InvalidQueryError):
        parse_where(expression, FIELDS)


def test_longest_expressions_that_make_sense_are_read():
    assert holds("(" * 4990 + "gamma = 1" + ")" * 4990, gamma=1)
    assert holds(" or ".join(f"obsid = {i}" for i in range(600)), obsid=599)
    assert holds("not " * MAX_DEPTH + "gamma = 1", gamma=1)


# Random expressions against a three-valued evaluator


def compared(name, operator, literal, value):
    """Return the text of a comparison and its truth for a payload: None is unknown."""

    def truth(payload):
        if payload.get(name) is None:
            return None
        stored = payload[name]
        return {
            "=": stored == value,
            "!=": stored != value,
            "<": stored < value,
            "<=": stored <= value,
            ">": stored > value,
            ">=": stored >= value,
        }[operator]

    return f"{name} {operator} {literal}", truth


def negation(truth):
    return None if truth is None else not truth


def conjunction(truths):
    return False if False in truths else None if None in truths else True


def joined(word, parts):
    def truth(payload):
        truths = [part(payload) for _, part in parts]
        if word == "and":
            return conjunction(truths)
        return negation(conjunction([negation(each) for each in truths]))

    return f" {word} ".join(f"({text})" for text, _ in parts), truth


NUMBERS = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0])
ORDERS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
EQUALITY = st.sampled_from(["=", "!="])
tests = st.one_of(
    st.tuples(st.sampled_from(["hard_hs", "gamma"]), ORDERS, NUMBERS).map(
        lambda t: compared(*t[:2], repr(t[2]), t[2])
    ),
    st.tuples(ORDERS, st.integers(-1, 3)).map(lambda t: compared("obsid", t[0], t[1], t[1])),
    st.tuples(EQUALITY, st.sampled_from(["ACIS", "HRC"])).map(
        lambda t: compared("instrument", t[0], repr(t[1]), t[1])
    ),
    st.tuples(EQUALITY, st.booleans()).map(
        lambda t: compared("simulated", t[0], str(t[1]).lower(), t[1])
    ),
    st.sampled_from(["hard_hs", "instrument", "obsid"]).map(
        lambda name: (f"{name} is null", lambda payload: payload.get(name) is None)
    ),
    st.sampled_from(["hard_hs", "simulated"]).map(
        lambda name: (f"{name} is not null", lambda payload: payload.get(name) is not None)
    ),
    st.tuples(NUMBERS, NUMBERS).map(
        lambda t: (
            f"gamma between {t[0]} and {t[1]}",
            lambda p: None if p.get("gamma") is None else t[0] <= p["gamma"] <= t[1],
        )
    ),
    st.lists(st.integers(-1, 3), min_size=1, max_size=3).map(
        lambda t: (
            f"obsid not in ({', '.join(map(str, t))})",
            lambda p: None if p.get("obsid") is None else p["obsid"] not in t,
        )
    ),
)
expressions = st.recursive(
    tests,
    lambda parts: st.one_of(
        parts.map(lambda part: (f"not ({part[0]})", lambda p: negation(part[1](p)))),
        st.lists(parts, min_size=1, max_size=3).map(lambda given: joined("and", given)),
        st.lists(parts, min_size=1, max_size=3).map(lambda given: joined("or", given)),
    ),
    max_leaves=8,
)
payloads = st.fixed_dictionaries(
    {},
    optional={
        "hard_hs": NUMBERS,
        "gamma": NUMBERS,
        "obsid": st.integers(-1, 3),
        "instrument": st.sampled_from(["ACIS", "HRC"]),
        "simulated": st.booleans(),
    },
)


@settings(max_examples=400)
@given(expression=expressions, many=st.lists(payloads, min_size=1, max_size=8))
def test_expression_means_what_sql_means(expression, many):
    text, truth = expression
    node = parse_where(text, FIELDS)
    for payload in many:
        point = models.PointStruct(id=1, vector={}, payload=payload)
        assert matches(node, point) is (truth(payload) is True), text


@settings(max_examples=300)
@given(text=st.text(alphabet="hard_s obid()'\"<>=!,.0-9eandortinullbw\n\té", max_size=60))
def test_any_text_is_read_or_refused_with_our_error(text):
    with suppress(InvalidQueryError):
        assert isinstance(parse_where(text, FIELDS), models.Filter)


@given(day=st.dates(date(1999, 1, 1), date(2100, 1, 1)), seconds=st.integers(0, 86_399))
def test_every_moment_of_a_day_equals_the_day(day, seconds):
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=seconds)
    assert holds(f"observed_at = '{day}'", observed_at=moment.isoformat())


@pytest.mark.parametrize(
    "expression", ["hard_hs > " + "1" * 9900 + "x", "cone(1, 2, " + "1" * 9900 + ")"]
)
def test_a_number_of_many_digits_is_refused_without_trying_every_way_to_read_it(expression):
    with pytest.raises(InvalidQueryError, match="expected"):
        parse_where(expression, FIELDS)


@pytest.mark.parametrize(("expression", "character", "message"), UNITS)
def test_unit_is_refused_with_the_unit_that_the_field_has(expression, character, message):
    with pytest.raises(InvalidQueryError) as caught:
        parse_where(expression, DETECTION_KINDS)
    assert f"character {character}: " in str(caught.value)
    assert message in str(caught.value)
