"""Tell source classes from the vote of nearest neighbours (arXiv:2510.14102)."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import KNeighborsClassifier

from common.representations import Representations
from common.source_class import label_of
from encoders.evaluation.bootstrap import Bootstrap, interval, ratio
from encoders.evaluation.folds import Fold
from encoders.evaluation.result import ClassificationResult, Interval

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
StrArray = npt.NDArray[np.str_]

N_VOTERS = 10
MIN_MEMBERS = 20
AGN, COMPACT = "AGN", "compact object"

_COMPACT_TYPES = ("XB*", "CV*", "N*", "WD*", "BH", "ULX")


def classify(
    representations: Representations, folds: Sequence[Fold], seed: int
) -> tuple[list[ClassificationResult], list[str]]:
    """Return the vote on each representation, and what was left out.

    Classes are the most special ones with 20 members or more to learn from, in every fold.

    Parameters
    ----------
    representations : Representations
        Vectors of n detections, and their classes.
    folds : sequence of Fold
        Rows to learn from and to test.
    seed : int
        Of the bootstrap.

    Returns
    -------
    results : list of ClassificationResult
        One for each representation; none where fewer than two classes can be told.
    notes : list of str
        Why there is none, or which classes are missing.
    """
    leaf = np.array([(path or ("",))[-1] for path in representations.source_class])
    classes = _learnable(leaf, folds, MIN_MEMBERS)
    rare = sorted(set(leaf.tolist()) - set(classes) - {""})
    if len(classes) < 2:
        return [], [
            f"no classification: {len(classes)} class has {MIN_MEMBERS} detections or more to "
            "learn from, 2 are needed"
        ]
    notes = []
    if rare:
        named = ", ".join(rare[:10]) + (" …" if len(rare) > 10 else "")
        notes.append(
            f"{len(rare)} classes with fewer than {MIN_MEMBERS} detections to learn from, or none "
            f"to test, are not classified: {named}"
        )
    broad = np.array([_broad(path) for path in representations.source_class])
    two = _learnable(broad, folds, MIN_MEMBERS)
    if len(two) < 2:
        notes.append(f"no vote on AGN against compact objects: too few of {_missing(two)}")
    results = []
    for name, x in representations.vectors.items():
        truth, vote, rows = _vote(x, leaf, classes, folds)
        accuracy = _balanced_accuracy(truth, vote, classes, representations.source[rows], seed)
        agn_or_compact = None
        if len(two) == 2:
            truth2, vote2, rows2 = _vote(x, broad, two, folds)
            agn_or_compact = _balanced_accuracy(
                truth2, vote2, two, representations.source[rows2], seed
            )
        confusion = [
            [int(np.sum((truth == own) & (vote == other))) for other in classes] for own in classes
        ]
        results.append(ClassificationResult(name, classes, accuracy, confusion, agn_or_compact))
    return results, notes


@lru_cache
def _compact_labels() -> frozenset[str]:
    return frozenset(label_of(name) for name in _COMPACT_TYPES)


def _broad(path: tuple[str, ...]) -> str:
    if label_of("AGN") in path:
        return AGN
    return COMPACT if _compact_labels() & set(path) else ""


def _missing(found: Sequence[str]) -> str:
    return " and ".join(name for name in (AGN, COMPACT) if name not in found)


def _learnable(labels: StrArray, folds: Sequence[Fold], least: int) -> list[str]:
    """Return the labels with enough members in what every fold learns from, and one to test."""
    tested = np.unique(labels[np.concatenate([fold.test for fold in folds])]).tolist()
    return [
        name
        for name in tested
        if name and all(np.sum(labels[fold.reference] == name) >= least for fold in folds)
    ]


def _vote(
    x: npt.NDArray[np.float32], labels: StrArray, classes: Sequence[str], folds: Sequence[Fold]
) -> tuple[StrArray, StrArray, IntArray]:
    """Return truth, vote and row of every tested detection; near neighbours weigh more."""
    counted = np.isin(labels, classes)
    votes, rows = [], []
    for fold in folds:
        train, test = (part[counted[part]] for part in (fold.reference, fold.test))
        if len(test):
            voters = KNeighborsClassifier(N_VOTERS, weights="distance", algorithm="brute")
            votes.append(voters.fit(x[train], labels[train]).predict(x[test]))
            rows.append(test)
    row = np.concatenate(rows)
    return labels[row], np.concatenate(votes), row


def _balanced_accuracy(
    truth: StrArray, vote: StrArray, classes: Sequence[str], source: IntArray, seed: int
) -> Interval:
    """Return the mean over classes of the fraction of members that are told."""
    member = (truth[:, None] == np.array(classes)).astype(np.float64)  # (n, n_class)
    told = member * (truth == vote)[:, None]
    bootstrap = Bootstrap(source, seed)
    draws = ratio(bootstrap.sums(told), bootstrap.sums(member))  # (n_resample, n_class)
    value = (told.sum(axis=0) / member.sum(axis=0)).mean()
    return interval(float(value), draws.mean(axis=1))
