"""ACIS-like responses: from photons per keV on the model grid to counts in the 400 bins."""

from dataclasses import dataclass
from functools import cache
from math import erf

import numpy as np
import numpy.typing as npt

from common.binning import BIN_EDGES_KEV
from ingest.simulation.models import ENERGY_KEV, STEP_KEV

FloatArray = npt.NDArray[np.float64]

BANDS_KEV = {"s": (0.5, 1.2), "m": (1.2, 2.0), "h": (2.0, 7.0)}
BROAD_KEV = (0.5, 7.0)

# Effective area on axis in cm^2, read off public responses of 2000 and 2001; the steps at 1.84 keV
# (silicon) and 2.1 keV (iridium of the mirrors) are what a fit sees most.
_AREA: FloatArray = np.array(
    [  # keV, ACIS-I, ACIS-S
        (0.10, 1, 10),
        (0.28, 27, 110),
        (0.30, 10, 51),
        (0.40, 45, 169),
        (0.50, 109, 363),
        (0.60, 108, 384),
        (0.70, 196, 469),
        (0.80, 282, 530),
        (1.00, 444, 618),
        (1.25, 575, 679),
        (1.50, 650, 707),
        (1.83, 605, 665),
        (1.85, 540, 621),
        (2.00, 436, 595),
        (2.06, 400, 560),
        (2.20, 229, 292),
        (2.50, 300, 356),
        (3.00, 339, 382),
        (4.00, 373, 390),
        (5.00, 321, 314),
        (6.00, 211, 192),
        (7.00, 111, 96),
        (8.00, 43, 36),
        (9.00, 22, 19),
        (10.0, 9, 8),
    ]
)
_AREA_COLUMN = {"ACIS-I": 1, "ACIS-S": 2}
_READOUT_NOISE_KEV = {"ACIS-I": 0.055, "ACIS-S": 0.090}  # FWHM
_EPOCHS = ((2000, 0.1), (2009, 0.8), (2018, 2.0))  # first year, contaminant's depth at 0.67 keV
EPOCH_YEARS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """Effective area and redistribution of one instrument at one epoch.

    Attributes
    ----------
    instrument : str
        ``ACIS-I`` or ``ACIS-S``.
    first_year : int
        First of the `EPOCH_YEARS` years for which it stands.
    area_cm2 : ndarray of float64, shape (n_energy,)
        Effective area on the model grid.
    folding : ndarray of float64, shape (n_energy, 400)
        Takes photons / cm^2 / s / keV to counts / s per bin.
    background : ndarray of float64, shape (400,)
        Distribution of background counts over the bins; sums to 1.
    """

    instrument: str
    first_year: int
    area_cm2: FloatArray
    folding: FloatArray
    background: FloatArray

    def band_area_cm2(self, low_kev: float, high_kev: float) -> float:
        """Return the mean effective area of a band."""
        inside = (low_kev < ENERGY_KEV) & (high_kev > ENERGY_KEV)
        return float(self.area_cm2[inside].mean())


@cache
def responses() -> tuple[Response, ...]:
    """Return the responses of both detectors at three epochs."""
    return tuple(_response(name, *epoch) for name in _AREA_COLUMN for epoch in _EPOCHS)


def bins_of(low_kev: float, high_kev: float) -> npt.NDArray[np.bool_]:
    """Return which of the 400 bins lie in a band, shape (400,)."""
    centre = (BIN_EDGES_KEV[:-1] + BIN_EDGES_KEV[1:]) / 2
    return (centre > low_kev) & (centre < high_kev)


def _response(instrument: str, first_year: int, depth: float) -> Response:
    area = np.interp(ENERGY_KEV, _AREA[:, 0], _AREA[:, _AREA_COLUMN[instrument]])
    area *= np.exp(-depth * _contaminant())
    # Fano noise of silicon (3.65 eV per pair, factor 0.115) added to the readout's.
    fwhm = np.hypot(_READOUT_NOISE_KEV[instrument], 2.355 * np.sqrt(0.00365 * 0.115 * ENERGY_KEV))
    deviate = (BIN_EDGES_KEV - ENERGY_KEV[:, None]) / (fwhm[:, None] / 2.355 * np.sqrt(2))
    redistribution = np.diff(_ERF(deviate).astype(np.float64), axis=1) / 2  # (n_energy, 400)
    folding = (area * STEP_KEV)[:, None] * redistribution
    return Response(instrument, first_year, area, folding, _background(instrument))


def _contaminant() -> FloatArray:
    """Return the optical depth of the filter's hydrocarbon layer, 1 at 0.67 keV."""
    edges = np.where(ENERGY_KEV < 0.284, 0.06, 1.0) + 0.25 * (ENERGY_KEV > 0.532)
    return np.asarray(edges * (ENERGY_KEV / 0.67) ** -2.6 / 1.25)


def _background(instrument: str) -> FloatArray:
    """Return particles (flat, rising to high energies, gold and silicon lines) and a soft sky."""
    energy = (BIN_EDGES_KEV[:-1] + BIN_EDGES_KEV[1:]) / 2
    rise = {"ACIS-I": 0.02, "ACIS-S": 0.08}[instrument]
    shape = 1 + rise * energy + 2.5 * np.exp(-energy / 0.35)
    for line, height in ((1.74, 0.5), (2.15, 1.0), (7.47, 1.5)):
        shape += height * np.exp(-0.5 * ((energy - line) / 0.05) ** 2)
    return np.asarray(shape / shape.sum())


_ERF = np.frompyfunc(erf, 1, 1)
