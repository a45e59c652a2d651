"""The Chandra Source Catalog, row by row: every detection of a source, page after page."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from astropy.table import Table

from common.errors import ArchiveError, InputError, InvalidTableError
from common.records import Detection, Refusal, catalogue_key
from common.variables import VARIABLE_NAMES
from ingest.archives.http_session import CutShortError, PoliteSession
from ingest.archives.pacing import Courtesy
from ingest.archives.settings import ArchiveSettings, CatalogVersion
from ingest.archives.tap import query
from ingest.catalogue.rows import KEY_COLUMNS, UNITS, rows_in_place
from ingest.catalogue.tables import columns_of, numbers

Key = tuple[int, int, int]
"""obsid, obi, region_id."""


@dataclass(frozen=True, slots=True)
class _Release:
    """How a release is asked for, and the release that keys of its detections name."""

    schema: str
    key: str


# csc21 is documented. csc2 is the name in other people's queries to the service of release 2.0,
# http://cda.cfa.harvard.edu/csc2tap, to which CHANDRA_CSC_TAP_URL has to point then. That the
# service of 2.1 also holds what is processed since, which csccli calls cur, is inferred; it goes
# on with the numbering of 2.1, so that a detection keeps its key when the next release has it.
_RELEASES: Final[dict[CatalogVersion, _Release]] = {
    "rel2.0": _Release("csc2", "2.0"),
    "rel2.1": _Release("csc21", "2.1"),
    "cur": _Release("csc21", "2.1"),
}

_MASTER = ("name", "ra", "dec", "pileup_flag")
_LIMITED = (
    *("hard_hs", "hard_ms", "hard_hm", "powlaw_gamma", "powlaw_nh", "bb_kt", "bb_nh"),
    *("brems_kt", "brems_nh", "apec_kt", "apec_abund", "apec_z", "apec_nh"),
)
"""Variables that have 68% limits."""
_OBSERVATION = (
    *KEY_COLUMNS,
    *("instrument", "detector", "gti_obs", "livetime", "theta", "phi"),
    *("src_cnts_aper_b", "src_cnts_aper_lolim_b", "src_cnts_aper_hilim_b"),
    *("flux_aper_b", "flux_aper_lolim_b", "flux_aper_hilim_b"),
    *("sat_src_flag", "streak_src_flag", "dither_warning_flag"),
    *VARIABLE_NAMES,
    *(f"{name}_{limit}" for name in _LIMITED for limit in ("lolim", "hilim")),
)
_ROW_NUMBERS = re.compile(r"(?<=rows) \([\d, …]+\)")
_SELECTED = ", ".join([f"m.{name}" for name in _MASTER] + [f"o.{name}" for name in _OBSERVATION])


class CSCArchive:
    """The catalogue at its own archive.

    Parameters
    ----------
    settings : ArchiveSettings
        Where it is.
    courtesy : Courtesy
        Asked before each request, as ``csc``.
    """

    def __init__(self, settings: ArchiveSettings, courtesy: Courtesy) -> None:
        self._settings = settings
        self._session = PoliteSession("csc", settings, courtesy)

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def detections(
        self, after: Key | None = None, page: int = 5000, catalog: str | None = None
    ) -> Iterator[list[Detection | Refusal]]:
        """Yield pages of rows in the order of their keys, until there are no more.

        Parameters
        ----------
        after : tuple of int or None
            Only rows with a greater (obsid, obi, region_id); None is the beginning.
        page : int
            Rows a request.
        catalog : str or None
            Release, ``rel2.0``, ``rel2.1`` or ``cur``; None is that of the settings.

        Yields
        ------
        list of Detection or Refusal
            Each detection once. A refusal bears the key of its detection.

        Raises
        ------
        ArchiveError
            If the archive does not answer, or what it answers is not in order.
        """
        name = catalog or self._settings.csc_catalog
        release = next((one for known, one in _RELEASES.items() if known == name), None)
        if release is None:
            raise InputError(f"no catalogue {name!r}: give one of {', '.join(_RELEASES)}")
        size = page
        while True:
            try:
                table = query(
                    self._session, str(self._settings.csc_tap_url), _question(release, after, size)
                )
            except CutShortError:
                if size == 1 or size > page:
                    raise
                page = size = size // 2  # the service has a limit of its own
                continue
            if not len(table):
                return  # a short page is no end: services have limits of their own
            keys = _keys(table)
            if keys != sorted(keys) or (after is not None and keys[0] <= after):
                raise ArchiveError(
                    f"csc answers rows {keys[0]} to {keys[-1]} to a question for those after "
                    f"{after}: they are not in order, or not what was asked for"
                )
            # The rows of the last key may go on beyond this page: they are read with the next.
            whole = keys.index(keys[-1]) or len(keys)
            if whole == len(table) == size:  # all rows are of one key, and there may be more
                size *= 2
                continue
            yield _convert(table[:whole], keys[:whole], release)
            after, size = keys[whole - 1], page


def _question(release: _Release, after: Key | None, page: int) -> str:
    """Return the question for a page, joined as the archive's own examples do."""
    beyond = ""
    if after is not None:
        obsid, obi, region_id = after
        beyond = (
            f" AND (o.obsid > {obsid} OR (o.obsid = {obsid} AND (o.obi > {obi}"
            f" OR (o.obi = {obi} AND o.region_id > {region_id}))))"
        )
    schema = release.schema
    return (
        f"SELECT TOP {page} {_SELECTED} "
        f"FROM {schema}.master_source m, {schema}.master_stack_assoc a, {schema}.stack_source s, "
        f"{schema}.stack_observation_assoc b, {schema}.observation_source o "
        "WHERE a.match_type = 'u' AND m.name = a.name "
        "AND s.detect_stack_id = a.detect_stack_id AND s.region_id = a.region_id "
        "AND s.detect_stack_id = b.detect_stack_id AND s.region_id = b.region_id "
        f"AND o.obsid = b.obsid AND o.obi = b.obi AND o.region_id = b.region_id{beyond} "
        "ORDER BY o.obsid, o.obi, o.region_id"
    )


def _keys(table: Table) -> list[Key]:
    """Return the keys of the rows."""
    found = [name for name in table.colnames if name.lower() in KEY_COLUMNS]
    file = columns_of("csc", table[found], {})
    if lacking := [name for name in KEY_COLUMNS if name not in file.columns]:
        raise ArchiveError(f"csc answers without the columns {', '.join(lacking)}")
    ids = np.stack([numbers(file.columns[name]) for name in KEY_COLUMNS], axis=1)
    if not np.isfinite(ids).all():
        raise ArchiveError("csc answers rows without obsid, obi or region_id")
    return [(int(obsid), int(obi), int(region_id)) for obsid, obi, region_id in ids]


def _convert(table: Table, keys: list[Key], release: _Release) -> list[Detection | Refusal]:
    try:
        rows = rows_in_place(columns_of("csc", table, UNITS), release.key)
    except InvalidTableError as exc:  # nobody here can correct it
        raise ArchiveError(f"csc answers a table that cannot be used: {exc}") from exc
    converted: list[Detection | Refusal] = []
    for key, group in groupby(zip(keys, rows, strict=True), key=lambda pair: pair[0]):
        row = next(row for _, row in group if row is not None)
        if isinstance(row, Refusal):
            # Without numbers of rows, which change with the page: a ledger compares refusals.
            reason = _ROW_NUMBERS.sub("", row.reason)
            row = Refusal(catalogue_key(release.key, *key), reason)
        converted.append(row)
    return converted
