"""Responses: from photons per keV on the model grid to counts in the 400 bins.

Those of ACIS follow its detectors and their contamination; those of other observatories are rough,
for nets that shall read their spectra as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from math import erf

import numpy as np
import numpy.typing as npt

from common.binning import BIN_EDGES_KEV
from ingest.simulation.areas import AREAS
from ingest.simulation.backgrounds import instrument_background, other_backgrounds
from ingest.simulation.models import ENERGY_KEV, STEP_KEV

FloatArray = npt.NDArray[np.float64]

BANDS_KEV = {"s": (0.5, 1.2), "m": (1.2, 2.0), "h": (2.0, 7.0)}
BROAD_KEV = (0.5, 7.0)
EPOCH_YEARS = 5

_SILICON = 2.355 * np.sqrt(0.00365 * 0.115)  # Fano noise: 3.65 eV per pair, factor 0.115


@dataclass(frozen=True, slots=True)
class _Epoch:
    """An instrument during some years.

    ``noise_kev`` is the FWHM of the readout, ``fano`` that at 1 keV of what grows as the root of
    the energy, ``depth`` the contaminant's optical depth at 0.67 keV, ``rise`` that of the
    particle background with energy.
    """

    instrument: str
    first_year: int
    noise_kev: float
    depth: float = 0.0
    fano: float = _SILICON
    rise: float = 0.05
    background_lines: Mapping[float, float] = field(
        default_factory=lambda: {1.74: 0.5, 2.15: 1.0, 7.47: 1.5}
    )


_ACIS = tuple(
    _Epoch(name, year, noise, depth, rise=rise)
    for name, noise, rise in (("ACIS-I", 0.055, 0.02), ("ACIS-S", 0.090, 0.08))
    for year, depth in ((2000, 0.1), (2009, 0.8), (2018, 2.0))
)
_OTHERS = (
    _Epoch("EPIC-pn", 2001, 0.075, background_lines={1.49: 1.0, 7.5: 0.6, 7.98: 2.5}),
    _Epoch("EPIC-pn medium", 2008, 0.08, 0.15, background_lines={1.49: 1.0, 7.98: 2.5}),
    _Epoch("EPIC-MOS", 2002, 0.065, 0.05, background_lines={1.49: 2.0, 1.74: 1.0, 5.4: 0.3}),
    _Epoch("EPIC-MOS", 2012, 0.075, 0.3, background_lines={1.49: 2.0, 1.74: 1.0, 5.4: 0.3}),
    _Epoch("XRT", 2005, 0.06, 0.05, background_lines={7.47: 0.8}),
    _Epoch("XRT", 2013, 0.13, 0.1, fano=0.065, background_lines={7.47: 0.8}),
    _Epoch("SIS", 1993, 0.06, background_lines={7.47: 0.4}),
    _Epoch("SIS", 1997, 0.13, 0.25, fano=0.075, background_lines={7.47: 0.4}),
    _Epoch("GIS", 1993, 0.0, fano=0.195, background_lines={8.0: 0.3}),
    _Epoch("XIS-FI", 2006, 0.05, 0.25, background_lines={1.74: 0.3, 5.9: 0.6, 7.47: 1.0}),
    _Epoch("XIS-BI", 2009, 0.075, 0.5, background_lines={1.74: 0.2, 5.9: 0.5, 7.47: 1.0}),
)
N_ACIS = len(_ACIS)


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """Effective area and redistribution of one instrument at one epoch.

    Attributes
    ----------
    instrument : str
        ``ACIS-I``, ``EPIC-pn``, …
    first_year : int
        First of the `EPOCH_YEARS` years for which it stands.
    area_cm2 : ndarray of float64, shape (n_energy,)
        Effective area on the model grid.
    folding : ndarray of float64, shape (n_energy, 400)
        Takes photons / cm^2 / s / keV to counts / s per bin.
    background : ndarray of float64, shape (400,)
        Usual distribution of background counts over the bins; sums to 1.
    other_backgrounds : ndarray of float64, shape (5, 400)
        What a background may be besides, see ``backgrounds.SHAPES``; each sums to 1.
    """

    instrument: str
    first_year: int
    area_cm2: FloatArray
    folding: FloatArray
    background: FloatArray
    other_backgrounds: FloatArray

    @property
    def family(self) -> str:
        """Name of the instrument as records tell it: ``ACIS``, ``EPIC-pn``, …"""
        return self.instrument.split(" ")[0].removesuffix("-I").removesuffix("-S")

    def band_area_cm2(self, low_kev: float, high_kev: float) -> float:
        """Return the mean effective area of a band."""
        inside = (low_kev < ENERGY_KEV) & (high_kev > ENERGY_KEV)
        return float(self.area_cm2[inside].mean())


@cache
def responses() -> tuple[Response, ...]:
    """Return the responses: both detectors of ACIS at three epochs, then other observatories'."""
    return tuple(_response(epoch) for epoch in (*_ACIS, *_OTHERS))


def bins_of(low_kev: float, high_kev: float) -> npt.NDArray[np.bool_]:
    """Return which of the 400 bins lie in a band, shape (400,)."""
    centre = (BIN_EDGES_KEV[:-1] + BIN_EDGES_KEV[1:]) / 2
    return (centre > low_kev) & (centre < high_kev)


def _response(epoch: _Epoch) -> Response:
    table = AREAS[epoch.instrument]
    area = np.interp(ENERGY_KEV, table[:, 0], table[:, 1])
    area *= np.exp(-epoch.depth * _contaminant())
    fwhm = np.hypot(epoch.noise_kev, epoch.fano * np.sqrt(ENERGY_KEV))
    deviate = (BIN_EDGES_KEV - ENERGY_KEV[:, None]) / (fwhm[:, None] / 2.355 * np.sqrt(2))
    redistribution = np.diff(_ERF(deviate).astype(np.float64), axis=1) / 2  # (n_energy, 400)
    folding = (area * STEP_KEV)[:, None] * redistribution
    return Response(
        epoch.instrument,
        epoch.first_year,
        area,
        folding,
        instrument_background(epoch.rise, epoch.background_lines),
        other_backgrounds(folding, epoch.background_lines),
    )


def _contaminant() -> FloatArray:
    """Return the optical depth of a filter's hydrocarbon layer, 1 at 0.67 keV."""
    edges = np.where(ENERGY_KEV < 0.284, 0.06, 1.0) + 0.25 * (ENERGY_KEV > 0.532)
    return np.asarray(edges * (ENERGY_KEV / 0.67) ** -2.6 / 1.25)


_ERF = np.frompyfunc(erf, 1, 1)
