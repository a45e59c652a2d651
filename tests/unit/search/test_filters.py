import json
import math
from datetime import date

import pytest
from qdrant_client import models
from qdrant_rest.filter_oracle import matches
from small_store import AGN, SmallStore

from common.errors import InvalidQueryError
from common.records import Paper, Summary
from common.source_class import normalise
from common.variables import VARIABLE_NAMES
from search.collections.schema import DETECTION_FIELDS, DETECTIONS, PAPER_FIELDS, paper_payload
from search.filters.cone import Cone
from search.filters.filters import (
    DETECTION_KINDS,
    PAPER_KINDS,
    DetectionFilter,
    PaperFilter,
    explain,
    restriction,
)
from search.filters.where import PAYLOAD_KEYS


def passes(wanted, **payload):
    return matches(wanted.to_qdrant(), models.PointStruct(id=1, vector={}, payload=payload))


def of_class(name):
    return {"class_path": list(normalise(name))}


@pytest.mark.parametrize("wanted", [DetectionFilter(), PaperFilter()])
def test_filter_without_restrictions_is_none(wanted):
    assert wanted.to_qdrant() is None


@pytest.mark.parametrize("spelled", ["AGN", "agn"])
@pytest.mark.parametrize("kind", [DetectionFilter, PaperFilter])
def test_class_matches_itself_and_its_descendants(kind, spelled):
    wanted = kind(classes=(spelled,))
    assert passes(wanted, **of_class("AGN"))
    assert passes(wanted, **of_class("Sy1"))
    assert not passes(wanted, **of_class("Galaxy"))
    assert not passes(wanted, **of_class("Star"))
    assert not passes(wanted)


def test_several_classes_are_alternatives():
    wanted = DetectionFilter(classes=("Seyfert_1", "LMXB"))
    assert passes(wanted, **of_class("Sy1"))
    assert passes(wanted, **of_class("LXB"))
    assert not passes(wanted, **of_class("Sy2"))


def test_excluded_class_leaves_out_descendants_and_keeps_the_unknown():
    wanted = DetectionFilter(classes=("Galaxy",), exclude_classes=("AGN",))
    assert passes(wanted, **of_class("Galaxy"))
    assert not passes(wanted, **of_class("Sy1"))
    assert passes(DetectionFilter(exclude_classes=("AGN",)))


def test_unknown_class_is_refused():
    with pytest.raises(InvalidQueryError, match="Seifert"):
        DetectionFilter(classes=("Seifert",)).to_qdrant()


def test_all_restrictions_of_detections_hold_together():
    wanted = DetectionFilter(
        where="hard_hs > 0.3",
        obsid=(1575, 1618),
        instrument=("ACIS",),
        observed_from=date(2000, 1, 1),
        observed_to=date(2000, 1, 31),
    )
    good = {
        "hard_hs": 0.5,
        "obsid": 1618,
        "instrument": "ACIS",
        "observed_at": "2000-01-31T23:59:59+00:00",
    }
    assert passes(wanted, **good)
    for change in (
        {"hard_hs": 0.3},
        {"obsid": 1},
        {"instrument": "HRC"},
        {"observed_at": "2000-02-01T00:00:00+00:00"},
        {"observed_at": "1999-12-31T23:59:59+00:00"},
        {"observed_at": None},
    ):
        assert not passes(wanted, **good | change), change


def test_last_day_of_the_calendar_is_allowed():
    assert passes(DetectionFilter(observed_to=date.max), observed_at="2000-01-01T00:00:00Z")


def test_papers_are_restricted_by_year_and_where():
    wanted = PaperFilter(year_from=2000, year_to=2010, where="journal = 'ApJ'")
    assert passes(wanted, year=2000, journal="ApJ")
    assert passes(wanted, year=2010, journal="ApJ")
    assert not passes(wanted, year=2011, journal="ApJ")
    assert not passes(wanted, year=2005, journal="MNRAS")
    assert not passes(wanted, journal="ApJ")


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (DetectionFilter, {"instrumnt": ["ACIS"]}, "no 'instrumnt'; there are: instrument"),
        (DetectionFilter, {"radius": 3}, "no 'radius'; there are: classes, exclude_classes"),
        (DetectionFilter, {"obsid": ["x"]}, "obsid (0): Input should be a valid integer"),
        (DetectionFilter, {"obsid": [-1]}, "obsid (0): Input should be greater than or equal to 0"),
        (DetectionFilter, {"obsid": [2**64]}, "obsid (0): Input should be less than"),
        (DetectionFilter, {"obsid": range(1001)}, "obsid: Tuple should have at most 1000"),
        (DetectionFilter, {"classes": "AGN"}, "classes: Input should be a valid tuple"),
        (DetectionFilter, {"source_name": ["a\0b"]}, "source_name (0): Value error, it holds char"),
        (DetectionFilter, {"source_name": ["x" * 501]}, "at most 500 characters"),
        (DetectionFilter, {"observed_from": "31.7.2019"}, "observed_from: Input should be a valid"),
        (DetectionFilter, {"ranges": {"hard_hs": (0, "x")}}, "ranges (hard_hs, 1): Input should"),
        (DetectionFilter, {"cone": "10 20 5"}, "has no unit"),
        (DetectionFilter, {"cone": {"ra_deg": 1, "dec_deg": 91, "radius_deg": 1}}, "dec_deg of"),
        (PaperFilter, {"year_from": -1}, "year_from: Input should be greater than or equal to 0"),
        (PaperFilter, {"cone": "10 20 5deg"}, "a filter has no 'cone'"),
    ],
)
def test_what_is_no_filter_is_refused_by_the_name_of_the_field(kind, given, message):
    with pytest.raises(InvalidQueryError) as caught:
        kind.model_validate(given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ranges": {"hardhs": (0, 1)}}, "ranges: there is no field hardhs; did you mean hard_hs"),
        ({"ranges": {"instrument": (0, 1)}}, "ranges: instrument does not hold numbers"),
        ({"ranges": {"hard_hs": (1, 0)}}, "the low end of hard_hs, 1.0 is beyond its high end"),
        ({"ranges": {"hard_hs": (math.nan, 1)}}, "ranges: an end of hard_hs is nan"),
        ({"ranges": {"hard_hs": (0, math.inf)}}, "ranges: an end of hard_hs is inf"),
        ({"ranges": {"hard_hs": (None, None)}}, "hard_hs has neither a low nor a high end"),
        ({"has": ["bb_k"]}, "has: there is no field bb_k; did you mean bb_kt"),
        ({"lacks": ["'; drop"]}, "lacks: there is no field '; drop"),
        ({"has": ["bb_kt"], "lacks": ["bb_kt"]}, "has and lacks both name bb_kt"),
        ({"observed_from": date(2002, 1, 1), "observed_to": date(2001, 1, 1)}, "exchange the two"),
    ],
)
def test_restriction_that_makes_no_sense_is_refused_with_the_cure(given, message):
    with pytest.raises(InvalidQueryError) as caught:
        DetectionFilter.model_validate(given).to_qdrant()
    assert message in str(caught.value)


def test_ranges_include_their_ends_and_leave_out_the_unknown():
    wanted = DetectionFilter(ranges={"hard_hs": (0.3, 0.8), "counts": (100, None)})
    assert passes(wanted, hard_hs=0.3, counts=100)
    assert passes(wanted, hard_hs=0.8, counts=1e6)
    assert not passes(wanted, hard_hs=0.81, counts=100)
    assert not passes(wanted, hard_hs=0.5, counts=99)
    assert not passes(wanted, hard_hs=0.5)


def test_presence_asks_whether_there_is_a_value():
    wanted = DetectionFilter(has=("bb_kt", "class"), lacks=("powlaw_gamma", "position"))
    good = {"bb_kt": 1.0, "class_path": ["Star"]}
    assert passes(wanted, **good)
    assert not passes(wanted, **good | {"class_path": None})
    assert not passes(wanted, **good | {"powlaw_gamma": 2.0})
    assert not passes(wanted, **good | {"ra_deg": 2.0, "dec_deg": 3.0})


@pytest.mark.parametrize("asked", ["Müller", "muller", "MÜLLER, J.", "müller,  j."])
@pytest.mark.parametrize("spelled", [{"author": ("{}",)}, {"where": "author = '{}'"}])
def test_an_author_is_found_by_surname_or_full_name_however_it_is_written(asked, spelled):
    paper = Paper("2004A&A...426...11P", "t", "a", authors=("Smith, K.", "Müller, J."))
    payload = paper_payload(paper, Summary("n", "x", "i", "given"))
    wanted = PaperFilter.model_validate(
        {
            name: value.format(asked) if isinstance(value, str) else (asked,)
            for name, value in spelled.items()
        }
    )
    assert passes(wanted, **payload)
    assert not passes(PaperFilter(author=("Mull",)), **payload)


def test_papers_are_restricted_by_author_source_and_any_of_their_bibcodes():
    wanted = PaperFilter(
        author=("Smith, J.",), source=("2CXO J1",), bibcode=("new", "x"), exclude_classes=("Star",)
    )
    good = {
        "author_names": ["a", "smith", "smith, j."],
        "source_names": ["2CXO J1"],
        "bibcode": "new",
    }
    assert passes(wanted, **good)
    assert passes(wanted, **good | {"bibcode": "y", "alternate_bibcodes": ["x"]})
    assert not passes(wanted, **good | {"bibcode": "y"})
    assert not passes(wanted, **good | {"author_names": ["a"]})
    assert not passes(wanted, **good | {"source_names": ["2CXO J2"]})
    assert not passes(wanted, **good | of_class("LXB"))


def test_cone_is_read_from_text_and_numbers_alike():
    numbers = {"ra_deg": 10.68, "dec_deg": 41.27, "radius_deg": 0.5}
    from_text = DetectionFilter(cone="10.68 41.27 30arcmin")
    assert from_text == DetectionFilter(cone=numbers) == DetectionFilter(cone=Cone(**numbers))
    assert DetectionFilter.model_validate_json(from_text.model_dump_json()) == from_text


def test_restriction_and_explanation_hold_the_exact_members_of_a_cone(tmp_path):
    with SmallStore(tmp_path / "store").store as store:
        wanted = DetectionFilter(cone="10.679 41.262 1arcsec", where="class = 'AGN'")
        condition = restriction(wanted, store)
        found, _ = store.scroll(DETECTIONS, condition)
        told = explain(wanted, store)
        assert restriction(DetectionFilter(), store) is None
        assert restriction(None, store) is None
    assert [point.id for point in found] == [str(AGN.id)]
    assert told["asked"]["cone"]["ra_deg"] == 10.679
    assert told["where"] == {"must": [{"key": "class_path", "match": {"value": "AGN"}}]}
    assert "geo_radius" in json.dumps(told["filter"])
    assert "geo_radius" not in json.dumps(told["engine_filter"])
    assert models.Filter.model_validate(told["engine_filter"]) == condition


def test_where_knows_the_variables_but_not_their_limits():
    assert set(VARIABLE_NAMES) <= set(DETECTION_KINDS)
    with pytest.raises(InvalidQueryError, match="hard_hs_lolim"):
        DetectionFilter(where="hard_hs_lolim > 0").to_qdrant()


def test_every_field_of_a_where_has_an_index_of_its_kind():
    index = {
        "number": models.PayloadSchemaType.FLOAT,
        "integer": models.PayloadSchemaType.INTEGER,
        "text": models.PayloadSchemaType.KEYWORD,
        "date": models.PayloadSchemaType.DATETIME,
        "flag": models.PayloadSchemaType.BOOL,
        "class": models.PayloadSchemaType.KEYWORD,
        "person": models.PayloadSchemaType.KEYWORD,
        "position": models.PayloadSchemaType.FLOAT,
    }
    for kinds, fields in ((DETECTION_KINDS, DETECTION_FIELDS), (PAPER_KINDS, PAPER_FIELDS)):
        assert {name: index[kind] for name, kind in kinds.items()} == {
            name: fields.get(PAYLOAD_KEYS.get(name, name)) for name in kinds
        }
