"""Source classes: SIMBAD's object types as paths from the most general to the most special.

The hierarchy is SIMBAD's of 2022 (https://simbad.cds.unistra.fr/guide/otypes.htx), kept in
``simbad_otypes.csv`` with the names used before 2022, which published tables still carry:

* A label is SIMBAD's short id where astronomers know it (``AGN``, ``Sy1``, ``CV*``, ``LXB``) and a
  word where the id is a bare symbol or abbreviation of a root (``Star``, ``Galaxy``, ``Radio``).
* A path holds every ancestor, ``Galaxy > AGN > SyG > Sy1``, so that one stored list answers a
  filter on any of them. SIMBAD files BL Lacs under blazars, and blazars under quasars.
* A candidate is no member: SIMBAD gives ``AG?`` the path of ``AGN`` and a flag beside it. Here
  candidates have a tree of their own, ``Candidate > G? > AG? > Q?``, so that ``AGN`` never
  answers with a possible one, and ``AG?`` answers with possible AGN of every kind.
* Types SIMBAD has dropped lead to what took their place (``Flare*`` to ``Er*``, ``DwarfNova`` to
  ``CV*``).
* ``BHXB`` is no SIMBAD type but common in X-ray tables. It stands under ``XB*`` and not under
  ``LXB``: most black-hole binaries are low-mass ones, Cyg X-1 and LMC X-1 are not.
* ``PWN`` and ``TDE`` are no SIMBAD types either, but kinds of X-ray source with papers of their
  own: pulsar wind nebulae stand under ``ISM`` beside remnants, tidal disruptions under
  ``Transient``.
* The guide does not say where in a cloud globules and dense cores stand: directly under ``Cld``.
"""

import csv
import difflib
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType

from common.errors import InvalidQueryError

CANDIDATE = "Candidate"

ClassPath = tuple[str, ...]


def normalise(name: str) -> ClassPath:
    """Return the path of a class, most general first; case, blanks, ``_`` and ``-`` do not matter.

    Raises
    ------
    InvalidQueryError
        If there is no such class; the message names the nearest ones.
    """
    path = normalise_or_none(name)
    if path is None:
        raise InvalidQueryError(
            f"unknown source class {name[:60]!r}{_nearest(name)}: give a SIMBAD object "
            "type, for instance AGN, QSO, Sy1, Star, Y*O, CV*, LXB or HXB"
        )
    return path


def normalise_or_none(name: str) -> ClassPath | None:
    """Return the path of a class, or None if there is no such class: for names in tables."""
    return _paths().get(_fold(name))


def label_of(name: str) -> str:
    """Return the canonical label of a class: what a filter compares with the stored path."""
    return normalise(name)[-1]


def known_labels() -> tuple[str, ...]:
    """Return all labels, in the order of SIMBAD's table."""
    return tuple(dict.fromkeys(label for path in _paths().values() for label in path))


def _fold(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def _nearest(name: str) -> str:
    folded = _fold(name[:60])
    near = next(
        filter(None, (difflib.get_close_matches(folded, _paths(), 9, c) for c in (0.6, 0.3))), []
    )
    # A typing error seldom is the first letter.
    near.sort(key=lambda other: other[:1] != folded[:1])
    labels = dict.fromkeys(_paths()[other][-1] for other in near)
    return f" (nearest: {', '.join([*labels][:3])})" if labels else ""


@lru_cache
def _paths() -> Mapping[str, ClassPath]:
    """Return the path of every spelling, folded."""
    text = files("common").joinpath("simbad_otypes.csv").read_text(encoding="utf-8")
    confirmed: dict[str, ClassPath] = {}  # by SIMBAD id
    possible: dict[str, ClassPath] = {}
    paths: dict[str, ClassPath] = {_fold(CANDIDATE): (CANDIDATE,)}
    spellings: list[tuple[str, ClassPath]] = []
    for row in csv.DictReader(text.splitlines()):
        own, parent, candidate = row["id"], row["parent"], row["candidate"]
        confirmed[own] = (*confirmed.get(parent, ()), row["label"] or own)
        possible[own] = possible.get(parent, (CANDIDATE,)) + ((candidate,) if candidate else ())
        names = [own, row["label"], row["description"], *row["names"].split("|")]
        paths[_fold(own)] = confirmed[own]
        spellings += [(name, confirmed[own]) for name in names if name]
        if candidate:
            paths[_fold(candidate)] = possible[own]
            spellings += [
                (form.format(name.rstrip("?")), possible[own])
                for name in names
                if name
                for form in ("{}_Candidate", "{}?_Candidate", "Candidate_{}", "Possible_{}", "{}?")
            ]
    for name, path in spellings:  # an id always means itself, whatever else is spelled like it
        paths.setdefault(_fold(name), path)
    return MappingProxyType(paths)
