"""The SPECTRUM tables of PHA files as they are written, type I and type II."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.errors import InvalidSpectrumError
from ingest.spectra.fits_file import Hdu, Header
from ingest.spectra.ogip_headers import text
from ingest.spectra.response import channel_numbers

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

GRATING_CHANNELS = 8192
MAX_COUNTS = 2.0**53  # beyond, a float no longer counts
_GRATING_MARKS = ("TG_M", "TG_PART", "BIN_LO", "BIN_HI")


@dataclass(frozen=True, slots=True, eq=False)
class SpectrumRow:
    """One spectrum of a file as it is written: a type I table, or a row of a type II table."""

    header: Header
    values: dict[str, FloatArray]
    channels: IntArray

    def number(self, keyword: str, default: float = np.nan) -> float:
        """Return a quantity from its column or keyword; of a value per channel, the median."""
        value = self.values.get(keyword, self.header.get(keyword, default))
        try:
            return float(np.median(np.asarray(value, dtype=np.float64)))
        except ValueError:
            return np.nan

    def counts(self) -> FloatArray:
        """Return counts per channel, from rates if the file has those."""
        if "COUNTS" in self.values:
            return self.values["COUNTS"]
        with np.errstate(over="ignore"):  # what is infinite is refused with the other bad counts
            return self.values["RATE"] * self.number("EXPOSURE")

    def n_channel(self) -> int:
        """Return the number of channels of the detector: DETCHANS, or that of the table."""
        detchans = self.header.get("DETCHANS")
        return detchans if isinstance(detchans, int) else len(self.channels)

    def scale(self) -> float:
        """Return exposure times region and area scaling (OGIP/92-007, section 3.1)."""
        return self.number("EXPOSURE") * self.number("BACKSCAL", 1) * self.number("AREASCAL", 1)


def spectrum_rows(hdu: Hdu) -> list[SpectrumRow]:
    """Return the spectra of a SPECTRUM extension, at least one; refuse dispersed ones."""
    name, header = hdu.path.name, hdu.header
    marks = [mark for mark in _GRATING_MARKS if mark in header or mark in hdu.column_names()]
    table = hdu.columns("CHANNEL", "COUNTS", "RATE", "EXPOSURE", "BACKSCAL", "AREASCAL")
    data = table.get("COUNTS", table.get("RATE"))
    if data is None:
        raise InvalidSpectrumError(
            f"{name}: SPECTRUM has neither a column COUNTS nor RATE (it has "
            f"{', '.join(hdu.column_names()) or 'none'}): make the PHA file again"
        )
    if data.size == 0 or data.ndim > 2:
        raise InvalidSpectrumError(
            f"{name}: SPECTRUM has data of shape {data.shape}, not channels or spectra times "
            "channels: make the PHA file again"
        )
    n_channel = data.shape[-1]
    dispersed = text(header, "GRATING") not in ("", "NONE") and n_channel >= GRATING_CHANNELS
    if marks or dispersed or text(header, "INSTRUME").startswith("RGS"):
        raise InvalidSpectrumError(
            f"{name}: a grating spectrum ({', '.join(marks) or f'{n_channel} channels'}), finer "
            "than the 400 bins of 0.5-8 keV can hold: give the zeroth-order spectrum, or one "
            "without grating"
        )
    # Type II tables may leave out CHANNEL when all are there, numbered from 1 (OGIP/92-007a).
    numbers = table.pop("CHANNEL", np.broadcast_to(np.arange(1.0, n_channel + 1), data.shape))
    if numbers.shape != data.shape:
        raise InvalidSpectrumError(
            f"{name}: CHANNEL has shape {numbers.shape}, the counts {data.shape}: damaged"
        )
    channels = channel_numbers(name, numbers)
    if data.ndim == 1:
        return [SpectrumRow(header, table, channels)]
    return [
        SpectrumRow(header, {key: column[row] for key, column in table.items()}, channels[row])
        for row in range(len(data))
    ]


def check_counts(name: str, counts: FloatArray) -> None:
    """Refuse counts that no detector can have counted."""
    bad = np.flatnonzero(~((counts >= 0) & (counts <= MAX_COUNTS)))
    if bad.size:
        raise InvalidSpectrumError(
            f"{name}: {counts[bad[0]]:g} counts in row {bad[0] + 1} of the table, {bad.size} such "
            "in all: counts are finite and not negative; give the total spectrum, without the "
            "background subtracted"
        )
