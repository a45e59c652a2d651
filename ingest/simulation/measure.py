"""What a catalogue pipeline measures on a spectrum and a light curve, with its noise.

Definitions follow the columns of the Chandra Source Catalog, Evans et al. 2010
(2010ApJS..189...37E): hardness ratios of aperture photon fluxes, significance as flux over its
error, and the odds of Gregory & Loredo for variability within an observation.
"""

import numpy as np
import numpy.typing as npt

from ingest.simulation.instrument import BANDS_KEV, BROAD_KEV, Response, bins_of

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SLOTS = 60  # of a light curve
_TRIALS = (2, 3, 4, 5, 6, 10, 12, 15, 20, 30)  # numbers of equal parts compared with a constant
_HARDEST = 0.999  # hardness ratios of the catalogue end there
# The catalogue's odds of constant sources are larger by this than the mean over our trials.
_ODDS_FACTOR = 7.5
_HARDNESS = {"hard_hs": ("h", "s"), "hard_ms": ("m", "s"), "hard_hm": ("h", "m")}


def measure_bands(
    counts: FloatArray, background: FloatArray, response: Response
) -> dict[str, FloatArray]:
    """Measure hardness ratios, their 68% limits, net counts and significance.

    Parameters
    ----------
    counts, background : ndarray of float64, shape (n, 400)
        Counts of the source region, and the background expected in it.
    response : Response
        Of all n spectra.

    Returns
    -------
    dict of str to ndarray of float64, shape (n,)
        ``hard_*`` with ``_lolim`` and ``_hilim``, ``flux_significance_b``, ``src_cnts_aper_b``,
        named as in the catalogue. A hardness ratio is NaN if neither band has a net count.
    """
    flux, error = {}, {}
    for band, (low, high) in BANDS_KEV.items():
        bins, area = bins_of(low, high), response.band_area_cm2(low, high)
        total = counts[:, bins].sum(axis=1)
        flux[band] = np.maximum(total - background[:, bins].sum(axis=1), 0.0) / area
        error[band] = np.sqrt(total + 1.0) / area
    measured = {}
    for name, (x, y) in _HARDNESS.items():
        both = np.where(flux[x] + flux[y] > 0, flux[x] + flux[y], np.nan)
        ratio = (flux[x] - flux[y]) / both
        sigma = 2 * np.hypot(flux[y] * error[x], flux[x] * error[y]) / both**2
        measured[name] = ratio.clip(-_HARDEST, _HARDEST)
        measured[f"{name}_lolim"] = (ratio - sigma).clip(-_HARDEST, _HARDEST)
        measured[f"{name}_hilim"] = (ratio + sigma).clip(-_HARDEST, _HARDEST)
    bins = bins_of(*BROAD_KEV)
    total = counts[:, bins].sum(axis=1)
    net = np.maximum(total - background[:, bins].sum(axis=1), 0.0)
    measured["src_cnts_aper_b"] = net
    # Upper error of a Poisson count, Gehrels 1986 (1986ApJ...303..336G), equation 7.
    measured["flux_significance_b"] = net / (1 + np.sqrt(total + 0.75))
    return measured


def draw_light_curves(rng: np.random.Generator, counts: IntArray, rms: FloatArray) -> IntArray:
    """Distribute the counts of n observations over time, shape (n, 60).

    The rate is the exponential of correlated noise of fractional amplitude ``rms``, shape (n,),
    and of a correlation time drawn for each observation.
    """
    steps = rng.normal(size=(_SLOTS, len(counts)))
    memory = rng.uniform(0.3, 0.98, size=len(counts))
    level = np.empty_like(steps)
    level[0] = steps[0]
    for slot in range(1, _SLOTS):
        level[slot] = memory * level[slot - 1] + np.sqrt(1 - memory**2) * steps[slot]
    rate = np.exp(rms * level).T
    return rng.multinomial(counts, rate / rate.sum(axis=1, keepdims=True)).astype(np.int64)


def variability(light_curve: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return probability and index of variability of light curves.

    Parameters
    ----------
    light_curve : ndarray of int64, shape (n, 60)
        Counts in equal intervals of each observation.

    Returns
    -------
    probability : ndarray of float64, shape (n,)
        Odds over one plus odds that the rate is not constant.
    index : ndarray of float64, shape (n,)
        0, constant, to 10, variable beyond doubt.

    References
    ----------
    .. [1] Gregory & Loredo 1992, ApJ 398, 146 (1992ApJ...398..146G), equation 5.28.
    """
    total = light_curve.sum(axis=1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total.max() + _SLOTS)))])
    log_odds = [
        total * np.log(m)
        + log_factorial[m - 1]
        + log_factorial[light_curve.reshape(-1, m, _SLOTS // m).sum(axis=2)].sum(axis=1)
        - log_factorial[total + m - 1]
        for m in _TRIALS
    ]
    odds = np.logaddexp.reduce(log_odds, axis=0) + np.log(_ODDS_FACTOR / len(_TRIALS))
    probability = 1 / (1 + np.exp(-np.clip(odds, -50.0, 50.0)))
    # Steps of the catalogue's index: in probability up to 0.9, then in decades of the odds.
    decades = odds / np.log(10)
    index = np.select(
        [probability < 0.5, probability < 2 / 3, probability < 0.9, decades < 2, decades < 4,
         decades < 10, decades < 30],
        [0.0, 1.0, 2.0, 6.0, 7.0, 8.0, 9.0],
        10.0,
    )  # fmt: skip
    return probability, index
