"""A store in a dictionary, for tests that need hundreds of them: no search, all the rest."""

import copy
import json

from qdrant_client import models
from qdrant_rest.filter_oracle import matches, values

from common.errors import NotFoundError


class MemoryStore:
    engine = "embedded"

    def __init__(self):
        self._collections = {}
        self._aliases = {}

    def copy(self):
        return copy.deepcopy(self)

    def create_collection(self, name, schema):
        self._collections.setdefault(name, {})

    def collections(self):
        return sorted(self._collections)

    def set_aliases(self, aliases):
        self._aliases |= aliases

    def set_alias(self, alias, collection):
        self._aliases[alias] = collection

    def resolve(self, alias):
        return self._aliases.get(alias)

    def upsert(self, collection, points):
        for point in points:
            payload = json.loads(json.dumps(point.payload))
            self._of(collection)[str(point.id)] = (dict(point.vector), payload)

    def set_payload(self, collection, payloads):
        own = self._of(collection)
        for point, fields in payloads.items():
            if str(point) in own:
                own[str(point)][1].update(json.loads(json.dumps(fields)))

    def delete_points(self, collection, ids):
        for point in ids:
            self._of(collection).pop(str(point), None)

    def retrieve(self, collection, ids, with_payload=True, with_vectors=False):
        own = self._of(collection)
        return [self._record(own, str(i), with_payload, with_vectors) for i in ids if str(i) in own]

    def scroll(
        self,
        collection,
        query_filter=None,
        limit=100,
        offset=None,
        with_payload=True,
        with_vectors=False,
    ):
        ids = [one for one in self._matching(collection, query_filter) if one >= (offset or "")]
        own = self._of(collection)
        page = [self._record(own, one, with_payload, with_vectors) for one in ids[:limit]]
        return page, ids[limit] if len(ids) > limit else None

    def count(self, collection, query_filter=None):
        return len(self._matching(collection, query_filter))

    def facet(self, collection, key, query_filter=None, limit=50):
        counts = {}
        for one in self._matching(collection, query_filter):
            for value in values(self._of(collection)[one][1], key):
                counts[value] = counts.get(value, 0) + 1
        return counts

    def close(self):
        pass

    def _of(self, collection):
        name = self._aliases.get(collection, collection)
        if name not in self._collections:
            raise NotFoundError(f"no collection {collection}")
        return self._collections[name]

    def _matching(self, collection, query_filter):
        return sorted(
            one
            for one, (vectors, payload) in self._of(collection).items()
            if query_filter is None
            or matches(query_filter, models.PointStruct(id=one, vector=vectors, payload=payload))
        )

    def _record(self, own, one, with_payload, with_vectors):
        vectors, payload = own[one]
        fields = [*payload] if with_payload is True else with_payload or []
        return models.Record(
            id=one,
            payload=copy.deepcopy({name: payload[name] for name in fields if name in payload}),
            vector=dict(vectors) if with_vectors else None,
        )
