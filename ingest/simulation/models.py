"""Photon spectra of X-ray sources: absorption, power law, disc, black body, thermal plasma.

Every emission model returns photons per keV on ``ENERGY_KEV`` with an arbitrary scale; `normalise`
scales it to one photon between 0.5 and 8 keV, so that components can be mixed by their share.
"""

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

Model = Callable[..., FloatArray]

STEP_KEV = 0.01
ENERGY_KEV: FloatArray = np.arange(0.1 + STEP_KEV / 2, 10.0, STEP_KEV)  # (990,), centres
IRON_LINE_KEV = 6.4

_FINE_STEP_KEV, _FINE_STEPS = 0.0005, 200_000
_LINE_REACH = 6  # steps either side of a line

# Morrison & McCammon (1983), table 2: lower edge in keV and the coefficients of
# sigma(E) = (c0 + c1 E + c2 E^2) / E^3 in 1e-24 cm^2 per hydrogen atom.
_CROSS_SECTION: FloatArray = np.array(
    [
        (0.030, 17.3, 608.1, -2150.0),
        (0.100, 34.6, 267.9, -476.1),
        (0.284, 78.1, 18.8, 4.3),
        (0.400, 71.4, 66.8, -51.4),
        (0.532, 95.5, 145.8, -61.1),
        (0.707, 308.9, -380.6, 294.0),
        (0.867, 120.6, 169.3, -47.7),
        (1.303, 141.3, 146.8, -31.5),
        (1.840, 202.7, 104.7, -17.0),
        (2.471, 342.7, 18.7, 0.0),
        (3.210, 352.2, 18.7, 0.0),
        (4.038, 433.9, -2.4, 0.75),
        (7.111, 629.0, 30.9, 0.0),
        (8.331, 701.2, 25.2, 0.0),
    ]
)

# Strong lines and line groups of a collisionally ionised plasma of solar composition: energy in
# keV, log10 of the temperature of peak emissivity in K, peak emissivity in photon cm^3 / s, and
# the width of the peak in dex. Rounded from AtomDB (Smith et al. 2001); He-like triplets and the
# Fe-L multiplets are summed, which is all a CCD resolves.
_LINES: FloatArray = np.array(
    [
        (0.500, 6.30, 7.0e-16, 0.28),  # N VII
        (0.568, 6.32, 3.2e-15, 0.18),  # O VII
        (0.654, 6.50, 2.2e-15, 0.26),  # O VIII
        (0.774, 6.60, 3.0e-16, 0.26),  # O VIII beta
        (0.730, 6.73, 2.4e-15, 0.16),  # Fe XVII 3s-2p
        (0.822, 6.75, 1.7e-15, 0.16),  # Fe XVII 3d-2p
        (0.870, 6.86, 9.0e-16, 0.14),  # Fe XVIII
        (0.915, 6.92, 8.0e-16, 0.13),  # Fe XIX
        (0.964, 6.98, 7.5e-16, 0.13),  # Fe XX
        (1.010, 7.05, 7.0e-16, 0.13),  # Fe XXI
        (1.055, 7.10, 5.5e-16, 0.13),  # Fe XXII
        (1.125, 7.18, 4.5e-16, 0.15),  # Fe XXIII
        (1.165, 7.27, 4.0e-16, 0.20),  # Fe XXIV
        (0.915, 6.60, 6.5e-16, 0.18),  # Ne IX
        (1.022, 6.76, 3.9e-16, 0.26),  # Ne X
        (1.345, 6.81, 2.2e-16, 0.19),  # Mg XI
        (1.472, 6.98, 1.6e-16, 0.26),  # Mg XII
        (1.855, 7.00, 2.7e-16, 0.19),  # Si XIII
        (2.005, 7.19, 1.5e-16, 0.27),  # Si XIV
        (2.450, 7.18, 1.0e-16, 0.19),  # S XV
        (2.622, 7.38, 6.0e-17, 0.28),  # S XVI
        (3.130, 7.33, 2.0e-17, 0.20),  # Ar XVII
        (3.321, 7.54, 1.1e-17, 0.28),  # Ar XVIII
        (3.890, 7.46, 1.3e-17, 0.20),  # Ca XIX
        (4.105, 7.68, 7.0e-18, 0.28),  # Ca XX
        (6.680, 7.78, 5.5e-17, 0.24),  # Fe XXV
        (6.965, 8.08, 2.2e-17, 0.28),  # Fe XXVI
        (7.880, 7.82, 7.0e-18, 0.24),  # Fe XXV beta
    ]
)
# Families of lines of hot or photoionised gas: energies in keV, strengths relative to the first.
FAMILIES: Mapping[str, FloatArray] = MappingProxyType(
    {
        "oxygen": np.array(
            [(0.568, 1.0), (0.654, 0.8), (0.774, 0.1), (0.915, 0.6), (1.022, 0.45), (1.345, 0.3)]
        ),
        "silicon": np.array([(1.855, 1.0), (2.005, 0.08), (2.182, 0.12), (1.345, 0.25)]),
        "sulphur": np.array(
            [(2.450, 1.0), (2.622, 0.06), (2.884, 0.1), (3.130, 0.4), (3.890, 0.3)]
        ),
    }
)
_OXYGEN_EDGES_KEV = ((0.739, 1.0), (0.871, 0.6))  # O VII and O VIII, and depths of a typical ratio
_THOMSON_CM2 = 8.0e-25  # per hydrogen atom
_KELVIN_PER_KEV = 1.16045e7
_BREMSSTRAHLUNG = 4.2e-15  # photon cm^3 / s / keV at 1 keV for kT = 1 keV, H and He


def cross_section(energy_kev: FloatArray) -> FloatArray:
    """Return the photoelectric cross-section of interstellar matter in cm^2 per H atom.

    Parameters
    ----------
    energy_kev : ndarray of float64, any shape
        Photon energies; above 10 keV the last polynomial is continued.

    Returns
    -------
    ndarray of float64
        Same shape.

    References
    ----------
    .. [1] Morrison & McCammon 1983, ApJ 270, 119 (1983ApJ...270..119M), table 2.
    """
    row = np.maximum(np.searchsorted(_CROSS_SECTION[:, 0], energy_kev, side="right") - 1, 0)
    c0, c1, c2 = np.moveaxis(_CROSS_SECTION[row, 1:], -1, 0)
    return np.asarray(1e-24 * (c0 + c1 * energy_kev + c2 * energy_kev**2) / energy_kev**3)


def transmission(nh_cm2: npt.ArrayLike, redshift: npt.ArrayLike = 0.0) -> FloatArray:
    """Return the fraction of photons that passes a column of gas.

    Parameters
    ----------
    nh_cm2, redshift : array_like, shape (n,)
        Hydrogen column density in cm^-2 and redshift of the absorber.

    Returns
    -------
    ndarray of float64, shape (n, n_energy)
        Between 0 and 1.
    """
    nh, z = np.broadcast_arrays(np.atleast_1d(nh_cm2), np.atleast_1d(redshift))
    if not np.any(z):
        return np.asarray(np.exp(-nh[:, None] * cross_section(ENERGY_KEV)))
    energy = ENERGY_KEV * (1 + z[:, None])
    nearest = np.rint(energy / _FINE_STEP_KEV).astype(np.int64)
    sigma = _fine_cross_section()[np.minimum(nearest, _FINE_STEPS - 1)]
    return np.asarray(np.exp(-nh[:, None] * sigma))


@cache
def _fine_cross_section() -> FloatArray:
    """Tabulate the cross-section at multiples of a small step: a look-up is faster than a sum."""
    return cross_section(np.maximum(np.arange(_FINE_STEPS), 1) * _FINE_STEP_KEV)


def warm_transmission(tau: npt.ArrayLike, redshift: npt.ArrayLike = 0.0) -> FloatArray:
    """Return the fraction of photons that passes ionised gas: its oxygen edges.

    Parameters
    ----------
    tau, redshift : array_like, shape (n,)
        Optical depth at the O VII edge, 0.739 keV, and redshift of the gas.

    Returns
    -------
    ndarray of float64, shape (n, n_energy)
        Between 0 and 1.

    References
    ----------
    .. [1] Reynolds 1997, MNRAS 286, 513 (1997MNRAS.286..513R).
    """
    depth, z = np.broadcast_arrays(np.atleast_1d(tau), np.atleast_1d(redshift))
    energy = ENERGY_KEV * (1 + z[:, None])
    total = sum(
        share * np.where(energy >= edge, (energy / edge) ** -3, 0.0)
        for edge, share in _OXYGEN_EDGES_KEV
    )
    return np.asarray(np.exp(-depth[:, None] * total))


def albedo(redshift: npt.ArrayLike = 0.0) -> FloatArray:
    """Return the fraction of photons that cold thick gas at a redshift scatters, not absorbs.

    Half of the photons go into the gas for good; of the others, scattering competes with
    photoelectric absorption. Shape (n, n_energy).

    References
    ----------
    .. [1] Lightman & White 1988, ApJ 335, 57 (1988ApJ...335...57L).
    """
    absorbed = cross_section(ENERGY_KEV * (1 + np.atleast_1d(redshift)[:, None]))
    return np.asarray(0.5 * _THOMSON_CM2 / (_THOMSON_CM2 + absorbed))


def power_law(gamma: npt.ArrayLike) -> FloatArray:
    """Return ``E**-gamma`` for photon indices of shape (n,), shape (n, n_energy)."""
    return np.asarray(np.exp(-np.atleast_1d(gamma)[:, None] * np.log(ENERGY_KEV)))


def black_body(kt_kev: npt.ArrayLike) -> FloatArray:
    """Return ``E**2 / (exp(E/kT) - 1)`` for temperatures of shape (n,), shape (n, n_energy)."""
    return _planck(ENERGY_KEV / np.atleast_1d(kt_kev)[:, None])


def disc(kt_in_kev: npt.ArrayLike) -> FloatArray:
    """Return the multicolour disc black body.

    Parameters
    ----------
    kt_in_kev : array_like, shape (n,)
        Temperature of the inner edge.

    Returns
    -------
    ndarray of float64, shape (n, n_energy)
        ``E**2`` times the integral of ``t**(-11/3) / (exp(E / (t kT)) - 1)`` over t from 0 to 1.

    References
    ----------
    .. [1] Mitsuda et al. 1984, PASJ 36, 741 (1984PASJ...36..741M), equation 4.
    """
    x = ENERGY_KEV / np.atleast_1d(kt_in_kev)[:, None]
    return np.asarray(np.exp(np.interp(np.log(x), _DISC_LOG_X, _DISC_LOG_FLUX)))


def bremsstrahlung(kt_kev: npt.ArrayLike, redshift: npt.ArrayLike = 0.0) -> FloatArray:
    """Return thermal bremsstrahlung of hydrogen and helium.

    Parameters
    ----------
    kt_kev, redshift : array_like, shape (n,)
        Plasma temperature and redshift.

    Returns
    -------
    ndarray of float64, shape (n, n_energy)
        Photon cm^3 / s / keV per electron and hydrogen atom, with the Gaunt factor taken as
        ``0.9 (E/kT)**-0.3``, within 25% of the Born approximation for E/kT from 0.03 to 3.

    References
    ----------
    .. [1] Rybicki & Lightman 1979, Radiative Processes in Astrophysics, section 5.2.
    """
    kt, z = np.broadcast_arrays(np.atleast_1d(kt_kev), np.atleast_1d(redshift))
    energy = ENERGY_KEV * (1 + z[:, None])
    x = energy / kt[:, None]
    return np.asarray(
        _BREMSSTRAHLUNG * 0.9 * x**-0.3 * np.exp(-x) / (energy * np.sqrt(kt[:, None]))
    )


def plasma(
    kt_kev: npt.ArrayLike, abundance: npt.ArrayLike = 1.0, redshift: npt.ArrayLike = 0.0
) -> FloatArray:
    """Return an optically thin thermal plasma: bremsstrahlung and its strongest lines.

    Parameters and units are those of `bremsstrahlung` and `plasma_lines`; shape (n, n_energy).

    References
    ----------
    .. [1] Smith et al. 2001, ApJ 556, L91 (2001ApJ...556L..91S).
    """
    kt, metals, z = np.broadcast_arrays(
        np.atleast_1d(kt_kev), np.atleast_1d(abundance), np.atleast_1d(redshift)
    )
    return bremsstrahlung(kt, z) + plasma_lines(kt, metals, z)


def plasma_lines(kt_kev: FloatArray, abundance: FloatArray, redshift: FloatArray) -> FloatArray:
    """Return the strongest lines of an optically thin thermal plasma.

    Parameters
    ----------
    kt_kev, abundance, redshift : ndarray of float64, shape (n,)
        Temperature, abundance of elements above helium relative to solar, and redshift.

    Returns
    -------
    ndarray of float64, shape (n, n_energy)
        Photon cm^3 / s / keV per electron and hydrogen atom.
    """
    energy, log_peak, peak, width = _LINES.T
    log_t = np.log10(kt_kev * _KELVIN_PER_KEV)[:, None]
    # Beyond its peak an ion survives longer than a Gaussian: recombination is slow.
    dex = np.where(log_t > log_peak, 1.4 * width, width)  # (n, n_line)
    emissivity = abundance[:, None] * peak * np.exp(-0.5 * ((log_t - log_peak) / dex) ** 2)
    spectrum = np.zeros((len(kt_kev), len(ENERGY_KEV)))
    for line, strength in zip(energy, emissivity.T, strict=True):
        add_line(spectrum, line / (1 + redshift), strength)
    return spectrum


def add_line(spectrum: FloatArray, energy_kev: npt.ArrayLike, photons: npt.ArrayLike) -> None:
    """Add a narrow line to each spectrum, in place.

    Parameters
    ----------
    spectrum : ndarray of float64, shape (n, n_energy)
        Photons per keV.
    energy_kev, photons : array_like, shape (n,)
        Energy of the line and photons in it. Lines off the grid are left out.
    """
    energy, strength = np.broadcast_arrays(np.atleast_1d(energy_kev), np.atleast_1d(photons))
    near = np.arange(-_LINE_REACH, _LINE_REACH + 1)
    column = np.searchsorted(ENERGY_KEV, energy)[:, None] + near  # (n, 2 reach + 1)
    inside = (column[:, 0] >= 0) & (column[:, -1] < len(ENERGY_KEV))
    row, column = np.flatnonzero(inside)[:, None], column[inside]
    # One step wide: narrower, a line would lose photons between grid points.
    offset = (ENERGY_KEV[column] - energy[row]) / STEP_KEV
    profile = np.exp(-0.5 * offset**2) / (STEP_KEV * np.sqrt(2 * np.pi))
    spectrum[row, column] += strength[row] * profile


def normalise(spectrum: FloatArray) -> FloatArray:
    """Scale spectra, shape (n, n_energy), to one photon between 0.5 and 8 keV."""
    return np.asarray(spectrum / photons_in_band(spectrum)[:, None])


def photons_in_band(spectrum: FloatArray) -> FloatArray:
    """Return the photons between 0.5 and 8 keV of spectra of shape (n, n_energy), shape (n,)."""
    band = (ENERGY_KEV > 0.5) & (ENERGY_KEV < 8.0)
    return np.asarray(spectrum[:, band].sum(axis=1) * STEP_KEV)


def _planck(x: FloatArray) -> FloatArray:
    return np.asarray(x**2 / np.expm1(np.minimum(x, 600.0)))


def _disc_table() -> tuple[FloatArray, FloatArray]:
    """Tabulate the disc integral against x = E / kT_in: it depends on nothing else."""
    x = np.geomspace(1e-3, 500.0, 200)
    t = np.geomspace(1e-4, 1.0, 2000)
    integrand = t ** (-11 / 3) / np.expm1(np.minimum(x[:, None] / t, 600.0))
    # The tail underflows to zero far beyond any band; the floor keeps its logarithm finite.
    return np.log(x), np.log(np.maximum(x**2 * np.trapezoid(integrand, t, axis=1), 1e-300))


_DISC_LOG_X, _DISC_LOG_FLUX = _disc_table()
