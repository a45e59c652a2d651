"""Concepts: what a spectrum can show and a text can say of a source.

Both modalities are read in the same words, so that a real spectrum and a real abstract meet where
no pair of them was ever seen: *classes* (what the source is) and *attributes* (what its spectrum
looks like). The order of `CONCEPTS` is part of a model bundle.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from common.errors import InvalidTableError
from common.source_class import ClassPath, normalise

Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing that is true of a source or not.

    Attributes
    ----------
    name : str
        Short, with underscores.
    kind : str
        ``class`` or ``attribute``.
    labels : tuple of str
        Labels of SIMBAD classes that make it true when they are in the path of a source's class.
    """

    name: str
    kind: Literal["class", "attribute"]
    labels: tuple[str, ...] = ()


def _class(name: str, *labels: str) -> Concept:
    return Concept(name, "class", labels)


CLASSES: Final = (
    _class("agn", "AGN"),
    _class("seyfert1", "Sy1"),
    _class("seyfert2", "Sy2"),
    _class("quasar", "QSO"),
    _class("blazar", "Bla"),
    _class("low_luminosity_agn", "LIN"),
    _class("xray_binary", "XB*"),
    _class("low_mass_binary", "LXB"),
    _class("high_mass_binary", "HXB"),
    _class("black_hole_binary", "BHXB"),
    _class("neutron_star_binary"),
    _class("ulx", "ULX"),
    _class("cataclysmic_variable", "CV*"),
    _class("nova", "No*"),
    _class("symbiotic_star", "Sy*"),
    _class("star", "Star"),
    _class("young_star", "Y*O"),
    _class("massive_star", "Ma*", "Be*", "WR*"),
    _class("active_binary", "RS*", "BY*"),
    _class("supernova_remnant", "SNR"),
    _class("pulsar_wind_nebula", "PWN"),
    _class("isolated_neutron_star", "N*"),
    _class("pulsar", "Psr"),
    _class("magnetar"),
    _class("cluster_of_galaxies", "ClG"),
    _class("group_of_galaxies", "GrG"),
    _class("galaxy_gas", "SBG"),
    _class("globular_cluster", "GlC"),
    _class("tidal_disruption", "TDE"),
    _class("gamma_ray_burst", "gB"),
    _class("supersoft_source"),
    _class("supernova", "SN*"),
    _class("galactic_centre"),
)
"""More may be true at once: a Seyfert 2 is an active nucleus."""

ATTRIBUTES: Final = tuple(
    Concept(name, "attribute")
    for name in (
        "soft",
        "hard",
        "supersoft",
        "unabsorbed",
        "absorbed",
        "heavily_absorbed",
        "thermal",
        "power_law",
        "blackbody",
        "soft_excess",
        "lines",
        "iron_line",
        "hot_plasma",
        "cool_plasma",
        "flat",
        "steep",
    )
)

_NO_STARS: Final = frozenset({"N*", "XB*", "CV*", "Sy*", "SN*", "WD*"})

CONCEPTS: Final = (*CLASSES, *ATTRIBUTES)
NAMES: Final = tuple(concept.name for concept in CONCEPTS)
N_CONCEPTS: Final = len(CONCEPTS)


def concepts_of_class(path: ClassPath) -> frozenset[str]:
    """Return the names of the concepts that a source class makes true.

    SIMBAD files among stars what shines otherwise, and neutron stars under massive stars, which
    they were and no longer are.
    """
    labels = {*path[path.index("N*") :]} if "N*" in path else {*path}
    if labels & _NO_STARS:
        labels.discard("Star")
    return frozenset(concept.name for concept in CLASSES if {*concept.labels} & labels)


def parse_concepts(text: str) -> BoolArray:
    """Return which concepts a text of names with blanks between them holds, shape (N_CONCEPTS,).

    Raises
    ------
    InvalidTableError
        If a name is not known.
    """
    names = text.split()
    if unknown := sorted({*names} - {*NAMES}):
        raise InvalidTableError(
            f"unknown concepts {', '.join(unknown):.200}: give names of common.concepts.NAMES"
        )
    return np.isin(NAMES, names)


def format_concepts(holds: BoolArray) -> str:
    """Return the names of the concepts that hold, shape (N_CONCEPTS,), with blanks between."""
    return " ".join(name for name, true in zip(NAMES, holds, strict=True) if true)


def targets_of_class(path: ClassPath) -> Float32Array:
    """Return what a source class says of the concepts.

    Parameters
    ----------
    path : tuple of str
        Path of the class, empty when unknown.

    Returns
    -------
    ndarray of float32, shape (n_concept,)
        1 for what the path names, 0 for classes that it excludes, NaN for what it leaves open:
        attributes, and classes below its own.
    """
    targets = np.full(N_CONCEPTS, np.nan, dtype=np.float32)
    if path:
        true = concepts_of_class(path)
        for column, concept in enumerate(CLASSES):
            if concept.name in true:
                targets[column] = 1
            elif concept.labels and not any(path[-1] in normalise(x) for x in concept.labels):
                targets[column] = 0
    return targets
