"""Event lists: photons with an energy each, counted straight onto the 400 bins."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.binning import BIN_EDGES_KEV
from common.errors import InvalidSpectrumError
from common.records import Spectrum
from ingest.spectra.fits_file import Hdu, read_fits
from ingest.spectra.ogip_headers import (
    Kind,
    ObservedSpectrum,
    kind_of_file,
    kind_of_hdu,
    observed,
    refuse_shapeless,
    refuse_without_resolution,
)
from ingest.spectra.product_names import parse_product_name

FloatArray = npt.NDArray[np.float64]

_KEV_PER_UNIT = {"": 1e-3, "EV": 1e-3, "KEV": 1.0}
_EXPOSURE_KEYWORDS = ("EXPOSURE", "LIVETIME", "ONTIME")


def read_events(path: Path, *, max_mb: float | None = None) -> list[ObservedSpectrum]:
    """Read the events of an event list as one spectrum.

    All events are counted: choosing good GRADE and STATUS values, good times and the region of
    the source is the business of the tool that made the file.

    Parameters
    ----------
    path : Path
        Event list, plain or gzipped, with a column ENERGY in eV (Chandra level 2 and 3).
    max_mb : float, optional
        Largest size in MiB after decompression.

    Returns
    -------
    list of ObservedSpectrum
        One, with counts as float64, shape (400,), on the bins of 0.5-8 keV.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InvalidSpectrumError
        If it holds no events with energies, or has no exposure.
    """
    return events_of(path, read_fits(path, max_mb))


def events_of(path: Path, hdus: Sequence[Hdu]) -> list[ObservedSpectrum]:
    """Return the spectrum of an event list that is already open; see `read_events`."""
    found = [hdu for hdu in hdus if kind_of_hdu(hdu.header) is Kind.EVENTS]
    if not found:
        kind = kind_of_file([hdu.header for hdu in hdus])
        raise InvalidSpectrumError(
            f"{path.name}: it holds {kind}, not an event list: give the event list"
        )
    events = found[0]
    headers = [events.header, *(hdu.header for hdu in hdus)]
    refuse_without_resolution(path.name, headers)
    spectrum = Spectrum(
        counts=_counts(events),
        energy_lo_kev=BIN_EDGES_KEV[:-1],
        energy_hi_kev=BIN_EDGES_KEV[1:],
        exposure_s=_exposure_s(events),
        energy_source="ENERGY of events",
        warnings=_warnings(path),
    )
    refuse_shapeless(path.name, spectrum)
    return [observed(path, headers, spectrum)]


def _counts(events: Hdu) -> FloatArray:
    energy = events.columns("ENERGY").get("ENERGY")
    if energy is None or energy.ndim != 1:
        raise InvalidSpectrumError(
            f"{events.path.name}: events without a column ENERGY: give an event list with "
            "energies in eV (Chandra level 2 or 3), or a PHA file with its RMF"
        )
    unit = events.unit("ENERGY").strip().upper()
    if unit not in _KEV_PER_UNIT:
        raise InvalidSpectrumError(
            f"{events.path.name}: ENERGY is in {unit}, not in eV or keV: convert the column"
        )
    energy_kev = energy * _KEV_PER_UNIT[unit]
    counts, _ = np.histogram(energy_kev[np.isfinite(energy_kev)], BIN_EDGES_KEV)
    return counts.astype(np.float64)


def _exposure_s(events: Hdu) -> float:
    for keyword in _EXPOSURE_KEYWORDS:
        value = events.header.get(keyword)
        if isinstance(value, int | float):
            if not (np.isfinite(value) and value > 0):
                raise InvalidSpectrumError(
                    f"{events.path.name}: {keyword} is {value}, it must be positive seconds: "
                    "correct the header"
                )
            return float(value)
    raise InvalidSpectrumError(
        f"{events.path.name}: none of {', '.join(_EXPOSURE_KEYWORDS)} in the header: add the "
        "exposure in seconds"
    )


def _warnings(path: Path) -> tuple[str, ...]:
    if parse_product_name(path.name) is not None:
        return ()
    return ("every event in the file is counted as the source: cut out its region first",)
