"""Is the probability that a text is about X-ray sources what it says it is?"""

from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from common.ports import MIN_TOPIC
from encoders.evaluation.neighbour_rules import calibration_error
from encoders.evaluation.result import ReliabilityBin, TopicReliability

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

EDGES: Final = (0.1, 0.3, 0.5, 0.7, 0.9)


def topic_reliability(probability: FloatArray, topical: BoolArray) -> TopicReliability | None:
    """Compare probabilities with what texts are about.

    Parameters
    ----------
    probability : ndarray of float64, shape (n,)
        Of each text; NaN where a model knows none.
    topical : ndarray of bool, shape (n,)
        Whether the text is surely about X-ray sources; else it surely is not.

    Returns
    -------
    TopicReliability or None
        None where texts of one kind only have a probability.
    """
    known = np.isfinite(probability)
    probability, topical = probability[known], topical[known]
    if topical.all() or not topical.any():
        return None
    of_bin = np.digitize(probability, EDGES)
    bins = [
        ReliabilityBin(float(probability[inside].mean()), float(topical[inside].mean()), n)
        for number in range(len(EDGES) + 1)
        if (n := int((inside := of_bin == number).sum()))
    ]
    shown = probability >= MIN_TOPIC
    return TopicReliability(
        auc=float(roc_auc_score(topical, probability)),
        expected_calibration_error=calibration_error(probability, topical.astype(np.float64)),
        shown_of_topical=float(shown[topical].mean()),
        shown_of_others=float(shown[~topical].mean()),
        bins=bins,
    )
