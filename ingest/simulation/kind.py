"""What a kind of source is: the ranges from which the parameters of its members are drawn."""

from dataclasses import dataclass
from typing import TypedDict

Range = tuple[float, float]


class Absorbed(TypedDict):
    """The absorption that many kinds share."""

    log_nh: Range


class Located(TypedDict):
    """The distances that many kinds share."""

    distance: Range


NORMAL = frozenset({"log_nh", "log_nhz", "gamma", "log_luminosity"})  # (mean, deviation)
LOG_UNIFORM = frozenset(
    {"redshift", "scattered", "iron_ew_kev", "kt", "disc_kt", "body_kt", "distance"}
    | {"oxygen_ew_kev", "silicon_ew_kev", "sulphur_ew_kev", "cutoff_kev", "reflected"}
)  # all others are uniform
HOT_RATIO = 2.8  # ratio of the two temperatures of a plasma


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of source: ``(mean, deviation)`` or ``(low, high)`` of each parameter.

    ``log_nh`` absorbs everything at redshift 0; ``log_nhz`` only the power law, at the source.
    ``plasma``, ``disc`` and ``body`` are shares of the unabsorbed photons of 0.5-8 keV, the power
    law has the rest; ``hot`` is the share of the plasma that is `HOT_RATIO` times hotter.
    Distances are in pc, for sources without a redshift.

    The power law may be cut off (``cutoff_kev``, 0: never), pass ionised gas (``warm_tau``, depth
    of the O VII edge), be scattered around its absorber (``scattered``) or reflected off cold gas
    (``reflected``, share of the photons that meet it). Lines have equivalent widths, at rest:
    ``iron_ew_kev`` at ``iron_kev``, and families of lines (``models.FAMILIES``).

    ``brightness`` is how much brighter than usual the detections of a catalogue are, in standard
    deviations of all. ``concepts`` are true of every member besides those of its class.
    """

    name: str
    source_class: str
    weight: float
    log_nh: Range
    log_luminosity: Range
    gamma: Range = (1.8, 0.2)
    log_nhz: Range = (0.0, 0.0)
    redshift: Range = (0.0, 0.0)
    distance: Range = (0.0, 0.0)
    scattered: Range = (0.0, 0.0)
    reflected: Range = (0.0, 0.0)
    warm_tau: Range = (0.0, 0.0)
    cutoff_kev: Range = (0.0, 0.0)
    iron_ew_kev: Range = (0.0, 0.0)
    iron_kev: Range = (6.4, 6.4)
    oxygen_ew_kev: Range = (0.0, 0.0)
    silicon_ew_kev: Range = (0.0, 0.0)
    sulphur_ew_kev: Range = (0.0, 0.0)
    plasma: Range = (0.0, 0.0)
    kt: Range = (1.0, 1.0)
    hot: Range = (0.0, 0.0)
    abundance: Range = (0.4, 1.0)
    disc: Range = (0.0, 0.0)
    disc_kt: Range = (1.0, 1.0)
    body: Range = (0.0, 0.0)
    body_kt: Range = (1.0, 1.0)
    rms: Range = (0.0, 0.15)
    brightness: float = 0.0
    concepts: tuple[str, ...] = ()
