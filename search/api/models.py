"""What may be asked over HTTP, and what comes back."""

from datetime import date
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import UploadFile
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from common.binning import N_BINS
from common.errors import InvalidQueryError
from search.filters import DetectionFilter, PaperFilter
from search.formats import Format
from search.service import MAX_LIMIT, Target


def _listed(value: Any) -> Any:  # noqa: ANN401
    """Let one value stand for a list of one."""
    return [value] if isinstance(value, str | int) else value


Bin = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Obsid = Annotated[int, Field(ge=0, le=2**31)]
Text = Annotated[str, Field(max_length=500)]


class Options(BaseModel):
    """What to look for, how to narrow it down, how to answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: Target = Field(default="detections", description="What to look for.")
    classes: Annotated[list[Text], BeforeValidator(_listed)] = Field(
        default=[],
        alias="class",
        max_length=50,
        description="Source classes (SIMBAD's), descendants included; any of them.",
        examples=[["AGN"]],
    )
    where: str | None = Field(
        default=None,
        description="Condition on payload fields.",
        examples=["hard_hs > 0.3 and flux_significance_b >= 5"],
    )
    obsid: Annotated[list[Obsid], BeforeValidator(_listed)] = Field(
        default=[], max_length=1000, description="Observation ids, any of them; detections only."
    )
    instrument: Annotated[list[Text], BeforeValidator(_listed)] = Field(
        default=[], max_length=50, description="Instruments, any of them; detections only."
    )
    observed_from: date | None = Field(
        default=None, description="Observed on or after this day; detections only."
    )
    observed_to: date | None = Field(
        default=None, description="Observed on or before this day; detections only."
    )
    year_from: int | None = Field(
        default=None, description="Published in or after this year; papers only."
    )
    year_to: int | None = Field(
        default=None, description="Published in or before this year; papers only."
    )
    limit: int = Field(default=10, ge=1, le=MAX_LIMIT, description="Number of answers at most.")
    format: Format | None = Field(
        default=None, description="How to answer; by default as the header Accept says, else JSON."
    )

    def over(self, options: "Options") -> Self:
        """Return these options, with those of the query string where the body is silent."""
        missing = options.model_fields_set - self.model_fields_set
        return self.model_copy(update={name: getattr(options, name) for name in missing})

    def filter(self) -> DetectionFilter | PaperFilter:
        """Return the restriction by payload, of the kind that fits what is looked for."""
        kind = DetectionFilter if self.to == "detections" else PaperFilter
        narrowing = Options.model_fields.keys() - {"to", "limit", "format"}
        given = {name: value for name in narrowing if (value := getattr(self, name))}
        if foreign := sorted(given.keys() - kind.model_fields.keys()):
            raise InvalidQueryError(
                f"{', '.join(foreign)} cannot narrow down {self.to}: leave it out, or use "
                f"{', '.join(sorted(kind.model_fields.keys() & narrowing))}"
            )
        try:
            return kind.model_validate(given)
        except ValidationError as exc:
            said = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
            raise InvalidQueryError("; ".join(said)) from exc


class TextQuery(Options):
    """A question in the query string."""

    q: str = Field(
        min_length=1,
        description="What you look for, in words.",
        examples=["obscured active nucleus with an iron line"],
    )


class TextBody(Options):
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


class ArrayBody(Options):
    """A spectrum as numbers."""

    counts: list[Bin] = Field(
        min_length=N_BINS,
        max_length=N_BINS,
        description="Counts in the 400 equal bins from 0.5 to 8 keV.",
    )
    exposure_s: float = Field(
        gt=0, le=1e9, allow_inf_nan=False, strict=True, description="Exposure in seconds."
    )


class UploadBody(Options):
    """A spectrum as a file."""

    file: UploadFile = Field(description="OGIP PHA file or event list, `.gz` allowed.")
    rmf: UploadFile | None = Field(
        default=None, description="Its response, which has the energies of the channels."
    )
    row: int = Field(default=1, ge=1, description="Which spectrum of a file of several.")


PARAMETERS = sorted(
    {
        field.alias or name
        for model in (TextQuery, TextBody, ArrayBody, UploadBody)
        for name, field in model.model_fields.items()
    }
)


class Stored(BaseModel):
    """A detection or a paper as it is stored."""

    id: UUID
    payload: dict[str, Any]


class Answer(Stored):
    """One answer; the score is the cosine similarity, higher is better, null when not ranked."""

    score: float | None


class Health(BaseModel):
    """That the service and its store answer."""

    status: str
    model_id: str
