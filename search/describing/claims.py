"""Whether a statement says only what its references say: labels, length, addresses, numbers.

What a language model writes is believed no further than this. A number counts as founded when one
of the cited references holds it, rounded to the digits written, of the same sign and unit.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from search.results import Reference, Statement

MAX_CHARACTERS: Final = 400

_WORDS: Final = {
    word: float(value)
    for value, words in {
        0: "zero",
        0.25: "quarter quarters",
        0.5: "half halves",
        1 / 3: "third thirds",
        2: "two twice double doubled pair couple",
        3: "three triple thrice",
        4: "four quadruple",
        5: "five",
        6: "six",
        7: "seven",
        8: "eight",
        9: "nine",
        10: "ten tenfold",
        11: "eleven",
        12: "twelve dozen dozens",
        13: "thirteen",
        14: "fourteen",
        15: "fifteen",
        16: "sixteen",
        17: "seventeen",
        18: "eighteen",
        19: "nineteen",
        20: "twenty",
        30: "thirty",
        40: "forty",
        50: "fifty",
        60: "sixty",
        70: "seventy",
        80: "eighty",
        90: "ninety",
        100: "hundred hundreds",
        1e3: "thousand thousands",
        1e6: "million millions",
        1e9: "billion billions",
        1e12: "trillion trillions",
    }.items()
    for word in words.split()
}
"""Numbers as words; "one" is left out, it is mostly a pronoun."""

_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")
_DASHES = re.compile("[\u2010-\u2015\u2212]")
_PER_CM2 = re.compile(r"cm\s*(?:\^|\*\*)?\s*-\s*2|/\s*cm\s*(?:\^|\*\*)?\s*2")
_POWER = re.compile(r"(\d)\s*(?:x|\u00d7|\*|\u00b7|times)\s*10\s*(?:\^|\*\*)\s*([-+]?\d+)")
_BARE_POWER = re.compile(r"(?<![\d.])10\s*(?:\^|\*\*)\s*([-+]?\d+)")
_NUMBER = re.compile(
    r"(?P<number>(?:(?<![\w.)\]])-\s?)?(?:\d+(?:,\d{3}(?!\d))*(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?)"
    r"\s*(?P<unit>%|per\s?cent|kev|mev|gev|ev|percmsq|ks|s\b|seconds?|arcmin|arcsec|counts?\b"
    r"|minutes?|hours?|days?|weeks?|months?|years?|yr\b|erg|[kmg]?pc\b|km\b|au\b|k\b|kelvin|sigma"
    r"|deg(?:rees?)?\b|m?hz\b|jy\b|msun|solar)?",
)
_UNITS: Final = {"percent": "%", "per cent": "%", "second": "s", "seconds": "s", "count": "counts"}
_ADDRESS = re.compile(
    r"://|\bwww\.|\]\s*\(|@\w+\.|<[a-z/]|\b[\w-]+\.(?:com|org|net|io|edu|gov)\b", re.I
)
_LABEL = re.compile(r"\[\d*\]")


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written: its value, what its last digit counts, and the unit behind it."""

    value: float
    step: float
    unit: str

    def stands_for(self, other: "Number") -> bool:
        """Return whether this is the other number, rounded to the digits written here."""
        if self.unit and self.unit != other.unit:
            return False
        if (self.value < 0) != (other.value < 0) or (self.value == 0) != (other.value == 0):
            return False
        slack = 1e-9 * abs(other.value)
        return abs(self.value - other.value) <= self.step / 2 + slack


def numbers_in(text: str) -> list[Number]:
    """Return the numbers in a text, in digits or in words, powers of ten included."""
    text = _plain(text)
    found = []
    for match in _NUMBER.finditer(text):
        digits = re.sub(r"[,\s]", "", match["number"])
        mantissa, _, exponent = digits.partition("e")
        decimals = len(mantissa.partition(".")[2])
        power = int(exponent or 0)
        # What no float can hold is no number that any evidence holds.
        value = float(digits) if abs(power) < 300 else float("inf")
        step = 10.0 ** (power - decimals) if abs(power) < 300 else 0.0
        unit = match["unit"] or ""
        found.append(Number(value, step, _UNITS.get(unit, unit)))
    words = (
        Number(_WORDS[word], 0.0, "")
        for found_word in re.findall(r"[a-z]+", text)
        if (word := found_word.removesuffix("fold")) in _WORDS
    )
    return [*found, *words]


def objection(statement: Statement, references: Mapping[str, Reference]) -> str | None:
    """Return what is wrong with a statement, None if it may stand.

    Parameters
    ----------
    statement : Statement
        A sentence and the labels it cites.
    references : mapping of str to Reference
        All references, by label.
    """
    text = statement.text
    if not text.strip() or len(text) > MAX_CHARACTERS:
        return f"it has {len(text):,} characters, 1 to {MAX_CHARACTERS} are allowed"
    if any(unicodedata.category(character) in ("Cc", "Cf", "Co", "Cn", "Cs") for character in text):
        return "it holds characters that cannot be seen"
    if _ADDRESS.search(text):
        return "it holds an address or markup"
    if _LABEL.search(text):
        return "it holds labels in its text"
    if not statement.references:
        return "it cites nothing"
    if unknown := [label for label in statement.references if label not in references]:
        return f"it cites {unknown[0][:20]!r}, which is no reference"
    return unfounded(text, [references[label].text for label in statement.references])


def unfounded(text: str, evidence: Sequence[str]) -> str | None:
    """Return what is said of the first number that is not in the evidence, None if all are."""
    if odd := [
        c for c in _plain(text) if not c.isascii() and unicodedata.numeric(c, None) is not None
    ]:
        return f"it writes a number as {odd[0]!r}"
    known = [number for one in evidence for number in numbers_in(one)]
    for number in numbers_in(text):
        if not any(number.stands_for(other) for other in known):
            unit = f" {number.unit}" if number.unit else ""
            return f"{number.value:g}{unit} is in none of its references"
    return None


def _plain(text: str) -> str:
    """Return a text in lower case with one spelling of signs, powers and units."""
    text = _SUPERSCRIPTS.sub(lambda match: "^" + match[0].translate(_SUPERSCRIPT), text)
    text = _DASHES.sub("-", unicodedata.normalize("NFKC", text)).lower()
    text = re.sub(r"[{}$\\]", "", text)
    text = re.sub(r"\b(?:minus|negative)\s+(?=[\d.])", "-", text)
    text = _PER_CM2.sub("percmsq", text)  # so that its exponent is no number
    text = _POWER.sub(r"\1e\2", text)
    return _BARE_POWER.sub(r"1e\1", text)
