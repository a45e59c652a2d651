"""Simulated pairs among those that a model is trained on, never among those it is judged by."""

from dataclasses import replace

import numpy as np

from common.dataset import Dataset, detections_of
from common.ports import Progress, no_progress
from ingest.simulation.simulate import MAX_DETECTIONS, MAX_SEED, simulate

DEFAULT_SHARE = 0.3
MOST_SHARE = 0.9
PLENTY = 5000
"""Training sources with a text from which on simulated ones are not needed any more."""

_DETECTIONS_PER_SOURCE = 1.5
_SEEDS_AWAY = 50_000  # from those that people choose: the same pairs are not to be seen twice


def default_share(dataset: Dataset) -> float:
    """Return the share of simulated sources that training on a store is better with."""
    if all(detection.simulated for detection in dataset.detections):
        return 0.0
    return DEFAULT_SHARE if n_paired(dataset, "train") < PLENTY else 0.0


def n_paired(dataset: Dataset, part: str) -> int:
    """Return how many sources of a part have a text."""
    return sum(bool(dataset.texts_of(source)) for source in dataset.split()[part].tolist())


def mix_simulated(
    dataset: Dataset, share: float, seed: int, progress: Progress = no_progress
) -> Dataset:
    """Return a dataset with simulated sources added to its training part.

    Parameters
    ----------
    dataset : Dataset
        What is to be learnt from.
    share : float
        Simulated sources among those trained on, 0 … `MOST_SHARE`.
    seed : int
        Of the simulator.
    progress : callable
        Told how far the simulation is.

    Returns
    -------
    Dataset
        The given sources keep their numbers and parts; its name says what was added.
    """
    wanted = round(n_paired(dataset, "train") * share / (1 - share))
    if not wanted:
        return dataset
    # Sources have 1 to 6 detections: with a few more it is hardly ever too few sources.
    n = min(round(wanted * _DETECTIONS_PER_SOURCE + 4 * wanted**0.5) + 6, MAX_DETECTIONS)
    more = simulate(n, (seed + _SEEDS_AWAY) % (MAX_SEED + 1), progress)
    added = min(wanted, more.n_sources)
    rows = detections_of(more, np.arange(added))
    first = dataset.n_sources
    concepts = None
    if dataset.concepts is not None and more.concepts is not None:
        concepts = np.concatenate([dataset.concepts, more.concepts[rows]])
    part_of = np.empty(first, dtype=object)
    for part, sources in dataset.split().items():
        part_of[sources] = part
    return replace(
        dataset,
        name=f"{dataset.name} and {added:,} simulated sources",
        counts=np.concatenate([dataset.counts, more.counts[rows]]),
        exposure_s=np.concatenate([dataset.exposure_s, more.exposure_s[rows]]),
        source=np.concatenate([dataset.source, first + more.source[rows]]),
        variables={
            name: np.concatenate([values, more.variables[name][rows]])
            for name, values in dataset.variables.items()
        },
        detections=[*dataset.detections, *(more.detections[row] for row in rows.tolist())],
        texts=[
            *dataset.texts,
            *(
                replace(text, source=first + text.source)
                for text in more.texts
                if text.source is not None and text.source < added
            ),
        ],
        concepts=concepts,
        parts=[*part_of.tolist(), *["train"] * added],
    )
