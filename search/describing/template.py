"""The words of a description without a language model: a sentence for each topic."""

from typing import Final, Literal

from search.describing.evidence import (
    LIKELY,
    Evidence,
    Quantity,
    clean,
    interval,
    percent,
    title_of,
    with_unit,
)
from search.describing.writing import Topic
from search.results import Statement

Section = Topic | Literal["exposure", "checks", "certainty"]

OBSCURED_NH: Final = 100.0
"""10^22 cm^-2, the usual border of obscured sources (Hickox & Alexander 2018, ARA&A 56, 625)."""

VARIABLE_INDEX: Final = 6.0
NOT_VARIABLE_INDEX: Final = 2.0
"""From 6 a source is variable, up to 2 it is not considered so (Gregory-Loredo variability index,
Chandra Source Catalog: how properties are derived, source variability)."""

MIN_STAT_GAIN: Final = 0.1
"""Least gain of the reduced statistic at which one catalogue fit is called better. Our choice."""

_MAX_NAME: Final = 60


def template(evidence: Evidence, outside: bool, calibrated: bool) -> dict[Section, Statement]:
    """Return a statement for each section that there is evidence for, in the order of reading."""
    made = {
        "exposure": _exposure(evidence),
        "identity": _identity(evidence),
        "spectrum": _spectrum(evidence),
        "variability": _variability(evidence),
        "likeness": _likeness(evidence),
        "literature": _literature(evidence),
        "checks": _checks(evidence),
        "certainty": _certainty(evidence, outside, calibrated),
    }
    if outside:  # a reader should know before anything is named
        made = {"certainty": made.pop("certainty"), **made}
    sections: dict[Section, Statement] = {
        section: statement  # type: ignore[misc]
        for section, statement in made.items()
        if statement is not None
    }
    return sections


def _exposure(evidence: Evidence) -> Statement | None:
    if evidence.counted is None:
        return None
    text = next(one.text for one in evidence.references if one.label == evidence.counted)
    kind = "simulated spectrum" if text.endswith(", simulated") else "spectrum"
    return Statement(f"The {kind} has {text.removesuffix(', simulated')}.", (evidence.counted,))


def _identity(evidence: Evidence) -> Statement | None:
    said, labels = [], []
    if evidence.stored_class:
        path, label = evidence.stored_class
        said.append(f"The catalogue has the source as {path[-1]}.")
        labels.append(label)
    if evidence.probabilities:
        likely, label = evidence.probabilities
        each = [f"{one.path[-1]} ({percent(one.probability)})" for one in likely]
        unsure = likely[0].probability < LIKELY
        named = f"perhaps {' or '.join(each)}" if unsure else f"most likely {', '.join(each)}"
        how = "" if evidence.calibrated_classes else ", shares of a vote that is not calibrated"
        said.append(f"By its neighbours it is {named}{how}.")
        labels.append(label)
    return Statement(" ".join(said), tuple(labels)) if said else None


def _spectrum(evidence: Evidence) -> Statement | None:
    said: list[str] = []
    labels: list[str] = []
    known = evidence.quantities
    if hardness := known.get("hard_hs"):
        word = _side(hardness, 0.0, "hard", "soft", "neither clearly hard nor clearly soft")
        word = f"it is {word}, " if word else ""
        said.append(f"{word}hardness ratio (h-s)/(h+s) {_said('hard_hs', hardness)}")
        labels.append(hardness.label)
    thermal = _is_thermal(known, labels)
    if thermal and (kt := known.get("apec_kt")):
        said.append(f"thermal plasma fits better than a power law, kT {_said('apec_kt', kt)}")
        labels.append(kt.label)
    elif gamma := known.get("powlaw_gamma"):
        said.append(f"photon index {_said('powlaw_gamma', gamma)}")
        labels.append(gamma.label)
    if nh := known.get("powlaw_nh"):
        word = _side(nh, OBSCURED_NH, "obscured", "not obscured", "perhaps obscured")
        said.append(f"{word + ', ' if word else ''}column density {_said('powlaw_nh', nh)}")
        labels.append(nh.label)
    if not said:
        return None
    text = "; ".join(said)
    return Statement(f"{text[0].upper()}{text[1:]}.", tuple(labels))


def _is_thermal(known: dict[str, Quantity], labels: list[str]) -> bool:
    """Return whether both fits are known well enough to prefer plasma, and cite them then."""
    apec, powlaw = known.get("apec_stat"), known.get("powlaw_stat")
    if apec is None or powlaw is None:
        return False
    if apec.measured and powlaw.measured:
        better = apec.value < powlaw.value - MIN_STAT_GAIN
    else:
        better = (
            apec.high is not None
            and powlaw.low is not None
            and not (apec.measured or powlaw.measured)
            and apec.high < powlaw.low
        )
    if better:
        labels += [apec.label, powlaw.label]
    return better


def _variability(evidence: Evidence) -> Statement | None:
    index = evidence.quantities.get("var_index_b")
    if index is None:
        return None
    if index.measured:
        word = (
            "It varied within the observation"
            if index.value >= VARIABLE_INDEX
            else "No variability within the observation was found"
            if index.value <= NOT_VARIABLE_INDEX
            else "It may have varied within the observation"
        )
    else:
        word = "Its variability is not measured; neighbours suggest"
        text = f"{word} a variability index of {_said('var_index_b', index)}."
        return Statement(text, (index.label,))
    return Statement(f"{word}, variability index {_said('var_index_b', index)}.", (index.label,))


def _likeness(evidence: Evidence) -> Statement | None:
    if not evidence.neighbours:
        return None
    named, labels = [], []
    for neighbour, simulated, label in evidence.neighbours:
        of = neighbour.source_class[-1] if neighbour.source_class else "unclassified"
        named.append(
            f"{clean(neighbour.name, _MAX_NAME)} ({of}{', simulated' if simulated else ''})"
        )
        labels.append(label)
    return Statement(f"Most like it in the store: {', '.join(named)}.", tuple(labels))


def _literature(evidence: Evidence) -> Statement | None:
    """Name as many papers as fit; their titles belong to strangers and are only quoted."""
    if evidence.no_paper:
        text = "None of the papers in the store is known to be about X-ray sources."
        return Statement(text, (evidence.no_paper,))
    if not evidence.papers:
        return None
    named = [title_of(hit) for hit, _ in evidence.papers[:2]]
    labels = tuple(label for _, label in evidence.papers[:2])
    return Statement(f"Nearest papers on X-ray sources: {', '.join(named)}.", labels)


def _checks(evidence: Evidence) -> Statement | None:
    if not evidence.failed:
        return None
    named = "; ".join(f"{check.name} ({check.detail})" for check, _ in evidence.failed[:3])
    labels = tuple(label for _, label in evidence.failed[:3])
    return Statement(f"It may be distorted by the instrument: {named}.", labels)


def _certainty(evidence: Evidence, outside: bool, calibrated: bool) -> Statement:
    labels = [evidence.overall]
    said = (
        "It lies outside what the store knows, so no interval can be trusted"
        if outside
        else "It lies within what the store knows"
        if calibrated
        else "Whether it lies within what the store knows cannot be told"
    )
    said += "." if calibrated else "; intervals are not calibrated."
    simulated = [label for _, simulated, label in evidence.neighbours if simulated]
    simulated += [label for hit, label in evidence.papers if hit.payload.get("simulated")]
    if simulated:
        said += " Simulated data are part of the evidence."
        labels += simulated
    return Statement(said, tuple(labels))


def _said(name: str, quantity: Quantity) -> str:
    text = with_unit(name, quantity.value)
    if quantity.measured:
        return f"{text} (catalogue)"
    if quantity.low is None or quantity.high is None:
        return f"{text} (estimate)"
    return f"{text} (estimate, {interval(name, quantity.low, quantity.high)})"


def _side(quantity: Quantity, border: float, above: str, below: str, between: str) -> str:
    """Return on which side of a border a quantity lies; nothing of an estimate without interval."""
    if not quantity.measured and quantity.low is None:
        return ""
    low = quantity.value if quantity.low is None else quantity.low
    high = quantity.value if quantity.high is None else quantity.high
    return above if low > border else below if high < border else between
