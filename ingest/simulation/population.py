"""The sources an X-ray catalogue holds: how many there are of each kind, and their parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from ingest.simulation.kind import LOG_UNIFORM, NORMAL, Kind
from ingest.simulation.kinds_extragalactic import EXTRAGALACTIC
from ingest.simulation.kinds_galactic import GALACTIC

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PopulationName = Literal["catalogue", "even", "mixed"]

KINDS: tuple[Kind, ...] = (*EXTRAGALACTIC, *GALACTIC)
WEIGHTS: Mapping[PopulationName, FloatArray] = MappingProxyType(
    {"catalogue": np.array([kind.weight for kind in KINDS]), "even": np.ones(len(KINDS))}
)


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """True parameters of n sources, each of shape (n,); named and meant as in `Kind`."""

    kind: IntArray  # index into KINDS
    ra_deg: FloatArray
    dec_deg: FloatArray
    log_nh: FloatArray
    log_luminosity: FloatArray
    gamma: FloatArray
    log_nhz: FloatArray
    redshift: FloatArray
    distance: FloatArray
    scattered: FloatArray
    reflected: FloatArray
    warm_tau: FloatArray
    cutoff_kev: FloatArray
    iron_ew_kev: FloatArray
    iron_kev: FloatArray
    oxygen_ew_kev: FloatArray
    silicon_ew_kev: FloatArray
    sulphur_ew_kev: FloatArray
    plasma: FloatArray
    kt: FloatArray
    hot: FloatArray
    abundance: FloatArray
    disc: FloatArray
    disc_kt: FloatArray
    body: FloatArray
    body_kt: FloatArray
    rms: FloatArray

    def __len__(self) -> int:
        return len(self.kind)

    def parameters(self) -> dict[str, FloatArray]:
        """Return the parameters by name, each of shape (n,)."""
        return {name: getattr(self, name) for name in _PARAMETERS}

    @classmethod
    def join(cls, parts: Sequence["Population"]) -> "Population":
        """Return the sources of all parts, one after the other."""
        return cls(
            **{
                field.name: np.concatenate([getattr(part, field.name) for part in parts])
                for field in fields(cls)
            }
        )


_PARAMETERS = tuple(
    field.name
    for field in fields(Kind)
    if field.name not in {"name", "source_class", "weight", "brightness", "concepts"}
)


def draw_population(
    rng: np.random.Generator, n: int, name: PopulationName = "catalogue"
) -> Population:
    """Return n sources drawn from `KINDS`: by weight as a catalogue has them, or all alike."""
    weight = WEIGHTS[name]
    kind = rng.choice(len(KINDS), size=n, p=weight / weight.sum())
    drawn = {}
    for parameter in _PARAMETERS:
        ranges = np.array([getattr(entry, parameter) for entry in KINDS], dtype=float)
        first, second = ranges[kind].T
        if parameter in NORMAL:
            drawn[parameter] = first + second * rng.normal(size=n).clip(-2.5, 2.5)
        elif parameter in LOG_UNIFORM:
            share = rng.uniform(size=n)
            drawn[parameter] = np.where(first > 0, first ** (1 - share) * second**share, 0.0)
        else:
            # Strong variability is rare among sources of any kind.
            share = rng.uniform(size=n) ** (2.5 if parameter == "rms" else 1.0)
            drawn[parameter] = first + (second - first) * share
    ra_deg = rng.uniform(0.0, 360.0, size=n)
    dec_deg = np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, size=n)))
    return Population(kind=kind.astype(np.int64), ra_deg=ra_deg, dec_deg=dec_deg, **drawn)
