"""Corpora: titles and abstracts that belong to no spectrum, to learn words from and to judge among.

A fifth of every corpus is held out for good. It is found from the id alone, so that it stays the
same however a corpus grows, and whoever trains: no model has seen it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

KINDS: Final = ("xray-source", "xray-other", "astro", "other")
SURE_SCORE: Final = 9.0
"""From this score on, a text of kind ``xray-source`` is about X-ray sources in 95% of cases."""

_HELD_OUT: Final = 5  # one in so many
_XRAY: Final = re.compile(r"\bx[\W_]{0,4}ray", re.IGNORECASE)  # X-ray, Xray, X ray, X--ray


@dataclass(frozen=True, slots=True)
class CorpusText:
    """A title and an abstract, with what rules say of them.

    Attributes
    ----------
    id : str
        Identifier, ``arXiv:2603.04516``.
    kind : str
        One of `KINDS`.
    classes : tuple of str
        SIMBAD types of the sources that it is about, empty where no rule finds one.
    score : float
        How surely it is about X-ray sources.
    """

    id: str
    title: str
    abstract: str
    kind: str
    year: int | None = None
    classes: tuple[str, ...] = ()
    score: float = 0.0

    @property
    def is_held_out(self) -> bool:
        """Whether it is of the fifth that training never sees: sha256(id) is 0 modulo 5."""
        return is_held_out(self.id)

    @property
    def is_topical(self) -> bool:
        """Whether it is surely about X-ray sources."""
        return self.kind == "xray-source" and self.score >= SURE_SCORE

    @property
    def is_off_topic(self) -> bool:
        """Whether it is surely not about X-ray sources; some texts are neither."""
        return self.kind == "other" or (
            self.kind == "astro" and not _XRAY.search(f"{self.title}\n{self.abstract}")
        )


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts of one corpus or more, and what was left out of them.

    Attributes
    ----------
    texts : sequence of CorpusText
        Each id and each wording once.
    notes : sequence of str
        What was left out and why.
    files : sequence of str
        Names of the files they come from.
    """

    texts: Sequence[CorpusText]
    notes: Sequence[str] = ()
    files: Sequence[str] = ()

    def training(self) -> list[CorpusText]:
        """Return the four fifths that may be learnt from."""
        return [text for text in self.texts if not text.is_held_out]

    def pool(self) -> list[CorpusText]:
        """Return the held-out fifth, to judge among."""
        return [text for text in self.texts if text.is_held_out]


def is_held_out(identifier: str) -> bool:
    """Return whether a text of this id is of the held-out fifth."""
    return int(sha256(identifier.encode()).hexdigest(), 16) % _HELD_OUT == 0
