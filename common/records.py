"""The records that travel between rooms, and the stable ids under which they are stored."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid5

import numpy as np
import numpy.typing as npt

from common.binning import rebin

FloatArray = npt.NDArray[np.float64]

POINT_NAMESPACE = UUID("6f1f5a2e-6a0b-5c58-9a3e-0b1d6d1f4c11")  # never change: every id hangs on it

MatchedBy = Literal["detection", "source_name", "position"]
SummaryMethod = str
"""One of `SUMMARY_METHODS`, or `WRITTEN_BY` and the name of a language model."""

SUMMARY_METHODS = ("extractive", "given", "simulated")
WRITTEN_BY = "openai:"


def point_id(kind: Literal["detection", "paper"], key: str) -> UUID:
    """Return the stable point id of a natural key: a repeated upsert changes nothing."""
    return uuid5(POINT_NAMESPACE, f"{kind}:{key}")


def content_hash(*parts: str | bytes | npt.NDArray[np.generic]) -> str:
    """Return a SHA-256 over strings, bytes and arrays, 16 hex digits; equal inputs, equal hash."""
    digest = hashlib.sha256()
    for part in parts:
        data = (
            part.encode()
            if isinstance(part, str)
            else bytes(np.ascontiguousarray(part).data)
            if isinstance(part, np.ndarray)
            else part
        )
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:16]


def spectrum_hash(binned_counts: FloatArray, exposure_s: float) -> str:
    """Return the content hash of a spectrum: counts on the 400 bins, shape (400,), and exposure."""
    return content_hash(np.round(binned_counts, 6), f"{exposure_s:.6f}")


def catalogue_key(release: str, obsid: int, obi: int, region_id: int) -> str:
    """Return the natural key of a Chandra Source Catalog detection, ``csc2.0/1575/1/475``."""
    return f"csc{release}/{obsid}/{obi}/{region_id}"


def file_key(telescope: str, instrument: str, obsid: int | None, spectrum_hash: str) -> str:
    """Return the natural key of a spectrum that no catalogue row describes."""
    return f"file/{telescope}/{instrument}/{obsid if obsid is not None else '-'}/{spectrum_hash}"


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Counts of a background region.

    Attributes
    ----------
    counts : ndarray of float64, shape (n_channel,)
        Counts per channel, on the channels of the source spectrum.
    exposure_s : float
        Exposure in seconds.
    scaling : float
        Factor that takes ``counts`` to the source region:
        ``exposure_s * backscal * areascal`` of the source over that of the background
        (OGIP/92-007, section 3.1).
    """

    counts: FloatArray
    exposure_s: float
    scaling: float


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Spectrum of one source in one observation.

    Attributes
    ----------
    counts : ndarray of float64, shape (n_channel,)
        Counts per channel, background included.
    energy_lo_kev, energy_hi_kev : ndarray of float64, shape (n_channel,)
        Bounds of each channel, ascending.
    exposure_s : float
        Exposure in seconds, positive.
    background : Background or None
        Background counts and their scaling to the source region.
    energy_source : str
        Where the bounds come from, for instance ``RMF rmf2278.fits``.
    warnings : tuple of str
        What a user should know about how it was read.
    frame_time_s : float or None
        Exposure of one frame of the detector in seconds, if the header says it.
    """

    counts: FloatArray
    energy_lo_kev: FloatArray
    energy_hi_kev: FloatArray
    exposure_s: float
    background: Background | None = None
    energy_source: str = "given"
    warnings: tuple[str, ...] = ()
    frame_time_s: float | None = None

    def binned_counts(self) -> FloatArray:
        """Return the counts on the 400 bins of 0.5-8 keV, shape (400,)."""
        return rebin(self.counts, self.energy_lo_kev, self.energy_hi_kev)

    def hash(self) -> str:
        """Return the content hash: counts on the 400 bins, and exposure."""
        return spectrum_hash(self.binned_counts(), self.exposure_s)


@dataclass(frozen=True, slots=True)
class Detection:
    """One X-ray source in one observation: what a spectrum and catalogue values belong to.

    Attributes
    ----------
    key : str
        Natural key, from `catalogue_key` or `file_key`.
    source_name : str or None
        ``2CXO J…``; an attribute, never a key: names change between releases.
    ra_deg, dec_deg : float or None
        ICRS position of the source in degrees.
    source_class : tuple of str
        Path from the most general class to its own, empty when unknown.
    variables : mapping of str to float
        Those of the 20 variables that have a valid value; never NaN.
    catalogue : mapping of str to float, str or bool
        Other catalogue columns worth keeping (68% limits, counts, off-axis angle, flags).
    matched_by : str or None
        How catalogue values were joined to the spectrum.
    """

    key: str
    telescope: str
    instrument: str
    obsid: int | None = None
    obi: int | None = None
    region_id: int | None = None
    release: str | None = None
    source_name: str | None = None
    ra_deg: float | None = None
    dec_deg: float | None = None
    observed_at: datetime | None = None
    exposure_s: float | None = None
    source_class: tuple[str, ...] = ()
    variables: Mapping[str, float] = field(default_factory=dict)
    catalogue: Mapping[str, float | str | bool] = field(default_factory=dict)
    matched_by: MatchedBy | None = None
    bibcodes: tuple[str, ...] = ()
    simulated: bool = False

    @property
    def id(self) -> UUID:
        """The point id."""
        return point_id("detection", self.key)


@dataclass(frozen=True, slots=True)
class Summary:
    """A paper, or what is known of a source, in three sections."""

    nature: str
    xray: str
    interpretation: str
    method: SummaryMethod

    def sections(self) -> tuple[str, str, str]:
        """Return the sections in the order in which they are embedded."""
        return self.nature, self.xray, self.interpretation

    def hash(self) -> str:
        """Return the content hash of the three sections."""
        return content_hash(*self.sections())


@dataclass(frozen=True, slots=True)
class Paper:
    """One ADS record; ``abstract`` may be empty only when a ``summary`` is given."""

    bibcode: str
    title: str
    abstract: str
    year: int | None = None
    authors: tuple[str, ...] = ()
    journal: str | None = None
    keywords: tuple[str, ...] = ()
    alternate_bibcodes: tuple[str, ...] = ()
    source_names: tuple[str, ...] = ()
    source_class: tuple[str, ...] = ()
    summary: Summary | None = None
    simulated: bool = False

    @property
    def id(self) -> UUID:
        """The point id."""
        return point_id("paper", self.bibcode)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An input that was not ingested, and why, with what to do about it."""

    input: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input; reported only once it is safely stored or refused."""

    input: str
    status: Literal["ingested", "unchanged", "refused"]
    detail: str
    """Natural key of what was stored, or the reason of the refusal."""
    notes: tuple[str, ...] = ()

    @classmethod
    def refused(cls, refusal: Refusal) -> "Outcome":
        """Return the outcome of a refusal."""
        return cls(refusal.input, "refused", refusal.reason)
