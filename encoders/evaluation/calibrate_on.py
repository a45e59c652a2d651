"""Calibrate on real values, with neighbours that a user's store may hold: observed, or simulated.

A simulation is never the sky: intervals that hold 90% of simulated values held 58% of real ones.
So what there are real values of is calibrated on these, and the rest is widened by what they
needed. A store may hold observed detections or, as that of the demonstration, simulated ones:
bounds hold with neighbours of either kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from common.calibration import (
    LEVELS,
    Calibration,
    ClassRule,
    Level,
    Origin,
    RuleSet,
    VariableRule,
)
from common.dataset import Dataset
from common.errors import InputError
from common.estimation import SPREAD_NEIGHBOURS
from common.ports import Progress, no_progress
from common.representations import Representations
from encoders.evaluation.calibrate import FEWEST, OF_SPECTRUM, calibrate, unit_length
from encoders.evaluation.coverage import catalogue_values
from encoders.evaluation.folds import Fold, make_folds
from encoders.evaluation.intervals import stretch, widened
from encoders.evaluation.nearness import K_NEAR, Distances, Nearness, nearness_of
from encoders.evaluation.neighbour_rules import (
    MOST_NEIGHBOURS,
    Asked,
    Near,
    class_rule,
    residuals_of,
    variable_rule,
)
from encoders.evaluation.neighbours import Nearest, NeighbourSearch

MOST_BESIDE: Final = 3_000
"""Simulated detections that take part."""

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def calibrate_on(
    real: Representations, simulated: Representations, progress: Progress = no_progress
) -> Calibration:
    """Return rules, intervals and probabilities calibrated on real values where there are some.

    Parameters
    ----------
    real : Representations
        Vectors of n detections with real values. All of them are used: cross-validated by source.
        Their texts take no part.
    simulated : Representations
        Vectors of detections with simulated values, split by source.
    progress : callable
        Told which variable it is.

    Returns
    -------
    Calibration
        Variables with fewer than `FEWEST` real values are calibrated on simulated ones and
        widened by the factor that the others needed.

    Raises
    ------
    InputError
        If there are too few detections or real values, or two models made the vectors.
    """
    if not simulated.simulated:
        raise InputError(
            f"{simulated.dataset} is no simulation: its own values calibrate better than those of "
            f"{real.dataset}; calibrate it as it is, or give a simulated dataset beside"
        )
    if real.model_id != simulated.model_id:
        raise InputError(
            f"{real.dataset} is encoded by model {real.model_id}, {simulated.dataset} by "
            f"{simulated.model_id}: encode both with one bundle"
        )
    base = calibrate(simulated, progress)
    both = _Both.of(real, simulated)
    rules: dict[str, VariableRule] = {}
    needed: list[dict[Level, float]] = []
    for done, (name, values) in enumerate(both.variables.items(), start=1):
        known = np.isfinite(values)
        if both.has_enough(known):
            asked, kinds = both.asked(known), both.neighbours(known)
            rules[name] = variable_rule(kinds, values, asked, both.unlike(known))
            simple = base.spectrum_only.variables.get(name)
            if simple is not None:
                found = [residuals_of(simple, near, values, asked) for near in kinds]
                needed.append(_largest([stretch(simple.interval, one) for one in found]))
        progress(f"calibrating on {real.dataset}", done, len(both.variables))
    if not rules:
        raise InputError(
            f"{real.dataset} has fewer than {FEWEST} values of every variable: give a dataset with "
            "the catalogue values of more detections"
        )
    factor = widening(needed)
    usual = both.usual()
    classes = both.class_rule()
    told = base.with_text
    return Calibration(
        model_id=base.model_id,
        origins=(both.origin, *base.origins),
        widened=factor,
        with_text=_joined(told, rules, classes, usual, factor) if told else None,
        spectrum_only=_joined(base.spectrum_only, rules, classes, usual, factor),
    )


def with_real_values(dataset: Dataset) -> Dataset:
    """Return the detections whose catalogue values are real, without their texts.

    Parameters
    ----------
    dataset : Dataset
        Whose spectra may be simulated where they are drawn from published fits.

    Raises
    ------
    InputError
        If nothing may be learnt from the dataset, or fewer than `FEWEST` are left.
    """
    dataset.check_may_be_learnt_from()
    rows = np.flatnonzero(
        [not one.simulated or bool(one.catalogue.get("drawn_from")) for one in dataset.detections]
    )
    if len(rows) < FEWEST:
        raise InputError(
            f"{dataset.name}: {len(rows):,} of {len(dataset):,} detections have real values to "
            f"calibrate on, at least {FEWEST} are needed: give an observed dataset, or one whose "
            "spectra are drawn from published fits (drawn_from)"
        )
    _, source = np.unique(dataset.source[rows], return_inverse=True)
    return Dataset(
        name=dataset.name,
        counts=dataset.counts[rows],
        exposure_s=dataset.exposure_s[rows],
        source=source.astype(np.int64),
        variables=catalogue_values(dataset, rows),
        detections=[dataset.detections[row] for row in rows.tolist()],
        texts=(),
        simulated=any(dataset.detections[row].simulated for row in rows.tolist()),
    )


def some_of(dataset: Dataset, most: int = MOST_BESIDE) -> Dataset:
    """Return the first sources of a dataset with about so many detections, each in its part.

    Neighbours in 100,000 detections are nearer than those in a store of an ordinary size.
    """
    if len(dataset) <= most:
        return dataset
    return dataset.first_sources(int(np.sort(dataset.source)[most]))


def widening(needed: Sequence[Mapping[Level, float]]) -> dict[Level, float]:
    """Return by how much to widen what only simulated values are there of.

    Parameters
    ----------
    needed : sequence of mapping of str to float
        By level, what variables with values of both kinds needed.

    Returns
    -------
    dict of str to float
        Their median by level, at least 1.
    """
    factor: dict[Level, float] = {}
    for level in LEVELS:
        found = [one[level] for one in needed if level in one]
        factor[level] = round(max(1.0, float(np.median(found))), 6) if found else 1.0
    return factor


@dataclass(frozen=True, slots=True, eq=False)
class _Both:
    """Real detections, and after them simulated ones.

    Attributes
    ----------
    origin : Origin
        What the real ones are.
    n_real : int
        How many there are.
    source, simulated_source : ndarray of int64
        Sources of the real ones, and of the simulated ones.
    source_class : sequence of tuple of str
        Class paths of all.
    variables : mapping of str to ndarray of float64
        Values of all.
    folds : sequence of Fold
        Of the real ones.
    counts : ndarray of float64
        Counts of all.
    train, held_out : ndarray of int64
        Rows of the simulated ones that may be neighbours, and of their validation split.
    search : NeighbourSearch
        Among all.
    """

    origin: Origin
    n_real: int
    source: IntArray
    simulated_source: IntArray
    source_class: Sequence[tuple[str, ...]]
    variables: Mapping[str, FloatArray]
    folds: Sequence[Fold]
    counts: FloatArray
    train: IntArray
    held_out: IntArray
    search: NeighbourSearch

    @classmethod
    def of(cls, real: Representations, simulated: Representations) -> "_Both":
        n, n_sources = len(real.source), len(np.unique(real.source))
        if n < FEWEST:
            raise InputError(
                f"{real.dataset}: {n:,} detections to calibrate on, at least {FEWEST} are needed"
            )
        unit = {
            name: np.vstack([unit_length(one.vectors[name]) for one in (real, simulated)])
            for name in OF_SPECTRUM
        }
        unknown = np.full(n, np.nan)
        return cls(
            origin=Origin(
                made_from=f"{real.dataset}, cross-validated by source",
                simulated=False,
                drawn=real.simulated,
                n_detections=n,
                n_sources=n_sources,
            ),
            n_real=n,
            source=real.source,
            simulated_source=simulated.source,
            source_class=[*real.source_class, *simulated.source_class],
            variables={
                name: np.concatenate([real.variables.get(name, unknown), values])
                for name, values in simulated.variables.items()
            },
            folds=make_folds(real, "cross-validated by source", K_NEAR, seed=0),
            counts=np.concatenate([real.counts, simulated.counts]),
            train=n + simulated.split["train"],
            held_out=n + simulated.split["validation"],
            search=NeighbourSearch(unit, MOST_NEIGHBOURS),
        )

    def has_enough(self, known: BoolArray) -> bool:
        """Return whether enough is known of the real ones, and of as many to learn it from."""
        least = min(int(known[fold.reference].sum()) for fold in self.folds)
        return int(known[: self.n_real].sum()) >= FEWEST and least >= SPREAD_NEIGHBOURS

    def asked(self, known: BoolArray) -> Asked:
        """Return the real ones of which something is known, in the order of the folds."""
        rows = np.concatenate([fold.test[known[fold.test]] for fold in self.folds])
        return Asked(self.origin, rows, self.source[rows])

    def neighbours(self, known: BoolArray) -> list[Near]:
        """Return the neighbours of these: real ones of other sources, and simulated ones."""
        parts = [
            self.search.among(fold.reference[known[fold.reference]], fold.test[known[fold.test]])
            for fold in self.folds
            if known[fold.test].any()
        ]
        kinds: list[Near] = [{name: _stacked([one[name] for one in parts]) for name in parts[0]}]
        train = self.train[known[self.train]]
        if len(train) >= FEWEST:
            kinds.append(self.search.among(train, self.asked(known).rows))
        return kinds

    def unlike(self, known: BoolArray) -> tuple[Near, Asked] | None:
        """Return simulated ones with real neighbours, at most as many as there are real ones.

        What a catalogue could fit is drawn from fits of one component; a spectrum of several has
        few like it there, and its estimates are farther off than the catalogue's own tell.
        """
        real = np.flatnonzero(known[: self.n_real])
        rows = self.n_real + np.flatnonzero(known[self.n_real :])[: len(real)]
        if len(rows) < FEWEST:
            return None
        asked = Asked(self.origin, rows, self.simulated_source[rows - self.n_real])
        return self.search.among(real, rows), asked

    def usual(self) -> Nearness:
        """Return how far is usual: simulated in simulated, real in real and in simulated ones."""
        everyone = np.ones(len(self.source_class), dtype=np.bool_)
        kinds = [self.search.among(self.train, self.held_out), *self.neighbours(everyone)]
        return nearness_of([Distances.of(near["spectrum"], self.counts) for near in kinds])

    def class_rule(self) -> ClassRule | None:
        """Return the rule of the real ones' classes, None where too few are known."""
        known = np.array([bool(path) for path in self.source_class])
        if not self.has_enough(known):
            return None
        return class_rule(self.neighbours(known), self.source_class, self.asked(known))


def _joined(
    base: RuleSet,
    rules: Mapping[str, VariableRule],
    classes: ClassRule | None,
    usual: Nearness,
    factor: dict[Level, float],
) -> RuleSet:
    """Return a set with real rules where there are some, and the widened simulated ones."""
    rest = {
        name: widened(rule, factor) for name, rule in base.variables.items() if name not in rules
    }
    return RuleSet(
        variables={**rules, **rest},
        classes=classes or base.classes,
        **asdict(usual),
    )


def _largest(kinds: Sequence[Mapping[Level, float]]) -> dict[Level, float]:
    return {level: max(one[level] for one in kinds) for level in LEVELS if level in kinds[0]}


def _stacked(parts: Sequence[Nearest]) -> Nearest:
    """Return the neighbours of several groups of rows, as many as all groups have."""
    k = min(one.rows.shape[1] for one in parts)
    return Nearest(
        np.concatenate([one.rows[:, :k] for one in parts]),
        np.concatenate([one.distance[:, :k] for one in parts]),
    )
