"""How well spectra find their texts and texts their spectra, over all and in parts (Fig. 2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.representations import Representations
from encoders.evaluation.bootstrap import Bootstrap, interval
from encoders.evaluation.result import RetrievalResult
from encoders.retrieval import PERCENTS, Retrieval, rank_sources, rank_texts

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

N_DECILES = 10
MIN_OF_CLASS = 5
"""Fewer queries of a class tell nothing."""


def match(
    representations: Representations, tested: IntArray, seed: int
) -> tuple[RetrievalResult | None, RetrievalResult | None]:
    """Return retrieval from spectrum to text and back; candidates are the tested sources.

    Parameters
    ----------
    representations : Representations
        Vectors of n detections; without ``shared_text`` there is nothing to find.
    tested : ndarray of int64, shape (m,)
        Rows of the detections that take part.
    seed : int
        Of the bootstrap.

    Returns
    -------
    tuple of RetrievalResult or None
        Spectrum to text, one query per detection, and text to spectrum, one query per text.
    """
    if "shared_text" not in representations.vectors:
        return None, None
    found = find_pairs(representations, tested)
    source = representations.source[tested]
    sources, first, own = np.unique(source, return_index=True, return_inverse=True)
    counts = representations.counts[tested]
    brightest = np.zeros(len(sources))
    np.maximum.at(brightest, own, counts)
    classes = [(representations.source_class[row] or ("",))[-1] for row in tested]
    about = np.searchsorted(sources, found.text_source)
    return (
        _result(found.forth, source, classes, counts, seed),
        _result(
            found.back,
            found.text_source,
            [classes[row] for row in first[about]],
            brightest[about],
            seed,
        ),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Ranks of both directions, and the source that each query belongs to.

    Attributes
    ----------
    forth, back : Retrieval
        Spectrum to text, one query per detection, and text to spectrum, one query per text.
    spectrum_source, text_source : ndarray of int64, shape (n,) and (m,)
        Source of each query.
    """

    forth: Retrieval
    back: Retrieval
    spectrum_source: IntArray
    text_source: IntArray


def find_pairs(representations: Representations, tested: IntArray) -> Found:
    """Return how well the tested detections and their texts find each other.

    Parameters
    ----------
    representations : Representations
        Vectors of n detections and of their texts.
    tested : ndarray of int64, shape (m,)
        Rows of the detections that take part; candidates are their sources.

    Returns
    -------
    Found
        Ranks, every text of a source being a right answer.
    """
    source = representations.source[tested]
    sources, first, own = np.unique(source, return_index=True, return_inverse=True)
    spectra = representations.vectors["shared_spectrum"][tested]
    if representations.texts is None:
        texts, about = representations.vectors["shared_text"][tested[first]], None
        text_source = sources
    else:
        rows = np.flatnonzero(np.isin(representations.texts.about, sources))
        text_source = representations.texts.about[rows]
        texts, about = representations.texts.shared[rows], np.searchsorted(sources, text_source)
    return Found(
        rank_texts(spectra, texts, own, about),
        rank_sources(spectra, texts, own, about),
        source,
        text_source,
    )


def _result(
    found: Retrieval, source: IntArray, classes: Sequence[str], counts: FloatArray, seed: int
) -> RetrievalResult:
    """Return the figures; a text has the counts of its brightest detection."""
    ranks = np.array(found.ranks)
    bootstrap = Bootstrap(source, seed)
    hits = np.column_stack([ranks <= found.last(percent) for percent in PERCENTS])
    recalls = bootstrap.means(hits.astype(np.float64))  # (n_resample, n_percent)
    intervals = {
        f"recall_at_{percent}_percent": interval(found.recall_at(percent), draws)
        for percent, draws in zip(PERCENTS, recalls.T, strict=True)
    }
    medians = bootstrap.medians(ranks.astype(np.float64))
    intervals["median_rank_percent"] = interval(
        100 * float(np.median(ranks)) / found.candidates, 100 * medians / found.candidates
    )
    of_class = np.array(classes)
    names, sizes = np.unique(of_class[of_class != ""], return_counts=True)
    order = np.argsort(counts, kind="stable")
    deciles = [part for part in np.array_split(order, N_DECILES) if len(part)]
    return RetrievalResult(
        overall=found,
        interval=intervals,
        by_class={
            str(name): _part(found, np.flatnonzero(of_class == name))
            for name, size in zip(names, sizes, strict=True)
            if size >= MIN_OF_CLASS
        },
        by_counts=[
            (float(counts[part].min()), float(counts[part].max()), _part(found, part))
            for part in deciles
        ],
    )


def _part(found: Retrieval, queries: IntArray) -> Retrieval:
    return Retrieval(tuple(np.array(found.ranks)[queries].tolist()), found.candidates)
