"""Two thousand made-up detections and two hundred papers, with the arrays to check answers by."""

from datetime import UTC, datetime
from uuid import UUID

import numpy as np
from fake_encoder import FakeEncoder
from qdrant_client import models
from small_store import paper_point

from common.records import Detection, Paper, Summary
from search.collections import schema
from search.service import SearchService
from search.store.embedded import EmbeddedStore

N = 2000
N_SOURCES = 700
N_PAPERS = 200
N_SAME = 40  # detections with one and the same vector: ties

CLASSES = (("Galaxy", "AGN"), ("Galaxy", "AGN", "QSO"), ("Star",), ("Star", "**", "XB*"))
INSTRUMENTS = ("ACIS", "EPN", "PN")
WORDS = (
    *("corona", "disc", "jet", "flare", "burst", "wind", "iron"),
    *("line", "nova", "halo", "merger", "shock", "dust", "cluster"),
)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


class SyntheticStore:
    """The store, its service, and the columns of what is in it."""

    def __init__(self, path, n=N, n_papers=N_PAPERS, seed=5):
        rng = np.random.default_rng(seed)
        self.encoder = FakeEncoder()
        width = self.encoder.shared_width
        self.vectors = unit(rng.normal(size=(n, width)))
        self.vectors[:N_SAME] = self.vectors[0]
        self.source = rng.integers(N_SOURCES, size=n)
        self.source_class = rng.integers(len(CLASSES), size=n)
        self.instrument = rng.integers(len(INSTRUMENTS), size=n)
        self.year = rng.integers(2000, 2020, size=n)
        self.ra_deg = rng.uniform(0, 360, n)
        self.dec_deg = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
        self.detections = [self._detection(row) for row in range(n)]
        self.ids = [detection.id for detection in self.detections]
        self.papers = [self._paper(number, rng) for number in range(n_papers)]
        self.store = EmbeddedStore(path)
        schema.open_collections(self.store, self.encoder)
        self.service = SearchService(self.store, self.encoder)
        self.add(range(n))
        self.store.upsert(schema.PAPERS, [paper_point(self.encoder, p) for p in self.papers])

    def name(self, row):
        return f"2CXO J{self.source[row]:06d}.0+000000"

    def question(self, seed):
        return unit(np.random.default_rng(seed).normal(size=self.encoder.shared_width))

    def add(self, rows):
        """Store detections, with the vectors that the columns have by now."""
        points = [self._point(self.detections[row], self.vectors[row]) for row in rows]
        self.store.upsert(schema.DETECTIONS, points)

    def add_new(self, identifier, vector):
        """Store a detection that is in no column."""
        payload = {"key": str(identifier), "has_spectrum": True, "simulated": True}
        self.store.upsert(schema.DETECTIONS, [_point(identifier, vector, payload)])

    def strip(self, rows):
        """Leave of detections what the catalogue says, as if their spectra never came."""
        points = []
        for row in rows:
            detection = self.detections[row]
            payload = schema.detection_payload(detection)
            points.append(models.PointStruct(id=str(detection.id), vector={}, payload=payload))
        self.store.upsert(schema.DETECTIONS, points)

    def _detection(self, row):
        return Detection(
            key=f"synthetic/{row}",
            telescope="CHANDRA",
            instrument=INSTRUMENTS[self.instrument[row]],
            obsid=row,
            source_name=self.name(row),
            source_class=CLASSES[self.source_class[row]],
            ra_deg=float(self.ra_deg[row]),
            dec_deg=float(self.dec_deg[row]),
            observed_at=datetime(self.year[row], 6, 1, tzinfo=UTC),
            variables={"hard_hs": float(np.sin(row))},
            simulated=True,
        )

    def _point(self, detection, vector):
        payload = schema.detection_payload(detection) | {"has_spectrum": True}
        return _point(detection.id, vector, payload)

    def _paper(self, number, rng):
        words = " ".join(rng.choice(WORDS, size=6, replace=False))
        text = f"We study {words}. Nothing else was seen."
        return Paper(
            bibcode=f"{2000 + number % 20}ApJ...{number:03d}....1A",
            title=f"Paper {number}",
            abstract=text,
            year=2000 + number % 20,
            authors=(f"Author {number % 7}",),
            journal=("ApJ", "A&A")[number % 2],
            source_names=tuple(self.name(row) for row in rng.integers(len(self.source), size=3)),
            summary=Summary(text, text, text, "given"),
            simulated=True,
        )


def _point(identifier, vector, payload):
    vectors = {schema.SHARED_SPECTRUM: np.asarray(vector).tolist()}
    return models.PointStruct(id=str(UUID(str(identifier))), vector=vectors, payload=payload)
