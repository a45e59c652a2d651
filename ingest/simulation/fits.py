"""Spectral fits of many spectra at once: maximum likelihood over a grid of folded templates.

A fit by descent costs milliseconds a spectrum. Here the likelihood of every template for every
spectrum is one matrix product, and some steps of Gauss and Newton from the best of them give the
values between.
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

MIN_COUNTS = 20  # fainter spectra are not fitted

_CHUNK = 256  # spectra: a chunk's likelihoods of all templates stay in memory together
_STEPS, _REACH, _RIDGE = 4, 1.0, 0.05  # of the search between templates, in units of their grid
_COUNTS_PER_GROUP, _MIN_GROUPS, _MAX_GROUPS = 16, 8, 100
_CHANNELS = 430  # of the real pipeline: it has no more groups
# Fits see bins of 38 eV up to 2 keV and of 75 eV above: a CCD resolves no more.
_FIRST_BINS = np.concatenate([np.arange(0, 80, 2), np.arange(80, N_BINS, 4)])
# Shares of background for which templates are folded. The background of a spectrum is exchanged for
# one of the nearest share, and of the shape that the response usually has.
_BACKGROUND_SHARES: FloatArray = np.array([0.003, 0.03, 0.1, 0.25, 0.5])
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
        folding = _coarse(response.folding[::2] + response.folding[1::2]) / 2
        folded = _absorbed(self) @ folding.astype(np.float32)
        return np.asarray(folded / folded.sum(axis=1, keepdims=True))


@cache
def _absorbed(grid: Grid) -> Float32Array:
    """Return what arrives in pairs of energies, shape (n_template, n_energy / 2)."""
    points = np.meshgrid(*grid.axes.values(), indexing="ij")
    emitted = models.normalise(grid.model(*(axis.ravel() for axis in points)))
    through = models.transmission(_NH * 1e20)
    even, odd = (
        (emitted[:, None, first::2] * through[:, first::2]).astype(np.float32) for first in (0, 1)
    )
    return np.asarray((even + odd).reshape(-1, even.shape[-1]))


def _coarse(counts: FloatArray) -> FloatArray:
    """Return the bins that fits see, (n, 400) to (n, n_fit_bin)."""
    return np.asarray(np.add.reduceat(counts, _FIRST_BINS, axis=1))


GRIDS: tuple[Grid, ...] = (
    Grid("powlaw", models.power_law, {"gamma": np.arange(-3.0, 10.01, 0.25)}),
    Grid("bb", models.black_body, {"kt": np.geomspace(0.04, 6.0, 36)}),
    Grid("brems", models.bremsstrahlung, {"kt": np.geomspace(0.08, 100.0, 36)}),
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
    counts: FloatArray, background: FloatArray, response: Response
) -> dict[str, FloatArray]:
    """Fit the four catalogue models to spectra taken with one response.

    Parameters
    ----------
    counts : ndarray of float64, shape (n, 400)
        Counts, background included.
    background : ndarray of float64, shape (n, 400)
        Background expected among them.
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
    share = background[bright].sum(axis=1) / counts[bright].sum(axis=1)
    level = np.abs(np.log(_BACKGROUND_SHARES / np.maximum(share[:, None], 1e-6))).argmin(axis=1)
    nearest = _BACKGROUND_SHARES[level]
    exchanged = (1 - share) * counts[bright].sum(axis=1) * nearest / (1 - nearest)
    counts, total = np.empty((len(counts), len(_FIRST_BINS))), counts
    counts[bright] = _coarse(total[bright] - background[bright])
    counts[bright] += exchanged[:, None] * _coarse(response.background[None])
    usual = _coarse(response.background[None]).astype(np.float32)
    measured: dict[str, FloatArray] = {}
    for grid in GRIDS:
        templates = grid.templates(response)
        columns = (*grid.axes, "nh", "stat")
        values = {column: np.full(len(counts), np.nan) for column in columns}
        for row in np.unique(level):
            weight = np.float32(_BACKGROUND_SHARES[row])
            mixed = (1 - weight) * templates + weight * usual
            log_mixed = np.log(mixed)
            # A constant per bin shifts the likelihoods of one spectrum alike, and float32 keeps
            # its digits for what differs between templates.
            usual_log = log_mixed.mean(axis=0)
            log_mixed -= usual_log
            rows = bright[level == row]
            for start in range(0, len(rows), _CHUNK):
                chunk = rows[start : start + _CHUNK]
                log_model, fitted = _refine(counts[chunk], log_mixed, usual_log, grid)
                n_free = len(grid.shape) + 1  # the brightness as well
                fitted["stat"] = _reduced_cash(counts[chunk], np.exp(log_model), n_free)
                for column in columns:
                    values[column][chunk] = fitted[column]
        measured |= {f"{grid.name}_{column}": array for column, array in values.items()}
    return measured


def _refine(
    counts: FloatArray, log_templates: Float32Array, usual_log: Float32Array, grid: Grid
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Return the model that fits each spectrum best, as logarithm, and its parameters.

    From the likeliest template, steps of Gauss and Newton lead to values between the templates,
    whose logarithms, but for ``usual_log``, are given and taken as quadratic between them.
    """
    cash = -2 * (counts.astype(np.float32) @ log_templates.T)  # (n, n_template)
    best = cash.argmin(axis=1)
    point = np.array(np.unravel_index(best, grid.shape)).T  # (n, n_axis)
    strides = np.cumprod((1, *grid.shape[:0:-1]))[::-1]
    here = log_templates[best].astype(np.float64) + usual_log
    below, above = (
        usual_log + log_templates[np.where(inside, best[:, None] + step * strides, best[:, None])]
        for step, inside in ((-1, point > 0), (1, point < np.array(grid.shape) - 1))
    )  # (n, n_axis, n_fit_bin)
    at_edge = ((point == 0) | (point == np.array(grid.shape) - 1))[:, :, None]
    slope = (above - below) * np.where(at_edge, 1.0, 0.5)
    bend = np.where(at_edge, 0.0, above - 2 * here[:, None] + below)
    low = np.where(point == 0, 0.0, -_REACH)
    high = np.where(point == np.array(grid.shape) - 1, 0.0, _REACH)
    offset = np.zeros(point.shape)
    total = counts.sum(axis=1)
    for _ in range(_STEPS):
        log_model = _between(here, slope, bend, offset)
        model = np.exp(log_model)
        tangent = slope + bend * offset[:, :, None]
        tangent -= tangent @ model[:, :, None]
        score = (tangent @ (counts - total[:, None] * model)[:, :, None])[:, :, 0]
        fisher = (tangent * (total[:, None] * model)[:, None]) @ tangent.transpose(0, 2, 1)
        fisher += _RIDGE * np.eye(point.shape[1])
        step = np.linalg.solve(fisher, (score - _RIDGE * offset)[:, :, None])[:, :, 0]
        offset = np.clip(offset + step.clip(-0.5, 0.5), low, high)
    values = {
        name: np.interp(point[:, index] + offset[:, index], np.arange(len(axis)), axis)
        for index, (name, axis) in enumerate({**grid.axes, "nh": _NH}.items())
    }
    return _between(here, slope, bend, offset), values


def _between(
    here: FloatArray, slope: FloatArray, bend: FloatArray, offset: FloatArray
) -> FloatArray:
    """Return logarithms of models beside templates, each of which sums to 1."""
    weight = offset[:, None, :]
    log_model = here + (weight @ slope + 0.5 * weight**2 @ bend)[:, 0]
    log_model -= log_model.max(axis=1, keepdims=True)
    return np.asarray(log_model - np.log(np.exp(log_model).sum(axis=1, keepdims=True)))


def _reduced_cash(counts: FloatArray, shape: FloatArray, n_free: int) -> FloatArray:
    """Return Cash / degrees of freedom of counts grouped to equal expected counts."""
    total = counts.sum(axis=1, keepdims=True)
    cumulative = np.cumsum(shape, axis=1)
    n_groups = np.clip(total // _COUNTS_PER_GROUP, _MIN_GROUPS, _MAX_GROUPS)
    group = np.minimum(cumulative / cumulative[:, -1:] * n_groups, n_groups - 1).astype(np.int64)
    flat = (group + np.arange(len(counts))[:, None] * _MAX_GROUPS).ravel()
    size = len(counts) * _MAX_GROUPS
    expected, observed = (
        np.bincount(flat, weights.ravel(), minlength=size).reshape(-1, _MAX_GROUPS)
        for weights in (shape * total, counts)
    )
    observed = np.maximum(observed, 0.0)  # where the background was exchanged it may be negative
    ratio = np.where(observed > 0, observed / np.maximum(expected, 1e-12), 1.0)
    cash = 2 * (expected - observed + observed * np.log(ratio)).sum(axis=1)
    freedom = (expected > 0).sum(axis=1) - n_free
    # Where the real pipeline would have more groups, these add what they are expected to.
    real_freedom = np.clip(total[:, 0] // _COUNTS_PER_GROUP, 0, _CHANNELS) - n_free
    finer = np.maximum(real_freedom - freedom, 0)
    return np.asarray((cash + finer) / np.maximum(freedom + finer, 1))
