"""The part of ``chandra-search evaluate`` that judges a model on real spectra and real papers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.table import Table

from cli.console import answers, say, stages
from common.calibration import CALIBRATION, read_calibration
from common.dataset import Dataset, detections_of, split_by_source
from common.errors import InputError
from ingest.dataset.dataset import read_dataset
from ingest.dataset.texts import read_questions
from ingest.papers.corpus import read_corpus
from ingest.papers.extractive import ExtractiveSummarizer

if TYPE_CHECKING:
    from encoders.bundle import ModelBundle
    from encoders.evaluation.result import RealResult

_FIGURES: Final = {  # name: what it is called, and what chance reaches
    "topical_precision_at_10": ("topical among the 10 nearest texts", "topical_prior"),
    "own_text_percentile_mean": ("own texts among topical ones, mean", ".50"),
    "own_text_percentile_median": ("own texts among topical ones, median", ".50"),
    "question_auc_mean": ("AUC of questions, mean", ".50"),
    "coverage_68": ("68% intervals that hold the value", "promised .68"),
    "coverage_90": ("90% intervals that hold the value", "promised .90"),
}


def score_on_real(
    path: Path,
    dataset: Dataset,
    model: "ModelBundle",
    bundle: Path | None,
    corpus: Sequence[Path],
    reference: Path | None,
    seed: int,
) -> "RealResult":
    """Score a model on a dataset's spectra, texts and questions, among the texts of corpora.

    Every row takes part where the dataset is there to judge by, else its test split.

    Raises
    ------
    InputError
        If the reference may not be learnt from, or nothing is left to judge by.
    """
    from encoders.evaluation.real import Judged, score_real

    neighbours = read_dataset(reference) if reference else None
    if neighbours is not None:
        neighbours.check_may_be_learnt_from()
    texts = read_corpus(corpus)
    for note in texts.notes:
        say(f"note: {note}")
    calibration = None
    if bundle is not None and (bundle / CALIBRATION).is_file():
        calibration = read_calibration(bundle / CALIBRATION, model.model_id)
    rows = None
    if dataset.use != "test":
        rows = detections_of(dataset, split_by_source(dataset.n_sources)["test"])
    judged = Judged(dataset, texts.pool(), read_questions(path), neighbours, calibration, rows)
    with stages() as progress:
        return score_real(judged, model, ExtractiveSummarizer(model.embedder), seed, progress)


def refuse_without_dataset(corpus: Sequence[Path], reference: Path | None) -> None:
    """Refuse what only a dataset can be judged with."""
    if corpus or reference:
        raise InputError(
            "--corpus and --reference judge a model on a dataset: give a folder in the dataset "
            "format and --bundle, not a store"
        )


def print_real(real: "RealResult", name: str) -> None:
    """Print the figures with their intervals and chance, then each object and question."""
    sizes = real.sizes
    table = Table(
        "figure", "value", "68% interval", "chance", title=f"Real data, {escape(name)}",
        caption=f"{sizes['spectra']} spectra of {sizes['objects']} objects, "
        f"{sizes['objects_with_texts']} of them with texts; {sizes['texts']:,} texts, "
        f"{sizes['topical_texts']:,} of them topical; {sizes['questions']} questions",
    )  # fmt: skip
    for figure, (title, chance) in _FIGURES.items():
        if figure in real.interval:
            prior = real.topical_prior or 0.0
            _row(table, real, figure, title, f"{prior:.2f}" if figure.startswith("top") else chance)
    for counts, value in real.count_drift.items():
        if value is not None:
            title = f"cosine of {int(counts):,} counts with 1,000"
            _row(table, real, f"count_drift_{counts}", title, "")
    answers.print(table)
    if real.topic:
        topic = real.topic
        answers.print(
            f"topic of the held-out texts: AUC {topic.auc:.4f}, calibration error "
            f"{topic.expected_calibration_error:.3f}; shown by default are "
            f"{topic.shown_of_topical:.1%} of those about X-ray sources and "
            f"{topic.shown_of_others:.2%} of the others"
        )
    if real.bright_spectra:
        bright = real.bright_spectra
        answers.print(
            f"error of the estimates of {bright.n} bright spectra: {bright.error:.3f} spreads, "
            f"{bright.error_thinned:.3f} from 1,000 of their counts"
        )
    if real.own_text_percentile:
        by_object = real.own_text_percentile.by_object
        parts = Table("object", "texts before its own", title="Own texts, best first")
        for about, place in sorted(by_object.items(), key=lambda item: item[1]):
            parts.add_row(escape(about), f"{place:.2f}")
        answers.print(parts)
    if real.question_auc:
        parts = Table("question", "class", "AUC", title="Questions, best first")
        by_question = real.question_auc.by_question
        for question, auc in sorted(by_question.items(), key=lambda item: -item[1]):
            parts.add_row(escape(question), real.classes[question], f"{auc:.2f}")
        answers.print(parts)
    for note in real.notes:
        say(f"note: {note}")


def _row(table: Table, real: "RealResult", figure: str, title: str, chance: str) -> None:
    one = real.interval[figure]
    table.add_row(title, f"{one.value:.2f}", f"{one.low:.2f} to {one.high:.2f}", chance)
