"""Choose how variables are estimated from neighbours, and calibrate how far off that is.

Neighbours are of the training split, calibrated is on the validation split: what a detection that
nothing was learnt from will meet. Intervals are conformal: residuals in units of the neighbours'
spread (`crepes.ConformalPredictiveSystem`), so they are wider where neighbours disagree.
`encoders.evaluation.calibrate_on` does it on the values of another dataset.
"""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from common.calibration import Calibration, ClassRule, Origin, RuleSet, VariableRule
from common.errors import InputError
from common.ports import Float32Array, Progress, no_progress
from common.representations import Representations
from encoders.evaluation.nearness import Distances, nearness_of
from encoders.evaluation.neighbour_rules import (
    MOST_NEIGHBOURS,
    Asked,
    class_rule,
    variable_rule,
)
from encoders.evaluation.neighbours import NeighbourSearch

OF_SPECTRUM = ("spectrum", "shared_spectrum")

FEWEST = 100
"""Detections to calibrate on with a value: below, a variable is not calibrated."""


def calibrate(representations: Representations, progress: Progress = no_progress) -> Calibration:
    """Return rules, intervals and probabilities calibrated on the validation split.

    Parameters
    ----------
    representations : Representations
        Vectors of n detections of a dataset or store, split by source.
    progress : callable
        Told which variable it is.

    Returns
    -------
    Calibration
        For subjects with a text, where there are texts, and for those without. Variables with
        fewer than `FEWEST` values to calibrate on are missing.

    Raises
    ------
    InputError
        If there are too few detections.
    """
    train, held_out = (representations.split[part] for part in ("train", "validation"))
    if len(held_out) < FEWEST or len(train) < FEWEST:
        raise InputError(
            f"{representations.dataset}: {len(train):,} detections to find neighbours among and "
            f"{len(held_out):,} to calibrate on, at least {FEWEST} of each are needed: give "
            f"about {FEWEST * 20 // 3:,} detections with a spectrum or more"
        )
    origin = Origin(
        made_from=f"validation split of {representations.dataset}",
        simulated=representations.simulated,
        n_detections=len(held_out),
        n_sources=len(np.unique(representations.source[held_out])),
    )
    unit = {name: unit_length(x) for name, x in representations.vectors.items()}
    search = NeighbourSearch(unit, MOST_NEIGHBOURS)
    sets: dict[str, RuleSet] = {}
    for title, names in (("spectrum", OF_SPECTRUM), ("spectrum and text", tuple(unit))):
        if set(names) <= set(unit) and (title == "spectrum" or set(names) > set(OF_SPECTRUM)):
            stage = f"calibrating {title}"
            sets[title] = _rule_set(representations, origin, search, names, stage, progress)
    return Calibration(
        model_id=representations.model_id,
        origins=(origin,),
        with_text=sets.get("spectrum and text"),
        spectrum_only=sets["spectrum"],
    )


def unit_length(x: Float32Array) -> Float32Array:
    """Return rows of unit length, as the store compares them."""
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), dtype=np.float32)


def _rule_set(
    given: Representations,
    origin: Origin,
    search: NeighbourSearch,
    names: Sequence[str],
    stage: str,
    progress: Progress,
) -> RuleSet:
    train, held_out = given.split["train"], given.split["validation"]
    rules: dict[str, VariableRule] = {}
    for done, (variable, values) in enumerate(given.variables.items(), start=1):
        known = np.isfinite(values)
        reference, rows = train[known[train]], held_out[known[held_out]]
        if len(rows) >= FEWEST and len(reference) >= FEWEST:
            found = search.among(reference, rows)
            near = {name: found[name] for name in names}
            rules[variable] = variable_rule([near], values, Asked(origin, rows, given.source[rows]))
        progress(stage, done, len(given.variables))
    usual = nearness_of([Distances.of(search.among(train, held_out)["spectrum"], given.counts)])
    return RuleSet(
        variables=rules, classes=_class_rule(given, origin, search, names), **asdict(usual)
    )


def _class_rule(
    given: Representations, origin: Origin, search: NeighbourSearch, names: Sequence[str]
) -> ClassRule | None:
    """Return the representation whose calibrated votes are best, or None without classes."""
    known = np.array([bool(path) for path in given.source_class])
    train, held_out = given.split["train"], given.split["validation"]
    reference, rows = train[known[train]], held_out[known[held_out]]
    if len(rows) < FEWEST or len(reference) < FEWEST:
        return None
    found = search.among(reference, rows)
    near = {name: found[name] for name in names}
    return class_rule([near], given.source_class, Asked(origin, rows, given.source[rows]))
