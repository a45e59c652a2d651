"""Short texts that say concepts: questions and statements as astronomers type them.

They are put together from ``concept_phrases.toml``. A part of its phrases never serves for
training, so that validation asks in words that were not learnt.
"""

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from common.concept_rules import imply, read_concepts
from common.concepts import CLASSES, N_CONCEPTS, NAMES

Float32Array = npt.NDArray[np.float32]

HELD_OUT: Final = 0.15
CLEAR: Final = 0.8
"""How clearly rules must read a concept in a template that was not asked to say it."""

_FORMS: Final = (
    ("class", True, 0, 0.28),
    ("attribute", False, 1, 0.26),
    ("two_attributes", False, 2, 0.12),
    ("class_and_attribute", True, 1, 0.24),
    ("class_and_two", True, 2, 0.10),
)
"""Name of the sentences, whether they name a class, how many attributes, and their share."""

_USUAL: Final = 0.75  # how often an attribute is one that goes with the class

_N_CLASSES: Final = len(CLASSES)
_ROW: Final = {name: row for row, name in enumerate(NAMES)}


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A short text and what it says.

    Attributes
    ----------
    text : str
        One sentence without a full stop.
    targets : ndarray of float32, shape (N_CONCEPTS,)
        1 for each concept it says.
    """

    text: str
    targets: Float32Array


@dataclass(frozen=True, slots=True)
class _Phrases:
    things: tuple[str, ...]
    adjectives: tuple[str, ...]
    usual: tuple[str, ...]


def write_templates(number: int, rng: np.random.Generator, *, held_out: bool) -> list[Template]:
    """Write different short texts.

    Parameters
    ----------
    number : int
        How many, about: repetitions are left out.
    rng : numpy.random.Generator
        Decides what is said, and how.
    held_out : bool
        Whether of the phrases kept for validation, or of all others.

    Returns
    -------
    list of Template
        In random order.
    """
    phrases, forms = _phrases(held_out), _table()["forms"]
    shares = np.array([share for *_, share in _FORMS])
    templates: dict[str, Template] = {}
    for form in rng.choice(len(_FORMS), size=number, p=shares / shares.sum()):
        name, with_class, n_attributes, _ = _FORMS[form]
        sentences = forms[name]
        said = [NAMES[rng.integers(_N_CLASSES)]] if with_class else []
        said += _attributes(said, n_attributes, phrases, rng)
        text = _write(sentences[rng.integers(len(sentences))], said, with_class, phrases, rng)
        templates.setdefault(text, Template(text, _targets(text, said)))
    return list(templates.values())


def _attributes(
    said: Sequence[str], number: int, phrases: dict[str, _Phrases], rng: np.random.Generator
) -> list[str]:
    every = NAMES[_N_CLASSES:]
    usual = phrases[said[0]].usual if said else ()
    chosen: list[str] = []
    while len(chosen) < number:
        pool = usual if usual and rng.random() < _USUAL else every
        name = pool[rng.integers(len(pool))]
        if name not in chosen:
            chosen.append(name)
    return chosen


def _write(
    sentence: str,
    said: Sequence[str],
    with_class: bool,
    phrases: dict[str, _Phrases],
    rng: np.random.Generator,
) -> str:
    def one_of(words: Sequence[str]) -> str:
        return words[int(rng.integers(len(words)))]

    words = {}
    attributes = said
    if with_class:
        thing = one_of(phrases[said[0]].things)
        words = {"c": thing, "a_c": _with_article(thing), "cs": _plural(thing)}
        attributes = said[1:]
    for name, ending in zip(attributes, ("", "2"), strict=False):
        words["t" + ending] = one_of(phrases[name].things)
        words["j" + ending] = one_of(phrases[name].adjectives)
    text = sentence.format(**words)
    return text[0].upper() + text[1:] if rng.random() < 0.3 else text


def _targets(text: str, said: Sequence[str]) -> Float32Array:
    targets = np.zeros(N_CONCEPTS, dtype=np.float32)
    targets[[_ROW[name] for name in said]] = 1.0
    told = read_concepts(text)
    return np.asarray(np.maximum(imply(targets), np.where(told >= CLEAR, told, 0)), np.float32)


def _with_article(thing: str) -> str:
    first = thing.split()[0]
    if thing.endswith(("emission", "gas", "medium", "winds", "ejecta", "plasma")):
        return thing
    vowel = thing[0].lower() in "aeiou" or first in {
        "LMXB",
        "HMXB",
        "SNR",
        "NLS1",
        "X-ray",
        "XRB",
        "M",
    }
    return f"{'an' if vowel else 'a'} {thing}"


def _plural(thing: str) -> str:
    head, blank, rest = thing, "", ""
    for preposition in (
        " of ",
        " with ",
        " in ",
        " from ",
        " on ",
        " accreting ",
        " around ",
        " seen ",
    ):
        if preposition in thing:
            head, blank, rest = thing.partition(preposition)
            break
    if head.endswith("y") and head[-2] not in "aeo":
        head = head[:-1] + "ies"
    elif head.endswith("nucleus"):
        head = head[:-2] + "i"
    elif not head.endswith(("s", "gas", "medium", "ejecta", "novae", "emission")):
        head += "s"
    return head + blank + rest


@lru_cache
def _table() -> dict[str, Any]:
    text = files("encoders.text").joinpath("concept_phrases.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@lru_cache
def _phrases(held_out: bool) -> dict[str, _Phrases]:
    return {
        name: _Phrases(
            _part(lists["things"], held_out),
            _part(lists.get("adjectives", []), held_out),
            tuple(lists.get("usual", ())),
        )
        for name, lists in _table().items()
        if name != "forms"
    }


def _part(phrases: Sequence[str], held_out: bool) -> tuple[str, ...]:
    """Return the phrases held out, or the others; one at least where there are two."""
    by_hash = sorted(phrases, key=lambda phrase: hashlib.sha256(phrase.encode()).digest())
    number = max(1, round(HELD_OUT * len(phrases)))
    return tuple(by_hash[:number] if held_out else by_hash[number:])
