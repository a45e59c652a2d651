"""Catalogue tables, and which of their rows a spectrum belongs to."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.errors import InvalidTableError
from common.records import Detection, MatchedBy, Refusal, catalogue_key
from ingest.catalogue.rows import KEY_COLUMNS, TELESCOPE, UNITS, UNKNOWN, missing_columns, rows_of
from ingest.catalogue.tables import read_table

FloatArray = npt.NDArray[np.float64]

DEFAULT_RADIUS_ARCSEC = 3.0


def read_catalogue(path: Path, release: str | None = None) -> "Catalogue":
    """Read a table of detections (``obsid``, ``obi``, ``region_id``) or of sources (none of them).

    Parameters
    ----------
    path : Path
        CSV, ECSV, FITS or VOTable, gzipped or not, with the column names of the Chandra Source
        Catalog.
    release : str, optional
        Catalogue release of rows whose table does not say; else it is taken from the file name.

    Returns
    -------
    Catalogue
        Its rows, and those refused with the reason.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InvalidTableError
        If the file cannot be read, or lacks columns.
    """
    table = read_table(path, UNITS)
    return Catalogue(*rows_of(table, release))


def read_detections(path: Path, release: str | None = None) -> "Catalogue":
    """Read a table that must hold detections; as `read_catalogue` otherwise."""
    table = read_table(path, UNITS)
    if lacking := [name for name in KEY_COLUMNS if name not in table.columns]:
        raise InvalidTableError(
            missing_columns(table, lacking) + "; a table of sources can only be joined to spectra"
        )
    return Catalogue(*rows_of(table, release))


class Catalogue:
    """Rows of one or more tables, found by detection, by source name and by position.

    Attributes
    ----------
    detections : list of Detection
        The detections, each once; rows that describe a source only are not among them.
    refused : list of Refusal
        Rows that cannot be used.
    """

    def __init__(self, rows: Iterable[Detection], refused: Iterable[Refusal] = ()) -> None:
        self._rows = list(rows)
        self.refused = list(refused)
        self._by_key: dict[str, Detection] = {}
        self._by_name: defaultdict[str, list[Detection]] = defaultdict(list)
        for row in self._rows:
            if row.key:
                self._by_key.setdefault(row.key, row)
            if row.source_name:
                self._by_name[_fold_name(row.source_name)].append(row)
        self.detections = list(self._by_key.values())
        located = [i for i, row in enumerate(self._rows) if row.ra_deg is not None]
        ra = np.array([self._rows[i].ra_deg for i in located], dtype=np.float64)
        dec = np.array([self._rows[i].dec_deg for i in located], dtype=np.float64)
        order = np.argsort(dec, kind="stable")
        self._located = np.array(located, dtype=np.int64)[order]
        self._dec = dec[order]
        self._vectors = unit_vectors(ra[order], dec[order])

    @classmethod
    def merge(cls, catalogues: Sequence["Catalogue"]) -> "Catalogue":
        """Return one catalogue of several; of equally good matches, the first table's wins."""
        return cls(
            (row for catalogue in catalogues for row in catalogue._rows),
            (refusal for catalogue in catalogues for refusal in catalogue.refused),
        )

    def match(
        self,
        detection: Detection,
        *,
        source_name: str | None = None,
        target_ra_deg: float | None = None,
        target_dec_deg: float | None = None,
        radius_arcsec: float = DEFAULT_RADIUS_ARCSEC,
    ) -> Detection:
        """Return a copy of a detection completed from its row, unchanged if there is none.

        It is looked for by detection, then by source name, then by position, nearest first; rows
        of the same observation come before others. A row of the same observation *is* the
        detection, which takes over its key and all its values. Other rows tell only about the
        source, and of these a row of another observation gives name, position and class alone: its
        values were measured on another spectrum.

        A position that the detection has itself is used; else the target of the observation,
        unless the spectrum is known to be of some other region.
        """
        if row := self._same_detection(detection):
            return _adopt(detection, row, "detection")
        name = detection.source_name or source_name
        if name and (rows := self._named(name)):
            return _complete(detection, rows, "source_name")
        ra_deg, dec_deg = detection.ra_deg, detection.dec_deg
        if ra_deg is None and detection.region_id is None:
            ra_deg, dec_deg = target_ra_deg, target_dec_deg
        if ra_deg is None or dec_deg is None:
            return detection
        rows = self.within(ra_deg, dec_deg, radius_arcsec)
        return _complete(detection, rows, "position") if rows else detection

    def within(self, ra_deg: float, dec_deg: float, radius_arcsec: float) -> list[Detection]:
        """Return the rows within a great-circle distance of an ICRS position, nearest first."""
        # A band in declination needs no care at the poles or at RA 0, and holds few rows.
        margin = radius_arcsec / 3600.0 * (1.0 + 1e-9) + 1e-9
        band = slice(*np.searchsorted(self._dec, [dec_deg - margin, dec_deg + margin]))
        target = unit_vectors(np.array([ra_deg]), np.array([dec_deg]))
        chord = np.linalg.norm(self._vectors[band] - target, axis=1)
        distance = np.degrees(2.0 * np.arcsin(np.minimum(chord / 2.0, 1.0))) * 3600.0
        rows = self._located[band]
        order = np.lexsort((rows, distance))
        return [self._rows[i] for i in rows[order[distance[order] <= radius_arcsec]].tolist()]

    def _same_detection(self, detection: Detection) -> Detection | None:
        ids = detection.release, detection.obsid, detection.obi, detection.region_id
        release, obsid, obi, region_id = ids
        if release is None or obsid is None or obi is None or region_id is None:
            return None
        return self._by_key.get(catalogue_key(release, obsid, obi, region_id))

    def _named(self, name: str) -> list[Detection]:
        # The X that ends the name of an extended source is often left out; a point source may have
        # the same name without it, and then it is that one.
        folded = _fold_name(name)
        return self._by_name.get(folded) or self._by_name.get(folded + "X") or []


def unit_vectors(ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
    """Return positions in degrees, shape (n,), as vectors on the unit sphere, shape (n, 3)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def _fold_name(name: str) -> str:
    return re.sub(r"^[12]?CXOU?(?=J\d)", "", re.sub(r"\s+", "", name).upper())


def _is_same_observation(detection: Detection, row: Detection) -> bool:
    return (
        row.obsid is not None
        and row.obsid == detection.obsid
        and detection.telescope.upper() == TELESCOPE  # other observatories number theirs too
        and (row.instrument == UNKNOWN or detection.instrument.upper().startswith(row.instrument))
        and all(
            mine is None or mine == its
            for mine, its in ((detection.obi, row.obi), (detection.region_id, row.region_id))
        )
    )


def _complete(detection: Detection, rows: Sequence[Detection], by: MatchedBy) -> Detection:
    """Complete a detection from rows that may be its source's, the best first."""
    own = [row for row in rows if _is_same_observation(detection, row)]
    # Of a source observed in several intervals, nothing tells which of them this spectrum is from.
    if own and len({row.key for row in own if row.source_name == own[0].source_name}) == 1:
        return _adopt(detection, own[0], by)
    return _describe(detection, (own or rows)[0], by)


def _adopt(detection: Detection, row: Detection, by: MatchedBy) -> Detection:
    """Return the row as the spectrum's detection; what its own file says of it stays."""
    return replace(
        row,
        telescope=detection.telescope,
        instrument=detection.instrument,
        observed_at=detection.observed_at or row.observed_at,
        exposure_s=detection.exposure_s or row.exposure_s,
        source_class=row.source_class or detection.source_class,
        catalogue={**row.catalogue, **detection.catalogue},
        bibcodes=tuple(dict.fromkeys(row.bibcodes + detection.bibcodes)),
        simulated=detection.simulated,
        matched_by=by,
    )


def _describe(detection: Detection, row: Detection, by: MatchedBy) -> Detection:
    """Return the detection with what a row tells about its source."""
    described = replace(
        detection,
        source_name=row.source_name or detection.source_name,
        ra_deg=detection.ra_deg if row.ra_deg is None else row.ra_deg,
        dec_deg=detection.dec_deg if row.dec_deg is None else row.dec_deg,
        source_class=row.source_class or detection.source_class,
        bibcodes=tuple(dict.fromkeys(row.bibcodes + detection.bibcodes)),
        matched_by=by,
    )
    if row.obsid is not None:
        return described
    return replace(
        described,
        variables={**row.variables, **detection.variables},
        catalogue={**row.catalogue, **detection.catalogue},
    )
