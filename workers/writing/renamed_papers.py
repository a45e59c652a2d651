"""Papers whose bibcode has changed: their point moves, and detections follow.

A preprint's bibcode becomes the journal's, and the archive lists the former one as an alternate.
The vectors do not change, so they are moved and not made again. Detections are changed before the
former point goes, so that a kill in between leaves what the next run finds and completes.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from qdrant_client import models

from common.records import Outcome, Paper, point_id
from search.collections import schema
from search.collections.schema import DETECTIONS, PAPERS, NamedVectors, Payload, collection_of
from search.store.base import PointId, Store
from search.store.revisions import revisions_of
from search.store.scroll import scroll_all


class BibcodeRenames:
    """What a batch of papers says about bibcodes.

    Attributes
    ----------
    current : list of Paper
        Those that are still called so.
    superseded : list of Outcome
        Of those that are stored by a newer bibcode.
    payloads, vectors : dict
        What is stored of papers under a former bibcode, by their present id.
    """

    def __init__(self, store: Store, model_id: str, papers: Sequence[Paper]) -> None:
        self._store = store
        self._papers = collection_of(PAPERS, model_id)
        self._detections = collection_of(DETECTIONS, model_id)
        newer = self._newer(papers)
        self.current = [paper for paper in papers if paper.bibcode not in newer]
        self.superseded = [
            Outcome(p.bibcode, "unchanged", newer[p.bibcode], (f"now {newer[p.bibcode]}",))
            for p in papers
            if p.bibcode in newer
        ]
        self._former = {
            point_id("paper", former): paper
            for paper in self.current
            for former in paper.alternate_bibcodes
            if former != paper.bibcode
        }
        records = (
            store.retrieve(self._papers, [*self._former], with_vectors=True) if self._former else []
        )
        self._moved = {UUID(str(record.id)): record for record in records}
        known = self._known([paper.id for paper in self.current]) if self._moved else set()
        self.payloads: dict[UUID, Payload] = {}
        self.vectors: dict[UUID, NamedVectors] = {}
        for former, record in self._moved.items():
            paper = self._former[former]
            if paper.id not in known:
                self.payloads[paper.id] = record.payload or {}
                self.vectors[paper.id] = schema.named_vectors(record)

    def finish(self) -> dict[str, set[UUID]]:
        """Let detections follow and remove former points, once the present ones are stored.

        Returns the points touched, by kind.
        """
        if not self._moved:
            return {DETECTIONS: set(), PAPERS: set()}
        renamed = {
            (self._moved[former].payload or {})["bibcode"]: self._former[former].bibcode
            for former in self._moved
        }
        detections = self._rename(renamed)
        self._store.delete_points(self._papers, [*self._moved])
        return {DETECTIONS: detections, PAPERS: {*self._moved}}

    def _newer(self, papers: Sequence[Paper]) -> dict[str, str]:
        """Return the present bibcode of those papers that have another by now."""
        own = {paper.bibcode: {*paper.alternate_bibcodes} for paper in papers}
        stored = models.Filter(must=[_any_of("alternate_bibcodes", [*own])])
        fields = ["bibcode", "alternate_bibcodes"]
        pairs = [(former, paper.bibcode) for paper in papers for former in paper.alternate_bibcodes]
        for record in scroll_all(self._store, self._papers, stored, fields):
            payload = record.payload or {}
            pairs += [(former, payload["bibcode"]) for former in payload["alternate_bibcodes"]]
        return {
            former: present
            for former, present in pairs
            if former in own and former != present and present not in own[former]
        }

    def _known(self, ids: Sequence[UUID]) -> set[UUID]:
        return {UUID(str(record.id)) for record in self._store.retrieve(self._papers, ids, False)}

    def _rename(self, renamed: dict[str, str]) -> set[UUID]:
        condition = models.Filter(must=[_any_of("bibcodes", [*renamed])])
        about = [record.id for record in scroll_all(self._store, self._detections, condition, [])]
        pending: list[PointId] = [*about]
        while pending:  # whoever changes a detection meanwhile has come to an end himself
            held = self._store.read(self._detections, pending).values()
            changes: dict[PointId, Any] = {
                one.id: {"bibcodes": [*dict.fromkeys(renamed.get(b, b) for b in own)]}
                for one in held
                if not renamed.keys().isdisjoint(own := one.payload.get("bibcodes", ()))
            }
            if not changes:
                break
            revisions = revisions_of(held)
            pending = [*self._store.write_payload(self._detections, changes, revisions).lost]
        return {UUID(str(point)) for point in about}


def _any_of(field: str, values: list[str]) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchAny(any=values))
