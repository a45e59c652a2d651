"""What the steps ask of the outside world; `ingest.archives` answers, in tests fakes do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from common.records import Detection
from workers.steps.feeds import Feed
from workers.steps.feeds.cda import CDAFeed


@dataclass(frozen=True, slots=True)
class Match:
    """What is known elsewhere of the object of a detection.

    Attributes
    ----------
    class_path : tuple of str
        Path of its class, empty when unknown.
    bibcodes : tuple of str
        Papers about it, newest first.
    """

    class_path: tuple[str, ...] = ()
    bibcodes: tuple[str, ...] = ()


class Matcher(Protocol):
    """Finds the objects of detections."""

    def match(self, detections: Sequence[Detection]) -> Mapping[str, Match]:
        """Return what is known of these detections, by key; unknown ones are left out."""
        ...


class Products(Protocol):
    """Where files come from; `ingest.archives.products.CSCProducts` is one."""

    def fetch_spectrum(self, obsid: int, obi: int, region_id: int) -> Path:
        """Return the spectrum of a detection in the download cache, its responses beside it."""
        ...


class Citations(Protocol):
    """Who counts citations."""

    def citations(self, bibcodes: Sequence[str]) -> Mapping[str, int]:
        """Return how often papers are cited, by the bibcode asked for."""
        ...


@dataclass(frozen=True, slots=True)
class Archives:
    """Everything outside that the steps ask; products by feed.

    ``left`` tells how many requests of today each archive with a daily allowance still grants.
    """

    feeds: Mapping[str, Feed]
    observations: CDAFeed
    products: Mapping[str, Products]
    matcher: Matcher
    citations: Citations
    left: Mapping[str, Callable[[], int]] = field(default_factory=dict)
