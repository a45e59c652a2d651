"""Physics checks of a detection: what makes an outlier likely an artefact of the instrument.

Each threshold says where it comes from. What a check needs and nobody stored leaves it unmade.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from search.results import Check

FRAME_S: Final = 3.2
"""Exposure of one full ACIS frame (Chandra Proposers' Observatory Guide, chapter on ACIS), where
the header of the spectrum gave no other."""

MAX_PILE_UP: Final = 0.10
"""The Chandra Source Catalog sets ``pileup_flag`` above about 10% (CSC 2 source flags)."""

MAX_TOLD: Final = 0.5
"""Where half of the events are piled up, most counts are lost to migrated grades and saturation,
which the formula leaves out: no number is told beyond. Our choice."""

MAX_OFF_AXIS_ARCMIN: Final = 10.0
"""The mirrors blur what lies far off axis, so that background and neighbours are extracted with
it; where to draw the line is our choice."""

MIN_COUNTS: Final = 40.0
"""Fewer than one count in ten of the 400 bins: a shape is then mostly Poisson noise. Our choice."""

MAX_BACKGROUND_SHARE: Final = 0.5
"""From here on most of what is compared is background. Our choice."""

MIN_PASSED: Final = 3
"""Fewer checks that passed do not tell an object: simulations store little that could fail."""

Verdict = Literal["likely artefact", "likely object", "undecided"]

_TRUE, _FALSE = ("true", "t", "1", "1.0"), ("false", "f", "0", "0.0")


def checks_of(payload: Mapping[str, Any]) -> tuple[Check, ...]:
    """Return the physics checks of a stored detection, in a fixed order."""
    catalogue = payload.get("catalogue", {})
    return (
        _pile_up(payload, catalogue),
        _flagged(
            "saturation",
            catalogue,
            ("sat_src_flag", "mstr_sat_src_flag"),
            "the source saturates the detector",
        ),
        _flagged(
            "readout streak",
            catalogue,
            ("streak_src_flag", "mstr_streak_src_flag"),
            "the detection lies on a readout streak",
        ),
        _off_axis(catalogue),
        _counts(payload),
        _background(payload, catalogue),
    )


def verdict_of(checks: Sequence[Check]) -> Verdict:
    """Return what the checks say together: one that fails makes an artefact likely."""
    made = [check.passed for check in checks if check.passed is not None]
    if not all(made):
        return "likely artefact"
    return "likely object" if len(made) >= MIN_PASSED else "undecided"


def pile_up_fraction(counts_per_frame: float) -> float:
    """Return the fraction of detected events that are more than one photon.

    The counts detected in a frame are taken to lie in one detection cell and every group of photons
    to be read as one event, so this is what a point source on axis suffers at most: of x photons in
    a frame ``d = 1 - exp(-x)`` events are seen, ``x exp(-x)`` of them single photons, and
    ``1 - x exp(-x) / d`` is piled up.

    Parameters
    ----------
    counts_per_frame : float
        Detected counts per frame; one cell cannot show more than 1.

    Returns
    -------
    float
        From 0 to `MAX_TOLD`, which stands for itself and all beyond.

    References
    ----------
    The Chandra ABC Guide to Pileup; Davis 2001, ApJ 562, 575 (alpha = 1).
    """
    if counts_per_frame <= 0:
        return 0.0
    if counts_per_frame >= 1:
        return MAX_TOLD
    photons = -math.log1p(-counts_per_frame)
    return min(1.0 - photons * math.exp(-photons) / counts_per_frame, MAX_TOLD)


def _pile_up(payload: Mapping[str, Any], catalogue: Mapping[str, Any]) -> Check:
    flag = _flag(catalogue, ("pileup_flag",))
    if flag:
        return Check("pile-up", False, "pileup_flag of the catalogue is set")
    counts, exposure_s = _number(payload, "counts"), _number(payload, "exposure_s")
    observed = payload.get("instrument", "").startswith("ACIS") and not payload.get("simulated")
    if observed and counts is not None and exposure_s:
        share, detail = _by_rate(counts / exposure_s, _number(payload, "frame_time_s"))
        # The catalogue knows where the source fell on the detector.
        return Check("pile-up", flag is False or share <= MAX_PILE_UP, detail)
    if flag is False:
        return Check("pile-up", True, "pileup_flag of the catalogue is not set")
    if payload.get("simulated"):
        return Check("pile-up", None, "simulated without pile-up")
    return Check("pile-up", None, "neither a flag nor an ACIS count rate is stored")


def _by_rate(counts_per_s: float, frame_time_s: float | None) -> tuple[float, str]:
    """Return the share that a count rate piles up, and how that was told."""
    frame_s = frame_time_s or FRAME_S
    per_frame = counts_per_s * frame_s
    share = pile_up_fraction(per_frame)
    piled = (
        f"at most {share:.1%} piled up on axis"
        if share < MAX_TOLD
        else "on axis more than half would be piled up, which goes beyond this estimate"
    )
    assumed = "" if frame_time_s else " (frame time assumed)"
    return share, f"{per_frame:.3g} counts per {frame_s:.3g} s frame{assumed}: {piled}"


def _flagged(
    name: str, catalogue: Mapping[str, Any], columns: Sequence[str], meaning: str
) -> Check:
    flag = _flag(catalogue, columns)
    if flag is None:
        return Check(name, None, f"no {' or '.join(columns)} is stored")
    return Check(name, not flag, meaning if flag else "not flagged in the catalogue")


def _off_axis(catalogue: Mapping[str, Any]) -> Check:
    theta = _number(catalogue, "theta")
    if theta is None:
        return Check("off-axis angle", None, "no theta is stored")
    detail = f"{theta:.1f} arcmin off axis, at most {MAX_OFF_AXIS_ARCMIN:g} are good"
    return Check("off-axis angle", theta <= MAX_OFF_AXIS_ARCMIN, detail)


def _counts(payload: Mapping[str, Any]) -> Check:
    counts = _number(payload, "counts")
    if counts is None:
        return Check("low counts", None, "no counts are stored")
    detail = f"{counts:,.0f} counts, at least {MIN_COUNTS:g} are needed"
    return Check("low counts", counts >= MIN_COUNTS, detail)


def _background(payload: Mapping[str, Any], catalogue: Mapping[str, Any]) -> Check:
    """Judge by the background spectrum, else by what the catalogue's photometry took off.

    ``cnts_aperbkg_b`` alone would not do: areas of source and background are not in the table.
    """
    total = _number(payload, "counts")
    background, scaling = (
        _number(payload, field) for field in ("background_counts", "background_scaling")
    )
    if total and background is not None and scaling is not None:
        share, how = background * scaling / total, "scaled background spectrum"
    else:
        total = _number(catalogue, "cnts_aper_b")
        net = _number(catalogue, "src_cnts_aper_b")
        if not total or net is None:
            return Check("background share", None, "no background is stored")
        # The net counts are corrected for light outside the aperture, so this is a lower bound.
        share, how = max(0.0, 1.0 - net / total), "aperture counts of the catalogue, at least"
    detail = f"{share:.0%} of the counts are background ({how})"
    return Check("background share", share <= MAX_BACKGROUND_SHARE, detail)


def _flag(catalogue: Mapping[str, Any], columns: Sequence[str]) -> bool | None:
    """Return whether one of these columns is set; tables spell truth in several ways."""
    said = [str(catalogue[name]).strip().lower() for name in columns if name in catalogue]
    if any(word in _TRUE for word in said):
        return True
    return False if any(word in _FALSE for word in said) else None


def _number(fields: Mapping[str, Any], name: str) -> float | None:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
