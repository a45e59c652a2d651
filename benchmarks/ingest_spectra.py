"""Reading + binning + encoding + upserting spectra from disk, beside astropy opening them alone.

Run: python benchmarks/ingest_spectra.py [--files 512]

The files are PHA files of 1,024 channels with a shared RMF, written here; both sides read the same
files in the same run, turn about, so that the ratio holds on any machine.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits

from search.settings import SearchSettings
from workers.bootstrap import open_pipeline

N_CHANNELS = 1024
EV_PER_CHANNEL = 14.6


def write_files(folder: Path, n_files: int) -> list[Path]:
    """Write PHA files of Poisson counts, and the RMF they name."""
    edges = np.arange(N_CHANNELS + 1) * EV_PER_CHANNEL / 1000
    channel = fits.Column("CHANNEL", "J", array=np.arange(1, N_CHANNELS + 1))
    bounds = [
        fits.Column("E_MIN", "E", unit="keV", array=edges[:-1]),
        fits.Column("E_MAX", "E", unit="keV", array=edges[1:]),
    ]
    ebounds = fits.BinTableHDU.from_columns([channel, *bounds], name="EBOUNDS")
    ebounds.header.update(HDUCLASS="OGIP", HDUCLAS1="RESPONSE", HDUCLAS2="EBOUNDS")
    ebounds.header.update(DETCHANS=N_CHANNELS, CHANTYPE="PI")
    fits.HDUList([fits.PrimaryHDU(), ebounds]).writeto(folder / "all.rmf")
    rng = np.random.default_rng(0)
    model = 40 * np.exp(-edges[1:] / 2)
    for number in range(n_files):
        counts = fits.Column("COUNTS", "J", array=rng.poisson(model))
        spectrum = fits.BinTableHDU.from_columns([channel, counts], name="SPECTRUM")
        spectrum.header.update(HDUCLASS="OGIP", HDUCLAS1="SPECTRUM", HDUCLAS2="TOTAL")
        spectrum.header.update(TELESCOP="CHANDRA", INSTRUME="ACIS", DETCHANS=N_CHANNELS)
        spectrum.header.update(CHANTYPE="PI", EXPOSURE=1e4, OBS_ID=str(number), RESPFILE="all.rmf")
        spectrum.header.update(BACKFILE="none", ANCRFILE="none", BACKSCAL=1.0, AREASCAL=1.0)
        fits.HDUList([fits.PrimaryHDU(), spectrum]).writeto(folder / f"{number:05d}.pha")
    return sorted(folder.glob("*.pha"))


def open_with_astropy(files: list[Path]) -> None:
    """Open each file and touch its counts, nothing else."""
    for path in files:
        with fits.open(path) as hdus:
            np.asarray(hdus["SPECTRUM"].data["COUNTS"]).sum()


def seconds(work: Callable[[], None]) -> float:
    """Return how long some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Run both sides turn about and print rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        files = write_files(Path(temporary), options.files)
        ours, alone, again = [], [], []
        for number in range(options.rounds + 1):  # the first round warms caches and torch up
            settings = SearchSettings(data_dir=Path(temporary) / f"store{number}")
            with open_pipeline(settings) as pipeline:
                alone.append(seconds(lambda: open_with_astropy(files)))
                ours.append(seconds(lambda p=pipeline: list(p.ingest_spectra(files))))
                again.append(seconds(lambda p=pipeline: list(p.ingest_spectra(files))))
        for name, times in (
            ("astropy opens the files alone", alone),
            ("read + bin + encode + upsert", ours),
            ("the same again, all unchanged", again),
        ):
            median = statistics.median(times[1:])
            ratio = median / statistics.median(alone[1:])
            print(
                f"{name:32s} {options.files / median:8.0f} files/s   {ratio:5.2f} x astropy's time"
            )


if __name__ == "__main__":
    main()
