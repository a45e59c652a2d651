"""The vectors under evaluation, with what is known of the detections behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.dataset import Dataset, detections_of, split_by_source
from common.errors import InvalidTableError
from common.ports import Encoder, Float32Array, Progress, no_progress
from common.records import Detection

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

REPRESENTATIONS = ("spectrum", "text", "shared_spectrum", "shared_text", "both")
"""Before alignment, after it, and both of the latter side by side."""
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, eq=False)
class Representations:
    """Vectors of n detections.

    Attributes
    ----------
    dataset : str
        What the dataset is called in reports.
    simulated : bool
        Whether spectra are simulated; shown wherever results are.
    model_id, text_model : str
        The model that made the vectors.
    vectors : mapping of str to ndarray of float32, shape (n, d)
        One entry of `REPRESENTATIONS` or more; the text ones are missing without summaries.
    variables : mapping of str to ndarray of float64, shape (n,)
        The 20 variables, NaN where there is no value.
    source : ndarray of int64, shape (n,)
        Source of each detection.
    source_class : sequence of tuple of str, length n
        Path of each detection's class, empty where it is unknown.
    names : sequence of str, length n
        What each detection is called in tables.
    counts : ndarray of float64, shape (n,)
        Counts of each spectrum, 0.5-8 keV.
    split : mapping of str to ndarray of int64
        Rows of ``train``, ``validation`` and ``test``; no source is in two of them.
    notes : sequence of str
        What was left out and why.
    """

    dataset: str
    simulated: bool
    model_id: str
    text_model: str
    vectors: Mapping[str, Float32Array]
    variables: Mapping[str, FloatArray]
    source: IntArray
    source_class: Sequence[tuple[str, ...]]
    names: Sequence[str]
    counts: FloatArray
    split: Mapping[str, IntArray]
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.vectors or not self.vectors.keys() <= set(REPRESENTATIONS):
            raise InvalidTableError(
                f"dataset {self.dataset}: vectors are called {sorted(self.vectors)}: give one or "
                f"more of {', '.join(REPRESENTATIONS)}"
            )
        self._check_values()
        self._check_split()

    def _check_values(self) -> None:
        lengths = {
            **{name: len(x) for name, x in self.vectors.items()},
            **{name: len(values) for name, values in self.variables.items()},
            "source": len(self.source),
            "source_class": len(self.source_class),
            "names": len(self.names),
            "counts": len(self.counts),
        }
        if len(set(lengths.values())) > 1:
            raise InvalidTableError(
                f"dataset {self.dataset}: lengths differ: {lengths}: give one row per detection"
            )
        for name, x in self.vectors.items():
            if not np.isfinite(x).all():
                raise InvalidTableError(
                    f"dataset {self.dataset}: vectors {name} hold NaN or infinity: encode again"
                )

    def _check_split(self) -> None:
        missing = [part for part in PARTS if part not in self.split]
        if missing:
            raise InvalidTableError(
                f"dataset {self.dataset}: the split has no {', '.join(missing)}: give "
                f"{', '.join(PARTS)}"
            )
        owner: dict[int, str] = {}
        for part in PARTS:
            for source in np.unique(self.source[self.split[part]]).tolist():
                if owner.setdefault(source, part) != part:
                    raise InvalidTableError(
                        f"dataset {self.dataset}: source {source} is in {owner[source]} and in "
                        f"{part}: split by source, else results are too good"
                    )


def represent(
    dataset: Dataset, encoder: Encoder, progress: Progress = no_progress
) -> Representations:
    """Encode the detections whose source has a summary, or all of a dataset without any.

    Parameters
    ----------
    dataset : Dataset
        Spectra, variables and summaries.
    encoder : Encoder
        The model.
    progress : callable
        Told what is being done and how far it is.

    Returns
    -------
    Representations
        Vectors in the order of the dataset; without summaries those of the spectra only.

    Raises
    ------
    InvalidTableError
        If nothing is left to encode, or one source is named twice in different splits.
    """
    has_summary = np.flatnonzero([summary is not None for summary in dataset.summaries])
    used = detections_of(dataset, has_summary)
    notes = []
    if not len(used):
        used = np.arange(len(dataset))
        notes.append("no source has a summary: nothing that needs texts is reported")
    elif len(used) < len(dataset):
        left_out = len(dataset) - len(used)
        notes.append(f"{left_out:,} of {len(dataset):,} detections left out: no summary")
    if not len(used):
        raise InvalidTableError(f"dataset {dataset.name}: no detections: give one that has some")
    split = split_by_source(dataset.n_sources)
    _refuse_sources_named_twice(dataset, split)
    spectra = encoder.encode_spectra(dataset.counts[used], dataset.exposure_s[used], progress)
    vectors = {"spectrum": spectra.own, "shared_spectrum": spectra.shared}
    if len(has_summary):
        sources, own = np.unique(dataset.source[used], return_inverse=True)  # own: (n,)
        summaries = [dataset.summaries[source] for source in sources]
        texts = encoder.encode_summaries([s for s in summaries if s is not None], progress)
        shared_text = texts.shared[own]
        vectors |= {"text": texts.own[own], "shared_text": shared_text}
        vectors["both"] = np.hstack([spectra.shared, shared_text])
    detections = [dataset.detections[row] for row in used]
    return Representations(
        dataset=dataset.name,
        simulated=dataset.simulated,
        model_id=encoder.model_id,
        text_model=encoder.text_model,
        vectors={name: vectors[name] for name in REPRESENTATIONS if name in vectors},
        variables={name: values[used] for name, values in dataset.variables.items()},
        source=dataset.source[used],
        source_class=[detection.source_class for detection in detections],
        names=[_name_of(detection) for detection in detections],
        counts=dataset.counts[used].sum(axis=1),
        split={part: np.flatnonzero(np.isin(dataset.source[used], split[part])) for part in PARTS},
        notes=tuple(notes),
    )


def _name_of(detection: Detection) -> str:
    name = detection.source_name
    return f"{name} ({detection.key})" if name else detection.key


def _refuse_sources_named_twice(dataset: Dataset, split: Mapping[str, IntArray]) -> None:
    part_of = {source: part for part, sources in split.items() for source in sources.tolist()}
    owner: dict[str, str] = {}
    for detection, source in zip(dataset.detections, dataset.source.tolist(), strict=True):
        name, part = detection.source_name, part_of[source]
        if name is not None and owner.setdefault(name, part) != part:
            raise InvalidTableError(
                f"dataset {dataset.name}: {name} appears as several sources, in {owner[name]} and "
                f"in {part}: give all its detections one source number"
            )
