"""Papers about X-ray sources: what is asked of papers by default, and what that leaves out.

A spectrum lies near texts about anything, so papers that are compared with spectra, and papers of a
region, are asked to be about X-ray sources unless the filter says otherwise. Questions in words and
papers compared among themselves are not: who asks for the weather shall find it.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from qdrant_client import models

from common.ports import MIN_TOPIC
from search.collections.schema import TOPIC_PROBABILITY
from search.filters.filters import DetectionFilter, PaperFilter

FilterT = TypeVar("FilterT", DetectionFilter | PaperFilter | None, PaperFilter | None)


def by_default(query_filter: FilterT) -> FilterT:
    """Return a filter that asks papers for their topic: the same one if it speaks of it itself."""
    given = PaperFilter() if query_filter is None else query_filter
    if not isinstance(given, PaperFilter) or _speaks_of_topic(given):
        return query_filter
    return given.model_copy(update={"min_topic": MIN_TOPIC})


def left_out(others: models.Filter | None) -> models.Filter:
    """Return the condition of what the default leaves out of all that the others allow."""
    below = models.FieldCondition(key=TOPIC_PROBABILITY, range=models.Range(lt=MIN_TOPIC))
    return models.Filter(must=[below, *([] if others is None else [others])])


def is_left_out(paper: Mapping[str, Any]) -> bool:
    """Return whether the default leaves a stored paper out; one of unknown topic stays."""
    return float(paper.get(TOPIC_PROBABILITY, 1.0)) < MIN_TOPIC


def _speaks_of_topic(given: PaperFilter) -> bool:
    named = TOPIC_PROBABILITY in (given.where or "").lower()
    return given.any_topic or given.min_topic is not None or named
