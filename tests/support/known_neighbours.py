"""An embedded store of random detections with all vectors, and a calibration for it."""

import numpy as np
from fake_encoder import FakeEncoder
from qdrant_client import models

from common.calibration import Calibration, ClassRule, Origin, RuleSet, VariableRule
from common.records import point_id
from search.collections import schema
from search.results import Subject
from search.store.embedded import EmbeddedStore

N = 2000
PATHS = ((), ("Star", "CV*"), ("Galaxy", "AGN", "SyG"), ("Galaxy", "AGN"))


class KnownNeighbours:
    """Two detections of each source; a third has no apec_z, none has bb_kt."""

    def __init__(self, path):
        rng = np.random.default_rng(5)
        self.source = np.arange(N) // 2
        shared = FakeEncoder.shared_width
        widths = {"spectrum": FakeEncoder.spectrum_width, "text": FakeEncoder.text_width,
                  "shared_spectrum": shared, "shared_text": shared}  # fmt: skip
        self.vectors = {name: _unit(rng.normal(size=(N, d))) for name, d in widths.items()}
        both = np.hstack([self.vectors["shared_spectrum"], self.vectors["shared_text"]])
        self.vectors["both"] = (both / np.sqrt(2)).astype(np.float32)
        apec_z = np.where(np.arange(N) % 3, rng.exponential(1, N), np.nan)
        self.variables = {"hard_hs": rng.uniform(-1, 1, N), "apec_z": apec_z}
        self.paths = [PATHS[i] for i in rng.integers(0, len(PATHS), N)]
        self.store = EmbeddedStore(path)
        schema.open_collections(self.store, FakeEncoder())
        self.store.upsert(schema.DETECTIONS, [self._point(row) for row in range(N)])

    def payload(self, row):
        values = {name: x[row] for name, x in self.variables.items() if np.isfinite(x[row])}
        known = {"class_path": list(self.paths[row])} if self.paths[row] else {}
        return {"key": f"file/{row}", "source_name": f"source {self.source[row]}"} | values | known

    def subject(self, row, *names):
        """Return a stored detection; with names of vectors, only those."""
        return Subject(
            name=f"source {self.source[row]}",
            vectors={name: self.vectors[name][row] for name in names or self.vectors},
            payload=self.payload(row),
            excluded=(
                models.FieldCondition(
                    key="source_name",
                    match=models.MatchValue(value=f"source {self.source[row]}"),
                ),
            ),
        )

    def _point(self, row):
        return models.PointStruct(
            id=str(point_id("detection", f"file/{row}")),
            vector={name: x[row].tolist() for name, x in self.vectors.items()},
            payload=self.payload(row),
        )


ORIGIN = Origin(
    made_from="validation split of the test", simulated=True, n_detections=200, n_sources=100
)
OF_ORIGIN = {"made_from": ORIGIN.made_from, "simulated": True}


def rules(**changes):
    rule = OF_ORIGIN | {
        "representations": ("spectrum", "shared_spectrum"),
        "k": 5,
        "average": "median",
        "expert": "spectrum",
        "smallest_spread": 0.01,
        "interval": {"68": (-1.0, 1.5), "90": (-90.0, 90.0)},
        "coverage": {"68": 0.68, "90": 0.9},
        "width": {"68": 0.5, "90": 0.9},
        "n": 200,
    }
    classes = ClassRule(
        **OF_ORIGIN, representation="spectrum", k=20, share=(0.0, 1.0), probability=(0.1, 0.6),
        error_before=0.1, error_after=0.02, n=200,
    )  # fmt: skip
    given = {"near": tuple(np.linspace(0, 1.5, 11)), "near_k": 10, "classes": classes}
    variables = {name: VariableRule(**rule) for name in ("hard_hs", "apec_z")}
    return RuleSet(**({"variables": variables} | given | changes))


def calibration(**changes):
    return Calibration(
        model_id="fake0", origins=(ORIGIN,), with_text=None, spectrum_only=rules(**changes),
    )  # fmt: skip


def _unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
