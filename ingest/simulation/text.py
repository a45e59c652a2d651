"""Three-section summaries of simulated sources, as literature would describe them.

The numbers are the true parameters with the scatter and rounding of published values; the prose
is drawn from ``phrases*.toml``. What is said, left out or put in words differs from source to
source, so that nothing can be learnt from the form of a sentence alone.
"""

import tomllib
from bisect import bisect
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from common.records import Summary
from ingest.simulation.instrument import BANDS_KEV
from ingest.simulation.kind import HOT_RATIO
from ingest.simulation.models import ENERGY_KEV, IRON_LINE_KEV
from ingest.simulation.population import KINDS, Population

FloatArray = npt.NDArray[np.float64]
T = TypeVar("T")

# Words for a number: upper limits and what applies below each; the last one applies above.
_SLOPE = ((1.3, 1.6, 2.05, 2.5), ("flat", "hard", "canonical", "steep", "very_steep"))
_PLASMA = ((0.8, 2.2, 6.0), ("cool", "warm", "hot", "very_hot"))
_LINES = ((0.8, 2.2, 12.0), ("lines_cool", "lines_warm", "lines_hot", "lines_hot"))
_DISC = ((0.5,), ("cool", "hot"))
_BODY = ((0.14, 0.5), ("supersoft", "soft", "hot"))
_ABSORPTION = (
    (20.7, 21.5, 22.1, 23.0, 24.0),
    ("none", "mild", "moderate", "heavy", "very_heavy", "thick"),
)
_IRON = ((0.06, 0.3), ("weak", "clear", "strong"))
_HARDNESS = ((-0.8, -0.35, 0.25, 0.75), ("very_soft", "soft", "medium", "hard", "very_hard"))
_VARIABILITY = ((0.12, 0.35), ("constant", "mild", "strong"))
_BRIGHT = ((30, 33, 37, 42, 44), ("very faint", "faint", "moderately luminous", "luminous",
           "very luminous", "extremely luminous"))  # fmt: skip
_ERA = ((0.05, 0.3, 1.0), (("local", "nearby"), ("local", "at low redshift"),
        ("intermediate-redshift", "at intermediate redshift"),
        ("distant", "at high redshift")))  # fmt: skip


def describe(
    rng: np.random.Generator, population: Population, spectra: FloatArray
) -> list[Summary]:
    """Write the summary of each source.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    population : Population
        n sources.
    spectra : ndarray of float64, shape (n, n_energy)
        What arrives from them, for their colours.

    Returns
    -------
    list of Summary
        Of length n, with method ``simulated``.
    """
    flux = {
        band: spectra[:, (low < ENERGY_KEV) & (high > ENERGY_KEV)].sum(axis=1)
        for band, (low, high) in BANDS_KEV.items()
    }
    colour = (flux["h"] - flux["s"]) / (flux["h"] + flux["s"])
    columns = population.parameters() | {"colour": colour}
    return [
        _Writer(rng, int(kind), {name: float(column[row]) for name, column in columns.items()})
        .summary()
        for row, kind in enumerate(population.kind)
    ]  # fmt: skip


@cache
def _phrases() -> Mapping[str, Any]:
    here = files("ingest.simulation")
    phrases: dict[str, Any] = {}
    for name in ("phrases", "phrases_classes", "phrases_kinds"):
        text = here.joinpath(f"{name}.toml").read_text(encoding="utf-8")
        phrases |= tomllib.loads(text)
    return phrases


def _word(value: float, scale: tuple[Sequence[float], Sequence[T]]) -> T:
    limits, words = scale
    return words[bisect(limits, value)]


def _two_digits(value: float) -> str:
    return f"{float(f'{value:.2g}'):g}"


class _Writer:
    """Writes about one source."""

    def __init__(self, rng: np.random.Generator, kind: int, truth: Mapping[str, float]) -> None:
        entry = KINDS[kind]
        self._rng = rng
        self._kind: Mapping[str, Sequence[str]] = _phrases()["kind"][entry.name]
        self._class: Mapping[str, Sequence[str]] = _phrases()["class"][entry.source_class]
        self._true = truth
        self._luminosity = truth["log_luminosity"] + rng.normal(0.0, 0.15)

    def summary(self) -> Summary:
        """Return the three sections."""
        return Summary(
            nature=self._join(self._nature(), keep_first=True),
            xray=self._join(self._xray(), keep_first=self._chance(0.7)),
            interpretation=self._join(self._interpretation(), keep_first=False),
            method="simulated",
        )

    def _nature(self) -> list[str]:
        name = self._pick((self._kind if self._chance(0.75) else self._class)["names"])
        opening = self._pick(_phrases()["openings"])
        sentences = [opening.format(name=name, Name=name[0].upper() + name[1:])]
        if self._chance(0.6):
            sentences.append(self._pick(self._kind["settings"]))
        if self._chance(0.8):
            sentences.append(self._distance())
        if self._chance(0.08):
            sentences.append(self._pick(_phrases()["doubts"]))
        return sentences

    def _distance(self) -> str:
        redshift, parsec = self._true["redshift"], self._true["distance"]
        if redshift > 0:
            era, era_words = _word(redshift, _ERA)
            z = f"{redshift:.3f}" if redshift < 0.1 else f"{redshift:.2f}"
            form = "redshift" if self._chance(0.7) else "redshift_words"
            return self._say("distance", form, z=z, era=era, era_words=era_words)
        d = parsec * np.exp(self._rng.normal(0.0, 0.1))
        if d > 3e5:
            return self._say("distance", "galaxy", d=f"{_two_digits(d / 1e6)} Mpc")
        amount = f"{_two_digits(d)} pc" if d < 950 else f"{_two_digits(d / 1e3)} kpc"
        return self._say("distance", "parsec", d=amount)

    def _xray(self) -> list[str]:
        t = self._true
        sentences = self._continuum()
        if self._chance(0.9):
            sentences.append(self._absorption())
        if t["scattered"] > 0 and t["log_nhz"] > 22 and self._chance(0.5):
            sentences.append(self._say("absorption", "scattered"))
        sentences += self._features()
        if self._chance(0.5):
            form = "value" if self._chance(0.25) else _word(t["colour"], _HARDNESS)
            hr = t["colour"] + self._rng.normal(0.0, 0.04)
            sentences.append(self._say("hardness", form, hr=f"{np.clip(hr, -1, 1):.2f}"))
        if self._chance(0.5):
            exponent = int(np.floor(self._luminosity))
            amount = f"{10 ** (self._luminosity - exponent):.1f}"
            luminosity = self._power(amount, exponent)
            bright = _word(self._luminosity, _BRIGHT)
            form = "value" if self._chance(0.7) else "words"
            sentences.append(self._say("luminosity", form, l=luminosity, bright=bright))
        if self._chance(0.7):
            sentences.append(self._say("variability", _word(t["rms"], _VARIABILITY)))
        return sentences

    def _features(self) -> list[str]:
        """Describe lines, edges, cutoff and reflection, or their absence."""
        t, texts = self._true, []
        if t["iron_ew_kev"] > 0.03 and self._chance(0.4 + min(t["iron_ew_kev"], 0.5)):
            ew = _two_digits(1e3 * t["iron_ew_kev"] * np.exp(self._rng.normal(0.0, 0.1)))
            if t["iron_kev"] > IRON_LINE_KEV:
                texts.append(self._say("lines", "iron_hot", ew=ew))
            else:
                texts.append(self._say("iron", _word(t["iron_ew_kev"], _IRON), ew=ew))
        for family, weak in (("oxygen", 0.05), ("silicon", 0.1)):
            width = t[f"{family}_ew_kev"]
            if width > 0.01 and self._chance(0.4 + min(width, 0.5)):
                texts.append(self._say("lines", family if width > weak else "weak"))
        if t["warm_tau"] > 0.2 and self._chance(0.7):
            texts.append(self._say("warm", "present"))
        if t["cutoff_kev"] > 0 and self._chance(0.6):
            texts.append(self._say("cutoff", "value", e=_two_digits(t["cutoff_kev"])))
        if t["reflected"] > 0 and self._chance(0.6):
            texts.append(self._say("reflection", "present"))
        lines = ("plasma", "iron_ew_kev", "oxygen_ew_kev", "silicon_ew_kev", "warm_tau", "disc")
        if all(t[name] == 0 for name in lines) and t["body"] < 0.05 and self._chance(0.3):
            texts.append(self._say("featureless", "none"))
        return texts

    def _continuum(self) -> list[str]:
        """Describe the components, the strongest first."""
        t = self._true
        shares = {name: t[name] for name in ("plasma", "disc", "body")}
        shares["slope"] = 1 - sum(shares.values())
        sentences = []
        if shares["plasma"] > 0.5:
            sentences += self._plasma()
        elif shares["plasma"] > 0.01:
            sentences.append(self._say("plasma", "extra", kt=self._temperature(t["kt"])))
        for name, scale in (("disc", _DISC), ("body", _BODY)):
            kt = t[f"{name}_kt"]
            if shares[name] > 0.2 and not (name == "body" and t["redshift"] > 0):
                form = "value" if self._chance(0.6) else _word(kt, scale)
            elif shares[name] > 0.03:
                form = "weak" if name == "disc" else "excess"
            else:
                continue
            sentences.append(self._say(name, form, kt=self._temperature(kt)))
        gamma = t["gamma"] + self._rng.normal(0.0, 0.06)
        form = "value" if self._chance(0.65) else _word(t["gamma"], _SLOPE)
        error = f"{self._rng.uniform(0.05, 0.25):.1f}"
        if shares["slope"] > 0.5:
            sentences.insert(0, self._say("slope", form, g=f"{gamma:.1f}", e=error))
        elif shares["slope"] > 0.03 and self._chance(0.7):
            sentences.append(self._say("slope", "tail", g=f"{gamma:.1f}"))
        return sentences

    def _plasma(self) -> list[str]:
        t = self._true
        cool, hot = t["kt"], t["kt"] * HOT_RATIO
        mean = cool * HOT_RATIO ** t["hot"]
        if 0.15 < t["hot"] < 0.85 and self._chance(0.5):
            texts = [
                self._say("plasma", "two", kt=self._temperature(cool), hot=self._temperature(hot))
            ]
        else:
            form = "value" if self._chance(0.7) else _word(mean, _PLASMA)
            mk = _two_digits(mean * 11.6)
            texts = [self._say("plasma", form, kt=self._temperature(mean), mk=mk)]
        if self._chance(0.4):
            texts.append(self._say("plasma", _word(mean, _LINES)))
        if self._chance(0.35):
            poor = t["abundance"] < 0.3 and self._chance(0.5)
            metals = t["abundance"] * np.exp(self._rng.normal(0.0, 0.1))
            texts.append(self._say("plasma", "poor" if poor else "abundance", a=f"{metals:.1f}"))
        return texts

    def _absorption(self) -> str:
        t = self._true
        power_law_share = 1 - t["plasma"] - t["disc"] - t["body"]
        log_nh = max(t["log_nh"], t["log_nhz"] if power_law_share > 0.3 else 0.0)
        if self._chance(0.4):
            return self._say("absorption", _word(log_nh, _ABSORPTION))
        log_nh += self._rng.normal(0.0, 0.08)
        exponent = int(np.floor(log_nh))
        nh = self._power(f"{10 ** (log_nh - exponent):.1f}", exponent)
        return self._say("absorption", "value", nh=nh, log=f"{log_nh:.1f}")

    def _interpretation(self) -> list[str]:
        readings = [*self._kind["readings"], *self._class["readings"]]
        number = int(self._rng.integers(2, 4))
        chosen = self._rng.permutation(len(readings))[:number]
        return [readings[index] for index in chosen]

    def _power(self, amount: str, exponent: int) -> str:
        return self._pick(_phrases()["powers"]).format(amount, exponent)

    def _temperature(self, kt_kev: float) -> str:
        kt = kt_kev * np.exp(self._rng.normal(0.0, 0.06))
        return f"{kt:.2f}" if kt < 0.3 else f"{kt:.1f}" if kt < 9.5 else f"{kt:.0f}"

    def _say(self, topic: str, form: str, **values: str) -> str:
        return self._pick(_phrases()[topic][form]).format(**values)

    def _pick(self, options: Sequence[str]) -> str:
        return options[int(self._rng.integers(len(options)))]

    def _chance(self, probability: float) -> bool:
        return bool(self._rng.uniform() < probability)

    def _join(self, sentences: list[str], keep_first: bool) -> str:
        """Shuffle the sentences, all but the first if it must open, and drop in a filler."""
        if self._chance(0.2):
            sentences.append(self._pick(_phrases()["fillers"]))
        head, rest = (sentences[:1], sentences[1:]) if keep_first else ([], sentences)
        return " ".join([*head, *(rest[index] for index in self._rng.permutation(len(rest)))])
