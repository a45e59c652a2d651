"""The figures of an evaluation as SVG, drawn through matplotlib's object API: no pyplot, no screen.

Figures have no background and one ink, so that a page can show them in its own colours. Points
by the thousand are pixels inside the SVG, everything else is lines and text.
"""

import io
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from common.binning import BIN_EDGES_KEV, min_max
from common.representations import Representations
from common.variables import BY_NAME, VARIABLE_NAMES
from encoders.evaluation.estimation import errors_of
from encoders.evaluation.figures_real import draw_real, real_height
from encoders.evaluation.palette import (
    BLUE,
    COLOURS,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
)
from encoders.evaluation.reconstructions import Reconstructions
from encoders.evaluation.result import (
    ClassificationResult,
    DimensionCorrelations,
    Evaluation,
    MapResult,
    OutlierResult,
)

if TYPE_CHECKING:  # matplotlib takes long to load, and --help can do without
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]

LABELS = {
    "spectrum": "spectrum before alignment",
    "text": "text before alignment",
    "shared_spectrum": "spectrum aligned",
    "shared_text": "text aligned",
    "both": "both aligned",
    "moe": "mixture of experts",
    "refined": "refined rule",
}
MAP_VARIABLES = ("hard_hs", "powlaw_gamma", "powlaw_nh", "flux_significance_b", "var_index_b")
"""What maps are coloured by, where it is known: shape, absorption, brightness, variability."""

_MARKERS = {
    "spectrum": ("o", BLUE),
    "text": ("s", ORANGE),
    "shared_spectrum": ("^", SKY),
    "shared_text": ("v", PURPLE),
    "both": ("D", GREEN),
    "moe": ("P", VERMILLION),
    "refined": ("X", INK),
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "chandra-search",
    "savefig.transparent": True,
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": MUTED,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "image.interpolation": "nearest",
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK
    ),
}
_DPI = 160
_WIDTH = 10.2  # inches, that of the report's column
_MOST_DIMENSIONS = 128


def draw(
    evaluation: Evaluation,
    representations: Representations,
    reconstructions: Reconstructions | None = None,
) -> dict[str, str]:
    """Return each figure that the results allow as an SVG document, by name."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        return {
            name: _svg(figure)
            for name, figure in _figures(evaluation, representations, reconstructions)
        }


def label_of(name: str) -> str:
    """Return a variable's name with its unit, as axes and tables show it."""
    unit = BY_NAME[name].unit if name in BY_NAME else ""
    return f"{name} [{unit.replace('1e20 cm**-2', '10²⁰ cm⁻²')}]" if unit else name


def _figures(
    evaluation: Evaluation, representations: Representations, spectra: Reconstructions | None
) -> Iterator[tuple[str, "Figure"]]:
    if evaluation.real and (evaluation.real.own_text_percentile or evaluation.real.question_auc):
        figure = _new(real_height(evaluation.real))
        draw_real(figure, evaluation.real)
        yield "real", figure
    if evaluation.spectrum_to_text or evaluation.text_to_spectrum:
        yield "retrieval", _retrieval(evaluation)
    if evaluation.regression:
        yield "estimation", _estimation(evaluation)
    for one in evaluation.dimensions:
        yield f"dimensions_{one.representation}", _dimensions(one)
    for drawn in evaluation.maps:
        yield f"map_{drawn.representation}", _map(drawn, representations)
    if evaluation.outliers and evaluation.outliers.by_class:
        yield "outliers", _outliers(evaluation.outliers)
    for voted in evaluation.classification:
        yield f"confusion_{voted.representation}", _confusion(voted)
    if spectra is not None and len(spectra.names):
        yield "reconstructions", _reconstructions(spectra)


def _new(height: float, width: float = _WIDTH) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=_DPI)


def _svg(figure: "Figure") -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _directions(evaluation: Evaluation) -> list[tuple[str, str, str, Any]]:
    given = (
        ("spectrum → text", BLUE, "o", evaluation.spectrum_to_text),
        ("text → spectrum", VERMILLION, "s", evaluation.text_to_spectrum),
    )
    return [one for one in given if one[3] is not None]


def _retrieval(evaluation: Evaluation) -> "Figure":
    figure = _new(3.4)
    curve, deciles = figure.subplots(1, 2, width_ratios=(3, 2))
    for label, colour, marker, result in _directions(evaluation):
        overall = result.overall
        percent = np.geomspace(max(0.1, 100 / overall.candidates), 100, 120)
        recall = [100 * overall.recall_at(p) for p in percent]
        curve.plot(percent, recall, color=colour, label=label, lw=1.8)
        parts = [
            (math.sqrt(max(low, 1) * max(high, 1)), 100 * part.recall_at(5))
            for low, high, part in result.by_counts
        ]
        if parts:
            deciles.plot(*zip(*parts, strict=True), color=colour, marker=marker, ms=4, label=label)
    chance = np.geomspace(0.1, 100, 50)
    curve.plot(chance, chance, color=MUTED, ls="--", label="chance")
    deciles.axhline(5, color=MUTED, ls="--")
    curve.set(
        xscale="log",
        xlabel="k, percent of the candidates",
        ylabel="Recall@k% [%]",
        title="The right answer is in the first k%",
        ylim=(0, 101),
    )
    deciles.set(
        xscale="log",
        xlabel="counts of the spectrum, 0.5-8 keV (deciles)",
        ylabel="Recall@5% [%]",
        title="Faint and bright spectra",
    )
    deciles.set_ylim(bottom=0)
    _plain_log(curve, (1, 2, 5))
    _plain_log(deciles, (1, 3))
    curve.legend(loc="upper left")
    return figure


def _estimation(evaluation: Evaluation) -> "Figure":
    """Errors of each variable as fractions of what always guessing the mean makes."""
    rows = sorted(
        (item for item in evaluation.regression.items() if item[1].mean_baseline.value > 0),
        key=lambda item: item[1].refined.value / item[1].mean_baseline.value,
        reverse=True,
    )
    figure = _new(1.2 + 0.27 * len(rows))
    axes = figure.subplots()
    for name, (marker, colour) in _MARKERS.items():
        found = [
            (error.value / result.mean_baseline.value, row)
            for row, (_, result) in enumerate(rows)
            for error in [errors_of(result).get(name)]
            if error is not None
        ]
        if found:
            axes.plot(
                *zip(*found, strict=True), ls="", marker=marker, color=colour, ms=5, alpha=0.85,
                label=LABELS[name], mew=0,
            )  # fmt: skip
    axes.axvline(1, color=MUTED, ls="--", label="always the mean")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(left=0)
    axes.set_xlabel("mean absolute error / that of always guessing the training mean")
    figure.legend(loc="outside upper center", ncols=4, fontsize=8)
    return figure


def _dimensions(result: DimensionCorrelations) -> "Figure":
    """Variables in rows, dimensions in columns; of very wide vectors the telling ones."""
    table = result.correlation
    columns = np.arange(len(table))
    if len(table) > _MOST_DIMENSIONS:
        strongest = np.nan_to_num(np.abs(table)).max(axis=1)
        columns = np.sort(np.argsort(-strongest)[:_MOST_DIMENSIONS])
    figure = _new(1.0 + 0.19 * len(result.variables))
    axes = figure.subplots()
    image = axes.imshow(table[columns].T, aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1)
    axes.grid(visible=False)
    axes.set_yticks(range(len(result.variables)), result.variables, fontsize=8)
    ticks = np.arange(0, len(columns), 8)
    axes.set_xticks(ticks, [str(columns[tick]) for tick in ticks])
    kept = (
        f" ({len(columns)} of {len(table)}, the telling ones)" if len(columns) < len(table) else ""
    )
    axes.set_xlabel(f"dimension, {LABELS[result.representation]}{kept}")
    figure.colorbar(image, ax=axes, label="Pearson correlation", pad=0.01)
    return figure


def _map(result: MapResult, representations: Representations) -> "Figure":
    names = [
        name
        for name in (*MAP_VARIABLES, *VARIABLE_NAMES)
        if name in representations.variables
        and np.isfinite(representations.variables[name][result.rows]).sum() >= 10
    ]
    names = list(dict.fromkeys(names))[: len(MAP_VARIABLES)]
    n_columns = min(3, 1 + len(names))
    n_rows = math.ceil((1 + len(names)) / n_columns)
    figure = _new(3.6 * n_rows)
    figure.set_layout_engine("constrained", h_pad=0.12)
    panels = np.ravel(figure.subplots(n_rows, n_columns, squeeze=False))
    _colour_by_class(panels[0], result, representations)
    for axes, name in zip(panels[1:], names, strict=False):
        _colour_by_variable(axes, result, representations.variables[name][result.rows], name)
    for axes in panels:
        axes.set(xticks=[], yticks=[], aspect="equal")
        axes.set_anchor("N")
        axes.spines[["left", "bottom"]].set_visible(False)
    for axes in panels[1 + len(names) :]:
        axes.set_visible(False)
    return figure


def _colour_by_class(axes: "Axes", result: MapResult, representations: Representations) -> None:
    classes = np.array([(representations.source_class[row] or ("",))[-1] for row in result.rows])
    found, sizes = np.unique(classes[classes != ""], return_counts=True)
    shown = found[np.argsort(-sizes, kind="stable")][: len(COLOURS)]
    other = ~np.isin(classes, shown)
    _scatter(axes, result.position[other], color=MUTED, alpha=0.35)
    for name, colour in zip(shown, COLOURS, strict=False):
        own = classes == name
        _scatter(axes, result.position[own], color=colour, label=f"{name} ({own.sum():,})")
    axes.set_title("source class" if len(shown) else "no source class is known")
    if not len(shown):
        return
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, fontsize=7, markerscale=3,
        handletextpad=0.1, columnspacing=0.8, borderpad=0,
    )  # fmt: skip


def _colour_by_variable(axes: "Axes", result: MapResult, values: FloatArray, name: str) -> None:
    from matplotlib.colors import LogNorm, Normalize

    known = np.isfinite(values)
    low, middle, high = np.percentile(values[known], [2, 50, 98])
    positive = values[known & (values > 0)]
    wide = low >= 0 and middle > 0 and high > 5 * middle
    norm = (
        LogNorm(max(np.percentile(positive, 2), high / 1e4), high)
        if wide
        else Normalize(low, high if high > low else low + 1)
    )
    _scatter(axes, result.position[~known], color=MUTED, alpha=0.3)
    shown = np.clip(values[known], norm.vmin, norm.vmax)
    points = _scatter(axes, result.position[known], c=shown, cmap="viridis", norm=norm)
    axes.set_title(name)
    axes.figure.colorbar(
        points, ax=axes, location="bottom", label=label_of(name), pad=0.02, shrink=0.8, aspect=30
    )


def _scatter(axes: "Axes", position: FloatArray, **style: Any) -> Any:  # noqa: ANN401
    return axes.scatter(position[:, 0], position[:, 1], s=4, lw=0, rasterized=True, **style)


def _outliers(result: OutlierResult) -> "Figure":
    classes = sorted(result.by_class.items(), key=lambda item: item[1][2])
    figure = _new(max(3.2, 0.9 + 0.2 * len(classes)))
    spread, sizes = figure.subplots(1, 2, width_ratios=(1, 1))
    rows = np.arange(len(classes))
    n, first, median, third = np.array([quartiles for _, quartiles in classes], dtype=float).T
    spread.hlines(rows, first, third, color=SKY, lw=4)
    spread.plot(median, rows, ls="", marker="o", color=BLUE, ms=4.5)
    spread.set_yticks(
        rows, [f"{name} ({int(size):,})" for (name, _), size in zip(classes, n, strict=True)]
    )
    spread.tick_params(axis="y", labelsize=8)
    spread.set(xlabel="anomaly score, 1 = most unusual", title="Median and quartiles by class")
    sizes.plot(n, median, ls="", marker="o", color=BLUE, ms=5)
    for (name, _), x, y in zip(classes, n, median, strict=True):
        sizes.annotate(name, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=7.5)
    sizes.set(
        xscale="log",
        xlabel="detections of the class",
        ylabel="median anomaly score",
        title="Class size and median score",
    )
    _plain_log(sizes, (1, 2, 5))
    return figure


MOST_DECADES = 3.5
"""With room for more than one label each."""


def _plain_log(axes: "Axes", digits: tuple[int, ...]) -> None:
    """Label a logarithmic axis at these first digits of each decade, in plain numbers.

    Over many decades there is room for the first digit only, and for every other decade.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    low, high = axes.get_xlim()
    many = np.log10(high / low) > MOST_DECADES
    axes.xaxis.set_major_locator(LogLocator(100) if many else LogLocator(subs=digits))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:,.10g}")


def _confusion(result: ClassificationResult) -> "Figure":
    counts = np.array(result.confusion, dtype=float)
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 1.6 + 0.42 * len(result.classes)
    figure = _new(side, min(_WIDTH, side + 1.2))
    axes = figure.subplots()
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=100)
    axes.grid(visible=False)
    for row, column in np.ndindex(share.shape):
        if counts[row, column]:
            axes.text(
                column, row, f"{share[row, column]:.0f}", ha="center", va="center", fontsize=8,
                color="#ffffff" if share[row, column] < 55 else "#000000",
            )  # fmt: skip
    places = range(len(result.classes))
    axes.set_xticks(places, result.classes, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, result.classes)
    axes.set(xlabel="class voted for", ylabel="class in the catalogue")
    figure.colorbar(image, ax=axes, label="percent of the class", shrink=0.8)
    return figure


def _reconstructions(spectra: Reconstructions) -> "Figure":
    n_rows = math.ceil(len(spectra.names) / 2)
    figure = _new(0.4 + 1.75 * n_rows)
    panels = np.ravel(figure.subplots(n_rows, 2, sharex=True, sharey=True, squeeze=False))
    middle = (BIN_EDGES_KEV[:-1] + BIN_EDGES_KEV[1:]) / 2
    observed = min_max(spectra.counts)
    for axes, name, counts, shape, model in zip(
        panels, spectra.names, spectra.counts, observed, spectra.shapes, strict=False
    ):
        axes.stairs(shape, BIN_EDGES_KEV, color=MUTED, lw=0.7, label="spectrum")
        axes.plot(middle, model, color=VERMILLION, lw=1.4, label="reconstruction")
        axes.set_title(f"{name}, {counts.sum():,.0f} counts", fontsize=8.5)
    for axes in panels[len(spectra.names) :]:
        axes.set_visible(False)
    panels[0].legend(loc="upper right", fontsize=8)
    figure.supxlabel("energy [keV]", fontsize=9)
    figure.supylabel("scaled count rate", fontsize=9)
    return figure
