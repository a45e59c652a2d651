"""Which detections are unlike the others: Isolation Forest (Table 4, Fig. 4)."""

import numpy as np
from sklearn.ensemble import IsolationForest

from common.representations import Representations
from encoders.evaluation.result import Outlier, OutlierResult

N_TREES = 300
N_TOP = 20
_BY_PREFERENCE = ("both", "shared_spectrum", "spectrum")


def find_outliers(representations: Representations, seed: int) -> OutlierResult | None:
    """Return anomaly scores of all detections, or None where there is no vector to judge by.

    Parameters
    ----------
    representations : Representations
        Vectors of n detections; those of ``both`` are used where there are texts.
    seed : int
        Equal seeds give equal scores.

    Returns
    -------
    OutlierResult or None
        Scores are those of the forest divided by the highest of them.
    """
    name = next((one for one in _BY_PREFERENCE if one in representations.vectors), None)
    if name is None or not len(representations.names):
        return None
    forest = IsolationForest(n_estimators=N_TREES, random_state=seed)
    scores = -forest.fit(representations.vectors[name]).score_samples(representations.vectors[name])
    scores = np.asarray(scores / scores.max(), dtype=np.float64)
    classes = [(path or ("",))[-1] for path in representations.source_class]
    top = np.argsort(-scores, kind="stable")[:N_TOP].tolist()
    return OutlierResult(
        top=[
            Outlier(
                representations.names[row],
                classes[row],
                float(representations.counts[row]),
                float(scores[row]),
            )
            for row in top
        ],
        scores=scores,
        by_class={
            name: (int(own.sum()), *_quartiles(scores[own]))
            for name in sorted(set(classes) - {""})
            for own in [np.array(classes) == name]
        },
        representation=name,
    )


def _quartiles(scores: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float, float]:
    first, median, third = np.percentile(scores, (25, 50, 75)).tolist()
    return first, median, third
