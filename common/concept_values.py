"""Values in a sentence that tell concepts: column densities, photon indices and temperatures.

The bounds are those by which simulated spectra are given the same concepts.
"""

import re
from collections.abc import Iterator
from typing import Final

from common.numbers import located_numbers

CERTAIN: Final = 0.85
LIKELY: Final = 0.5

KEV_PER_KELVIN: Final = 8.617e-8
HEAVY_COLUMN: Final = 1e23
COLUMN: Final = 5e21
LOW_COLUMN: Final = 1e21
FLAT_INDEX: Final = 1.5
STEEP_INDEX: Final = 2.3
HOT_KEV: Final = 3.0
COOL_KEV: Final = 1.0
SUPERSOFT_KEV: Final = 0.15

_BEFORE = 48
_AFTER = 40
_COLUMN_CUE = re.compile(r"N_?\s*_?H\b|\bNH\b|column|absor|obscur", re.IGNORECASE)
_LOG_COLUMN_CUE = re.compile(r"\blog[\s(]*(?:10)?[\s(]*N_?\s*_?H[^;]{0,20}$", re.IGNORECASE)
_PER_CM2 = re.compile(r"\s*(?:\(?cm\b|atoms? cm|(?:H )?atoms? per|per (?:square )?c)")
_INDEX_CUE = re.compile(
    r"(?:photon[\s-]+ind\w+|(?<!orentz factor )\bGamma(?!\s*[-\s]ray)|power[\s-]+law"
    r"(?:\s+(?:photon\s+)?(?:index|slope|of|with))+)[^.;\d]{0,22}$",
    re.IGNORECASE,
)
_LORENTZ = re.compile(r"lorentz", re.IGNORECASE)
_UNIT = re.compile(r"(?:[\s\u00b1+/_^,()-]|\d|\.(?=\d)|pm\b)*(keV|eV|MK|K)(?![\w'])")
_TEMPERATURE_CUE = re.compile(
    r"(?:\bk_?\s*B?\s*T|[Tt]emperature|\bT\s*=|\bheated to|\b(?:gas|plasma) (?:of|at|with))"
    r"[^;]{0,40}$"
)
_PLASMA_AFTER = re.compile(
    r"(?:[\s-]+[A-Za-z]+){0,2}?[\s-]+(?:plasma|gas|thermal|bremss|APEC|apec|MEKAL|mekal|ICM|intra"
    r"|halo|cluster|emission from hot)"
)
_SURFACE = re.compile(
    r"black[\s-]?bod|\bBB\b|surface|photospher|dis[ck]\b|atmosphere|effective|white dwarf|hot spot",
    re.IGNORECASE,
)
_BAND_BEFORE = re.compile(r"\d\s*(?:-|--|\u2013|to)\s*$")
_POSSIBLE = re.compile(r"\d")


def read_values(sentence: str) -> Iterator[tuple[str, float]]:
    """Yield the concepts that the values of a sentence tell, and how surely.

    Parameters
    ----------
    sentence : str
        Without LaTeX's commands (`common.concept_rules.plain_text`).

    Yields
    ------
    name : str
        One of `common.concepts.NAMES`.
    certainty : float
        From 0 to 1.
    """
    if not _POSSIBLE.search(sentence):
        return
    for value, (first, last) in located_numbers(sentence):
        before = sentence[max(0, first - _BEFORE) : first]
        after = sentence[last : last + _AFTER]
        if 1e18 <= value <= 1e27:
            if _PER_CM2.match(after) or _COLUMN_CUE.search(before):
                yield from _of_column(value)
        elif 19 <= value <= 26.5 and _LOG_COLUMN_CUE.search(before):
            yield from _of_column(10**value)
        elif unit := _UNIT.match(after):
            if not _BAND_BEFORE.search(before):
                yield from _of_temperature(value, unit[1], before, after[unit.end() :])
        elif 0.2 <= value <= 6 and _INDEX_CUE.search(before) and not _LORENTZ.search(before):
            yield from _of_index(value)


def _of_column(column: float) -> Iterator[tuple[str, float]]:
    if column >= HEAVY_COLUMN:
        yield "heavily_absorbed", CERTAIN
    elif column >= COLUMN:
        yield "absorbed", CERTAIN
    elif column <= LOW_COLUMN:
        yield "unabsorbed", LIKELY


def _of_index(index: float) -> Iterator[tuple[str, float]]:
    yield "power_law", CERTAIN
    if index <= FLAT_INDEX:
        yield "flat", CERTAIN
    elif index >= STEEP_INDEX:
        yield "steep", CERTAIN


def _of_temperature(
    value: float, unit: str, before: str, after: str
) -> Iterator[tuple[str, float]]:
    kev = value * {"keV": 1.0, "eV": 1e-3, "MK": 1e6 * KEV_PER_KELVIN, "K": KEV_PER_KELVIN}[unit]
    told = _TEMPERATURE_CUE.search(before) or _PLASMA_AFTER.match(after)
    surface = _SURFACE.search(before) or _SURFACE.search(after)
    if not (told or surface) or not 0.01 <= kev <= 200:
        return
    if surface:
        yield "blackbody", LIKELY
        if kev <= SUPERSOFT_KEV:
            yield "supersoft", CERTAIN
    elif kev >= HOT_KEV:
        yield "hot_plasma", CERTAIN
    elif kev <= COOL_KEV:
        yield "cool_plasma", CERTAIN
    else:
        yield "thermal", CERTAIN
