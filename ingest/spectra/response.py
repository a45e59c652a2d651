"""Energies of detector channels: the EBOUNDS extension of a response (CAL/GEN/92-002)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.errors import InvalidSpectrumError
from ingest.spectra.fits_file import Hdu, Header, read_fits
from ingest.spectra.ogip_headers import beside, file_named, kind_of_file, text

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_KEV_PER_UNIT = {"": 1.0, "KEV": 1.0, "EV": 1e-3, "MEV": 1e3}
_RESPONSE_NAME = re.compile(r"rmf|\.rsp")
MAX_CHANNEL = 1 << 31
ACIS_PI_CHANNELS = 1024
ACIS_PI_WIDTH_KEV = 0.0146
_OVERLAP = 1e-3  # of a channel's width; less is rounding of 32-bit energies


@dataclass(frozen=True, slots=True, eq=False)
class ChannelEnergies:
    """Energy bounds of the channels of a detector, in ascending order of energy.

    Attributes
    ----------
    channels : ndarray of int64, shape (n_channel,)
        Channel numbers.
    energy_lo_kev, energy_hi_kev : ndarray of float64, shape (n_channel,)
        Bounds in keV; channels do not overlap.
    instrument : str
        Upper case, empty if the file does not say.
    """

    channels: IntArray
    energy_lo_kev: FloatArray
    energy_hi_kev: FloatArray
    instrument: str


@dataclass(frozen=True, slots=True, eq=False)
class EnergyScale:
    """The channel energies found for a spectrum, where they come from, what to warn of."""

    energies: ChannelEnergies
    source: str
    warnings: tuple[str, ...] = ()


def read_ebounds(path: Path, max_mb: float | None = None) -> ChannelEnergies:
    """Read the channel energies of a response; its matrix is not read.

    Parameters
    ----------
    path : Path
        RMF, plain or gzipped.
    max_mb : float, optional
        Largest size in MiB after decompression.

    Returns
    -------
    ChannelEnergies
        In keV, ascending; the arrays are shared between calls and read-only.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InvalidSpectrumError
        If it has no usable EBOUNDS.

    References
    ----------
    .. [1] OGIP Calibration Memo CAL/GEN/92-002, section 3.2.
    """
    if not path.is_file():
        read_fits(path, max_mb)  # raises what there is to say
    status = path.stat()
    return _read_ebounds(path, max_mb, status.st_mtime_ns, status.st_size)


def energies_for(
    path: Path,
    header: Header,
    instrument: tuple[str, str],
    n_channel: int,
    rmf: Path | None = None,
    max_mb: float | None = None,
) -> EnergyScale:
    """Find the channel energies of a spectrum.

    They come from the RMF given, or the one that RESPFILE names beside the spectrum, or the only
    one in the folder that fits, or, for ACIS, from the nominal width of its PI channels.

    Parameters
    ----------
    path : Path
        File of the spectrum.
    header : Header
        Header of the spectrum.
    instrument : tuple of str
        Telescope and instrument in upper case.
    n_channel : int
        Number of channels of the spectrum, DETCHANS.
    rmf : Path, optional
        Response to use, whatever the header says.
    max_mb : float, optional
        Largest size of the response in MiB after decompression.

    Returns
    -------
    EnergyScale
        With ``n_channel`` channels.

    Raises
    ------
    NotFoundError
        If the RMF given does not exist.
    InvalidSpectrumError
        If there is no RMF, more than one that may be meant, or one that does not fit.
    """
    name = file_named(header, "RESPFILE")
    chosen = rmf or beside(path, name)
    warnings: tuple[str, ...] = ()
    fitting: list[Path] = []
    if chosen is None:
        fitting = _fitting(path.parent, instrument[1], n_channel)
        if len(fitting) == 1:
            chosen = fitting[0]
            warnings = (f"{_missing(name)}: took {chosen.name}, the only RMF here that fits",)
    if chosen is not None:
        energies = read_ebounds(chosen, max_mb)
        if len(energies.channels) != n_channel:
            raise InvalidSpectrumError(
                f"{path.name}: {n_channel} channels, but its RMF {chosen.name} has "
                f"{len(energies.channels)}: give the RMF made for this spectrum"
            )
        return EnergyScale(energies, f"RMF {chosen.name}", warnings)
    is_acis = instrument[0] == "CHANDRA" and instrument[1].startswith("ACIS")
    if is_acis and text(header, "CHANTYPE") == "PI" and n_channel == ACIS_PI_CHANNELS:
        return EnergyScale(
            _acis_pi(),
            "ACIS PI channels of 14.6 eV",
            (f"{_missing(name)}: took ACIS PI channels as 14.6 eV wide",),
        )
    several = f", and {' and '.join(p.name for p in fitting)} both fit" if fitting else ""
    raise InvalidSpectrumError(
        f"{path.name}: no energies for the channels of {' '.join(instrument)}: "
        f"{_missing(name)}{several}. Put its RMF into the same folder"
        f"{f' under the name {name}' if name else ' and name it in RESPFILE'}"
    )


def _missing(respfile: str) -> str:
    if respfile:
        return f"the RMF {respfile} that RESPFILE names is not beside the file"
    return "RESPFILE names no RMF"


@lru_cache(maxsize=1)
def _acis_pi() -> ChannelEnergies:
    numbers = np.arange(1, ACIS_PI_CHANNELS + 1)
    edges = np.arange(ACIS_PI_CHANNELS + 1, dtype=np.float64) * ACIS_PI_WIDTH_KEV
    return ChannelEnergies(numbers, edges[:-1], edges[1:], "ACIS")


def _fitting(folder: Path, instrument: str, n_channel: int) -> list[Path]:
    """Return the responses in a folder for that instrument and number of channels."""
    return [
        path
        for path, energies in _responses(folder)
        if energies.instrument in ("", instrument) and len(energies.channels) == n_channel
    ]


def _responses(folder: Path) -> Iterator[tuple[Path, ChannelEnergies]]:
    for path in sorted(folder.iterdir()):
        if _RESPONSE_NAME.search(path.name.lower()) and path.is_file():
            try:
                yield path, read_ebounds(path)
            except InvalidSpectrumError:
                continue  # whatever it is, it is no response that could be meant


def channel_numbers(name: str, column: FloatArray) -> IntArray:
    """Return a CHANNEL column, which may be of floats, as integers of the same shape."""
    if not np.all(np.abs(column) < MAX_CHANNEL):
        raise InvalidSpectrumError(f"{name}: CHANNEL holds numbers that are no channels: damaged")
    return np.rint(column).astype(np.int64)


@lru_cache(maxsize=1024)
def _read_ebounds(path: Path, max_mb: float | None, _mtime_ns: int, _size: int) -> ChannelEnergies:
    hdus = read_fits(path, max_mb)
    found = [hdu for hdu in hdus if {"CHANNEL", "E_MIN", "E_MAX"} <= {*hdu.column_names()}]
    if not found:
        kind = kind_of_file([hdu.header for hdu in hdus])
        raise InvalidSpectrumError(
            f"{path.name}: it holds {kind}, without channel energies (no EBOUNDS with CHANNEL, "
            "E_MIN and E_MAX): give the RMF of the spectrum"
        )
    columns = found[0].columns("CHANNEL", "E_MIN", "E_MAX")
    lo = columns["E_MIN"] * _kev_per_unit(found[0], "E_MIN")
    hi = columns["E_MAX"] * _kev_per_unit(found[0], "E_MAX")
    if not (len(lo) and np.all(np.isfinite([lo, hi])) and np.all(lo < hi)):
        raise InvalidSpectrumError(
            f"{path.name}: EBOUNDS has channels without a width (E_MIN not below E_MAX): "
            "make the RMF again"
        )
    order = np.argsort(lo, kind="stable")
    channels = channel_numbers(path.name, columns["CHANNEL"][order])
    lo, hi = lo[order], hi[order]
    overlapping = np.flatnonzero(hi[:-1] - lo[1:] > _OVERLAP * (hi - lo)[:-1])
    if overlapping.size:
        at = overlapping[0]
        raise InvalidSpectrumError(
            f"{path.name}: EBOUNDS channels {channels[at]} and {channels[at + 1]} overlap in "
            "energy: make the RMF again"
        )
    hi[:-1] = np.minimum(hi[:-1], lo[1:])
    for array in (channels, lo, hi):
        array.flags.writeable = False
    return ChannelEnergies(channels, lo, hi, text(found[0].header, "INSTRUME"))


def _kev_per_unit(hdu: Hdu, column: str) -> float:
    unit = hdu.unit(column).strip().upper()
    if unit not in _KEV_PER_UNIT:
        raise InvalidSpectrumError(
            f"{hdu.path.name}: EBOUNDS gives {column} in {unit}, not in keV or eV: make the RMF "
            "again"
        )
    return _KEV_PER_UNIT[unit]
