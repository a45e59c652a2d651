"""How far a simulated population is from a catalogue, variable by variable."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import ks_2samp

from common.errors import InvalidTableError
from common.records import Detection
from common.variables import VARIABLE_NAMES

FloatArray = npt.NDArray[np.float64]

COUNTS = "src_cnts_aper_b"
EXPOSURE = "livetime"
COMPARED = (*VARIABLE_NAMES, COUNTS, EXPOSURE)
MIN_COUNTS = 40.0  # net: a simulated catalogue has hardly any fainter
FITTED_COUNTS = 150.0  # net: the catalogue's pipeline fits from here on
MIN_VALUES = 20  # fewer tell no distribution

_FITTED = ("powlaw", "bb", "brems", "apec")
_NO_COLUMN = 0.01  # 1e18 cm^-2
_PERCENTILES = (16, 50, 84)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One variable of a simulation and of a table.

    Attributes
    ----------
    variable : str
        Its name.
    distance : float
        Two-sample Kolmogorov-Smirnov distance, 0 for equal distributions to 1.
    simulated, observed : tuple of float
        16th, 50th and 84th percentile.
    n_simulated, n_observed : int
        Numbers of values.
    """

    variable: str
    distance: float
    simulated: tuple[float, float, float]
    observed: tuple[float, float, float]
    n_simulated: int
    n_observed: int


def compare(
    simulated: Iterable[Detection], observed: Iterable[Detection], table: str
) -> list[Comparison]:
    """Compare catalogue values of detections of at least `MIN_COUNTS` net counts.

    Values of fits are compared from `FITTED_COUNTS` on, as the catalogue fits no fainter spectra.

    Parameters
    ----------
    simulated, observed : iterable of Detection
        With their values.
    table : str
        Name of the catalogue table, for messages.

    Returns
    -------
    list of Comparison
        Of each of `COMPARED` that has at least `MIN_VALUES` values on both sides.

    Raises
    ------
    InvalidTableError
        If the table has no variable to compare.
    """
    ours, theirs = _columns(simulated), _columns(observed)
    compared = []
    for name in COMPARED:
        limit = FITTED_COUNTS if name.startswith(_FITTED) else MIN_COUNTS
        simulated_values, observed_values = (
            column[name][(column[COUNTS] >= limit) & np.isfinite(column[name])]
            for column in (ours, theirs)
        )
        if min(len(simulated_values), len(observed_values)) < MIN_VALUES:
            continue
        compared.append(
            Comparison(
                variable=name,
                distance=float(
                    ks_2samp(simulated_values, observed_values, method="asymp").statistic
                ),
                simulated=_percentiles(simulated_values),
                observed=_percentiles(observed_values),
                n_simulated=len(simulated_values),
                n_observed=len(observed_values),
            )
        )
    if not compared:
        raise InvalidTableError(
            f"{table}: nothing to compare with: give a table in which {MIN_VALUES} rows or more "
            f"have {COUNTS} (net counts, {MIN_COUNTS:g} at least) and one of "
            f"{', '.join(COMPARED[:3])}, …"
        )
    return compared


def _columns(detections: Iterable[Detection]) -> dict[str, FloatArray]:
    """Return the columns compared, NaN where a detection has no value."""
    rows = [
        {**detection.catalogue, **detection.variables, EXPOSURE: detection.exposure_s}
        for detection in detections
    ]
    return {
        name: _floored(name, np.array([_number(row.get(name)) for row in rows], dtype=np.float64))
        for name in COMPARED
    }


def _floored(name: str, values: FloatArray) -> FloatArray:
    """Take columns as none where a fit ended a hair above zero."""
    return np.where(values < _NO_COLUMN, 0.0, values) if name.endswith("_nh") else values


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


def _percentiles(values: FloatArray) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, _PERCENTILES).tolist()
    return low, middle, high
