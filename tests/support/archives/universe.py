"""A small universe that the archives of tests agree on, in a file that other processes see, too.

Detection ``n`` is what it is by its number; the file holds only how many there are and what has
become of some of them.
"""

import gzip
import hashlib
import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from io import BytesIO

import numpy as np
from astropy.io import fits
from fits_files import ebounds_hdu, events_hdu, spectrum_hdu

from common.variables import VARIABLES

START = datetime(2001, 1, 1, tzinfo=UTC)
PER_OBI = 10
OBIS = 2
CHANNELS = 64
OTYPES = ("QSO", "HXB", "Star", "")
KINDS = ("hrc", "events", "bare", "broken", "misplaced", "lethal")
"""Without energies; event list only; no files; a page for a file; a position that is none; a
spectrum that kills whoever encodes it."""
LETHAL_EXPOSURE_S = 666.0
VERSION = "030"


class Universe:
    """What there is; ``Universe(file=path)`` sees what another process has made of it."""

    def __init__(self, detections=0, papers=0, file=None):
        self.file = file
        self.public_since = START + timedelta(days=365)
        self._state = {"detections": 0, "papers": [], "withdrawn": [], "names": {}, "otypes": {}}
        self._state |= {"doubled": {}, **{kind: [] for kind in KINDS}}
        if file is None or not file.exists():
            self._save()
        self.add_detections(detections)
        self.add_papers(papers, START)

    # What happens.

    def add_detections(self, n):
        self._change(detections=self._load()["detections"] + n)

    def add_papers(self, n, since=None):
        """Enter papers: now, or from a time on, one every six hours."""
        known = self._load()["papers"]
        times = [
            (since + i * timedelta(hours=6) if since else datetime.now(UTC)).isoformat()
            for i in range(n)
        ]
        self._change(papers=known + times)

    def withdraw(self, n):
        self._change(withdrawn=[*self._load()["withdrawn"], n])

    def rename(self, n, name):
        self._change(names=self._load()["names"] | {str(n): name})

    def reclassify(self, n, otype):
        self._change(otypes=self._load()["otypes"] | {str(n): otype})

    def double(self, n, rows):
        """Let the catalogue give a detection to several sources, each with a row of its own."""
        self._change(doubled=self._load()["doubled"] | {str(n): rows})

    def make(self, kind, *numbers):
        """Let detections be of one of `KINDS`."""
        self._change(**{kind: [*self._load()[kind], *numbers]})

    # What there is.

    @property
    def n_detections(self):
        return self._load()["detections"]

    def rows(self):
        """Return the rows of the catalogue, by its column names, in the order of its keys."""
        state = self._load()
        return [
            row | ({"name": f"{row['name']}{'abcdefghij'[i]}"} if i else {})
            for n in range(state["detections"])
            if n not in state["withdrawn"]
            for row in [_row(n, state)]
            for i in range(state["doubled"].get(str(n), 1))
        ]

    def sources(self):
        """Return the objects: name, position, type and papers; two detections belong to each."""
        state = self._load()
        return [
            {
                "name": state["names"].get(str(n), name_of(n)),
                "ra": position_of(n)[0],
                "dec": position_of(n)[1],
                "otype": state["otypes"].get(str(n), OTYPES[n // 2 % len(OTYPES)]),
                "bibcodes": [bibcode_of(n // 2)],
            }
            for n in range(0, state["detections"], 2)
        ]

    def papers(self):
        """Return the papers with the time at which each was entered."""
        return [
            {
                "bibcode": bibcode_of(n),
                "title": f"On source {n}",
                "abstract": f"Paper {n} is about source {n}, which varies and is obscured.",
                "year": 2000 + n % 25,
                "citation_count": n % 50,
                "entered_at": datetime.fromisoformat(at),
            }
            for n, at in enumerate(self._load()["papers"])
        ]

    def observations(self):
        """Return the observations by the archive's column names."""
        state = self._load()
        last = -(-state["detections"] // (PER_OBI * OBIS))
        return [
            {
                "obsid": obsid,
                "target_name": f"FIELD {obsid}",
                "ra": obsid % 360 + 0.25,
                "dec": obsid % 90 - 45.0,
                "instrument": "ACIS-S",
                "grating": "NONE",
                "exposure_time": 10.0 + obsid % 50,
                "start_date": START + timedelta(days=obsid),
                # Three at a time: data are released in batches.
                "public_avail": self.public_since + timedelta(days=3 * (obsid // 3)),
                "status": "archived",
            }
            for obsid in range(1, last + 1)
        ]

    def files(self, obsid, obi, region_id):
        """Return the files of a detection: content by name."""
        n = number_at(obsid, obi, region_id)
        state = self._load()
        if n >= state["detections"] or n in state["bare"]:
            return {}
        instrument = "hrc" if n in state["hrc"] else "acis"
        stem = f"{instrument}f{obsid:05d}_{obi:03d}N{VERSION}_r{region_id:04d}"
        named = {kind: f"{stem}_{kind}.fits" for kind in ("pha3", "arf3", "rmf3", "regevt3")}
        if n in state["broken"]:
            return {f"{named['pha3']}.gz": b"<html>Sorry</html>"}
        files = {f"{named['regevt3']}.gz": _events(n)}
        if n not in state["hrc"] and n not in state["events"]:
            files |= {
                f"{named['pha3']}.gz": _pha(
                    n,
                    obsid,
                    named["rmf3"],
                    named["arf3"],
                    LETHAL_EXPOSURE_S if n in state["lethal"] else 1000.0 + n % 100,
                ),
                f"{named['arf3']}.gz": _arf(),
                f"{named['rmf3']}.gz": _rmf(),
            }
        return files

    def _load(self):
        return self._state if self.file is None else json.loads(self.file.read_text())

    def _change(self, **changes):
        self._state = self._load() | changes
        self._save()

    def _save(self):
        if self.file is not None:
            fresh = self.file.with_name(f"{self.file.name}.new")
            fresh.write_text(json.dumps(self._state))
            fresh.replace(self.file)


def place_of(n):
    per_observation = PER_OBI * OBIS
    return n // per_observation + 1, n // PER_OBI % OBIS, n % PER_OBI + 1


def number_at(obsid, obi, region_id):
    return ((obsid - 1) * OBIS + obi) * PER_OBI + region_id - 1


def name_of(n):
    return f"2CXO J{n // 2:06d}.0+000000"


def position_of(n):
    """Return a position that no other object is near."""
    return (n // 2 * 0.61803) % 360, (n // 2 * 0.31) % 120 - 60


def bibcode_of(n):
    return f"{2000 + n % 25}ApJ...{n:05d}...A"


def _row(n, state):
    rng = np.random.default_rng(n)
    obsid, obi, region_id = place_of(n)
    ra, dec = position_of(n)
    row = {
        "name": state["names"].get(str(n), name_of(n)),
        "ra": ra,
        "dec": 123.0 if n in state["misplaced"] else dec,
        "pileup_flag": "FALSE",
        "obsid": obsid,
        "obi": obi,
        "region_id": region_id,
        "instrument": "HRC" if n in state["hrc"] else "ACIS",
        "detector": "ACIS-7",
        "gti_obs": (START + timedelta(days=obsid)).strftime("%Y-%m-%dT%H:%M:%S"),
        "livetime": 1000.0 + n % 100,
        "theta": round(float(rng.uniform(0, 10)), 3),
        "phi": 10.0,
        "src_cnts_aper_b": float(100 + n % 50),
        "flux_aper_b": 1e-14,
        "sat_src_flag": "FALSE",
    }
    for variable in VARIABLES:
        if rng.random() < 0.7:  # fits exist for few detections
            lowest, highest = max(variable.valid_min, -1), min(variable.valid_max, 3)
            row[variable.name] = round(float(rng.uniform(lowest, highest)), 4)
    return row


@lru_cache(512)
def _pha(n, obsid, rmf, arf, exposure_s):
    rng = np.random.default_rng(n)
    counts = rng.poisson(np.linspace(4, 0.2, CHANNELS) if n % 2 else 2.0, CHANNELS)
    return _file(
        spectrum_hdu(
            {"CHANNEL": np.arange(1, CHANNELS + 1), "COUNTS": counts},
            TELESCOP="CHANDRA",
            INSTRUME="ACIS",
            OBS_ID=str(obsid),
            DETCHANS=CHANNELS,
            EXPOSURE=exposure_s,
            RESPFILE=rmf,
            ANCRFILE=arf,
        )
    )


@lru_cache
def _rmf():
    edges = np.linspace(0.3, 9.9, CHANNELS + 1)
    return _file(ebounds_hdu(edges[:-1], edges[1:], TELESCOP="CHANDRA", INSTRUME="ACIS"))


@lru_cache
def _arf():
    energies = np.linspace(0.3, 9.9, 9)
    hdu = fits.BinTableHDU.from_columns(
        [
            fits.Column("ENERG_LO", "D", "keV", array=energies[:-1]),
            fits.Column("ENERG_HI", "D", "keV", array=energies[1:]),
            fits.Column("SPECRESP", "D", "cm**2", array=np.full(8, 400.0)),
        ]
    )
    hdu.header.update({"EXTNAME": "SPECRESP", "HDUCLAS1": "RESPONSE", "HDUCLAS2": "SPECRESP"})
    return _file(hdu)


@lru_cache(512)
def _events(n):
    energies = np.random.default_rng(n).uniform(500, 7000, 50)
    return _file(events_hdu(energies, OBS_ID=str(place_of(n)[0])))


def _file(hdu):
    buffer = BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer)
    return gzip.compress(buffer.getvalue(), mtime=0)


def etag_of(content):
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'
