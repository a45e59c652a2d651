"""The figure of a benchmark of real data: own texts by object, questions, and drift with counts."""

from typing import TYPE_CHECKING

from encoders.evaluation.palette import BLUE, GREEN, INK, MUTED, VERMILLION
from encoders.evaluation.result import RealResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW, _MARGIN = 0.2, 1.1  # inches
_CHANCE = 0.5
_LONGEST = 46  # characters of a question


def real_height(real: RealResult) -> float:
    """Return the height in inches that every object and question can be read at."""
    objects = len(real.own_text_percentile.by_object) if real.own_text_percentile else 0
    questions = len(real.question_auc.by_question) if real.question_auc else 0
    return _MARGIN + _ROW * max(objects, questions, 8)


def draw_real(figure: "Figure", real: RealResult) -> None:
    """Draw what the benchmark found: dots beside chance, best at the top."""
    own, asked = figure.subplots(1, 2, width_ratios=(2, 3))
    if real.own_text_percentile:
        by_object = real.own_text_percentile.by_object
        _dots(own, dict(sorted(by_object.items(), key=lambda item: -item[1])), BLUE)
        _mean(own, real.own_text_percentile.mean)
    own.set(
        xlabel="share of texts before its own (0: none)",
        title="The texts about each object",
    )
    if real.question_auc:
        named = {
            f"{_short(question)} [{real.classes.get(question, '')}]": auc
            for question, auc in real.question_auc.by_question.items()
        }
        _dots(asked, dict(sorted(named.items(), key=lambda item: item[1])), GREEN)
        _mean(asked, real.question_auc.mean)
    asked.set(
        xlabel="AUC (1: those of the class come first)",
        title="The spectra that each question finds",
    )


def _dots(axes: "Axes", values: dict[str, float], colour: str) -> None:
    places = range(len(values))
    axes.hlines(places, _CHANCE, list(values.values()), color=colour, lw=1, alpha=0.5)
    axes.plot(list(values.values()), places, "o", color=colour, ms=5)
    axes.axvline(_CHANCE, color=MUTED, ls="--", lw=1)
    axes.set_yticks(places, labels=list(values), fontsize=7.5, color=INK)
    axes.set_xlim(-0.02, 1.02)
    axes.margins(y=0.02)


def _mean(axes: "Axes", mean: float) -> None:
    axes.axvline(mean, color=VERMILLION, lw=1.2, label=f"mean {mean:.2f}")
    axes.legend(loc="best")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1].rstrip()}…"
