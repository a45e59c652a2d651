"""The Chandra Data Archive: observations by the time at which they became public."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from astropy.table import Table

from common.errors import ArchiveError
from ingest.archives.http_session import PoliteSession
from ingest.archives.pacing import Courtesy
from ingest.archives.settings import ArchiveSettings
from ingest.archives.tap import query

# Other people's queries to cxc.observation show all of these but the last, whose name is that of
# the archive's observation catalogue; the service lists its columns at CDA_TAP_URL/tables.
_COLUMNS: Final[Mapping[str, str]] = {
    "obsid": "obsid",
    "target": "target_name",
    "ra_deg": "ra",
    "dec_deg": "dec",
    "instrument": "instrument",
    "grating": "grating",
    "exposure_ks": "exposure_time",
    "observed_at": "start_date",
    "public_at": "public_avail",
}
_TABLE: Final = "cxc.observation"
_PUBLIC: Final = "status = 'archived'"
"""Others are planned, or still belong to who proposed them."""
PAGE = 2000


@dataclass(frozen=True, slots=True)
class Observation:
    """One observation; times are UTC, the position is ICRS."""

    obsid: int
    target: str
    ra_deg: float | None
    dec_deg: float | None
    instrument: str
    grating: str
    exposure_s: float | None
    observed_at: datetime | None
    public_at: datetime


class CDAArchive:
    """The archive of observations.

    Parameters
    ----------
    settings : ArchiveSettings
        Where it is.
    courtesy : Courtesy
        Asked before each request, as ``cda``.
    page : int
        Rows a request.
    """

    def __init__(self, settings: ArchiveSettings, courtesy: Courtesy, page: int = PAGE) -> None:
        self._url = str(settings.cda_tap_url)
        self._session = PoliteSession("cda", settings, courtesy)
        self._page = page

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def observations(self, since: datetime, until: datetime) -> list[Observation]:
        """Return what became public in a span.

        Parameters
        ----------
        since, until : datetime
            Its beginning, included, and its end, excluded, to the second; with a time zone.

        Returns
        -------
        list of Observation
            By ``public_at`` and obsid.

        Raises
        ------
        ArchiveError
            If the archive does not answer, or what it answers is not in order.
        """
        return [one for page in self._pages(since, until) for one in page]

    def _pages(self, since: datetime, until: datetime) -> Iterator[list[Observation]]:
        date, obsid = _COLUMNS["public_at"], _COLUMNS["obsid"]
        since, until = (time.replace(microsecond=0) for time in (since, until))
        beyond = f"{date} >= '{_written(since)}'"
        last: tuple[datetime, int] | None = None
        while True:
            table = query(
                self._session,
                self._url,
                f"SELECT TOP {self._page} {', '.join(_COLUMNS.values())} FROM {_TABLE} "
                f"WHERE {_PUBLIC} AND {date} < '{_written(until)}' AND ({beyond}) "
                f"ORDER BY {date}, {obsid}",
            )
            page = [_observation(row) for row in _rows(table)]
            if not page:
                return
            places = [(one.public_at, one.obsid) for one in page]
            if places != sorted(places) or (last is not None and places[0] <= last):
                raise ArchiveError(f"cda answers rows that are not in order, beyond {last}")
            yield page
            last = places[-1]
            at = _written(last[0])
            beyond = f"{date} > '{at}' OR ({date} = '{at}' AND {obsid} > {last[1]})"


def _rows(table: Table) -> Iterator[Mapping[str, Any]]:
    """Yield rows by our names, None for what is masked."""
    found = {name.lower(): name for name in table.colnames}
    if lacking := [name for name in _COLUMNS.values() if name not in found]:
        raise ArchiveError(f"cda answers without the columns {', '.join(lacking)}")
    columns = {ours: table[found[theirs]].tolist() for ours, theirs in _COLUMNS.items()}
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _observation(row: Mapping[str, Any]) -> Observation:
    try:
        exposure_ks = _number(row["exposure_ks"])
        observed = _text(row["observed_at"])
        return Observation(
            obsid=int(row["obsid"]),
            target=_text(row["target"]),
            ra_deg=_number(row["ra_deg"]),
            dec_deg=_number(row["dec_deg"]),
            instrument=_text(row["instrument"]),
            grating=_text(row["grating"]),
            exposure_s=None if exposure_ks is None else 1000.0 * exposure_ks,
            observed_at=_time(observed) if observed else None,
            public_at=_time(_text(row["public_at"])),
        )
    except (ValueError, TypeError) as exc:
        raise ArchiveError(f"cda answers a row that cannot be read ({exc}): {dict(row)}") from exc


def _number(value: object) -> float | None:
    return None if value is None or value != value else float(str(value))


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _written(time: datetime) -> str:
    """Return a time as the archive is asked for it; most have whole seconds there."""
    precision = "milliseconds" if time.microsecond else "seconds"
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec=precision)
