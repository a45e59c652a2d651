"""Spectra in OGIP PHA files (OGIP/92-007), type I and type II."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.binning import ENERGY_HI_KEV, ENERGY_LO_KEV
from common.errors import InvalidSpectrumError
from common.records import Background, Spectrum
from ingest.spectra.background import find_backgrounds
from ingest.spectra.fits_file import Hdu, read_fits
from ingest.spectra.ogip_headers import (
    Kind,
    ObservedSpectrum,
    instrument_of,
    kind_of_file,
    kind_of_hdu,
    observed,
    refuse_shapeless,
    refuse_without_resolution,
    text,
)
from ingest.spectra.pha_table import SpectrumRow, check_counts, spectrum_rows
from ingest.spectra.response import EnergyScale, energies_for

IntArray = npt.NDArray[np.int64]


def read_pha(
    path: Path,
    *,
    rmf: Path | None = None,
    background: Path | None = None,
    max_mb: float | None = None,
) -> list[ObservedSpectrum]:
    """Read the spectra of a PHA file.

    Grouping is ignored and channels flagged by QUALITY are kept: both serve a fit, and what is
    flagged in practice is what lies outside the band or at the end of a grouping.

    Parameters
    ----------
    path : Path
        PHA file, plain or gzipped; type I, type II, or several SPECTRUM extensions.
    rmf : Path, optional
        Response; by default the one that RESPFILE names, beside the file, or else the only one
        in the folder for that instrument and number of channels.
    background : Path, optional
        Background spectrum; by default the one in the file itself, or that BACKFILE names.
    max_mb : float, optional
        Largest size of a file in MiB after decompression.

    Returns
    -------
    list of ObservedSpectrum
        One for each row of each source SPECTRUM extension; counts as float64, shape
        (n_channel,), channels ascending in energy.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InvalidSpectrumError
        If it holds no spectrum that can be used; the message says why and what to do.

    References
    ----------
    .. [1] OGIP Memo OGIP/92-007.
    """
    return spectra_of(path, read_fits(path, max_mb), rmf=rmf, background=background, max_mb=max_mb)


def spectra_of(
    path: Path,
    hdus: Sequence[Hdu],
    *,
    rmf: Path | None = None,
    background: Path | None = None,
    max_mb: float | None = None,
) -> list[ObservedSpectrum]:
    """Return the spectra of a PHA file that is already open; see `read_pha`."""
    headers = [hdu.header for hdu in hdus]
    sources = [hdu for hdu in hdus if kind_of_hdu(hdu.header) is Kind.SOURCE]
    if not sources:
        raise InvalidSpectrumError(
            f"{path.name}: it holds {kind_of_file(headers)}, not a source spectrum: give the PHA "
            "file, whose SPECTRUM extension has HDUCLAS2 TOTAL"
        )
    found = []
    for hdu in sources:
        refuse_without_resolution(path.name, [hdu.header, *headers])
        rows = spectrum_rows(hdu)
        energies = energies_for(
            path,
            hdu.header,
            instrument_of([hdu.header, *headers]),
            rows[0].n_channel(),
            rmf,
            max_mb,
        )
        backgrounds = find_backgrounds(path, hdus, hdu.header, len(rows), background, max_mb)
        for index, row in enumerate(rows):
            name = f"{path.name}, spectrum {index + 1}" if len(rows) > 1 else path.name
            scaled, trouble = backgrounds.scaled(row, index)
            spectrum = _spectrum(name, row, energies, scaled, trouble)
            found.append((hdu.header, spectrum))
    return [
        observed(path, [header, *headers], spectrum, alone=len(found) == 1)
        for header, spectrum in found
    ]


def _spectrum(
    name: str,
    row: SpectrumRow,
    scale: EnergyScale,
    background: Background | None,
    trouble: Sequence[str],
) -> Spectrum:
    """Bring a row and its energies together; refuse what has no shape in 0.5-8 keV."""
    exposure_s = row.number("EXPOSURE")
    if not (np.isfinite(exposure_s) and exposure_s > 0):
        raise InvalidSpectrumError(
            f"{name}: EXPOSURE is {row.header.get('EXPOSURE', 'missing')}, it must be positive "
            "seconds: correct the header"
        )
    counts = row.counts()
    check_counts(name, counts)
    position, order = _positions(name, row.channels, scale)
    lo, hi = scale.energies.energy_lo_kev[position], scale.energies.energy_hi_kev[position]
    if not np.any((hi > ENERGY_LO_KEV) & (lo < ENERGY_HI_KEV)):
        raise InvalidSpectrumError(
            f"{name}: its channels cover {lo[0]:.3g}-{hi[-1]:.3g} keV, nothing inside 0.5-8 keV: "
            "give a spectrum of that band"
        )
    subtracted = text(row.header, "HDUCLAS2") == "NET"
    spectrum = Spectrum(
        counts=counts[order],
        energy_lo_kev=lo,
        energy_hi_kev=hi,
        exposure_s=exposure_s,
        background=background and replace(background, counts=background.counts[order]),
        energy_source=scale.source,
        warnings=(
            *scale.warnings,
            *trouble,
            *(["the background is already subtracted (HDUCLAS2 NET)"] if subtracted else []),
        ),
    )
    refuse_shapeless(name, spectrum)
    return spectrum


def _positions(name: str, channels: IntArray, scale: EnergyScale) -> tuple[IntArray, IntArray]:
    """Return rows of the energy table, ascending, and those of the spectrum they belong to."""
    by_number = np.argsort(scale.energies.channels, kind="stable")
    numbers = scale.energies.channels[by_number]
    found = np.minimum(np.searchsorted(numbers, channels), len(numbers) - 1)
    if np.any(numbers[found] != channels) or len(np.unique(channels)) != len(channels):
        raise InvalidSpectrumError(
            f"{name}: channels {channels.min()}-{channels.max()} do not match channels "
            f"{numbers[0]}-{numbers[-1]} of {scale.source} one to one: give the RMF made for this "
            "spectrum"
        )
    position = by_number[found]
    order = np.argsort(position, kind="stable")
    return position[order], order
