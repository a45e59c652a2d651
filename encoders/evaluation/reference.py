"""Estimates of new spectra from the neighbours in a reference dataset, by calibrated rules.

The arithmetic is that of a store's answer to an uploaded spectrum, with exact neighbours.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.calibration import LEVELS, RuleSet, VariableRule
from common.dataset import Dataset
from common.estimation import SPREAD_NEIGHBOURS, average, distances, spread
from common.ports import Encoder, Float32Array, Progress, Vectors, no_progress
from common.variables import BY_NAME

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Estimated:
    """One variable of n spectra.

    Attributes
    ----------
    value : ndarray of float64, shape (n,)
        Estimates, NaN where too few neighbours have a value.
    bounds : mapping of str to ndarray of float64, shape (n, 2)
        Lower and upper end of the interval of each level.
    """

    value: FloatArray
    bounds: Mapping[str, FloatArray]


class Reference:
    """A dataset as the neighbours of new spectra.

    Parameters
    ----------
    dataset : Dataset
        Spectra with catalogue values.
    encoder : Encoder
        The model.
    rules : RuleSet
        How each variable is averaged, and how far off that is, for spectra without a text.
    progress : callable
        Told how many spectra are encoded.
    """

    def __init__(
        self, dataset: Dataset, encoder: Encoder, rules: RuleSet, progress: Progress = no_progress
    ) -> None:
        self.dataset, self.rules = dataset, rules
        self._unit = _unit(encoder.encode_spectra(dataset.counts, dataset.exposure_s, progress))
        self._names = np.array([one.source_name or "" for one in dataset.detections])

    def estimate(self, vectors: Vectors, names: list[str]) -> dict[str, Estimated]:
        """Return estimates of every variable that has a rule.

        Parameters
        ----------
        vectors : Vectors
            Of n spectra.
        names : list of str, length n
            Their sources: detections of the same source are no neighbours.

        Returns
        -------
        dict of str to Estimated
            By variable.
        """
        distance = {
            name: distances(np.asarray(x @ self._unit[name].T, dtype=np.float64))
            for name, x in _unit(vectors).items()
        }  # each (n, n_reference)
        other = np.array([(self._names != name) | (name == "") for name in names])
        found = {}
        for variable, rule in self.rules.variables.items():
            values = self.dataset.variables.get(variable)
            if values is not None and set(rule.representations) <= distance.keys():
                allowed = other & np.isfinite(values)
                found[variable] = _estimate(variable, rule, values, distance, allowed)
        return found

    def spread_of(self, variable: str) -> float:
        """Return the standard deviation of a variable in the reference."""
        return float(np.nanstd(self.dataset.variables[variable]))


def _estimate(
    variable: str,
    rule: VariableRule,
    values: FloatArray,
    distance: Mapping[str, FloatArray],
    allowed: BoolArray,
) -> Estimated:
    n = len(allowed)
    value = np.full(n, np.nan)
    bounds: dict[str, FloatArray] = {level: np.full((n, 2), np.nan) for level in LEVELS}
    longest = max(rule.k, SPREAD_NEIGHBOURS)
    for row in range(n):
        candidates = np.flatnonzero(allowed[row])
        if len(candidates) < rule.k:
            continue
        averages, pool = [], []
        for name in rule.representations:
            away = distance[name][row, candidates]
            nearest = np.argsort(away, kind="stable")[:longest]
            near, at = values[candidates[nearest]], away[nearest]
            averages.append(average(near[None, : rule.k], at[None, : rule.k], rule.average)[0])
            pool.append(near[:SPREAD_NEIGHBOURS])
        value[row] = np.mean(averages)
        scale = spread(np.concatenate(pool)[None, :], rule.smallest_spread)[0]
        least = min(BY_NAME[variable].interval_min, value[row])
        most = BY_NAME[variable].valid_max
        for level in LEVELS:
            ends = value[row] + np.array(rule.interval[level]) * scale
            bounds[level][row] = np.clip(ends, least, most)
    return Estimated(value, bounds)


def _unit(vectors: Vectors) -> dict[str, Float32Array]:
    """Return rows of unit length, as the store compares them."""
    return {
        name: np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), dtype=np.float32)
        for name, x in (("spectrum", vectors.own), ("shared_spectrum", vectors.shared))
    }
