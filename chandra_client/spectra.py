"""Spectra as they are sent: counts in a JSON body, or files."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from chandra_client.connection import Files
from chandra_client.errors import RefusedError
from chandra_client.options import Filters, Options

File = str | PathLike[str]
Counts = Sequence[float] | npt.NDArray[np.number[Any]]
Spectrum = File | Counts


class Reading(TypedDict, total=False):
    """How a spectrum that is sent is to be read."""

    exposure_s: float
    """Exposure of counts, in seconds; a file has its own."""

    rmf: File
    """Response of a file, which has the energies of its channels."""

    row: int
    """Which spectrum of a file of several, from 1."""


class SearchOptions(Options, Reading, total=False):
    """What may be said about a search by a spectrum."""


class EstimateOptions(Filters, Reading, total=False):
    """What may be said about estimates; filters restrict the neighbours."""

    k: int
    """How many neighbours are averaged; by default, and below, what is best for each variable."""

    weighting: str
    """How they are averaged: ``mean``, ``median`` or ``distance-weighted mean``."""

    representation: str
    """Vectors that are compared, for instance ``shared_spectrum``."""


@dataclass(frozen=True)
class Sent:
    """The body of a request; one of the two is None."""

    body: dict[str, Any] | None = None
    files: Files | None = None


def sent(spectrum: Spectrum, options: dict[str, Any]) -> Sent:
    """Return a spectrum as it is sent, and take from the options what tells how it is read."""
    exposure_s, rmf, row = (options.pop(name, None) for name in Reading.__annotations__)
    if isinstance(spectrum, str | PathLike):
        parts = [("file", read(spectrum))]
        if rmf is not None:
            parts.append(("rmf", read(rmf)))
        return Sent(files=[*parts, ("row", (None, str(row or 1).encode()))])
    if exposure_s is None:
        raise RefusedError("counts without their exposure: give exposure_s, in seconds")
    counts = np.asarray(spectrum, dtype=np.float64)
    if not np.isfinite(counts).all():
        raise RefusedError("some counts are not finite: give 400 numbers that are")
    return Sent(body={"counts": counts.tolist(), "exposure_s": float(exposure_s)})


def read(path: File) -> tuple[str, bytes]:
    """Return name and content of a file."""
    try:
        return Path(path).name, Path(path).read_bytes()
    except OSError as exc:
        raise RefusedError(f"cannot read {path} ({exc.strerror}): check the path") from exc
