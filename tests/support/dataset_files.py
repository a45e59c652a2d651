"""What the files of a small dataset hold."""

import numpy as np


def arrays_of(n=3, **changes):
    rng = np.random.default_rng(n)
    arrays = {
        "counts": rng.poisson(1.0, size=(n, 400)),
        "exposure": np.full(n, 1000.0),
        "source": np.arange(n),
    } | changes
    return {name: values for name, values in arrays.items() if values is not None}


def section_texts(**changes):
    return {
        "source": 0,
        "nature": "A star.",
        "xray": "Soft.",
        "interpretation": "A corona.",
    } | changes
