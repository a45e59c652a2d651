"""A store in a dictionary, for tests that need hundreds of them: no search, all the rest."""

import copy
import json

from qdrant_client import models
from qdrant_rest.filter_oracle import matches, values

from common.errors import NotFoundError
from search.store.base import Written
from search.store.revisions import GENERATION, REVISION, Stamp, by_text, held


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
        mark = Stamp().fields()
        for point in points:
            payload = json.loads(json.dumps(point.payload)) | mark
            self._of(collection)[str(point.id)] = (dict(point.vector), payload)

    def set_payload(self, collection, payloads):
        own, mark = self._of(collection), Stamp().fields()
        for point, fields in payloads.items():
            if str(point) in own:
                own[str(point)][1].update(json.loads(json.dumps(fields)) | mark)

    def read(self, collection, ids, with_vectors=False):
        own = self._of(collection)
        found = [
            self._record(own, str(one), [*own[str(one)][1]], with_vectors)
            for one in ids
            if str(one) in own
        ]
        return {str(record.id): held(record) for record in found}

    def replicas(self, collection):
        return 1

    def apart(self, collection, ids):
        return set()

    def write(self, collection, points, revisions):
        lost = self._changed(collection, [point.id for point in points], revisions)
        self.upsert(collection, [point for point in points if str(point.id) not in lost])
        return self._written(collection, [point.id for point in points], lost)

    def write_payload(self, collection, payloads, revisions):
        lost = self._changed(collection, [*payloads], revisions)
        lost |= {str(one) for one in payloads} - self._of(collection).keys()
        self.set_payload(collection, {p: f for p, f in payloads.items() if str(p) not in lost})
        return self._written(collection, [*payloads], lost)

    def _changed(self, collection, ids, revisions):
        known, own = by_text(revisions), self._of(collection)
        now = {one: payload.get(REVISION) for one, (_, payload) in own.items()}
        return {
            str(one)
            for one in ids
            if (str(one) in now) != (str(one) in known) or now.get(str(one)) != known.get(str(one))
        }

    def _written(self, collection, ids, lost):
        own = self._of(collection)
        now = {str(one): own[str(one)][1][REVISION] for one in ids if str(one) not in lost}
        return Written(now, frozenset(lost))

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
        shown = [name for name in payload if name not in (REVISION, GENERATION)]
        fields = shown if with_payload is True else with_payload or []
        return models.Record(
            id=one,
            payload=copy.deepcopy({name: payload[name] for name in fields if name in payload}),
            vector=dict(vectors) if with_vectors else None,
        )
