"""The 20 catalogue variables of arXiv:2603.04516, Table 1, as the Chandra Source Catalog has them.

Units are VOUnit strings, UCDs are UCD1+, both as they appear in our VOTables. ``valid_min`` and
``valid_max`` bound what a value can physically or by definition be; a catalogue value outside is
a sentinel or a typing error and is refused.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variable:
    """One column of the Chandra Source Catalog that the system estimates."""

    name: str
    description: str
    unit: str
    ucd: str
    valid_min: float
    valid_max: float
    usual_min: float | None = None
    """No interval reaches below it, though a catalogue value may: None for `valid_min`."""

    @property
    def interval_min(self) -> float:
        """Where intervals end at the latest."""
        return self.valid_min if self.usual_min is None else self.usual_min

    def is_valid(self, value: float) -> bool:
        """Return whether a value is finite and inside the valid range."""
        return math.isfinite(value) and self.valid_min <= value <= self.valid_max


_HARDNESS = "phot.flux;em.X-ray;arith.ratio"
_NH = "phys.columnDensity"
_STAT = "stat.fit.chi2;arith.ratio"

VARIABLES: tuple[Variable, ...] = (
    Variable(
        "hard_hs",
        "hardness ratio (h-s)/(h+s) of the aperture fluxes, hard 2-7 keV and soft 0.5-1.2 keV",
        "",
        _HARDNESS,
        -1,
        1,
    ),
    Variable(
        "hard_ms",
        "hardness ratio (m-s)/(m+s) of the aperture fluxes, medium 1.2-2 keV and soft 0.5-1.2 keV",
        "",
        _HARDNESS,
        -1,
        1,
    ),
    Variable(
        "hard_hm",
        "hardness ratio (h-m)/(h+m) of the aperture fluxes, hard 2-7 keV and medium 1.2-2 keV",
        "",
        _HARDNESS,
        -1,
        1,
    ),
    Variable(
        "var_prob_b",
        "Gregory-Loredo probability of variability within the observation, 0.5-7 keV",
        "",
        "stat.probability;src.var;em.X-ray",
        0,
        1,
    ),
    Variable(
        "var_index_b",
        "Gregory-Loredo variability index within the observation, 0.5-7 keV",
        "",
        "src.var.index;em.X-ray",
        0,
        10,
    ),
    Variable(
        "powlaw_gamma",
        "photon index of the absorbed power-law fit",
        "",
        "spect.index;em.X-ray",
        -10,
        10,
    ),
    Variable(
        "powlaw_nh", "column density of the absorbed power-law fit", "1e20 cm**-2", _NH, 0, 1e5
    ),
    Variable("powlaw_stat", "reduced statistic of the absorbed power-law fit", "", _STAT, 0, 1e6),
    Variable(
        "bb_kt",
        "temperature of the absorbed black-body fit",
        "keV",
        "phys.temperature;em.X-ray",
        0,
        1e3,
    ),
    Variable("bb_nh", "column density of the absorbed black-body fit", "1e20 cm**-2", _NH, 0, 1e5),
    Variable("bb_stat", "reduced statistic of the absorbed black-body fit", "", _STAT, 0, 1e6),
    Variable(
        "brems_kt",
        "temperature of the absorbed bremsstrahlung fit",
        "keV",
        "phys.temperature;em.X-ray",
        0,
        1e3,
    ),
    Variable(
        "brems_nh", "column density of the absorbed bremsstrahlung fit", "1e20 cm**-2", _NH, 0, 1e5
    ),
    Variable(
        "brems_stat", "reduced statistic of the absorbed bremsstrahlung fit", "", _STAT, 0, 1e6
    ),
    Variable(
        "apec_kt",
        "temperature of the absorbed thermal-plasma (APEC) fit",
        "keV",
        "phys.temperature;em.X-ray",
        0,
        100,
    ),
    Variable(
        "apec_abund", "metal abundance of the APEC fit, relative to solar", "", "phys.abund", 0, 100
    ),
    Variable("apec_z", "redshift of the APEC fit", "", "src.redshift", -1, 20, 0),
    Variable(
        "apec_nh",
        "column density of the absorbed thermal-plasma (APEC) fit",
        "1e20 cm**-2",
        _NH,
        0,
        1e5,
    ),
    Variable(
        "apec_stat",
        "reduced statistic of the absorbed thermal-plasma (APEC) fit",
        "",
        _STAT,
        0,
        1e6,
    ),
    Variable(
        "flux_significance_b",
        "significance of the aperture flux, 0.5-7 keV",
        "",
        "stat.snr;em.X-ray",
        0,
        1e6,
    ),
)

VARIABLE_NAMES: tuple[str, ...] = tuple(variable.name for variable in VARIABLES)
BY_NAME: dict[str, Variable] = {variable.name: variable for variable in VARIABLES}
