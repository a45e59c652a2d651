"""Small OGIP files, as odd as a test needs them."""

import csv
import gzip

import numpy as np
from astropy.io import fits

N_CHANNEL = 16
EDGES_KEV = np.linspace(0.3, 8.3, N_CHANNEL + 1)
COUNTS = np.arange(N_CHANNEL)


def column(name, values, unit=None):
    values = np.asarray(values)
    kind = {"i": "J", "f": "D"}[values.dtype.kind]
    repeat = values.shape[1] if values.ndim == 2 else ""
    return fits.Column(name, f"{repeat}{kind}", unit, array=values)


def spectrum_hdu(columns=None, **keywords):
    """Return a type I SPECTRUM extension of an instrument without nominal energies."""
    columns = {"CHANNEL": np.arange(1, N_CHANNEL + 1), "COUNTS": COUNTS} | (columns or {})
    hdu = fits.BinTableHDU.from_columns([column(n, v) for n, v in columns.items() if v is not None])
    header = {
        "EXTNAME": "SPECTRUM",
        "HDUCLASS": "OGIP",
        "HDUCLAS1": "SPECTRUM",
        "HDUCLAS2": "TOTAL",
        "TELESCOP": "NUSTAR",
        "INSTRUME": "FPMA",
        "OBS_ID": "60001",
        "CHANTYPE": "PI",
        "DETCHANS": N_CHANNEL,
        "EXPOSURE": 1000.0,
        "RESPFILE": "small.rmf",
    } | keywords
    hdu.header.update({name: value for name, value in header.items() if value is not None})
    return hdu


def ebounds_hdu(lo=EDGES_KEV[:-1], hi=EDGES_KEV[1:], channels=None, unit="keV", **keywords):
    channels = np.arange(1, len(lo) + 1) if channels is None else channels
    hdu = fits.BinTableHDU.from_columns(
        [column("CHANNEL", channels), column("E_MIN", lo, unit), column("E_MAX", hi, unit)]
    )
    hdu.header.update({"EXTNAME": "EBOUNDS", "HDUCLAS1": "RESPONSE", "HDUCLAS2": "EBOUNDS"})
    hdu.header.update({"INSTRUME": "FPMA"} | keywords)
    return hdu


def events_hdu(energy_ev, unit="eV", **keywords):
    hdu = fits.BinTableHDU.from_columns([column("ENERGY", np.asarray(energy_ev, float), unit)])
    header = {"EXTNAME": "EVENTS", "TELESCOP": "CHANDRA", "INSTRUME": "ACIS", "OBS_ID": "1"}
    hdu.header.update(header | {"EXPOSURE": 100.0} | keywords)
    return hdu


def write(path, *hdus, primary=None):
    """Write a file; gzipped if its name says so."""
    first = fits.PrimaryHDU()
    first.header.update(primary or {})
    fits.HDUList([first, *hdus]).writeto(path)
    return path


def gzip_to(path, content):
    path.write_bytes(gzip.compress(content, mtime=0))
    return path


def read_manifest(shared_data):
    """Return the rows of the manifest of real spectra by set."""
    with (shared_data / "spectra" / "MANIFEST.csv").open(newline="") as file:
        return {row["set"]: row for row in csv.DictReader(file)}
