"""What the texts of a corpus teach: concepts and topic, each with how much it is to be trusted.

Only what a text says is known of it. That it does not call its spectrum soft hardly tells that it
is not, so what is absent weighs less than what is there, of attributes less than of classes.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from common.concept_rules import label_concepts, read_concepts
from common.concepts import CLASSES, N_CONCEPTS

Float32Array = npt.NDArray[np.float32]

LEAST_TRUST: Final = 0.65
MOST_TRUST: Final = 0.95
SCORES: Final = (7.5, 9.0)
"""Scores up to which labels have the least trust, and from which on the most."""

UNSCORED_TRUST: Final = 0.8
SEVERAL_LABELS: Final = (1.0, 0.85, 0.65)
"""Trust in each of one, two, or more labels: some of several are only mentioned."""

ABSENT_CLASS: Final = 0.6
ABSENT_ATTRIBUTE: Final = 0.25
LEAST_WEIGHT: Final = 0.2


def trust(score: float | None) -> float:
    """Return the probability that a corpus is right about a text, by the score it gives."""
    if score is None:
        return UNSCORED_TRUST
    return float(np.interp(score, SCORES, (LEAST_TRUST, MOST_TRUST)))


def concept_targets(
    sections: Sequence[str], labels: Sequence[str] = (), score: float | None = None
) -> tuple[Float32Array, Float32Array]:
    """Return what a text is taken to say.

    Parameters
    ----------
    sections : sequence of str
        Sections of its summary, the title first.
    labels : sequence of str
        Classes that its corpus gives it; those unknown to the table of rules are passed over.
    score : float or None
        How sure its corpus is.

    Returns
    -------
    targets : ndarray of float32, shape (N_CONCEPTS,)
        Probability that each concept is said.
    weights : ndarray of float32, shape (N_CONCEPTS,)
        How much each of them is to count.
    """
    told = read_concepts(sections)
    labelled, known = label_concepts(labels)
    if known:
        trusted = trust(score) * SEVERAL_LABELS[min(len(labels), len(SEVERAL_LABELS)) - 1]
        told = np.maximum(told, trusted * labelled)
    absent = np.full(N_CONCEPTS, ABSENT_ATTRIBUTE, dtype=np.float32)
    absent[: len(CLASSES)] = ABSENT_CLASS
    sure = np.maximum(np.abs(2 * told - 1), LEAST_WEIGHT)
    return told, np.where(told > 0.5, sure, absent * sure).astype(np.float32)
