"""Simulated sources of one kind, for tests."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from ingest.simulation.population import KINDS, draw_population


@lru_cache
def _drawn(n):
    return draw_population(np.random.default_rng(0), n, "even")


def population_of(name, n, **parameters):
    """Return n sources of one kind, some of their parameters set."""
    index = next(index for index, kind in enumerate(KINDS) if kind.name == name)
    drawn = _drawn(4 * n * len(KINDS))
    rows = np.flatnonzero(drawn.kind == index)[:n]
    assert len(rows) == n
    columns = {
        name: values[rows]
        for name, values in {
            **drawn.parameters(),
            "kind": drawn.kind,
            "ra_deg": drawn.ra_deg,
            "dec_deg": drawn.dec_deg,
        }.items()
    }
    return replace(
        drawn, **columns | {name: np.full(n, value) for name, value in parameters.items()}
    )
