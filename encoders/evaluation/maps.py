"""Maps of detections in two dimensions: t-SNE (Fig. 3)."""

import numpy as np
from sklearn.manifold import TSNE

from common.ports import Progress
from common.representations import Representations
from encoders.evaluation.result import MapResult

MAX_POINTS = 3000
MIN_POINTS = 10

_DRAWN = (("both", "shared_spectrum"), ("spectrum",))
"""Of each group the first that is there: one map after alignment, one before."""
_PERPLEXITY = 30.0


def draw_maps(
    representations: Representations, seed: int, progress: Progress
) -> tuple[list[MapResult], list[str]]:
    """Return maps of at most 3,000 detections drawn at random.

    Parameters
    ----------
    representations : Representations
        Vectors of n detections.
    seed : int
        Equal seeds give equal maps.
    progress : callable
        Told which map it is.

    Returns
    -------
    maps : list of MapResult
        One after alignment, one before.
    notes : list of str
        What could not be drawn.
    """
    n = len(representations.names)
    rows = np.sort(np.random.default_rng(seed).permutation(n)[:MAX_POINTS])
    names = [
        next((one for one in group if one in representations.vectors), None) for group in _DRAWN
    ]
    maps, notes = [], []
    for done, name in enumerate(names, start=1):
        if name is None:
            continue
        x = representations.vectors[name][rows]
        if len(np.unique(x, axis=0)) < MIN_POINTS:
            notes.append(f"no map of {name}: fewer than {MIN_POINTS} different vectors")
        else:
            perplexity = min(_PERPLEXITY, (len(rows) - 1) / 3)
            position = TSNE(perplexity=perplexity, random_state=seed).fit_transform(x)
            maps.append(MapResult(name, rows, np.asarray(position, dtype=np.float64)))
        progress("drawing maps", done, len(names))
    return maps, notes
