"""What the vectors of a detection were made of, kept so that a new model can be given it.

Vectors cannot be turned back into counts, and files and archives may be gone when a better model
comes. So one point per detection, under the same id, holds its 400 binned counts, its exposure
and its text. It is written before the detection: a kill leaves no detection without its inputs.
"""

import base64
import binascii
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
from qdrant_client import models

from common.binning import N_BINS
from common.errors import UnavailableError
from common.records import Spectrum, Summary, spectrum_hash
from search.collections.schema import Payload
from search.store.base import CollectionSchema, PointId, Store
from search.store.revisions import revisions_of

SPECTRA = "spectra"
SCHEMA = CollectionSchema({}, sparse=("none",))
"""Payloads only; the engines want at least one vector, which no point has."""

_N_BYTES = N_BINS * 8
_ROUNDS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """The inputs of one detection; what cannot be read any more is missing.

    Attributes
    ----------
    counts : ndarray of float64, shape (400,), or None
        Counts on the 400 bins of 0.5-8 keV.
    exposure_s : float
        Exposure in seconds.
    summary : Summary or None
        The text that is encoded beside the spectrum.
    written_at : datetime or None
        When the last of them came.
    """

    counts: npt.NDArray[np.float64] | None = None
    exposure_s: float = 0.0
    summary: Summary | None = None
    written_at: datetime | None = None

    @property
    def spectrum_hash(self) -> str | None:
        """Content hash of the spectrum, as in a detection's payload."""
        return None if self.counts is None else spectrum_hash(self.counts, self.exposure_s)

    @property
    def summary_hash(self) -> str | None:
        """Content hash of the text, as in a detection's payload."""
        return self.summary.hash() if self.summary else None


NOTHING = Inputs()


def spectrum_inputs(key: str, spectrum: Spectrum) -> Payload:
    """Return the payload fields that hold a spectrum."""
    packed = zlib.compress(spectrum.binned_counts().astype("<f8").tobytes())
    return {
        "key": key,
        "counts": base64.b64encode(packed).decode("ascii"),
        "exposure_s": spectrum.exposure_s,
        "spectrum_hash": spectrum.hash(),
        **_now(),
    }


def summary_inputs(key: str, summary: Summary) -> Payload:
    """Return the payload fields that hold a text."""
    return {"key": key, "summary": asdict(summary), "summary_hash": summary.hash(), **_now()}


def _now() -> Payload:
    return {"written_at": datetime.now(UTC).isoformat()}


def keep_inputs(store: Store, inputs: Mapping[UUID, Payload]) -> None:
    """Add these fields to what is kept of each detection, whoever else does so meanwhile.

    Raises
    ------
    UnavailableError
        If others change them all the time.
    """
    pending = {str(point): payload for point, payload in inputs.items()}
    for _ in range(_ROUNDS):
        if not pending:
            return
        held = store.read(SPECTRA, [*pending])
        fresh = [
            models.PointStruct(id=point, vector={}, payload=payload)
            for point, payload in pending.items()
            if point not in held
        ]
        changed: dict[PointId, Payload] = {p: f for p, f in pending.items() if p in held}
        lost: set[str] = set()
        if fresh:
            lost |= store.write(SPECTRA, fresh, {}).lost
        if changed:
            lost |= store.write_payload(SPECTRA, changed, revisions_of(held.values())).lost
        pending = {point: pending[point] for point in lost}
    raise UnavailableError(
        f"what is kept of {len(pending)} detections was changed {_ROUNDS} times while it was being "
        "written: repeat, with fewer writers"
    )


def hashes_kept(store: Store, ids: Sequence[UUID]) -> dict[UUID, Payload]:
    """Return which spectrum and which text are kept of each detection, as their hashes."""
    found = store.read(SPECTRA, ids) if ids else {}
    fields = ("spectrum_hash", "summary_hash")
    return {
        UUID(point): {name: held.payload[name] for name in fields if name in held.payload}
        for point, held in found.items()
    }


def read_inputs(store: Store, ids: Sequence[UUID]) -> dict[UUID, Inputs]:
    """Return what is kept of these detections, checked against its hashes."""
    records = store.retrieve(SPECTRA, ids) if ids else []
    return {UUID(str(record.id)): unpack(record.payload or {}) for record in records}


def unpack(payload: Mapping[str, Any]) -> Inputs:
    """Return the inputs in a payload; what is damaged is left out, so that it is seen to lack."""
    counts = _unpack_counts(payload.get("counts"))
    exposure_s = payload.get("exposure_s")
    if counts is None or not isinstance(exposure_s, int | float):
        counts, exposure_s = None, 0.0
    elif spectrum_hash(counts, exposure_s) != payload.get("spectrum_hash"):
        counts = None
    summary = _unpack_summary(payload.get("summary"))
    if summary and summary.hash() != payload.get("summary_hash"):
        summary = None
    return Inputs(counts, float(exposure_s), summary, written_at(payload))


def written_at(payload: Mapping[str, Any]) -> datetime | None:
    """Return when inputs were kept, None if it cannot be read."""
    try:
        return datetime.fromisoformat(payload["written_at"])
    except (KeyError, TypeError, ValueError):
        return None


def _unpack_counts(text: object) -> npt.NDArray[np.float64] | None:
    """Return counts, shape (400,), never unpacking more than they take."""
    if not isinstance(text, str):
        return None
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(base64.b64decode(text, validate=True), _N_BYTES + 1)
    except (binascii.Error, ValueError, zlib.error):
        return None
    if len(unpacked) != _N_BYTES:
        return None
    counts = np.frombuffer(unpacked, dtype="<f8").astype(np.float64)
    return counts if np.isfinite(counts).all() and (counts >= 0).all() else None


def _unpack_summary(fields: object) -> Summary | None:
    names = {"nature", "xray", "interpretation", "method"}
    if not isinstance(fields, dict) or fields.keys() != names:
        return None
    return Summary(**{name: str(value) for name, value in fields.items()})
