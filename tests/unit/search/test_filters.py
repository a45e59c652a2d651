from datetime import date

import pytest
from pydantic import ValidationError
from qdrant_client import models
from qdrant_rest.filter_oracle import matches

from common.errors import InvalidQueryError
from common.source_class import normalise
from common.variables import VARIABLE_NAMES
from search.filters import DETECTION_KINDS, PAPER_KINDS, DetectionFilter, PaperFilter
from search.schema import DETECTION_FIELDS, PAPER_FIELDS


def passes(restriction, **payload):
    return matches(restriction.to_qdrant(), models.PointStruct(id=1, vector={}, payload=payload))


def of_class(name):
    return {"class_path": list(normalise(name))}


@pytest.mark.parametrize("restriction", [DetectionFilter(), PaperFilter()])
def test_filter_without_restrictions_is_none(restriction):
    assert restriction.to_qdrant() is None


@pytest.mark.parametrize("spelled", ["AGN", "agn"])
@pytest.mark.parametrize("kind", [DetectionFilter, PaperFilter])
def test_class_matches_itself_and_its_descendants(kind, spelled):
    restriction = kind(classes=(spelled,))
    assert passes(restriction, **of_class("AGN"))
    assert passes(restriction, **of_class("Sy1"))
    assert not passes(restriction, **of_class("Galaxy"))
    assert not passes(restriction, **of_class("Star"))
    assert not passes(restriction)


def test_several_classes_are_alternatives():
    restriction = DetectionFilter(classes=("Seyfert_1", "LMXB"))
    assert passes(restriction, **of_class("Sy1"))
    assert passes(restriction, **of_class("LXB"))
    assert not passes(restriction, **of_class("Sy2"))


def test_excluded_class_leaves_out_descendants_and_keeps_the_unknown():
    restriction = DetectionFilter(classes=("Galaxy",), exclude_classes=("AGN",))
    assert passes(restriction, **of_class("Galaxy"))
    assert not passes(restriction, **of_class("Sy1"))
    assert passes(DetectionFilter(exclude_classes=("AGN",)))


def test_unknown_class_is_refused():
    with pytest.raises(InvalidQueryError, match="Seifert"):
        DetectionFilter(classes=("Seifert",)).to_qdrant()


def test_all_restrictions_of_detections_hold_together():
    restriction = DetectionFilter(
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
    assert passes(restriction, **good)
    for change in (
        {"hard_hs": 0.3},
        {"obsid": 1},
        {"instrument": "HRC"},
        {"observed_at": "2000-02-01T00:00:00+00:00"},
        {"observed_at": "1999-12-31T23:59:59+00:00"},
        {"observed_at": None},
    ):
        assert not passes(restriction, **good | change), change


def test_last_day_of_the_calendar_is_allowed():
    assert passes(DetectionFilter(observed_to=date.max), observed_at="2000-01-01T00:00:00Z")


def test_papers_are_restricted_by_year_and_where():
    restriction = PaperFilter(year_from=2000, year_to=2010, where="journal = 'ApJ'")
    assert passes(restriction, year=2000, journal="ApJ")
    assert passes(restriction, year=2010, journal="ApJ")
    assert not passes(restriction, year=2011, journal="ApJ")
    assert not passes(restriction, year=2005, journal="MNRAS")
    assert not passes(restriction, journal="ApJ")


def test_unknown_restriction_is_refused():
    with pytest.raises(ValidationError):
        DetectionFilter(radius=3)


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
    }
    for kinds, fields in ((DETECTION_KINDS, DETECTION_FIELDS), (PAPER_KINDS, PAPER_FIELDS)):
        assert {name: index[kind] for name, kind in kinds.items()} == {
            name: fields.get(name) for name in kinds
        }
