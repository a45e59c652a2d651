"""The background that belongs to a spectrum, scaled to its region (OGIP/92-007, section 3.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import InvalidSpectrumError, NotFoundError
from common.records import Background
from ingest.spectra.fits_file import Hdu, Header, read_fits
from ingest.spectra.ogip_headers import Kind, beside, file_named, kind_of_hdu
from ingest.spectra.pha_table import SpectrumRow, check_counts, spectrum_rows


@dataclass(frozen=True, slots=True)
class Backgrounds:
    """Background spectra of a source SPECTRUM extension: none, one for all, or one for each."""

    rows: Sequence[SpectrumRow]
    demanded: bool = False
    trouble: str = ""

    def scaled(self, source: SpectrumRow, index: int) -> tuple[Background | None, list[str]]:
        """Return the background of a spectrum and what to warn of."""
        if not self.rows:
            return None, [f"no background: {self.trouble}"] if self.trouble else []
        try:
            return _scale(source, self.rows[index if len(self.rows) > 1 else 0]), []
        except InvalidSpectrumError as exc:
            if self.demanded:
                raise
            return None, [f"no background: {exc}"]


def find_backgrounds(
    path: Path,
    hdus: Sequence[Hdu],
    header: Header,
    n_spectra: int,
    given: Path | None,
    max_mb: float | None,
) -> Backgrounds:
    """Find the background given, or in the file itself, or beside it under the name of BACKFILE.

    A spectrum is worth having without its background, so only one that was given may fail.
    """
    own = [hdu for hdu in hdus if kind_of_hdu(hdu.header) is Kind.BACKGROUND]
    name = file_named(header, "BACKFILE")
    file = given or (None if own else beside(path, name))
    if file is None and not own:
        return Backgrounds([], trouble=f"{name} is not beside the file" if name else "")
    try:
        rows = (
            [row for hdu in own for row in spectrum_rows(hdu)]
            if file is None
            else _read(file, max_mb)
        )
    except (InvalidSpectrumError, NotFoundError) as exc:
        if given is not None:
            raise
        return Backgrounds([], trouble=str(exc))
    if len(rows) in (1, n_spectra):
        return Backgrounds(rows, demanded=given is not None)
    trouble = f"{(file or path).name} has {len(rows)} background spectra for {n_spectra}"
    if given is not None:
        raise InvalidSpectrumError(f"{trouble}: give one, or one for each")
    return Backgrounds([], trouble=trouble)


def _read(path: Path, max_mb: float | None) -> list[SpectrumRow]:
    wanted = (Kind.SOURCE, Kind.BACKGROUND)
    hdus = [hdu for hdu in read_fits(path, max_mb) if kind_of_hdu(hdu.header) in wanted]
    return [row for hdu in hdus for row in spectrum_rows(hdu)]


def _scale(source: SpectrumRow, background: SpectrumRow) -> Background:
    counts = background.counts()
    if not np.array_equal(source.channels, background.channels):
        raise InvalidSpectrumError("the background has other channels than the spectrum")
    scales = source.scale(), background.scale()
    if not (np.all(np.isfinite(scales)) and min(scales) > 0):
        raise InvalidSpectrumError(
            "EXPOSURE, BACKSCAL and AREASCAL of spectrum and background are not all positive"
        )
    check_counts("the background", counts)
    return Background(counts, background.number("EXPOSURE"), scales[0] / scales[1])
