"""Spectra as arrays, and the texts about their sources: what training and evaluation work on.

``ingest.dataset.dataset`` reads and writes it, ``ingest.simulation.simulate`` makes it,
``encoders`` trains on it.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from common.binning import BIN_EDGES_KEV, N_BINS
from common.concepts import N_CONCEPTS
from common.errors import InputError, InvalidTableError
from common.records import Detection, Paper, Spectrum, Summary

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

Use = Literal["any", "test"]
"""Whether a dataset may be learnt from, or is there to judge by only."""

USE = "use"
"""Under this name the detections of a dataset to judge by say so among their catalogue values."""

SPLIT_FRACTIONS = {"train": 0.69, "calibration": 0.01, "validation": 0.15, "test": 0.15}


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a dataset: about a source whose spectrum is there, or about none of them.

    Attributes
    ----------
    source : int or None
        Index of the source it is about; None where it belongs to no detection.
    bibcode : str
        Identifier under which it is stored as a paper.
    summary : Summary
        What is encoded: given, or chosen from the abstract.
    title, abstract : str
        As published, empty where only the summary is known.
    year : int or None
        Of publication.
    object : str or None
        Name of the object that it is about, where its file says so; it may have no spectrum.
    """

    source: int | None
    bibcode: str
    summary: Summary
    title: str = ""
    abstract: str = ""
    year: int | None = None
    object: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A short question, and the SIMBAD type whose spectra should come first."""

    source_class: str
    question: str


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Detections with spectra, catalogue variables, and texts about their sources.

    Attributes
    ----------
    name : str
        What it is called in reports.
    counts : ndarray of float64, shape (n, 400)
        Counts per bin of 0.5-8 keV.
    exposure_s : ndarray of float64, shape (n,)
        Exposure in seconds.
    source : ndarray of int64, shape (n,)
        Index of the source each detection belongs to, 0 … n_source - 1.
    variables : mapping of str to ndarray of float64, shape (n,)
        The 20 variables, NaN where there is no value.
    detections : sequence of Detection, length n
        Keys and catalogue attributes.
    texts : sequence of Text
        Any number for each source, and texts that belong to none.
    simulated : bool
        Whether spectra are simulated; shown wherever results are.
    concepts : ndarray of bool, shape (n, N_CONCEPTS), or None
        Which of ``common.concepts.NAMES`` hold of each detection; None where nobody knows.
    parts : sequence of str, length n_source, or None
        The part of the split that each source is in, whatever is added later; None: that of
        `split_by_source`.
    use : str
        ``test`` where nothing may be learnt from it, else ``any``.
    """

    name: str
    counts: FloatArray
    exposure_s: FloatArray
    source: IntArray
    variables: Mapping[str, FloatArray]
    detections: Sequence[Detection]
    texts: Sequence[Text]
    simulated: bool
    concepts: BoolArray | None = None
    parts: Sequence[str] | None = None
    use: Use = "any"
    _texts_of: Mapping[int, tuple[Text, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        n = len(self.counts)
        lengths = {
            "exposure_s": len(self.exposure_s),
            "source": len(self.source),
            "detections": len(self.detections),
            **{name: len(values) for name, values in self.variables.items()},
        }
        wrong = {name: length for name, length in lengths.items() if length != n}
        if self.counts.ndim != 2 or self.counts.shape[1] != N_BINS or wrong:
            raise InvalidTableError(
                f"dataset {self.name}: counts has shape {self.counts.shape}, expected "
                f"(n, {N_BINS});"
                f" other lengths that differ from n: {wrong or 'none'}"
            )
        if self.concepts is not None and self.concepts.shape != (n, N_CONCEPTS):
            raise InvalidTableError(
                f"dataset {self.name}: concepts has shape {self.concepts.shape}, expected "
                f"({n}, {N_CONCEPTS})"
            )
        if n and self.source.min() < 0:
            raise InvalidTableError(f"dataset {self.name}: source indices begin below 0")
        texts_of: dict[int, list[Text]] = {}
        for text in self.texts:
            if text.source is None:
                continue
            if not 0 <= text.source < self.n_sources:
                raise InvalidTableError(
                    f"dataset {self.name}: text {text.bibcode} is about source {text.source}, "
                    f"but there are {self.n_sources} sources"
                )
            texts_of.setdefault(text.source, []).append(text)
        by_source = {source: tuple(texts) for source, texts in texts_of.items()}
        object.__setattr__(self, "_texts_of", by_source)
        self._check_parts()

    def _check_parts(self) -> None:
        if self.parts is None:
            return
        if len(self.parts) != self.n_sources or not {*self.parts} <= SPLIT_FRACTIONS.keys():
            raise InvalidTableError(
                f"dataset {self.name}: {len(self.parts)} parts of {self.n_sources} sources, called "
                f"{', '.join(sorted({*self.parts}))}: give each source one of "
                f"{', '.join(SPLIT_FRACTIONS)}"
            )

    def split(self) -> dict[str, IntArray]:
        """Return the ascending source indices of each part: the one split there is."""
        if self.parts is None:
            return split_by_source(self.n_sources)
        parts = np.array(self.parts, dtype=np.str_)
        return {part: np.flatnonzero(parts == part) for part in SPLIT_FRACTIONS}

    def __len__(self) -> int:
        return len(self.counts)

    def spectrum(self, row: int) -> Spectrum:
        """Return the spectrum of a detection, its channels being the 400 bins."""
        return Spectrum(
            counts=self.counts[row],
            energy_lo_kev=BIN_EDGES_KEV[:-1],
            energy_hi_kev=BIN_EDGES_KEV[1:],
            exposure_s=float(self.exposure_s[row]),
            energy_source=f"dataset {self.name}",
        )

    @property
    def n_sources(self) -> int:
        """Number of sources."""
        return int(self.source.max()) + 1 if len(self.source) else 0

    def texts_of(self, source: int) -> tuple[Text, ...]:
        """Return all texts about a source, in their order."""
        return self._texts_of.get(source, ())

    def summary_of(self, source: int) -> Summary | None:
        """Return the summary of the first text about a source, None where there is none."""
        texts = self.texts_of(source)
        return texts[0].summary if texts else None

    def papers(self) -> Iterator[Paper]:
        """Yield each text as a paper, marked where it is simulated."""
        first_row = dict(zip(self.source[::-1].tolist(), range(len(self))[::-1], strict=True))
        label = "Simulated summary" if self.simulated else "Summary"
        for text in self.texts:
            row = None if text.source is None else first_row.get(text.source)
            about = None if row is None else self.detections[row]
            source_name = (about.source_name if about else None) or text.object
            source_class = about.source_class if about else ()
            name = source_name or f"source {text.source} of {self.name}"
            kind = f", {source_class[-1]}" if source_class else ""
            yield Paper(
                bibcode=text.bibcode,
                title=text.title or f"{label} of {name}{kind}",
                abstract=text.abstract,
                year=text.year,
                source_names=(source_name,) if source_name else (),
                source_class=source_class,
                summary=text.summary,
                simulated=self.simulated and not text.abstract,
            )

    def first_sources(self, n: int) -> Self:
        """Return the detections and texts of the first n sources, in the parts they are in."""
        if n >= self.n_sources:
            return self
        rows = np.flatnonzero(self.source < n)
        part_of_source = {
            source: part for part, sources in self.split().items() for source in sources.tolist()
        }
        return replace(
            self,
            counts=self.counts[rows],
            exposure_s=self.exposure_s[rows],
            source=self.source[rows],
            variables={name: values[rows] for name, values in self.variables.items()},
            detections=[self.detections[row] for row in rows.tolist()],
            texts=[text for text in self.texts if text.source is None or text.source < n],
            concepts=None if self.concepts is None else self.concepts[rows],
            parts=[part_of_source[source] for source in range(int(self.source[rows].max()) + 1)],
        )

    def check_may_be_learnt_from(self) -> None:
        """Raise `InputError` where the dataset is there to judge by only."""
        if self.use == "test":
            raise InputError(
                f"dataset {self.name} is for tests only (dataset.json says use: test): nothing may "
                "be learnt from it; give another dataset, or score a bundle on it with evaluate"
            )


def part_of(label: str) -> str:
    """Return the part of the split that a source is in for good, by a hash of its name."""
    digest = hashlib.sha256(label.encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    bounds = np.cumsum([*SPLIT_FRACTIONS.values()])[:-1]
    return [*SPLIT_FRACTIONS][int(np.searchsorted(bounds, position, side="right"))]


def split_by_source(n_sources: int) -> dict[str, IntArray]:
    """Split sources 69/1/15/15 in the order of a seeded permutation.

    A split by detection would leak: detections of one source share its text (DESIGN.md,
    decision 5).

    Parameters
    ----------
    n_sources : int
        Number of sources.

    Returns
    -------
    dict of str to ndarray of int64
        Ascending source indices of ``train``, ``calibration``, ``validation`` and ``test``.
    """
    position = np.random.default_rng(0).permutation(n_sources) / n_sources
    bounds = np.round(np.cumsum([0.0, *SPLIT_FRACTIONS.values()]), 9)
    return {
        name: np.flatnonzero((low <= position) & (position < high))
        for name, low, high in zip(SPLIT_FRACTIONS, bounds[:-1], bounds[1:], strict=True)
    }


def detections_of(dataset: Dataset, sources: IntArray) -> IntArray:
    """Return the row indices of the detections of these sources."""
    return np.flatnonzero(np.isin(dataset.source, sources))
