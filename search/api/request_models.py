"""What may be asked over HTTP: parameters of query strings, and bodies."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

from common.binning import BIN_EDGES_KEV, N_BINS
from common.records import Spectrum
from search.api.filter_params import FilterParams, Text, narrowed_by
from search.filters.filters import DetectionFilter, PaperFilter
from search.queries.pages import MAX_LIMIT
from search.queries.questions import MAX_EXAMPLES, MAX_QUESTIONS, Question
from search.rendering.formats import Format
from search.results import PageOptions, Ranking, Target

Bin = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False, strict=True)]
Component = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False, strict=True)]
Cone = Annotated[
    str,
    Field(
        max_length=200,
        description="Circle on the sky: RA and Dec in degrees (ICRS), radius with its unit.",
        examples=["10.68 41.27 5arcmin"],
    ),
]
MAX_VECTOR = 4096
MAX_BATCH_ANSWERS = 10_000
MAX_BATCH_CONES = 20


class Formatted(FilterParams):
    """How to answer."""

    format: Format | None = Field(
        None, description="How to answer; by default as the header Accept says, else JSON."
    )


class Paged(Formatted):
    """Which answers of all there are."""

    limit: int = Field(10, ge=1, le=MAX_LIMIT, description="Answers of one page at most.")
    cursor: str | None = Field(
        None,
        max_length=8000,
        description="Where the page begins: `cursor` of the page before, of the same question.",
    )

    def arrange(self) -> PageOptions:
        """Return how answers are cut."""
        return PageOptions(self.limit, self.cursor)


@narrowed_by(DetectionFilter)
class DetectionList(Paged):
    """Detections that fit a filter."""


@narrowed_by(PaperFilter)
class PaperList(Paged):
    """Papers that fit a filter."""


@narrowed_by(DetectionFilter)
class ConeQuery(Paged):
    """Detections in a circle."""

    cone: Cone
    limit: int = Field(100, ge=1, le=MAX_LIMIT, description="Answers of one page at most.")


@narrowed_by(PaperFilter)
class RegionQuery(Paged):
    """Papers about a circle on the sky."""

    cone: Cone


@narrowed_by(DetectionFilter, PaperFilter)
class FilterQuery(FilterParams):
    """A filter by itself."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"class": ["AGN"], "where": "hard_hs > 0.3"}}
    )

    to: Target = Field("detections", description="What to narrow down.")


@narrowed_by(DetectionFilter, PaperFilter)
class FacetQuery(Formatted):
    """What to count by, and what is counted."""

    field: tuple[Text, ...] = Field(
        ("class", "year"),
        max_length=10,
        description="What to count by: class, instrument, year, telescope, release, source; of "
        "papers class, year, journal, author, source.",
        examples=[["class"]],
    )
    limit: int = Field(
        MAX_LIMIT,
        ge=1,
        le=MAX_LIMIT,
        description="The most frequent values of each field, at most.",
    )


@narrowed_by(DetectionFilter, PaperFilter)
class Options(Paged):
    """What to look for, how to narrow it down, how to answer."""

    to: Target = Field("detections", description="What to look for.")
    by_source: bool = Field(False, description="Only the best detection of each source.")
    diversity: float = Field(
        0.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="0 ranks by similarity alone; towards 1, answers differ more from each other.",
    )

    def arrange(self) -> PageOptions:
        """Return how answers are cut and ordered."""
        return PageOptions(self.limit, self.cursor, self.by_source, self.diversity)

    def over(self, options: "Options") -> Self:
        """Return these options, with those of the query string where the body is silent."""
        return over(self, options)

    def filter(self) -> DetectionFilter | PaperFilter:
        """Return the restriction by payload, of the kind that fits what is looked for."""
        return self.filter_of(self.to)


class Ranked(Options):
    """A question in words."""

    ranking: Ranking = Field(
        "hybrid", description="How papers are compared with words: both ways, or one of them."
    )


class TextQuery(Ranked):
    """A question in the query string."""

    q: str = Field(
        min_length=1,
        description="What you look for, in words.",
        examples=["obscured active nucleus with an iron line"],
    )


class TextBody(Ranked):
    """A question as JSON."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "question": "obscured active nucleus with an iron line",
                "class": ["AGN"],
                "where": "hard_hs > 0.3",
                "limit": 5,
            }
        }
    )

    question: str = Field(min_length=1, description="What you look for, in words.")

    def as_question(self) -> Question:
        """Return the question of a batch."""
        return Question(
            "text",
            self.to,
            text=self.question,
            query_filter=self.filter(),
            arrange=self.arrange(),
            ranking=self.ranking,
        )


class ExamplesBody(Options):
    """Like these, unlike those."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"positive": ["csc2.0/1575/1/475"], "negative": [], "to": "papers"}
        }
    )

    positive: tuple[Text, ...] = Field(
        min_length=1,
        max_length=MAX_EXAMPLES,
        description="Point ids, keys, source names, bibcodes: like these.",
    )
    negative: tuple[Text, ...] = Field((), max_length=MAX_EXAMPLES, description="Unlike those.")

    def as_question(self) -> Question:
        """Return the question of a batch."""
        return Question(
            "examples",
            self.to,
            positive=self.positive,
            negative=self.negative,
            query_filter=self.filter(),
            arrange=self.arrange(),
        )


class VectorBody(Options):
    """A vector of the shared space, and the model that made it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"vector": [0.1, -0.2, 0.3], "model_id": "0123456789abcdef", "limit": 5}
        }
    )

    vector: list[Component] = Field(min_length=1, max_length=MAX_VECTOR)
    model_id: Text = Field(description="The model that made the vector, as in /v1/status.")


class Numbers(BaseModel):
    """A spectrum as numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    counts: list[Bin] = Field(
        min_length=N_BINS,
        max_length=N_BINS,
        description="Counts in the 400 equal bins from 0.5 to 8 keV.",
    )
    exposure_s: float = Field(
        ge=1e-3, le=1e9, allow_inf_nan=False, strict=True, description="Exposure in seconds."
    )

    def spectrum(self) -> Spectrum:
        """Return the spectrum."""
        counts = np.array(self.counts)
        return Spectrum(counts, BIN_EDGES_KEV[:-1], BIN_EDGES_KEV[1:], self.exposure_s)


class Upload(BaseModel):
    """A spectrum as a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: UploadFile = Field(description="OGIP PHA file or event list, `.gz` allowed.")
    rmf: UploadFile | None = Field(
        None, description="Its response, which has the energies of the channels."
    )
    row: int = Field(1, ge=1, le=2**31, description="Which spectrum of a file of several.")


class SpectrumQuestion(Numbers, Options):
    """A spectrum of a batch."""

    kind: Literal["spectrum"]

    def as_question(self) -> Question:
        """Return the question of a batch."""
        spectrum = self.spectrum()
        return Question(
            "spectrum",
            self.to,
            binned_counts=spectrum.binned_counts(),
            exposure_s=spectrum.exposure_s,
            query_filter=self.filter(),
            arrange=self.arrange(),
        )


class TextQuestion(TextBody):
    """A question in words of a batch."""

    kind: Literal["text"]


class ExamplesQuestion(ExamplesBody):
    """Examples of a batch."""

    kind: Literal["examples"]


def _kind(question: Any) -> str:  # noqa: ANN401
    return str(question.get("kind")) if isinstance(question, dict) else "none"


BatchQuestion = Annotated[
    Annotated[TextQuestion, Tag("text")]
    | Annotated[SpectrumQuestion, Tag("spectrum")]
    | Annotated[ExamplesQuestion, Tag("examples")],
    Discriminator(
        _kind,
        custom_error_type="unknown_kind",
        custom_error_message="give a kind: text, spectrum or examples",
    ),
]


class BatchBody(BaseModel):
    """Questions that are answered together."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "example": {
                "questions": [
                    {"kind": "text", "question": "type I bursts", "to": "papers", "limit": 3},
                    {"kind": "examples", "positive": ["csc2.0/1575/1/475"]},
                ]
            }
        },
    )

    questions: list[BatchQuestion] = Field(min_length=1, max_length=MAX_QUESTIONS)

    @field_validator("questions")
    @classmethod
    def _answered_as_json(cls, questions: Sequence[Options]) -> Sequence[Options]:
        if any(question.format not in (None, "json") for question in questions):
            raise ValueError("a batch is answered as JSON: leave format out")
        if (answers := sum(question.limit for question in questions)) > MAX_BATCH_ANSWERS:
            raise ValueError(
                f"their limits come to {answers:,} answers, a batch has at most "
                f"{MAX_BATCH_ANSWERS:,}: lower the limits, or ask in several batches"
            )
        return questions


@narrowed_by(DetectionFilter)
class Neighbours(Formatted):
    """Which neighbours count."""

    k: int | None = Field(
        None, ge=1, le=1000, description="Neighbours asked for; by default what is best."
    )
    neighbours: bool = Field(False, description="Whether to list the neighbours behind a number.")


class EstimateOptions(Neighbours):
    """How variables are estimated; by default as is best for each of them."""

    weighting: Literal["mean", "median", "distance-weighted mean"] | None = Field(
        None, description="How neighbours are averaged."
    )
    representation: Literal["spectrum", "text", "shared_spectrum", "shared_text", "both"] | None = (
        Field(None, description="Vectors whose neighbours are averaged.")
    )


@narrowed_by(DetectionFilter)
class OutlierQuery(Formatted):
    """Which outliers."""

    limit: int = Field(20, ge=1, le=MAX_LIMIT, description="Outliers at most.")


OptionsT = TypeVar("OptionsT", bound=Formatted)


def over(options: OptionsT, others: Formatted) -> OptionsT:
    """Return options, with the others where they are silent."""
    missing = (others.model_fields_set - options.model_fields_set) & type(
        options
    ).model_fields.keys()
    return options.model_copy(update={name: getattr(others, name) for name in missing})


def _spelled(*kinds: type[BaseModel]) -> list[str]:
    return sorted(
        {field.alias or name for kind in kinds for name, field in kind.model_fields.items()}
    )


PARAMETERS = _spelled(
    TextQuery,
    TextBody,
    ExamplesBody,
    VectorBody,
    Numbers,
    Upload,
    FacetQuery,
    ConeQuery,
    EstimateOptions,
    BatchBody,
)
"""Every name that some question knows."""
