"""What comes back over HTTP as JSON: what `search.rendering.json_documents` builds, described."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

_HIT = {
    "id": "0f2a6b1e-5b0c-5d5a-8a2e-3f8f6a1f0c11",
    "score": 0.82,
    "compared": "shared_spectrum",
    "cosine": 0.82,
    "keyword_score": None,
    "highlights": [],
    "separation_arcsec": None,
    "n_detections": None,
    "payload": {"key": "csc2.0/1575/1/475", "hard_hs": 0.41, "simulated": False},
}
_NEIGHBOUR = {
    "id": "0f2a6b1e-5b0c-5d5a-8a2e-3f8f6a1f0c11",
    "name": "2CXO J004242.9+411543",
    "distance": 0.31,
    "value": 1.9,
    "source_class": ["Galaxy", "AGN"],
}


def _example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"example": example})


class Stored(BaseModel):
    """A detection or a paper as it is stored."""

    model_config = _example({"id": _HIT["id"], "payload": _HIT["payload"]})

    id: UUID
    payload: dict[str, Any]


class Answer(Stored):
    """One answer; what does not apply is null."""

    model_config = _example(_HIT)

    score: float | None = Field(description="Higher is better; null when not ranked.")
    compared: str | None = Field(description="Named vectors compared, joined by +.")
    cosine: float | None = Field(description="Cosine similarity of the dense vector.")
    keyword_score: float | None = Field(description="BM25, of papers found by keywords.")
    highlights: list[str] = Field(description="Sentences that fit best, best first.")
    separation_arcsec: float | None = Field(description="From the centre of the cone.")
    n_detections: int | None = Field(description="Detections of this source, when grouped.")


class Answers(BaseModel):
    """One page of answers, best first."""

    model_config = _example({"answers": [_HIT], "cursor": None, "off_topic": 0})

    answers: list[Answer]
    cursor: str | None = Field(description="Where the next page begins; null: there is none.")
    off_topic: int = Field(
        description="Papers that would fit and are left out as not about X-ray sources, counted "
        "for regions and where a page is not full; `any_topic` shows them."
    )


class Batch(BaseModel):
    """One page for each question, in their order."""

    model_config = _example({"pages": [{"answers": [_HIT], "cursor": None, "off_topic": 0}]})

    pages: list[Answers]


class NeighbourAnswer(BaseModel):
    """A detection behind an estimate or a vote."""

    model_config = _example(_NEIGHBOUR)

    id: UUID
    name: str
    distance: float
    value: float | None
    source_class: list[str]


class EstimateAnswer(BaseModel):
    """A variable with its 68% and 90% intervals; null where it cannot be told."""

    model_config = ConfigDict(extra="forbid")

    value: float | None
    unit: str
    low_68: float | None
    high_68: float | None
    low_90: float | None
    high_90: float | None
    stored: float | None = Field(description="The catalogue's value, which took no part.")
    calibrated_on: str | None = Field(description="What the intervals were calibrated on.")
    interval_simulated: bool | None = Field(
        description="Whether that was simulated values; null without intervals."
    )
    representations: list[str]
    k: int
    weighting: str
    neighbours: list[NeighbourAnswer]


class EstimatesAnswer(BaseModel):
    """All that was estimated of one spectrum."""

    model_config = _example(
        {
            "name": "csc2.0/1575/1/475",
            "estimates": {
                "powlaw_gamma": {
                    "value": 1.9,
                    "unit": "",
                    "low_68": 1.5,
                    "high_68": 2.2,
                    "low_90": 1.1,
                    "high_90": 2.6,
                    "stored": 1.8,
                    "calibrated_on": "csc20, cross-validated by source: 1,556 observed detections",
                    "interval_simulated": False,
                    "representations": ["both"],
                    "k": 3,
                    "weighting": "mean",
                    "neighbours": [],
                }
            },
            "outside": False,
            "nearness": 0.6,
            "calibrated_on": "1,719 detections of the validation split",
            "notes": [],
        }
    )

    name: str
    estimates: dict[str, EstimateAnswer]
    outside: bool = Field(description="Whether it lies outside what the store knows.")
    nearness: float | None
    calibrated_on: str | None
    notes: list[str]


class ProbabilityAnswer(BaseModel):
    """How probable a class is."""

    model_config = ConfigDict(extra="forbid")

    path: list[str]
    probability: float
    vote: float


class ClassificationAnswer(BaseModel):
    """The vote of neighbours at every level of the class path, most general first."""

    model_config = _example(
        {
            "name": "csc2.0/1575/1/475",
            "levels": [[{"path": ["Galaxy"], "probability": 0.9, "vote": 0.8}]],
            "neighbours": [],
            "stored": ["Galaxy", "AGN"],
            "outside": False,
            "calibrated_on": None,
            "notes": [],
        }
    )

    name: str
    levels: list[list[ProbabilityAnswer]]
    neighbours: list[NeighbourAnswer]
    stored: list[str]
    outside: bool
    calibrated_on: str | None
    notes: list[str]


class DeviationAnswer(BaseModel):
    """A variable in which a detection differs from its neighbours."""

    model_config = ConfigDict(extra="forbid")

    variable: str
    value: float
    neighbours_median: float
    deviation: float


class CheckAnswer(BaseModel):
    """A physics check; null where what it needs is not known."""

    model_config = ConfigDict(extra="forbid")

    name: str
    passed: bool | None
    detail: str


class OutlierAnswer(BaseModel):
    """A detection unlike the others."""

    model_config = ConfigDict(extra="forbid")

    rank: int
    rank_in_class: int
    verdict: Literal["likely artefact", "likely object", "undecided"]
    deviations: list[DeviationAnswer]
    checks: list[CheckAnswer]
    hit: Answer


class OutliersAnswer(BaseModel):
    """Outliers, most anomalous first."""

    model_config = _example(
        {
            "outliers": [
                {
                    "rank": 1,
                    "rank_in_class": 1,
                    "verdict": "likely artefact",
                    "deviations": [],
                    "checks": [{"name": "pile-up", "passed": False, "detail": "0.9 ct per frame"}],
                    "hit": _HIT,
                }
            ],
            "n_scored": 11447,
            "representation": "both",
            "notes": [],
        }
    )

    outliers: list[OutlierAnswer]
    n_scored: int
    representation: str
    notes: list[str]


class StatementAnswer(BaseModel):
    """A sentence and the labels of the references behind it."""

    model_config = ConfigDict(extra="forbid")

    text: str
    references: list[str]


class ReferenceAnswer(BaseModel):
    """Evidence behind a statement."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["measured", "estimate", "class", "neighbour", "paper", "check"]
    label: str
    text: str
    identifier: str | None


class DescriptionAnswer(BaseModel):
    """A characterisation in plain language."""

    model_config = _example(
        {
            "name": "csc2.0/1575/1/475",
            "text": "Most probably a galaxy [1].",
            "statements": [{"text": "Most probably a galaxy [1].", "references": ["[1]"]}],
            "references": [
                {"kind": "class", "label": "[1]", "text": "Galaxy: 0.90", "identifier": None}
            ],
            "written_by": "template",
            "notes": [],
        }
    )

    name: str
    text: str
    statements: list[StatementAnswer]
    references: list[ReferenceAnswer]
    written_by: str
    notes: list[str]


class Health(BaseModel):
    """That the service and its store answer."""

    model_config = _example({"status": "ok", "model_id": "0123456789abcdef"})

    status: str
    model_id: str
