"""The calibration document: what makes an average over neighbours an estimate with error bars.

``calibration.json`` lies in a model bundle, and in the data folder of a store that was calibrated
on its own detections; the latter counts there. ``encoders.evaluation.calibrate`` makes it,
``search`` uses it.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from common.errors import BundleError, UnavailableError
from common.variables import VARIABLE_NAMES

CALIBRATION = "calibration.json"
Level = Literal["68", "90"]
"""Nominal coverage of intervals, percent."""

LEVELS: tuple[Level, ...] = ("68", "90")
Representation = Literal["spectrum", "text", "shared_spectrum", "shared_text", "both"]
Average = Literal["mean", "median", "distance-weighted mean"]
OUTSIDE = 0.01
"""A spectrum is outside when fewer calibration detections lie as far from their neighbours."""

Share = Annotated[float, Field(ge=0, le=1)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Origin(_Record):
    """Detections whose values a rule was calibrated on."""

    made_from: str = Field(min_length=1)
    """In words, for instance ``validation split of simbench``."""
    simulated: bool
    """Whether their values are simulated; what was found on such ones need not hold on the sky."""
    drawn: bool = False
    """Whether their spectra are simulated from real values, such as published fits."""
    n_detections: int = Field(ge=1)
    n_sources: int = Field(ge=1)

    def in_words(self) -> str:
        """Return what they are, and how many."""
        kind = "simulated" if self.simulated else "observed"
        drawn = " (values observed, spectra drawn from them)" if self.drawn else ""
        return (
            f"{self.made_from}: {self.n_detections:,} {kind} detections of "
            f"{self.n_sources:,} sources{drawn}"
        )


class _Rule(_Record):
    made_from: str
    """One of the origins of the document."""
    simulated: bool
    """Whether the values of that origin are."""
    n: int = Field(ge=1)
    """Detections calibrated on."""


class VariableRule(_Rule):
    """How one variable is estimated, and how far off such estimates are.

    Values on the sky are calibrated with neighbours of two kinds, observed and simulated: a store
    may hold either.
    """

    representations: tuple[Representation, ...] = Field(min_length=1)
    k: int = Field(ge=1, le=1000)
    average: Average
    expert: Representation
    """The paper's mixture of experts would take this representation, k = 3, mean."""
    smallest_spread: float = Field(ge=0)
    interval: dict[Level, tuple[float, float]]
    """Quantiles of (value - estimate) / spread that bound the interval of each level: with
    neighbours of two kinds the lowest and the highest of either, where nothing but simulated
    values was there to calibrate on widened as `Calibration.widened` says."""
    coverage: dict[Level, Share]
    """Of intervals for one half of the sources, calibrated on the other; with neighbours of that
    kind with which it is less. Of widened intervals, before that."""
    width: dict[Level, float]
    """Mean width of those intervals, with neighbours of that kind with which it is larger; of
    widened intervals, after that."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for name in ("interval", "coverage", "width"):
            if set(getattr(self, name)) != set(LEVELS):
                raise ValueError(f"{name} must be given for levels {' and '.join(LEVELS)}")
        if any(low > high for low, high in self.interval.values()):
            raise ValueError("an interval ends before it begins")
        return self


class ClassRule(_Rule):
    """How shares of a vote among neighbours become probabilities: a monotone map by its knots."""

    representation: Representation
    k: int = Field(ge=1, le=1000)
    share: tuple[Share, ...] = Field(min_length=1)
    probability: tuple[Share, ...] = Field(min_length=1)
    error_before: Share
    """Expected calibration error of bare shares, for held-out halves of the sources."""
    error_after: Share

    @model_validator(mode="after")
    def _is_monotone(self) -> Self:
        if len(self.share) != len(self.probability):
            raise ValueError("share and probability must have the same length")
        if any(b < a for knots in (self.share, self.probability) for a, b in pairwise(knots)):
            raise ValueError("share and probability must not decrease")
        return self


class RuleSet(_Record):
    """Rules for subjects that have certain representations."""

    variables: dict[str, VariableRule]
    classes: ClassRule | None
    near: tuple[Annotated[float, Field(ge=0)], ...] = Field(min_length=2)
    """Quantiles, evenly spaced from 0 to 1, of the distance to the `near_k`-th neighbour in
    representation ``spectrum`` over its scale; with several kinds of detections the largest of
    each."""
    near_k: int = Field(ge=1, le=1000)
    near_counts: tuple[Annotated[float, Field(ge=0)], ...] = ()
    """Where bins of the neighbours' median counts begin; none: the scale is 1."""
    near_scale: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Scale of each bin: faint spectra scatter more, or less, than bright ones."""

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if unknown := set(self.variables) - set(VARIABLE_NAMES):
            raise ValueError(f"unknown variables {', '.join(sorted(unknown))}")
        if any(b < a for a, b in pairwise(self.near)):
            raise ValueError("near must not decrease")
        if len(self.near_counts) != len(self.near_scale):
            raise ValueError("near_counts and near_scale must have the same length")
        if any(b <= a for a, b in pairwise(self.near_counts)):
            raise ValueError("near_counts must increase")
        return self

    def scale_at(self, counts: float | None) -> float:
        """Return the scale of distances to neighbours of these median counts; None: not known."""
        if not self.near_scale:
            return 1.0
        if counts is None:
            return max(self.near_scale)
        return self.near_scale[max(bisect_right(self.near_counts, counts) - 1, 0)]


class Calibration(_Record):
    """What estimates and classes are calibrated by."""

    format_version: Literal[2] = 2
    model_id: str = Field(min_length=1)
    origins: tuple[Origin, ...] = Field(min_length=1)
    """What rules were made from; the first is what it was asked to be calibrated on."""
    widened: dict[Level, Annotated[float, Field(ge=1)]] | None = None
    """Factor by which intervals that rest on simulated values are widened: what variables with
    values of both kinds needed. None where there are not both kinds."""
    with_text: RuleSet | None
    """For detections that have a text beside their spectrum."""
    spectrum_only: RuleSet

    @model_validator(mode="after")
    def _knows_its_origins(self) -> Self:
        known = {one.made_from: one.simulated for one in self.origins}
        if len(known) < len(self.origins):
            raise ValueError("two origins have one name")
        for rule in self._rules():
            if known.get(rule.made_from) is not rule.simulated:
                raise ValueError(
                    f"a rule is made from {rule.made_from!r}, simulated: {rule.simulated}, which "
                    "is none of the origins"
                )
        if self.widened is not None and set(self.widened) != set(LEVELS):
            raise ValueError(f"widened must be given for levels {' and '.join(LEVELS)}")
        return self

    def _rules(self) -> Iterator[VariableRule | ClassRule]:
        for rules in (self.with_text, self.spectrum_only):
            if rules is not None:
                yield from rules.variables.values()
                if rules.classes is not None:
                    yield rules.classes

    def to_json(self) -> str:
        """Return the document."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: str = CALIBRATION) -> Self:
        """Return the calibration of a document.

        Raises
        ------
        BundleError
            If it is not one; the message names the field.
        """
        try:
            return cls.model_validate_json(_in_format_2(text))
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the document"
            raise BundleError(
                f"{origin} is no calibration: {where}: {first['msg']}: write it anew with "
                "`chandra-search calibrate`, or delete it to do without intervals"
            ) from exc

    def in_words(self) -> str:
        """Return what was calibrated on."""
        return "; otherwise ".join(one.in_words() for one in self.origins)

    def origin_of(self, rule: VariableRule | ClassRule) -> str:
        """Return in words what a rule of this document was calibrated on."""
        return next(one for one in self.origins if one.made_from == rule.made_from).in_words()


def _in_format_2(text: str) -> str:
    """Return a document of format 1, made from one dataset, as one of format 2; others as given."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(document, dict) or document.get("format_version") != 1:
        return text
    of_all = ("made_from", "simulated", "n_detections", "n_sources")
    origin = {name: document.pop(name, None) for name in of_all}
    for title in ("with_text", "spectrum_only"):
        for rule in _rules_of(document.get(title)):
            rule |= {name: origin[name] for name in ("made_from", "simulated")}
    return json.dumps(document | {"format_version": 2, "origins": [origin]})


def _rules_of(rules: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return the rules of a set as it was read, whatever that is."""
    if not isinstance(rules, dict):
        return []
    variables = rules.get("variables")
    found = [*variables.values()] if isinstance(variables, dict) else []
    return [rule for rule in (*found, rules.get("classes")) if isinstance(rule, dict)]


def read_calibration(path: Path, model_id: str) -> Calibration:
    """Read a calibration document.

    Raises
    ------
    BundleError
        If it cannot be read, is damaged, or belongs to another model.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise BundleError(
            f"{path} cannot be read ({exc}): write it anew with `chandra-search calibrate`"
        ) from exc
    found = Calibration.from_json(text, str(path))
    if found.model_id != model_id:
        raise BundleError(
            f"{path} belongs to model {found.model_id}, the bundle in use is {model_id}: run "
            "`chandra-search calibrate` for this one, or use that bundle"
        )
    return found


def write_calibration(calibration: Calibration, folder: Path) -> Path:
    """Write the document into a folder, completely or not at all, and return its path.

    Raises
    ------
    UnavailableError
        If it cannot be written.
    """
    path = folder / CALIBRATION
    draft = path.with_suffix(".json.new")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft.write_text(calibration.to_json(), encoding="utf-8")
        draft.replace(path)
    except OSError as exc:
        raise UnavailableError(
            f"{path} cannot be written ({exc.strerror}): make room or give another folder"
        ) from exc
    return path
