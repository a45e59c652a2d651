"""What an astronomer would look at in a spectrum, as numbers that hardly depend on its brightness.

Shares of the counts in broad bins, energies below which parts of them lie, at the energies of known
lines how far the counts stand out from those beside them, and the whole spectrum in bins of 75 eV.
Features of 1,000 and of a million counts of one source differ by noise alone: noise is bounded from
below by that of `MOST_COUNTS`.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from common.binning import BIN_EDGES_KEV, N_BINS

FloatArray = npt.NDArray[np.float64]

MOST_COUNTS = 3000.0
_FEWEST_COUNTS = 20.0
_SYSTEMATICS = 0.04  # of the counts beside a line: nobody knows the area better
_BIN_EDGES_KEV: FloatArray = np.concatenate(
    [np.arange(0.5, 2.0, 0.1), np.arange(2.0, 4.0, 0.2), np.arange(4.0, 8.01, 0.4)]
)
_BAND_EDGES_KEV: FloatArray = np.array([0.5, 0.8, 1.2, 2.0, 3.0, 4.5, 6.0, 8.0])
QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
# O, Fe-L, Ne, Mg, instrumental Si and Au, Si, S, Ar, Ca, Fe-K at rest and redshifted, Ni; between
# them some that no element has, to compare with.
LINES_KEV: FloatArray = np.array(
    [0.57, 0.65, 0.74, 0.82, 0.87, 0.92, 1.02, 1.12, 1.35, 1.47, 1.74, 1.85, 2.0, 2.17, 2.45, 2.62,
     2.8, 3.13, 3.32, 3.69, 3.9, 4.1, 4.5, 5.0, 5.4, 5.9, 6.1, 6.4, 6.55, 6.7, 6.97, 7.2, 7.5, 7.8]
)  # fmt: skip

_FINE = 4  # of the 400 bins: 75 eV, half of what a CCD resolves
_ANSCOMBE = 0.375

N_FEATURES = (
    (len(_BIN_EDGES_KEV) - 1)
    + (len(_BAND_EDGES_KEV) - 1)
    + len(QUANTILES)
    + 1
    + 2 * len(LINES_KEV)
    + N_BINS // _FINE
)


def spectral_features(counts: Tensor) -> Tensor:
    """Return the features of spectra.

    Parameters
    ----------
    counts : Tensor of float32, shape (n, 400)
        Counts per bin, at least one in each spectrum.

    Returns
    -------
    Tensor of float32, shape (n, N_FEATURES)
        Not standardised.
    """
    bins, bands, inside, beside = (x.to(counts.device) for x in _sums())
    total = counts.sum(1, keepdim=True)
    in_bands, fine = counts @ bands, counts.reshape(len(counts), -1, _FINE).sum(2)
    scale = (MOST_COUNTS / total).clamp_max(1.0)
    on_line, off_line = counts @ inside * scale, counts @ beside * scale
    noise = (on_line + off_line + 1 + (_SYSTEMATICS * off_line) ** 2).sqrt()
    excess = (on_line - off_line) / noise
    return torch.cat(
        [
            (counts @ bins / total).sqrt(),
            ((in_bands + 0.5) / (total + 0.5 * in_bands.shape[1])).log(),
            _quantiles(counts, total),
            total.clamp(_FEWEST_COUNTS, MOST_COUNTS).log(),
            excess.sign() * excess.abs().log1p(),
            ((on_line + 2) / (off_line + 2)).log(),
            (fine * scale + _ANSCOMBE).sqrt(),  # noise of one size wherever there are counts
        ],
        dim=1,
    )


def _quantiles(counts: Tensor, total: Tensor) -> Tensor:
    """Return the energies in keV below which parts of the counts lie, (n, n_quantile)."""
    cumulative = counts.double().cumsum(1) / total.double()
    wanted = torch.tensor(QUANTILES, dtype=torch.float64, device=counts.device)
    wanted = wanted.expand(len(counts), -1).contiguous()
    above = torch.searchsorted(cumulative, wanted).clamp_max(N_BINS - 1)
    there = cumulative.gather(1, above)
    height = (counts.double() / total.double()).gather(1, above).clamp_min(1e-12)
    part = (1 - (there - wanted) / height).clamp(0, 1)  # of the bin in which it is reached
    step = BIN_EDGES_KEV[1] - BIN_EDGES_KEV[0]
    energies_kev: Tensor = BIN_EDGES_KEV[0] + (above + part) * step
    return energies_kev.float()


@cache
def _sums() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what sums the 400 bins over bins, bands, lines and what is beside them."""
    width = 0.06 + 0.02 * LINES_KEV  # wider than a CCD resolves, as gains and redshifts differ
    beside = _overlap(LINES_KEV - 2 * width, LINES_KEV - width)
    beside += _overlap(LINES_KEV + width, LINES_KEV + 2 * width)
    sums = (
        _overlap(_BIN_EDGES_KEV[:-1], _BIN_EDGES_KEV[1:]),
        _overlap(_BAND_EDGES_KEV[:-1], _BAND_EDGES_KEV[1:]),
        _overlap(LINES_KEV - width, LINES_KEV + width),
        beside,
    )
    first, second, third, fourth = (torch.from_numpy(x.astype(np.float32)) for x in sums)
    return first, second, third, fourth


def _overlap(low_kev: FloatArray, high_kev: FloatArray) -> FloatArray:
    """Return which part of each of the 400 bins lies in each of m intervals, (400, m)."""
    low, high = BIN_EDGES_KEV[:-1, None], BIN_EDGES_KEV[1:, None]
    shared = np.minimum(high, high_kev) - np.maximum(low, low_kev)
    return np.asarray(np.clip(shared / (high - low), 0.0, 1.0))
