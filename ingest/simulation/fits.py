"""Spectral fits of many spectra at once: maximum likelihood over a grid of folded templates.

A fit by descent costs milliseconds a spectrum. Here the likelihood of every template for every
spectrum is one matrix product, and a parabola through the best grid point and its neighbours
gives the values between.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from common.binning import N_BINS
from ingest.simulation import models
from ingest.simulation.instrument import Response

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

MIN_COUNTS = 40  # fainter spectra are not fitted

_CHUNK = 256  # spectra: a chunk's likelihoods of all templates stay in memory together
_COUNTS_PER_GROUP, _MIN_GROUPS, _MAX_GROUPS = 12, 8, 100
# Fits see bins of 38 eV up to 2 keV and of 75 eV above: a CCD resolves no more.
_FIRST_BINS = np.concatenate([np.arange(0, 80, 2), np.arange(80, N_BINS, 4)])
# Shares of background for which templates are folded; the nearest one stands for a spectrum.
_BACKGROUND_SHARES: FloatArray = np.array([0.002, 0.01, 0.03, 0.065, 0.11, 0.17, 0.27, 0.4, 0.57])
_NH: FloatArray = np.array(  # 1e20 cm^-2
    [0, 1, 2, 4, 7, 11, 17, 25, 36, 52, 75, 110, 160, 230, 340, 500, 750, 1100, 1600, 2400, 3600,
     5500, 10000]
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A model and the values of its parameters, in order; absorption comes last."""

    name: str
    model: models.Model
    axes: Mapping[str, FloatArray]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each parameter, the column density last."""
        return (*(len(axis) for axis in self.axes.values()), len(_NH))

    def templates(self, response: Response) -> Float32Array:
        """Return the folded models, shape (n_template, n_fit_bin), each with sum 1."""
        absorbed = _emitted(self)[:, None, :] * _transmission()
        folding = _coarse(response.folding).astype(np.float32)
        folded = absorbed.reshape(-1, absorbed.shape[-1]) @ folding
        return np.asarray(folded / folded.sum(axis=1, keepdims=True))


@cache
def _emitted(grid: Grid) -> Float32Array:
    """Return what a grid's models emit, shape (n_template / n_nh, n_energy)."""
    points = np.meshgrid(*grid.axes.values(), indexing="ij")
    return models.normalise(grid.model(*(axis.ravel() for axis in points))).astype(np.float32)


@cache
def _transmission() -> Float32Array:
    return models.transmission(_NH * 1e20).astype(np.float32)


def _coarse(counts: FloatArray) -> FloatArray:
    """Return the bins that fits see, (n, 400) to (n, n_fit_bin)."""
    return np.asarray(np.add.reduceat(counts, _FIRST_BINS, axis=1))


GRIDS: tuple[Grid, ...] = (
    Grid("powlaw", models.power_law, {"gamma": np.arange(-2.0, 8.01, 0.2)}),
    Grid("bb", models.black_body, {"kt": np.geomspace(0.04, 6.0, 36)}),
    Grid("brems", models.bremsstrahlung, {"kt": np.geomspace(0.08, 90.0, 36)}),
    Grid(
        "apec",
        models.plasma,
        {
            "kt": np.geomspace(0.12, 30.0, 26),
            "abund": np.array([0.05, 0.25, 0.5, 1.0, 2.0]),
            "z": np.array([0.0, 0.1, 0.3, 0.8]),
        },
    ),
)


def fit_spectra(
    counts: FloatArray, background_share: FloatArray, response: Response
) -> dict[str, FloatArray]:
    """Fit the four catalogue models to spectra taken with one response.

    Parameters
    ----------
    counts : ndarray of float64, shape (n, 400)
        Counts, background included.
    background_share : ndarray of float64, shape (n,)
        Share of the background in all counts.
    response : Response
        Of all n spectra.

    Returns
    -------
    dict of str to ndarray of float64, shape (n,)
        Fit columns of the catalogue: column densities in 1e20 cm^-2, temperatures in keV,
        ``*_stat`` as Cash statistic per degree of freedom of the grouped spectrum. NaN for
        spectra of fewer than `MIN_COUNTS` counts.

    References
    ----------
    .. [1] Cash 1979, ApJ 228, 939 (1979ApJ...228..939C).
    """
    bright = np.flatnonzero(counts.sum(axis=1) >= MIN_COUNTS)
    counts = _coarse(counts)
    background = _coarse(response.background[None]).astype(np.float32)
    level = np.abs(
        np.log(_BACKGROUND_SHARES / np.maximum(background_share[bright, None], 1e-6))
    ).argmin(axis=1)
    measured: dict[str, FloatArray] = {}
    for grid in GRIDS:
        templates = grid.templates(response)
        columns = (*grid.axes, "nh", "stat")
        values = {column: np.full(len(counts), np.nan) for column in columns}
        for share in np.unique(level):
            weight = np.float32(_BACKGROUND_SHARES[share])
            mixed = (1 - weight) * templates + weight * background
            log_mixed = np.log(mixed)
            # A constant per bin shifts the likelihoods of one spectrum alike, and float32 keeps
            # its digits for what differs between templates.
            log_mixed -= log_mixed.mean(axis=0)
            rows = bright[level == share]
            for start in range(0, len(rows), _CHUNK):
                chunk = rows[start : start + _CHUNK]
                best, fitted = _best(counts[chunk], log_mixed, grid)
                n_free = len(grid.shape) + 1  # the brightness as well
                fitted["stat"] = _reduced_cash(counts[chunk], mixed[best], n_free)
                for column in columns:
                    values[column][chunk] = fitted[column]
        measured |= {f"{grid.name}_{column}": array for column, array in values.items()}
    return measured


def _best(
    counts: FloatArray, log_templates: Float32Array, grid: Grid
) -> tuple[IntArray, dict[str, FloatArray]]:
    """Return the likeliest template of each spectrum, and the parameters refined around it."""
    cash = -2 * (counts.astype(np.float32) @ log_templates.T)  # (n, n_template)
    best = cash.argmin(axis=1)
    row = np.arange(len(counts))
    point = np.array(np.unravel_index(best, grid.shape))  # (n_axis, n)
    values = {}
    strides = np.cumprod((1, *grid.shape[:0:-1]))[::-1]
    for (name, axis), index, stride in zip(
        {**grid.axes, "nh": _NH}.items(), point, strides, strict=True
    ):
        inside = (index > 0) & (index < len(axis) - 1)
        step = np.where(inside, stride, 0)
        below, here, above = (
            cash[row, best + shift].astype(np.float64) for shift in (-step, 0, step)
        )
        curvature = np.where(inside, below - 2 * here + above, 1.0)
        offset = 0.5 * (below - above) / np.maximum(curvature, 1e-6)
        values[name] = np.interp(index + offset.clip(-0.5, 0.5), np.arange(len(axis)), axis)
    return best, values


def _reduced_cash(counts: FloatArray, shape: Float32Array, n_free: int) -> FloatArray:
    """Return Cash / degrees of freedom of counts grouped to equal expected counts."""
    total = counts.sum(axis=1, keepdims=True)
    cumulative = np.cumsum(shape.astype(np.float64), axis=1)
    n_groups = np.clip(total // _COUNTS_PER_GROUP, _MIN_GROUPS, _MAX_GROUPS)
    group = np.minimum(cumulative / cumulative[:, -1:] * n_groups, n_groups - 1).astype(np.int64)
    flat = (group + np.arange(len(counts))[:, None] * _MAX_GROUPS).ravel()
    size = len(counts) * _MAX_GROUPS
    expected, observed = (
        np.bincount(flat, weights.ravel(), minlength=size).reshape(-1, _MAX_GROUPS)
        for weights in (shape * total, counts)
    )
    observed = np.maximum(observed, 0.0)  # where a background was exchanged it may be negative
    ratio = np.where(observed > 0, observed / np.maximum(expected, 1e-12), 1.0)
    cash = 2 * (expected - observed + observed * np.log(ratio)).sum(axis=1)
    freedom = (expected > 0).sum(axis=1) - n_free
    return np.asarray(cash / np.maximum(freedom, 1))
