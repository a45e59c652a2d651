"""How far figures may be off: sources drawn again and again, with replacement."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from encoders.evaluation.result import Interval

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

N_RESAMPLES = 500
_PERCENTILES = (15.87, 84.13)


class Bootstrap:
    """Resamples of the sources of some rows; detections of one source come or go together."""

    def __init__(self, source: IntArray, seed: int) -> None:
        found, self._own = np.unique(source, return_inverse=True)
        n = len(found)
        rng = np.random.default_rng(seed)
        self._times: FloatArray = rng.multinomial(n, np.full(n, 1 / n), size=N_RESAMPLES).astype(
            np.float64
        )  # (n_resample, n_source)

    def weights(self) -> FloatArray:
        """Return how often each row is drawn in each resample, shape (n_resample, n)."""
        return self._times[:, self._own]

    def sums(self, values: FloatArray, rows: IntArray | slice = slice(None)) -> FloatArray:
        """Return the sum of values in each resample.

        Parameters
        ----------
        values : ndarray of float64, shape (m, c)
            Columns to be summed.
        rows : ndarray of int64, shape (m,)
            Which of the rows they belong to, by default all.

        Returns
        -------
        ndarray of float64, shape (n_resample, c)
            Sums.
        """
        by_source = np.zeros((self._times.shape[1], values.shape[1]))
        np.add.at(by_source, self._own[rows], values)
        return self._times @ by_source

    def means(self, values: FloatArray, rows: IntArray | slice = slice(None)) -> FloatArray:
        """Return the mean of each column in each resample, NaN where it holds no row at all."""
        return ratio(self.sums(values, rows), self.sums(np.ones((len(values), 1)), rows))

    def medians(self, values: FloatArray) -> FloatArray:
        """Return the median of values of all rows, shape (n,), in each resample."""
        order = np.argsort(values, kind="stable")
        weight = np.cumsum(self._times[:, self._own[order]], axis=1)  # (n_resample, n)
        middle = np.argmax(weight >= weight[:, -1:] / 2, axis=1)
        medians: FloatArray = values[order[middle]]
        return medians


def ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """Return the quotient, NaN where nothing is divided by nothing."""
    shape = np.broadcast_shapes(above.shape, below.shape)
    quotient: FloatArray = np.divide(above, below, out=np.full(shape, np.nan), where=below > 0)
    return quotient


def interval(value: float, resampled: FloatArray | Sequence[float]) -> Interval:
    """Return a figure with the spread of its resamples, shape (n_resample,); NaN are left out."""
    known = np.asarray(resampled)[np.isfinite(resampled)]
    if not len(known):
        return Interval(float(value), float("nan"), float("nan"), float("nan"))
    low, high = np.percentile(known, _PERCENTILES)
    return Interval(float(value), float(known.std()), float(low), float(high))
