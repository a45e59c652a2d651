"""What a filter means, in a few lines of Python: the reference that engines are tested against."""

from datetime import UTC, datetime

from qdrant_client import models


def matches(node, point):
    """Return whether a PointStruct passes a filter or condition."""
    payload = point.payload
    match node:
        case models.Filter():
            minimum = node.min_should
            return (
                all(matches(part, point) for part in node.must or [])
                and (not node.should or any(matches(part, point) for part in node.should))
                and not any(matches(part, point) for part in node.must_not or [])
                and (
                    minimum is None
                    or sum(matches(c, point) for c in minimum.conditions) >= minimum.min_count
                )
            )
        case models.FieldCondition(match=None):
            return any(inside(value, node.range) for value in values(payload, node.key))
        case models.FieldCondition():
            return any(fits(value, node.match) for value in values(payload, node.key))
        case models.IsEmptyCondition():
            return not values(payload, node.is_empty.key)
        case models.HasIdCondition():
            return str(point.id) in map(str, node.has_id)
        case models.HasVectorCondition():
            return node.has_vector in point.vector
    raise AssertionError(node)


def values(payload, key):
    value = payload.get(key)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def fits(value, match):
    match match:
        case models.MatchValue():
            return type(value) is type(match.value) and value == match.value
        case models.MatchAny():
            return value in match.any
        case models.MatchExcept():
            return value not in match.except_
    raise AssertionError(match)


def inside(value, bounds):
    if isinstance(bounds, models.DatetimeRange):
        value = datetime.fromisoformat(value).astimezone(UTC)
    return (
        (bounds.gte is None or value >= bounds.gte)
        and (bounds.gt is None or value > bounds.gt)
        and (bounds.lte is None or value <= bounds.lte)
        and (bounds.lt is None or value < bounds.lt)
    )
