"""What a description may rest on, numbered as references."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import UUID

from common.variables import BY_NAME
from search.collections.schema import TOPIC_PROBABILITY
from search.inference.physics import checks_of
from search.results import (
    Check,
    Classification,
    ClassProbability,
    Estimate,
    Estimates,
    Hit,
    Neighbour,
    Reference,
    Subject,
)

Kind = Literal["measured", "estimate", "class", "neighbour", "paper", "check"]

DESCRIBED: Final = (
    "hard_hs",
    "powlaw_gamma",
    "powlaw_nh",
    "powlaw_stat",
    "apec_kt",
    "apec_stat",
    "var_index_b",
)
"""The variables that words are found for."""

LIKELY: Final = 0.5
"""A class is named down to the level at which something else is likelier."""

N_ALTERNATIVES: Final = 3

_MAX_TITLE: Final = 120
_MAX_SUMMARY: Final = 700
_ADDRESS = re.compile(r"\S*(?:://|www\.)\S*|<[^>]*>|\[\d*\]")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A variable, measured or else estimated, with the label of its reference."""

    value: float
    low: float | None
    high: float | None
    measured: bool
    label: str


@dataclass(slots=True)
class Evidence:
    """References by what they are about; labels are given in the order of gathering."""

    references: list[Reference] = field(default_factory=list)
    quantities: dict[str, Quantity] = field(default_factory=dict)
    stored_class: tuple[tuple[str, ...], str] | None = None
    probabilities: tuple[tuple[ClassProbability, ...], str] | None = None
    calibrated_classes: bool = False
    neighbours: list[tuple[Neighbour, bool, str]] = field(default_factory=list)
    papers: list[tuple[Hit, str]] = field(default_factory=list)
    no_paper: str | None = None
    """The label of what tells that there were papers, and none to cite."""
    failed: list[tuple[Check, str]] = field(default_factory=list)
    counted: str | None = None
    overall: str = ""

    def add(self, kind: Kind, text: str, identifier: str | None = None) -> str:
        """Keep a piece of evidence and return its label."""
        label = f"[{len(self.references) + 1}]"
        self.references.append(Reference(kind, label, text, identifier))
        return label


def gather(
    subject: Subject,
    estimates: Estimates,
    classes: Classification,
    papers: Sequence[Hit],
    n_stored: int,
    stored: Mapping[UUID, Mapping[str, Any]],
    n_neighbours: int,
) -> Evidence:
    """Return all that a description of a subject may rest on.

    ``papers`` are the nearest about X-ray sources, ``n_stored`` is how many there are of any topic
    where that leaves none; ``stored`` holds the payloads of neighbours, by id.
    """
    evidence = Evidence()
    _measured(evidence, subject)
    for name in DESCRIBED:
        if name in estimates.estimates:
            _quantity(evidence, name, estimates.estimates[name], subject)
    evidence.overall = evidence.add("estimate", _overall(estimates))
    _classes(evidence, classes, subject)
    for neighbour in classes.neighbours[:n_neighbours]:
        payload = stored.get(neighbour.id, {})
        simulated = bool(payload.get("simulated"))
        of = f"of class {neighbour.source_class[-1]}" if neighbour.source_class else "unclassified"
        text = (
            f"{clean(neighbour.name)}, {of}{', simulated' if simulated else ''}, at a distance of "
            f"{amount(neighbour.distance)} (the less, the more alike)"
        )
        label = evidence.add("neighbour", text, payload.get("key") or str(neighbour.id))
        evidence.neighbours.append((neighbour, simulated, label))
    for hit in papers:
        evidence.papers.append((hit, _paper(evidence, hit)))
    if n_stored and not papers:
        text = f"none of the {n_stored:,} papers in the store is known to be about X-ray sources"
        evidence.no_paper = evidence.add("paper", text)
    for check in checks_of(subject.payload):
        if check.passed is False:
            label = evidence.add("check", f"{check.name}: {check.detail}", _key(subject))
            evidence.failed.append((check, label))
    return evidence


def amount(value: float) -> str:
    """Return a number with three digits, without an exponent where it can be read."""
    if value == 0:
        return "0"
    if 1000 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if abs(value) < 1e7 else f"{value:.3g}"


def with_unit(name: str, value: float) -> str:
    """Return a value of a variable with its unit as astronomers write it."""
    unit = BY_NAME[name].unit
    if unit.startswith("1e20"):
        return f"{amount(value)} x 10^20 cm^-2"
    return f"{amount(value)} {unit}".rstrip()


def interval(name: str, low: float, high: float) -> str:
    """Return a 68% interval of a variable in words."""
    return f"68% interval {amount(low)} to {with_unit(name, high)}"


def clean(text: str, longest: int = _MAX_TITLE) -> str:
    """Return a stranger's text in one line without addresses, markup and invisible characters."""
    text = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(_ADDRESS.sub(" ", text).split())
    return text if len(text) <= longest else text[: longest - 1].rsplit(" ", 1)[0] + "…"


def title_of(hit: Hit) -> str:
    """Return a paper's title and year."""
    year = hit.payload.get("year")
    title = clean(str(hit.payload.get("title", "untitled")))
    return f'"{title}"' + (f" ({year})" if year else "")


def _measured(evidence: Evidence, subject: Subject) -> None:
    counts, exposure_s = (subject.payload.get(name) for name in ("counts", "exposure_s"))
    if counts is not None:
        text = f"{counts:,.0f} counts in 0.5-8 keV"
        if exposure_s is not None:
            text += f", exposure {amount(exposure_s)} s"
        if subject.payload.get("simulated"):
            text += ", simulated"
        evidence.counted = evidence.add("measured", text, _key(subject))


def _quantity(evidence: Evidence, name: str, estimate: Estimate, subject: Subject) -> None:
    description = BY_NAME[name].description
    if estimate.stored is not None:
        text = f"catalogue value, {description}: {with_unit(name, estimate.stored)}"
        label = evidence.add("measured", text, _key(subject))
        evidence.quantities[name] = Quantity(estimate.stored, None, None, True, label)
    elif estimate.value is not None:
        text = f"estimated from neighbours, {description}: {with_unit(name, estimate.value)}"
        low, high = estimate.low_68, estimate.high_68
        if low is not None and high is not None:
            text += f", {interval(name, low, high)}"
            text += " by simulated values" if estimate.interval_simulated else ""
        label = evidence.add("estimate", text)
        evidence.quantities[name] = Quantity(estimate.value, low, high, False, label)


def _overall(estimates: Estimates) -> str:
    calibrated = (
        f"intervals are calibrated on {clean(estimates.calibrated_on)}"
        if estimates.calibrated_on
        else "intervals are not calibrated"
    )
    side = "outside" if estimates.outside else "inside"
    place = (
        "whether the spectrum lies inside what the store knows cannot be told"
        if estimates.nearness is None and not estimates.outside
        else f"the spectrum lies {side} what the store knows"
    )
    return f"{place}; {calibrated}"


def _classes(evidence: Evidence, classes: Classification, subject: Subject) -> None:
    if classes.stored:
        text = f"class in the catalogue: {' > '.join(classes.stored)}"
        evidence.stored_class = classes.stored, evidence.add("measured", text, _key(subject))
    likely = _likely(classes)
    if likely:
        said = ", ".join(f"{one.path[-1]} {percent(one.probability)}" for one in likely)
        how = (
            f"calibrated on {clean(classes.calibrated_on)}"
            if classes.calibrated_on
            else "bare shares of the vote, not calibrated"
        )
        label = evidence.add("class", f"vote of neighbours on the class: {said}; {how}")
        evidence.probabilities = tuple(likely), label
        evidence.calibrated_classes = classes.calibrated_on is not None


def _likely(classes: Classification) -> list[ClassProbability]:
    """Return the most probable class of each level, of one line of descent and while it is likely.

    Of levels that are equally probable only the most special is kept. Where no class of the first
    level is likely, the most probable of them are returned.
    """
    if classes.levels and classes.levels[0] and classes.levels[0][0].probability < LIKELY:
        return [*classes.levels[0][:N_ALTERNATIVES]]
    line: list[ClassProbability] = []
    for level in classes.levels:
        if not level or (line and level[0].path[: len(line[-1].path)] != line[-1].path):
            break
        if line and level[0].probability < LIKELY:
            break
        if line and percent(level[0].probability) == percent(line[-1].probability):
            line.pop()
        line.append(level[0])
    return line


def percent(probability: float) -> str:
    """Return a probability in percent."""
    return f"{100 * probability:.0f}%"


def _paper(evidence: Evidence, hit: Hit) -> str:
    summary = hit.payload.get("summary", {})
    said = clean(" ".join(summary.get(name, "") for name in ("nature", "xray")), _MAX_SUMMARY)
    simulated = ", made up for a benchmark" if hit.payload.get("simulated") else ""
    topic = percent(hit.payload[TOPIC_PROBABILITY])
    text = (
        f"{title_of(hit)}{simulated}, {_cosine(hit)}, about X-ray sources with a probability of "
        f"{topic}" + (f": {said}" if said else "")
    )
    return evidence.add("paper", text, hit.payload.get("bibcode"))


def _cosine(hit: Hit) -> str:
    return "cosine not known" if hit.cosine is None else f"cosine {hit.cosine:.2f}"


def _key(subject: Subject) -> str | None:
    return subject.payload.get("key")
