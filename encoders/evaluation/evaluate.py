"""Everything an evaluation reports, from the vectors of a dataset."""

import numpy as np

from common.errors import InvalidTableError
from common.ports import Progress, no_progress
from common.representations import PARTS, Representations
from encoders.evaluation.classification import classify
from encoders.evaluation.dimensions import correlate_dimensions
from encoders.evaluation.estimation import estimate_variables
from encoders.evaluation.folds import N_FOLDS, Fold, Scheme, choose_scheme, make_folds
from encoders.evaluation.maps import draw_maps
from encoders.evaluation.matching import match
from encoders.evaluation.outliers import find_outliers
from encoders.evaluation.result import Evaluation, MapResult


def evaluate(
    representations: Representations,
    *,
    k: int = 3,
    seed: int = 0,
    scheme: Scheme | None = None,
    figures: bool = True,
    progress: Progress = no_progress,
) -> Evaluation:
    """Evaluate vectors as arXiv:2603.04516 does, and beyond.

    Retrieval is scored by source. An estimate is the mean of the k nearest neighbours that have a
    value; neighbours, rules and classes are learnt from other sources than those tested.

    Parameters
    ----------
    representations : Representations
        Vectors of n detections, and what is known of them.
    k : int
        Neighbours of an estimate by one representation.
    seed : int
        Of folds, bootstrap, forest and maps: equal seeds give equal results.
    scheme : str or None
        ``fixed split`` or ``cross-validated by source``; None takes the split of the dataset where
        there are texts, and five folds where there are none.
    figures : bool
        Whether to look for outliers and draw maps, which takes most of the time.
    progress : callable
        Told what is being done and how far it is.

    Returns
    -------
    Evaluation
        All results; notes say what was left out and why.

    Raises
    ------
    InvalidTableError
        If there are too few detections for the scheme.
    """
    if k < 1:
        raise InvalidTableError(f"k={k} neighbours estimate nothing: give 1 or more")
    chosen = choose_scheme(representations, scheme)
    folds = make_folds(representations, chosen, k, seed)
    tested = np.concatenate([fold.test for fold in folds])
    notes = list(representations.notes)
    if chosen != "fixed split":
        notes.append(
            f"cross-validated in {N_FOLDS} folds by source, rules chosen within the other folds; "
            "the model must not have been trained on these detections"
        )
    forth, back = match(representations, tested, seed)
    estimation = estimate_variables(representations, folds, k, seed, progress)
    classification, not_classified = classify(representations, folds, seed)
    notes += [*estimation.notes, *not_classified]
    outliers = None
    maps: list[MapResult] = []
    if figures:
        progress("looking for outliers", 0, None)
        outliers = find_outliers(representations, seed)
        maps, not_drawn = draw_maps(representations, seed, progress)
        notes += not_drawn
    return Evaluation(
        dataset=representations.dataset,
        simulated=representations.simulated,
        model_id=representations.model_id,
        text_model=representations.text_model,
        scheme=chosen,
        sizes=_sizes(representations, folds),
        spectrum_to_text=forth,
        text_to_spectrum=back,
        regression=estimation.variables,
        dimensions=correlate_dimensions(representations),
        outliers=outliers,
        classification=classification,
        maps=maps,
        notes=notes,
        mean_ratio=estimation.ratio,
        mean_gain=estimation.gain,
    )


def judge(representations: Representations, seed: int = 0) -> Evaluation:
    """Evaluate the vectors of a dataset that nothing may be learnt from: every row is scored.

    Parameters
    ----------
    representations : Representations
        Vectors of n detections; without texts there is nothing to match.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Evaluation
        Retrieval only: estimates, classes and maps need rows to learn from.
    """
    forth, back = match(representations, np.arange(len(representations.names)), seed)
    return Evaluation(
        dataset=representations.dataset,
        simulated=representations.simulated,
        model_id=representations.model_id,
        text_model=representations.text_model,
        scheme="every row, nothing learnt from it",
        sizes={
            "detections": len(representations.names),
            "sources": len(np.unique(representations.source)),
        },
        spectrum_to_text=forth,
        text_to_spectrum=back,
        regression={},
        dimensions=[],
        outliers=None,
        classification=[],
        maps=[],
        notes=representations.notes,
    )


def _sizes(representations: Representations, folds: list[Fold]) -> dict[str, int]:
    """Return the number of detections by part; in cross-validation all are tested in turn."""
    sources = len(np.unique(representations.source))
    if len(folds) == 1:
        return {part: len(representations.split[part]) for part in PARTS}
    return {"detections": len(representations.names), "sources": sources, "folds": len(folds)}
