"""What of a dataset is trained on: its parts, who of them has texts, and whether that is enough."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.dataset import Dataset, detections_of
from common.errors import InvalidTableError
from common.ports import TextEmbedder
from common.records import Summary, content_hash
from encoders.bundle import ModelBundle
from encoders.config import TrainingConfig
from encoders.fitting.fit_text_concepts import ConceptText

IntArray = npt.NDArray[np.int64]

FEWEST_SOURCES = {"training": 8, "validation": 2}
FEWEST_TO_CALIBRATE = 8  # with fewer, the validation split tells the temperature better


@dataclass(frozen=True, slots=True)
class TrainingTexts:
    """Real texts to learn words and the topic from, and how many come from which file."""

    texts: Sequence[ConceptText]
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """A dataset's ``training``, ``validation`` and, when it is kept apart, ``calibration``.

    Attributes
    ----------
    sources, rows : mapping of str to ndarray of int64
        Sources and detections of each part.
    paired : mapping of str to ndarray of int64
        Those of its detections that have a text; too few to calibrate with are left out.
    """

    sources: Mapping[str, IntArray]
    rows: Mapping[str, IntArray]
    paired: Mapping[str, IntArray]

    @classmethod
    def of(cls, dataset: Dataset, config: TrainingConfig) -> "Parts":
        """Return the parts of a dataset.

        Raises
        ------
        InvalidTableError
            If it has too few sources with texts.
        """
        sources = _sources(dataset, config)
        rows = {part: detections_of(dataset, of_part) for part, of_part in sources.items()}
        paired = {
            part: _with_text(dataset, _first_sources(dataset, of_part, most))
            for part, of_part, most in _limited(rows, config.most_sources)
        }
        _check_enough(dataset, paired)
        if n_sources(dataset, paired.get("calibration")) < FEWEST_TO_CALIBRATE:
            paired.pop("calibration", None)
        return cls(sources, rows, paired)

    def sizes(self) -> dict[str, int]:
        """Return how many sources and detections each part has."""
        return {
            **{f"{part}_sources": len(of_part) for part, of_part in self.sources.items()},
            **{f"{part}_detections": len(of_part) for part, of_part in self.rows.items()},
        }


def summaries_of(dataset: Dataset, rows: IntArray) -> list[Summary]:
    """Return all texts about the sources of these detections, in the order of the sources."""
    sources = np.unique(dataset.source[rows]).tolist()
    return [text.summary for source in sources for text in dataset.texts_of(source)]


def summary_methods(dataset: Dataset, rows: IntArray) -> dict[str, int]:
    """Return how many of the texts about these detections were written by which method."""
    return dict(Counter(summary.method for summary in summaries_of(dataset, rows)))


def identity_of(
    dataset: Dataset,
    embedder: TextEmbedder,
    config: TrainingConfig,
    start: ModelBundle | None,
    words: TrainingTexts | None = None,
) -> str:
    """Return a hash over all that decides the result."""
    return content_hash(
        repr(dataclasses.asdict(config)),
        f"{embedder.name} {embedder.width} {start.model_id if start else None}",
        dataset.counts,
        dataset.source,
        *_lessons(words),
        *(values for _, values in sorted(dataset.variables.items())),
        *(
            " ".join(text.summary.hash() for text in dataset.texts_of(source))
            for source in range(dataset.n_sources)
        ),
        *(dataset.parts or ()),
        *(() if dataset.concepts is None else (dataset.concepts,)),
    )


def _lessons(words: TrainingTexts | None) -> Iterator[str]:
    for text in words.texts if words else ():
        yield content_hash(text.summary.hash(), text.targets, text.weights, repr(text.topic))


def n_sources(dataset: Dataset, rows: IntArray | None) -> int:
    """Return the number of sources of these detections."""
    return 0 if rows is None else len(np.unique(dataset.source[rows]))


def _sources(dataset: Dataset, config: TrainingConfig) -> dict[str, IntArray]:
    split = dataset.split()
    validation = split["validation"]
    if config.train_on == "split":
        return {
            "training": split["train"],
            "validation": validation,
            "calibration": split["calibration"],
        }
    rest = np.setdiff1d(np.arange(dataset.n_sources), validation)
    return {"training": rest, "validation": validation}


def _with_text(dataset: Dataset, rows: IntArray) -> IntArray:
    has_text = np.array([bool(dataset.texts_of(source)) for source in range(dataset.n_sources)])
    return np.asarray(rows[has_text[dataset.source[rows]]])


def _limited(
    rows: Mapping[str, IntArray], most_sources: int
) -> Iterator[tuple[str, IntArray, int]]:
    for part, of_part in rows.items():
        yield part, of_part, most_sources if part == "training" else -(-most_sources // 5)


def _first_sources(dataset: Dataset, rows: IntArray, n: int) -> IntArray:
    """Return the detections of at most n sources: datasets are in no order that tells anything."""
    sources = np.unique(dataset.source[rows])
    return rows if len(sources) <= n else rows[dataset.source[rows] <= sources[n - 1]]


def _check_enough(dataset: Dataset, paired: Mapping[str, IntArray]) -> None:
    found = {part: n_sources(dataset, paired[part]) for part in FEWEST_SOURCES}
    enough = all(found[part] >= fewest for part, fewest in FEWEST_SOURCES.items())
    distinct = {summary.hash() for summary in summaries_of(dataset, paired["training"])}
    if enough and len(distinct) < FEWEST_SOURCES["training"]:
        raise InvalidTableError(
            f"dataset {dataset.name}: {found['training']} sources to train on have "
            f"{len(distinct)} different texts, at least {FEWEST_SOURCES['training']} are needed: "
            "give each source texts that are about it"
        )
    if not enough:
        raise InvalidTableError(
            f"dataset {dataset.name}: {found['training']} sources with a spectrum and a summary to "
            f"train on and {found['validation']} to validate with, at least "
            f"{FEWEST_SOURCES['training']} and {FEWEST_SOURCES['validation']} are needed: give a "
            "dataset of about 20 such sources or more"
        )
