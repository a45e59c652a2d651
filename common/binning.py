"""The one energy grid of the system: 400 bins from 0.5 to 8 keV (arXiv:2510.14102, section 2).

Channels of any instrument are shared out to the bins by exact overlap, so no count is lost or
invented inside the band. It lives here because readers, encoders and the search API all need it
and do not know each other.
"""

import numpy as np
import numpy.typing as npt

from common.errors import InvalidSpectrumError

FloatArray = npt.NDArray[np.float64]

N_BINS = 400
ENERGY_LO_KEV = 0.5
ENERGY_HI_KEV = 8.0
BIN_WIDTH_KEV = (ENERGY_HI_KEV - ENERGY_LO_KEV) / N_BINS
BIN_EDGES_KEV: FloatArray = np.linspace(ENERGY_LO_KEV, ENERGY_HI_KEV, N_BINS + 1)


def rebin(counts: FloatArray, energy_lo_kev: FloatArray, energy_hi_kev: FloatArray) -> FloatArray:
    """Share the counts of each channel out to the 400 bins by overlap.

    A channel is taken as uniformly filled; the part of it below 0.5 or above 8 keV is dropped.

    Parameters
    ----------
    counts : ndarray of float64, shape (n_channel,)
        Counts per channel.
    energy_lo_kev, energy_hi_kev : ndarray of float64, shape (n_channel,)
        Bounds of each channel in keV, ``lo < hi``; channels in ascending order without overlap.

    Returns
    -------
    ndarray of float64, shape (400,)
        Counts per bin. Their sum equals the counts inside 0.5-8 keV to 1e-9 relative.

    Raises
    ------
    InvalidSpectrumError
        If no channel reaches into 0.5-8 keV.
    """
    if not np.any((energy_hi_kev > ENERGY_LO_KEV) & (energy_lo_kev < ENERGY_HI_KEV)):
        raise InvalidSpectrumError(
            f"channels cover {energy_lo_kev.min():.3g}-{energy_hi_kev.max():.3g} keV, "
            "nothing inside 0.5-8 keV: give a spectrum of that band"
        )
    # The cumulative distribution of the counts is linear inside a channel and flat in gaps, so
    # its differences at the bin edges are the exact overlaps, without a channel x bin matrix.
    knots = np.column_stack([energy_lo_kev, energy_hi_kev]).ravel()  # (2 n_channel,)
    total = np.cumsum(counts)
    cumulative = np.column_stack([total - counts, total]).ravel()  # (2 n_channel,)
    return np.clip(np.diff(np.interp(BIN_EDGES_KEV, knots, cumulative)), 0.0, None)


def count_rate(binned_counts: FloatArray, exposure_s: FloatArray | float) -> FloatArray:
    """Return counts per second per keV; shapes (..., 400) and (...) or scalar -> (..., 400)."""
    return binned_counts / (np.asarray(exposure_s, dtype=np.float64)[..., None] * BIN_WIDTH_KEV)


def min_max(rate: FloatArray) -> FloatArray:
    """Scale each spectrum to its shape: minimum 0, maximum 1.

    Parameters
    ----------
    rate : ndarray of float64, shape (..., 400)
        Counts or count rate per bin; the shape is the same for both.

    Returns
    -------
    ndarray of float64, shape (..., 400)
        Values in [0, 1].

    Raises
    ------
    InvalidSpectrumError
        If a spectrum is constant (for instance all zero): its shape is not defined.
    """
    low = rate.min(axis=-1, keepdims=True)
    span = rate.max(axis=-1, keepdims=True) - low
    if not np.all(span > 0):
        raise InvalidSpectrumError(
            "the spectrum is the same in all 400 bins (no counts in 0.5-8 keV?): "
            "its shape is not defined"
        )
    shape: FloatArray = (rate - low) / span
    return shape
