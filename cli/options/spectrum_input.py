"""Spectra that are asked about: files, numbers, or what the store has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from cli.console import say
from common.binning import BIN_EDGES_KEV, N_BINS
from common.errors import InvalidSpectrumError, NotFoundError
from common.records import Spectrum
from ingest.spectra.discover import read_observed
from ingest.spectra.pha import read_pha
from search.results import Subject
from search.service import SearchService


@dataclass(frozen=True)
class Reading:
    """How a file is read as a spectrum."""

    rmf: Annotated[Path | None, typer.Option(help="Response, when it cannot be found beside.")] = (
        None
    )
    row: Annotated[int, typer.Option(min=1, help="Which spectrum of a file of several.")] = 1
    exposure_s: Annotated[
        float | None,
        typer.Option(
            "--exposure",
            min=0,
            help="Exposure in seconds of a text file of 400 counts, one for each bin of 0.5-8 keV.",
            show_default=False,
        ),
    ] = None

    def spectrum(self, path: Path) -> Spectrum:
        """Read a spectrum, and say what is to be known about how it was read."""
        if self.exposure_s is not None:
            return _numbers(path, self.exposure_s)
        found = read_pha(path, rmf=self.rmf) if self.rmf else read_observed(path)
        if self.row > len(found):
            raise InvalidSpectrumError(
                f"{path} holds {len(found)} spectra: choose --row 1 to {len(found)}"
            )
        spectrum = found[self.row - 1].spectrum
        for warning in spectrum.warnings:
            say(f"warning: {path.name}: {warning}")
        return spectrum

    def subject(self, search: SearchService, name: str) -> Subject:
        """Return the subject that a file is, else the one that the store has under this name."""
        path = Path(name)
        if path.is_file():
            spectrum = self.spectrum(path)
            return search.subject_of(spectrum.binned_counts(), spectrum.exposure_s, path.name)
        try:
            return search.subject(name)
        except NotFoundError as exc:
            raise NotFoundError(f"{name}: there is no such file, and {exc}") from exc


def _numbers(path: Path, exposure_s: float) -> Spectrum:
    """Read 400 counts as text, separated by blanks, commas or line ends."""
    try:
        words = path.read_text(encoding="utf-8").replace(",", " ").split()
        counts = np.array([float(word) for word in words])
    except FileNotFoundError as exc:
        raise NotFoundError(f"{path}: there is no such file: check the path") from exc
    except (OSError, ValueError) as exc:
        raise InvalidSpectrumError(
            f"{path} is no text of numbers ({exc}): leave --exposure out to read a FITS file"
        ) from exc
    if counts.shape != (N_BINS,) or not np.isfinite(counts).all() or (counts < 0).any():
        raise InvalidSpectrumError(
            f"{path} has {counts.size} numbers: give {N_BINS} counts, finite and not negative, one "
            "for each of the equal bins from 0.5 to 8 keV"
        )
    if exposure_s == 0:
        raise InvalidSpectrumError("--exposure is 0: give the seconds that were observed")
    return Spectrum(counts, BIN_EDGES_KEV[:-1], BIN_EDGES_KEV[1:], exposure_s)
