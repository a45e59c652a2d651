"""Concepts read from text by rules: the wording in ``concept_rules.toml``, and numbers.

A class in the title counts for more than one named once in passing, and what a sentence denies does
not count. Values of column densities, photon indices and temperatures are read in the ways papers
write them, LaTeX included.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from common.concept_values import read_values
from common.concepts import CLASSES, N_CONCEPTS, NAMES
from common.sentences import split_sentences

Float32Array = npt.NDArray[np.float32]

IN_TITLE: Final = {"strong": 0.9, "short": 0.9, "weak": 0.4}
IN_TEXT: Final = {"strong": 0.5, "short": 0.2, "weak": 0.15}
MOST_MENTIONS: Final = {"strong": 3, "short": 2, "weak": 1}
OUTSIDE_TITLE: Final = 0.6
"""What is left of a class of which the title says nothing, where it names another."""

LONGEST_QUESTION: Final = 300
YEAR_DIGITS: Final = 4
DENIED_WORDS: Final = 6
"""How far a "no" or "without" reaches in its sentence."""

_DENIALS = frozenset(
    (
        *("no", "not", "without", "lack", "lacks", "lacking", "absence", "absent", "nor"),
        *("neither", "never", "little", "hardly", "exclude", "excludes", "excluding", "unlike"),
    )
)
_DENIALS_OF_TWO = {"rather": "than", "instead": "of", "ruled": "out", "rule": "out", "rules": "out"}
_ENDS_OF_DENIAL = frozenset([*".,;:!?", "but", "which", "however", "only"])
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|[.,;:!?]")
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_KEPT_COMMANDS = {
    "times": "\u00d7",
    "cdot": "\u00d7",
    "Gamma": " Gamma ",
    "gamma": " gamma ",
    "alpha": " alpha ",
    "beta": " beta ",
}
_PLAIN = str.maketrans(
    {"\u0393": " Gamma ", "\u03b3": " gamma ", "\u03b1": " alpha ", "\u03b2": " beta "}
    | dict.fromkeys("${}~", " ")
)
_POWER = re.compile(r"\^\s+(?=[-\d])")

_ROW: Final = {name: row for row, name in enumerate(NAMES)}
_CLASS_ROWS: Final = np.array([_ROW[concept.name] for concept in CLASSES])


@dataclass(slots=True)
class _Node:
    """Phrases that begin alike; ``hints`` hold concept and strength of the one that ends here."""

    then: dict[str, "_Node"] = field(default_factory=dict)
    hints: tuple[tuple[int, str], ...] | None = None


@dataclass(frozen=True, slots=True)
class _Rules:
    """What the table of wording says."""

    root: _Node
    words: frozenset[str]
    implies: tuple[tuple[int, int], ...]  # in an order in which one pass is enough
    labels: Mapping[str, tuple[int, ...]]


def read_concepts(text: str | Sequence[str]) -> Float32Array:
    """Read concepts from a text.

    Parameters
    ----------
    text : str or sequence of str
        A question, or the sections of a summary, whose first sentence is the title. Sections that
        repeat each other count once.

    Returns
    -------
    ndarray of float32, shape (N_CONCEPTS,)
        How clearly the text tells each of `common.concepts.CONCEPTS`, from 0 to 1.
    """
    sections = [text] if isinstance(text, str) else list(dict.fromkeys(text))
    sentences = list(dict.fromkeys(s for section in sections for s in split_sentences(section)))
    question = len(sections) == 1 and len(sections[0]) <= LONGEST_QUESTION
    missing = np.ones(N_CONCEPTS)
    in_title = np.zeros(N_CONCEPTS, dtype=bool)
    mentions: dict[tuple[int, str], int] = {}
    for number, sentence in enumerate(sentences):
        title = question or number == 0
        plain = plain_text(sentence)
        for row, strength in _hints(plain):
            mentioned = mentions.get((row, strength), 0)
            if title or mentioned < MOST_MENTIONS[strength]:
                missing[row] *= 1 - (IN_TITLE if title else IN_TEXT)[strength]
                mentions[row, strength] = mentioned + 1
            in_title[row] |= title and strength != "weak"
        for name, certainty in read_values(plain):
            missing[_ROW[name]] *= 1 - certainty
    return _conclude(1 - missing, in_title)


def label_concepts(labels: Sequence[str]) -> tuple[Float32Array, bool]:
    """Return the concepts that labels of a corpus make true, (N_CONCEPTS,), and if any is known."""
    rules = _rules()
    true = np.zeros(N_CONCEPTS, dtype=np.float32)
    known = [rules.labels[label] for label in labels if label in rules.labels]
    for rows in known:
        true[list(rows)] = 1.0
    return imply(true), bool(known)


def imply(told: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Raise what is implied: a Seyfert 2 is an active nucleus, (N_CONCEPTS,), in place."""
    for row, implied in _rules().implies:
        told[implied] = max(told[implied], told[row])
    return told


def plain_text(text: str) -> str:
    """Return a text without LaTeX's commands and braces, Greek letters spelt out."""
    if "\\" in text:
        text = _COMMAND.sub(lambda match: _KEPT_COMMANDS.get(match[1], " "), text)
    if not text.isascii() or "$" in text or "{" in text or "~" in text:
        text = text.translate(_PLAIN)
    return _POWER.sub("^", text) if "^" in text else text


def _conclude(told: npt.NDArray[np.float64], in_title: npt.NDArray[np.bool_]) -> Float32Array:
    told = imply(told)
    title = imply(in_title.astype(np.float64)) > 0
    if title[_CLASS_ROWS].any():
        # Of several classes the title's is what the text is about.
        elsewhere = _CLASS_ROWS[~title[_CLASS_ROWS]]
        told[elsewhere] *= OUTSIDE_TITLE
    return told.astype(np.float32)


def _hints(sentence: str) -> Iterator[tuple[int, str]]:
    """Yield the concepts that phrases of a sentence tell, with their strength."""
    tokens = _TOKEN.findall(sentence)
    words = [_word(token) for token in tokens]
    root = _rules().root
    place, denied_until = 0, -1
    while place < len(words):
        forms, role = words[place]
        if forms:
            end, hints = _longest(root, words, place)
            if hints is not None:
                if place > denied_until:
                    yield from hints
                place = end
                continue
        if role == "end":
            denied_until = -1
        elif role == "denial" or (role and tokens[place + 1 : place + 2] == [role]):
            denied_until = place + DENIED_WORDS
        place += 1


def _longest(
    node: _Node, words: Sequence[tuple[tuple[str, ...], str]], place: int
) -> tuple[int, tuple[tuple[int, str], ...] | None]:
    """Return where the longest phrase that begins here ends, and what it tells."""
    best = (place, node.hints)
    if place < len(words):
        for form in words[place][0]:
            if (then := node.then.get(form)) is not None:
                found = _longest(then, words, place + 1)
                if found[1] is not None and (best[1] is None or found[0] > best[0]):
                    best = found
    return best


@lru_cache(maxsize=100_000)
def _word(token: str) -> tuple[tuple[str, ...], str]:
    """Return the words of phrases that a word of a text may be, and what it does to a denial.

    That is "denial", "end", the word that makes one of the two, or nothing.
    """
    forms = {_fold(token), "=" + token, "=" + token.removesuffix("s")}
    if token.isdigit() and len(token) == YEAR_DIGITS:
        forms.add("####")
    word = token.lower()
    role = "denial" if word in _DENIALS else "end" if word in _ENDS_OF_DENIAL else ""
    return tuple(sorted(forms & _rules().words)), role or _DENIALS_OF_TWO.get(word, "")


def _fold(word: str) -> str:
    """Return a word in small letters and the singular, near enough to compare."""
    word = word.lower()
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and word[-2] not in "sui":
        return word[:-1]
    return word


def _phrase(phrase: str) -> list[str]:
    """Return the words of a phrase of the table as `_forms` writes them."""
    words = []
    for part in plain_text(phrase).replace("-", " ").replace("/", " ").split():
        if part == "####" or part.startswith("="):
            words.append(part)
        else:
            words += [
                "=" + token if len(token) > 1 and token.isupper() else _fold(token)
                for token in _TOKEN.findall(part)
            ]
    return words


@lru_cache
def _rules() -> _Rules:
    table = tomllib.loads(
        files("common").joinpath("concept_rules.toml").read_text(encoding="utf-8")
    )
    told: dict[tuple[str, ...], dict[int, str]] = {
        tuple(_phrase(phrase)): {} for phrase in table["swallowed"]
    }
    for name, lists in table["concepts"].items():
        for strength in ("weak", "short", "strong"):
            for phrase in lists.get(strength, ()):
                told.setdefault(tuple(_phrase(phrase)), {})[_ROW[name]] = strength
    root = _Node()
    for phrase, hints in told.items():
        node = root
        for word in phrase:
            node = node.then.setdefault(word, _Node())
        node.hints = tuple(hints.items())
    implies = [
        (_ROW[name], _ROW[other]) for name, more in table["implies"].items() for other in more
    ]
    return _Rules(
        root,
        frozenset(word for phrase in told for word in phrase),
        tuple(sorted(implies, key=lambda pair: _depth(pair[0], implies))),
        {label: tuple(_ROW[name] for name in names) for label, names in table["labels"].items()},
    )


def _depth(row: int, implies: Sequence[tuple[int, int]]) -> int:
    """Return how many steps of implication lead here: what is led to is passed on later."""
    return max((1 + _depth(first, implies) for first, then in implies if then == row), default=0)
