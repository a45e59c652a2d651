"""What narrows a question down, and how answers are cut and ordered."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal, TypedDict

Ends = tuple[float | None, float | None]


class Filters(TypedDict, total=False):
    """Restrictions of a search, all of which must hold; the last seven are for papers."""

    classes: Sequence[str]
    """SIMBAD object types, any of them, descendants included."""

    exclude_classes: Sequence[str]
    """No source of these types."""

    where: str
    """Condition, for instance ``hard_hs > 0.3 and flux_significance_b >= 5``."""

    has: Sequence[str]
    """Fields that must have a value."""

    lacks: Sequence[str]
    """Fields that must have none."""

    obsid: Sequence[int]
    """Observations, any of them."""

    instrument: Sequence[str]
    """Instruments, any of them."""

    observed_from: date | str
    """First day of observation, UTC."""

    observed_to: date | str
    """Last day of observation, UTC."""

    ranges: Mapping[str, Ends]
    """Lower and upper end by field, both included; None leaves an end open."""

    cone: str
    """Circle on the sky, ICRS degrees: ``10.68 41.27 5arcmin``."""

    source_name: Sequence[str]
    """Names of sources, any of them; of detections."""

    source: Sequence[str]
    """Names of sources, any of them; of papers."""

    year_from: int
    """First year of publication."""

    year_to: int
    """Last year of publication."""

    author: Sequence[str]
    """Authors, any of them."""

    bibcode: Sequence[str]
    """Papers, any of them."""

    min_topic: float
    """Lowest probability of being about X-ray sources; papers without one pass."""

    any_topic: bool
    """Papers about anything: those compared with a spectrum, and those of a region, are otherwise
    about X-ray sources."""


class Options(Filters, total=False):
    """What may be said about every search; not everything goes with every question."""

    limit: int
    """Answers of one page at most, up to 1,000."""

    cursor: str
    """Where the page begins: ``meta["cursor"]`` of the page before."""

    by_source: bool
    """Whether only the best detection of each source is shown."""

    diversity: float
    """0 ranks by similarity alone; towards 1, answers differ more from each other."""

    ranking: Literal["hybrid", "dense", "keywords"]
    """How papers are compared with words: by both ways, by meaning, by keywords."""


def as_parameters(options: Filters | Options) -> dict[str, Any]:
    """Return options as the server spells them."""
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    for name in ("classes", "exclude_classes"):
        if name in given:
            given[name.replace("classes", "class")] = given.pop(name)
    for name in ("observed_from", "observed_to"):
        if name in given:
            given[name] = str(given[name])
    if "ranges" in given:
        given["range"] = [_range(field, *ends) for field, ends in given.pop("ranges").items()]
    return given


def _range(field: str, low: float | None, high: float | None) -> str:
    return f"{field}:{'' if low is None else low}:{'' if high is None else high}"
