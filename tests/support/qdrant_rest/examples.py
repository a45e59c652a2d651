"""A small schema, and points and filters for it, in few words."""

from qdrant_client import models

from search.store.base import CollectionSchema, VectorField

KIND = models.PayloadSchemaType
INDEXES = {
    "class_path": KIND.KEYWORD,
    "obsid": KIND.INTEGER,
    "hard_hs": KIND.FLOAT,
    "observed_at": KIND.DATETIME,
    "simulated": KIND.BOOL,
    "location": KIND.GEO,
}
VECTORS = {"own": VectorField(3), "wide": VectorField(6, on_disk=True)}
SCHEMA = CollectionSchema(VECTORS)  # an index takes some 20 ms to create: most tests need none


def point(identifier, payload=None, **vectors):
    return models.PointStruct(id=identifier, vector=vectors, payload=payload or {})


def field(key, **condition):
    return models.Filter(must=[models.FieldCondition(key=key, **condition)])


def ids(points):
    return [found.id for found in points]
