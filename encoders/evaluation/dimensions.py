"""What single vector dimensions follow: their correlation with each variable (Table 2)."""

import numpy as np
import numpy.typing as npt

from common.representations import Representations
from encoders.evaluation.result import DimensionCorrelations

FloatArray = npt.NDArray[np.float64]

SHOWN = ("spectrum", "shared_spectrum", "shared_text")
"""``both`` repeats the last two, and texts before alignment have a thousand dimensions."""
_LEAST_VALUES = 3


def correlate_dimensions(representations: Representations) -> list[DimensionCorrelations]:
    """Return the correlations over all detections, for each representation that is there."""
    names = tuple(representations.variables)
    return [
        DimensionCorrelations(
            name,
            names,
            np.column_stack(
                [
                    correlation(representations.vectors[name].astype(np.float64), values)
                    for values in representations.variables.values()
                ]
            ),
        )
        for name in SHOWN
        if name in representations.vectors and names
    ]


def correlation(x: FloatArray, values: FloatArray) -> FloatArray:
    """Return Pearson's correlation of each column with values.

    Parameters
    ----------
    x : ndarray of float64, shape (n, d)
        Columns.
    values : ndarray of float64, shape (n,)
        Values, NaN where there is none.

    Returns
    -------
    ndarray of float64, shape (d,)
        Correlations, NaN where they are not defined.
    """
    known = np.isfinite(values)
    undefined = np.full(x.shape[1], np.nan)
    if known.sum() < _LEAST_VALUES or np.ptp(values[known]) == 0:
        return undefined
    column = x[known] - x[known].mean(axis=0)
    value = values[known] - values[known].mean()
    scale = np.sqrt((column**2).sum(axis=0) * (value**2).sum())  # (d,)
    varies = np.ptp(x[known], axis=0) > 0
    found: FloatArray = np.divide(value @ column, scale, out=undefined, where=varies & (scale > 0))
    return found
