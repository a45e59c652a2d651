"""Encode a dataset for its evaluation."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from common.dataset import Dataset, detections_of
from common.errors import InvalidTableError
from common.ports import Encoder, Progress, no_progress
from common.records import Detection
from common.representations import PARTS, REPRESENTATIONS, Representations, Texts

IntArray = npt.NDArray[np.int64]


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
    has_summary = np.flatnonzero([bool(dataset.texts_of(i)) for i in range(dataset.n_sources)])
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
    split = dataset.split()
    _refuse_sources_named_twice(dataset, split)
    spectra = encoder.encode_spectra(dataset.counts[used], dataset.exposure_s[used], progress)
    vectors = {"spectrum": spectra.own, "shared_spectrum": spectra.shared}
    all_texts = None
    if len(has_summary):
        sources, own = np.unique(dataset.source[used], return_inverse=True)  # own: (n,)
        texts_of = [dataset.texts_of(source) for source in sources.tolist()]
        texts = encoder.encode_summaries([t.summary for of in texts_of for t in of], progress)
        about = np.repeat(np.arange(len(sources)), [len(of) for of in texts_of])
        first = np.searchsorted(about, own)  # where one text stands for a source, it is its first
        shared_text = texts.shared[first]
        vectors |= {"text": texts.own[first], "shared_text": shared_text}
        vectors["both"] = np.hstack([spectra.shared, shared_text])
        if len(about) > len(sources):
            all_texts = Texts(texts.shared, sources[about])
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
        texts=all_texts,
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
