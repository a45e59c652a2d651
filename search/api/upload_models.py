"""What is uploaded to be ingested, and what is answered about it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from common.records import Outcome
from search.uploads import Job, Kind, OutcomePage, Report, State, Status

MAX_FILES = 100


@dataclass(frozen=True, slots=True)
class Received:
    """A file that has arrived, by its place in the folder of its job."""

    place: str


def _as_file(value: Any) -> Any:  # noqa: ANN401
    if not isinstance(value, Received):
        raise ValueError("send one file under this name, for instance curl -F file=@source.pha")  # noqa: TRY004
    return value


def _as_list(value: Any) -> Any:  # noqa: ANN401
    return value if isinstance(value, list) else [value]


File = Annotated[
    Received,
    BeforeValidator(_as_file),
    WithJsonSchema({"type": "string", "format": "binary"}),
]
Files = Annotated[
    list[File],
    BeforeValidator(_as_list),
    Field(min_length=1, max_length=MAX_FILES),
]
Release = Annotated[
    str | None,
    Field(
        max_length=20,
        description="Release of the Chandra Source Catalog (2.0, 2.1), for tables that say it "
        "neither in a column nor in their name.",
    ),
]


class IngestForm(BaseModel):
    """Files of one kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    file: Files

    def job(self, job_id: str, owner: str) -> Job:
        """Return the job that they are."""
        raise NotImplementedError


class SpectraForm(IngestForm):
    """Spectra with what belongs to all of them."""

    file: Files = Field(description="OGIP PHA files or event lists, `.gz` allowed; repeatable.")
    rmf: File | None = Field(
        None,
        description="Their response, which has the energies of the channels; ACIS PI channels "
        "need none.",
    )
    arf: File | None = Field(
        None,
        description="Their effective area: accepted and not needed, counts are stored as counted.",
    )
    background: File | None = Field(None, description="Their background spectrum.")
    catalog: File | None = Field(
        None, description="Table whose rows are joined to the spectra that they describe."
    )
    radius: float = Field(3.0, ge=0, le=60, description="Match radius of that table, in arcsec.")
    release: Release = None

    def job(self, job_id: str, owner: str) -> Job:
        """Return the job that they are."""
        return Job(
            id=job_id,
            kind="spectra",
            files=_places(self.file),
            rmf=self.rmf and self.rmf.place,
            background=self.background and self.background.place,
            catalog=self.catalog and self.catalog.place,
            radius_arcsec=self.radius,
            release=self.release,
            owner=owner,
        )


class CatalogForm(IngestForm):
    """Tables of detections."""

    file: Files = Field(description="CSV, ECSV, FITS or VOTable, `.gz` allowed; repeatable.")
    release: Release = None

    def job(self, job_id: str, owner: str) -> Job:
        """Return the job that they are."""
        files = _places(self.file)
        return Job(id=job_id, kind="catalog", files=files, release=self.release, owner=owner)


class PapersForm(IngestForm):
    """Records of papers."""

    file: Files = Field(
        description="JSON lines, answers of the ADS API or BibTeX, `.gz` allowed; repeatable."
    )

    def job(self, job_id: str, owner: str) -> Job:
        """Return the job that they are."""
        return Job(id=job_id, kind="papers", files=_places(self.file), owner=owner)


def _places(files: list[Received]) -> tuple[str, ...]:
    return tuple(file.place for file in files)


class OutcomeAnswer(BaseModel):
    """What became of one input."""

    input: str
    status: Status
    detail: str = Field(description="The key of what is stored, or why it was refused.")
    notes: list[str]

    @classmethod
    def of(cls, outcome: Outcome) -> "OutcomeAnswer":
        """Return an outcome as it is answered."""
        return cls(
            input=outcome.input,
            status=outcome.status,
            detail=outcome.detail,
            notes=[*outcome.notes],
        )


class JobAnswer(BaseModel):
    """How far an upload is, and what became of what was in it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "5f0c1c4e9f0b4f0d8a8f6f1f6a0c7b1e",
                "kind": "spectra",
                "state": "done",
                "files": ["source.pi"],
                "created_at": "2026-01-31T12:00:00Z",
                "started_at": "2026-01-31T12:00:01Z",
                "ended_at": "2026-01-31T12:00:02Z",
                "total": 1,
                "ingested": 1,
                "unchanged": 0,
                "refused": 0,
                "reason": None,
                "outcomes": [
                    {
                        "input": "source.pi",
                        "status": "ingested",
                        "detail": "csc2.1/635/0/12",
                        "notes": [],
                    }
                ],
                "cursor": None,
            }
        }
    )

    id: str
    kind: Kind
    state: State = Field(description="`failed` is given up, for the reason that is given.")
    files: list[str]
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    total: int | None = Field(
        description="Inputs in its files, once they are read; of spectra the number of files."
    )
    ingested: int
    unchanged: int
    refused: int
    reason: str | None = Field(description="Why it failed, or why it waits.")
    outcomes: list[OutcomeAnswer]
    cursor: str | None = Field(description="Where the next outcomes begin; null is the end.")

    @classmethod
    def of(cls, job: Job, report: Report, page: OutcomePage) -> "JobAnswer":
        """Return a job as it is answered."""
        told = ("state", "started_at", "ended_at", "total", "ingested", "unchanged", "refused")
        return cls(
            id=job.id,
            kind=job.kind,
            files=job.names,
            created_at=job.created_at,
            reason=report.reason,
            outcomes=[OutcomeAnswer.of(one) for one in page.outcomes],
            cursor=page.cursor,
            **{name: getattr(report, name) for name in told},
        )


class JobQuery(BaseModel):
    """Which outcomes of a job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    outcome: Status | None = Field(None, description="Only outcomes of this kind.")
    limit: int = Field(100, ge=1, le=1000, description="Outcomes at most.")
    cursor: str | None = Field(
        None, max_length=40, description="`cursor` of the answer before, for those that follow."
    )
