"""One upload: what was sent, what has become of it, and its outcomes one by one."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from common.errors import InvalidQueryError
from common.records import Outcome

Kind = Literal["spectra", "catalog", "papers"]
State = Literal["waiting", "running", "done", "failed"]
Status = Literal["ingested", "unchanged", "refused"]


class Job(BaseModel):
    """What was sent; files are named by their places in the folder of the job."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Kind
    files: tuple[str, ...]
    rmf: str | None = None
    background: str | None = None
    catalog: str | None = None
    radius_arcsec: float = 3.0
    release: str | None = None
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    owner: str = ""
    """What only the key that sent it can make again (`search.api.keys.owner_of`); empty is none."""

    @property
    def names(self) -> list[str]:
        """The names of its files."""
        return [Path(file).name for file in self.files]


class Report(BaseModel):
    """What has become of a job.

    Attributes
    ----------
    total : int or None
        Inputs in its files; of spectra the files, each of which may hold several.
    reason : str or None
        Why it failed, or why it waits.
    deliveries, attempts : int
        How often it was begun without an end, and how often it was put off.
    """

    state: State = "waiting"
    total: int | None = None
    ingested: int = 0
    unchanged: int = 0
    refused: int = 0
    reason: str | None = None
    deliveries: int = 0
    attempts: int = 0
    retry_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more is done."""
        return self.state in ("done", "failed")

    def count(self, status: Status) -> None:
        """Count an outcome."""
        setattr(self, status, getattr(self, status) + 1)


@dataclass(frozen=True, slots=True)
class OutcomePage:
    """Some outcomes, and where the next begin."""

    outcomes: list[Outcome]
    cursor: str | None


def write_outcomes(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Add outcomes to those of a job, each a line."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(one), separators=(",", ":")) + "\n" for one in outcomes)
        file.flush()
        os.fsync(file.fileno())


def resume_outcomes(path: Path) -> Iterator[Outcome]:
    """Yield the outcomes that are wholly written, and cut off what is not."""
    path.touch()
    end = 0
    for outcome, after in _from(path, 0):
        end = after
        yield outcome
    os.truncate(path, end)


def page_of_outcomes(
    path: Path, cursor: str | None, limit: int, only: Status | None
) -> OutcomePage:
    """Return so many outcomes from a cursor on, all or those of one status.

    Raises
    ------
    InvalidQueryError
        If the cursor is none of an answer about this job.
    """
    start = _place(path, cursor)
    found: list[Outcome] = []
    end = start
    for outcome, after in _from(path, start):
        if len(found) == limit:
            return OutcomePage(found, str(end))
        end = after
        if only is None or outcome.status == only:
            found.append(outcome)
    return OutcomePage(found, None)


def _place(path: Path, cursor: str | None) -> int:
    """Return the byte that a cursor names: the beginning of a line."""
    if cursor is None:
        return 0
    place = int(cursor) if cursor.isdecimal() and len(cursor) < 16 else -1
    with path.open("rb") as file:
        file.seek(max(0, place - 1))
        if place < 0 or (place > 0 and file.read(1) != b"\n"):
            raise InvalidQueryError("cursor is none of this job: leave it out to begin anew")
    return place


def _from(path: Path, start: int) -> Iterator[tuple[Outcome, int]]:
    """Yield outcomes from a byte on, each with the byte after it."""
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):  # its writer was killed, or is at it
                return
            start += len(line)
            fields = json.loads(line)
            yield Outcome(**{**fields, "notes": tuple(fields["notes"])}), start
