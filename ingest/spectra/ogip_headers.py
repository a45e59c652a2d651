"""What the headers of OGIP and Chandra files say: what a file holds, and of which observation."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from common.errors import InvalidSpectrumError
from common.records import Detection, Spectrum, catalogue_key, file_key
from ingest.spectra.fits_file import Header
from ingest.spectra.product_names import parse_product_name, release_of

_SOURCE_NAME = re.compile(r"2?CXO J\d{6}\.\d[+-]\d{6}[A-Z]?")
_OLD_DATE = re.compile(r"(\d{2})/(\d{2})/(\d{2})")


class Kind(StrEnum):
    """What an HDU, or a file by its most telling HDU, holds; the order is that of telling."""

    SOURCE = "a spectrum"
    BACKGROUND = "a background spectrum"
    EVENTS = "an event list"
    RMF = "a response matrix (RMF)"
    ARF = "an effective area (ARF)"
    GTI = "a list of good time intervals (GTI)"
    OTHER = "no spectrum"


@dataclass(frozen=True, slots=True, eq=False)
class ObservedSpectrum:
    """A spectrum read from a file, and what the file says about where it comes from.

    Attributes
    ----------
    detection : Detection
        Identifiers, date and exposure; no catalogue values.
    spectrum : Spectrum
        Counts, energies, exposure, background, warnings.
    target_ra_deg, target_dec_deg : float or None
        ICRS position of the observation's target, which need not be the source.
    source_name : str or None
        Only if the header names a source of the Chandra Source Catalog.
    path : Path
        The file.
    """

    detection: Detection
    spectrum: Spectrum
    target_ra_deg: float | None
    target_dec_deg: float | None
    source_name: str | None
    path: Path


def kind_of_hdu(header: Header) -> Kind:
    """Return what an HDU holds, by HDUCLASn or, failing that, by EXTNAME."""
    names = {text(header, "HDUCLAS1"), text(header, "EXTNAME")}
    if "SPECTRUM" in names:
        return Kind.BACKGROUND if text(header, "HDUCLAS2") == "BKG" else Kind.SOURCE
    if "EVENTS" in names:
        return Kind.EVENTS
    if text(header, "HDUCLAS2") == "SPECRESP" or "SPECRESP" in names:
        return Kind.ARF
    if names & {"RESPONSE", "MATRIX", "SPECRESP MATRIX", "EBOUNDS"}:
        return Kind.RMF
    return Kind.GTI if "GTI" in names else Kind.OTHER


def kind_of_file(headers: Sequence[Header]) -> Kind:
    """Return what a file holds, by its most telling HDU."""
    found = {kind_of_hdu(header) for header in headers}
    return next(kind for kind in Kind if kind in found or kind is Kind.OTHER)


def text(header: Header, keyword: str) -> str:
    """Return a keyword as upper-case text, empty if absent."""
    return str(header.get(keyword, "")).strip().upper()


def file_named(header: Header, keyword: str) -> str:
    """Return the file that RESPFILE or BACKFILE names, bare of folder and filter, or nothing."""
    name = Path(str(header.get(keyword, "")).split("[")[0].strip()).name
    return "" if name.lower() == "none" else name


def beside(path: Path, name: str) -> Path | None:
    """Return the file of that name in the folder of a file, gzipped or not, if it is there."""
    names = (name, f"{name}.gz", name.removesuffix(".gz")) if name else ()
    return next((path.with_name(n) for n in names if path.with_name(n).is_file()), None)


def instrument_of(headers: Sequence[Header]) -> tuple[str, str]:
    """Return telescope and instrument in upper case, ``UNKNOWN`` if the headers don't say."""
    telescope = next(_values(headers, "TELESCOP"), "UNKNOWN").upper()
    instrument = next(_values(headers, "INSTRUME"), "UNKNOWN").upper()
    return "CHANDRA" if telescope in ("AXAF", "CXC") else telescope, instrument


def obsid_of(headers: Sequence[Header]) -> int | None:
    """Return the observation's number, None if the headers give none."""
    return next(_integers(headers, "OBS_ID"), None)


def frame_time_of(headers: Sequence[Header]) -> float | None:
    """Return the exposure in seconds of one ACIS frame, None if the headers don't say.

    ``TIMEDEL`` is from one frame to the next, ``DTCOR`` the live share of it.
    """
    if not instrument_of(headers)[1].startswith("ACIS"):
        return None  # elsewhere TIMEDEL may mean something else
    step_s, live = (_positive(headers, keyword) for keyword in ("TIMEDEL", "DTCOR"))
    return step_s * (live if live and live <= 1 else 1.0) if step_s else None


def refuse_without_resolution(name: str, headers: Sequence[Header]) -> None:
    """Refuse instruments whose pulse heights are not energies."""
    _, instrument = instrument_of(headers)
    if instrument.startswith("HRC"):
        raise InvalidSpectrumError(
            f"{name}: {instrument} has no energy resolution, its channels have no energies: "
            "give a spectrum taken with ACIS or another spectral instrument"
        )


def refuse_shapeless(name: str, spectrum: Spectrum) -> None:
    """Refuse a spectrum whose shape is not defined."""
    binned = spectrum.binned_counts()
    if not binned.max() > binned.min():
        raise InvalidSpectrumError(
            f"{name}: no counts in 0.5-8 keV, or equally many everywhere: the shape is not "
            "defined; give a spectrum with counts in that band"
        )


def observed(
    path: Path, headers: Sequence[Header], spectrum: Spectrum, *, alone: bool = True
) -> ObservedSpectrum:
    """Attach to a spectrum what the headers, the most specific first, and the name say of it.

    ``alone`` says that the file holds no other spectrum, so that a catalogue key is its own.
    """
    telescope, instrument = instrument_of(headers)
    obsid = obsid_of(headers)
    obi = next(_integers(headers, "OBI_NUM"), None)
    region_id = next(_integers(headers, "REGIONID"), None)
    release = None
    product = parse_product_name(path.name)
    if product is not None and obsid in (None, product.obsid):
        obsid, obi, region_id = product.obsid, product.obi, product.region_id
        release = product.release
    elif region_id is not None:
        release = next((release_of(n) for n in _integers(headers, "REVISION")), None)
    if (
        alone
        and release is not None
        and obsid is not None
        and obi is not None
        and region_id is not None
    ):
        key = catalogue_key(release, obsid, obi, region_id)
    else:
        key = file_key(telescope, instrument, obsid, spectrum.hash())
    names = (_SOURCE_NAME.fullmatch(value) for value in _values(headers, "OBJECT"))
    source_name = next((found[0] for found in names if found), None)
    # Only products cut out around one region carry RA and DEC; they are that region's.
    ra_deg, dec_deg = _position(headers, "RA", "DEC") if region_id is not None else (None, None)
    target = _position(headers, "RA_TARG", "DEC_TARG")
    target_ra_deg, target_dec_deg = (
        _position(headers, "RA_OBJ", "DEC_OBJ") if None in target else target
    )
    detection = Detection(
        key=key,
        telescope=telescope,
        instrument=instrument,
        obsid=obsid,
        obi=obi,
        region_id=region_id,
        release=release,
        source_name=source_name,
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        observed_at=next(_dates(headers), None),
        exposure_s=spectrum.exposure_s,
    )
    spectrum = replace(spectrum, frame_time_s=frame_time_of(headers))
    return ObservedSpectrum(detection, spectrum, target_ra_deg, target_dec_deg, source_name, path)


def _values(headers: Sequence[Header], keyword: str) -> Iterator[str]:
    for header in headers:
        if value := str(header.get(keyword, "")).strip():
            yield value


def _integers(headers: Sequence[Header], keyword: str) -> Iterator[int]:
    for value in _values(headers, keyword):
        if value.isdecimal() and len(value) < 19:  # the store keeps integers of 64 bits
            yield int(value)


def _positive(headers: Sequence[Header], keyword: str) -> float | None:
    values = (header.get(keyword) for header in headers)
    return next(
        (
            float(value)
            for value in values
            if isinstance(value, int | float) and math.isfinite(value) and value > 0
        ),
        None,
    )


def _dates(headers: Sequence[Header]) -> Iterator[datetime]:
    """Yield DATE-OBS, ISO or in the old form ``19/02/94``, which means 1994 (FITS 4.0, 4.4.2.1)."""
    for value in _values(headers, "DATE-OBS"):
        old = _OLD_DATE.fullmatch(value)
        try:
            date = datetime.fromisoformat(f"19{old[3]}-{old[2]}-{old[1]}" if old else value)
        except ValueError:
            continue
        yield date.replace(tzinfo=UTC)


def _position(
    headers: Sequence[Header], ra_keyword: str, dec_keyword: str
) -> tuple[float, float] | tuple[None, None]:
    for header in headers:
        ra_deg, dec_deg = header.get(ra_keyword), header.get(dec_keyword)
        if (
            isinstance(ra_deg, int | float)
            and isinstance(dec_deg, int | float)
            and math.isfinite(ra_deg)
            and 0 <= ra_deg <= 360
            and abs(dec_deg) <= 90
        ):
            return float(ra_deg), float(dec_deg)
    return None, None
