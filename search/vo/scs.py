"""IVOA Simple Cone Search 1.03: one row for each stored detection with a position.

References
----------
.. [1] Simple Cone Search 1.03, https://www.ivoa.net/documents/latest/ConeSearch.html, with errata
   1 to 3 (other INFOs beside an error; VOTable 1.2 and later; an error needs a RESOURCE).
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from common.errors import InputError, InvalidQueryError, NotFoundError, UnavailableError
from common.variables import VARIABLE_NAMES
from search.filters.cone import Cone
from search.rendering.columns import (
    DETECTION_COLUMNS,
    ID,
    SEPARATION,
    catalogue_columns,
    remarks_on,
    row_of,
)
from search.rendering.table import Column, Sheet
from search.rendering.votables import MEDIA_TYPE, error_votable, to_votable
from search.results import Hit
from search.service import SearchService
from search.services import Services

MAXREC = 10_000
"""Most rows of an answer, and how many there are where MAXREC is not given."""

OLD_UCDS = {"key": "ID_MAIN", "ra_deg": "POS_EQ_RA_MAIN", "dec_deg": "POS_EQ_DEC_MAIN"}
"""Cone Search wants these of UCD1; all other columns have UCD1+."""

_BARE = ("key", "ra_deg", "dec_deg", "separation_arcsec")
_USUAL = (
    *_BARE,
    "source_name",
    "release",
    "instrument",
    "obsid",
    "observed_at",
    "exposure_s",
    "counts",
    "class",
    "class_path",
    *VARIABLE_NAMES,
    "has_spectrum",
    "simulated",
)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_COUNT = re.compile(r"\+?\d{1,18}")

_VOTABLE = {MEDIA_TYPE: {"schema": {"type": "string"}}}

router = APIRouter(tags=["virtual observatory"])


@dataclass(frozen=True, slots=True)
class ConeQuestion:
    """What a Cone Search asks for; no cone where it wants metadata only."""

    cone: Cone | None
    maxrec: int
    verbosity: int


@router.get(
    "/vo/scs",
    response_class=Response,
    responses={
        200: {"description": "Rows, or what is wrong with the question.", "content": _VOTABLE},
        "4XX": {"description": "Who may not ask, or too often, and why.", "content": _VOTABLE},
        "5XX": {"description": "The store or the server does not answer.", "content": _VOTABLE},
    },
)
def search_cone(
    request: Request,
    ra: Annotated[
        str, Query(alias="RA", description="Right ascension, ICRS degrees.", examples=["10.68"])
    ] = "",
    dec: Annotated[
        str, Query(alias="DEC", description="Declination, ICRS degrees.", examples=["41.27"])
    ] = "",
    sr: Annotated[
        str,
        Query(alias="SR", description="Radius in degrees; 0: metadata only.", examples=["0.1"]),
    ] = "",
    verb: Annotated[str, Query(alias="VERB", description="1 few, 2 usual, 3 all columns.")] = "2",
    maxrec: Annotated[str, Query(alias="MAXREC", description="Most rows.")] = "",
) -> Response:
    """Answer an IVOA Simple Cone Search; names of parameters in any case, errors as VOTable."""
    services: Services = request.app.state.services
    try:
        question = read_question(request.query_params.multi_items())
        document = answer_cone(services.search, question)
    except InputError as exc:  # the standard wants 200 and an INFO that says what is wrong
        document = error_votable(str(exc))
    except NotFoundError as exc:  # a cone names nothing: the collections have gone
        raise UnavailableError(f"{exc}: its model was replaced, ask again in a moment") from exc
    return Response(document, media_type=MEDIA_TYPE)


def read_question(parameters: Iterable[tuple[str, str]]) -> ConeQuestion:
    """Return what is asked for; parameters that Cone Search does not know are left aside.

    Raises
    ------
    InvalidQueryError
        If RA, DEC or SR is missing, or a parameter is given twice or has no sensible value.
    """
    given: dict[str, str] = {}
    for name, value in parameters:
        if (known := name.upper()) in ("RA", "DEC", "SR", "VERB", "MAXREC"):
            if known in given:
                raise InvalidQueryError(f"{known} is given twice: give it once")
            given[known] = value.strip()
    ra_deg = _number(given, "RA", 0, 360)
    dec_deg = _number(given, "DEC", -90, 90)
    radius_deg = _number(given, "SR", 0, 180)
    if (verb := given.get("VERB") or "2") not in ("1", "2", "3"):
        raise InvalidQueryError(f"VERB is {verb[:40]!r}: give 1, 2 or 3")
    maxrec = given.get("MAXREC") or str(MAXREC)
    if not _COUNT.fullmatch(maxrec):
        raise InvalidQueryError(f"MAXREC is {maxrec[:40]!r}: give a whole number from 0 on")
    limit = min(int(maxrec), MAXREC)
    wanted = radius_deg > 0 and limit > 0
    return ConeQuestion(Cone(ra_deg, dec_deg, radius_deg) if wanted else None, limit, int(verb))


def _number(given: Mapping[str, str], name: str, low: float, high: float) -> float:
    if not (text := given.get(name, "")):
        raise InvalidQueryError(f"{name} is missing: give decimal degrees from {low} to {high}")
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not low <= value <= high:
        raise InvalidQueryError(
            f"{name} is {text[:40]!r}: give decimal degrees from {low} to {high}"
        )
    return value


def answer_cone(service: SearchService, question: ConeQuestion) -> str:
    """Return the VOTable of a cone, nearest detections first."""
    hits: list[Hit] = []
    truncated = False
    if question.cone:
        page = service.cone(question.cone, limit=question.maxrec)
        hits, truncated = list(page.hits), page.cursor is not None
    rows = [row_of(hit) for hit in hits]
    remarks = remarks_on(rows)
    if truncated:
        remarks["overflow"] = f"cut off at the {len(rows)} nearest, there are more in the cone"
    return to_votable(Sheet(_columns(hits, question.verbosity), rows, remarks))


def _columns(hits: Iterable[Hit], verbosity: int) -> list[Column]:
    columns = [SEPARATION, *DETECTION_COLUMNS]
    if verbosity == 3:
        columns += [replace(ID, ucd="meta.id"), *catalogue_columns(hits)]
    shown = {1: _BARE, 2: _USUAL}.get(verbosity)
    named = {column.name: column for column in columns}
    return [
        replace(named[name], ucd=OLD_UCDS.get(name, named[name].ucd)) for name in shown or named
    ]
