"""Table Access Protocol: a question in ADQL -> a whole table, or an error (IVOA TAP, DALI)."""

import binascii
import io
import re
import warnings
from collections.abc import Mapping
from xml.parsers.expat import ExpatError

from astropy.io.votable import parse as parse_votable
from astropy.io.votable.exceptions import VOTableSpecError
from astropy.io.votable.tree import Info, VOTableFile
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning
from pyvo.dal.tap import UploadList

from common.errors import ArchiveError, InputError
from ingest.archives.http_session import LONGEST_REASON, CutShortError, PoliteSession

_READ_ERRORS = (
    ExpatError,
    VOTableSpecError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OSError,
    binascii.Error,
)


def query(
    session: PoliteSession,
    url: str,
    adql: str,
    *,
    uploads: Mapping[str, Table] | None = None,
    maxrec: int | None = None,
) -> Table:
    """Ask a service and wait for its answer.

    Parameters
    ----------
    session : PoliteSession
        With the archive; an answer that cannot be read is asked for again.
    url : str
        Base address of the service, without ``/sync``.
    adql : str
        The question.
    uploads : mapping of str to Table, optional
        Tables that the question names ``tap_upload.<name>``.
    maxrec : int, optional
        Most rows the service shall answer with; None leaves it to the service.

    Returns
    -------
    Table
        All rows; absent values are masked.

    Raises
    ------
    InputError
        If the service refuses the question.
    ArchiveError
        If it does not answer, cuts its answer short, or it is no whole VOTable.
    """
    fields = {"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "votable", "QUERY": adql}
    if maxrec is not None:
        fields["MAXREC"] = str(maxrec)

    def attempt() -> Table:
        # Made anew each time: what has been sent is read to its end.
        tables = UploadList.fromdict(dict(uploads or {}))
        more = {"UPLOAD": tables.param()} if tables else {}
        files = {table.name: table.fileobj() for table in tables}
        answer = session.once("POST", f"{url.rstrip('/')}/sync", data=fields | more, files=files)
        return _read(session.archive, answer.content)

    return session.repeat(attempt)


def _read(archive: str, data: bytes) -> Table:
    """Return the table of an answer, having looked at what it says about itself."""
    if re.search(rb"<STREAM[^>]*\bhref", data):  # would be fetched from wherever it points to
        raise ArchiveError(f"{archive} answers with a table that refers to data elsewhere")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)  # small sins against the standard
            votable = parse_votable(io.BytesIO(data), verify="ignore")
            _check_status(archive, votable)
            return votable.get_first_table().to_table(use_names_over_ids=True)
    except _READ_ERRORS as exc:
        raise ArchiveError(f"{archive} answers with no whole table: {exc}") from exc


def _check_status(archive: str, votable: VOTableFile) -> None:
    """Raise if one of the INFO elements, before or after the rows, says that something is wrong.

    An answer may begin with OK and end with ERROR or OVERFLOW (DALI 1.1, section 4.4).
    """
    for info in _infos(votable):
        if "QUERY_STATUS" not in (info.name or "").upper():
            continue
        status, said = (info.value or "").upper(), " ".join((info.content or "").split())
        if status == "OVERFLOW":
            raise CutShortError(f"{archive} cut its answer short (OVERFLOW): ask for fewer rows")
        if status != "OK":
            raise InputError(f"{archive} refuses a question: {said[:LONGEST_REASON] or status}")


def _infos(votable: VOTableFile) -> list[Info]:
    found = list(votable.infos)
    for resource in votable.resources:
        found += resource.infos
        found += [info for table in resource.tables for info in table.infos]
    return found
