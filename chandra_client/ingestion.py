"""Files sent to be stored, and how far that is."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

from chandra_client.connection import Connection
from chandra_client.errors import RefusedError
from chandra_client.spectra import File, read
from chandra_client.tables import JSON, as_document


class Ingestion:
    """What a client with a key that may ingest can do beside asking."""

    _connection: Connection

    def ingest_spectra(
        self,
        *files: File,
        rmf: File | None = None,
        background: File | None = None,
        catalog: File | None = None,
        radius_arcsec: float = 3.0,
        release: str | None = None,
    ) -> dict[str, Any]:
        """Send spectra to be stored; the server wants a key that may ingest.

        Parameters
        ----------
        *files : path
            PHA files or event lists, gzipped or not.
        rmf, background : path, optional
            Response and background of all of them.
        catalog : path, optional
            Table whose rows are joined to the spectra that they describe.
        radius_arcsec : float
            Match radius of that table.
        release : str, optional
            Release of the Chandra Source Catalog that it comes from, if it does not say.

        Returns
        -------
        dict
            The job, which waits; ask for its ``id`` by `job`.

        Examples
        --------
        >>> job = chandra.ingest_spectra("source.pi", rmf="source.rmf")  # doctest: +SKIP
        >>> chandra.job(job["id"])["state"]  # doctest: +SKIP
        'done'
        """
        parts = {"rmf": rmf, "background": background, "catalog": catalog}
        fields = {"radius": str(radius_arcsec)} | ({"release": release} if release else {})
        return self._send("spectra", files, parts, fields)

    def ingest_catalog(self, *tables: File, release: str | None = None) -> dict[str, Any]:
        """Send tables of detections to be stored, and return the job, as `ingest_spectra`.

        Examples
        --------
        >>> chandra.ingest_catalog("csc21_observations.fits")["state"]  # doctest: +SKIP
        'waiting'
        """
        return self._send("catalog", tables, {}, {"release": release} if release else {})

    def ingest_papers(self, *files: File) -> dict[str, Any]:
        """Send papers (JSON lines, ADS answers, BibTeX) to be stored, and return the job.

        Examples
        --------
        >>> chandra.ingest_papers("export.bib")["id"]  # doctest: +SKIP
        """
        return self._send("papers", files, {}, {})

    def job(
        self,
        job_id: str,
        *,
        outcome: Literal["ingested", "unchanged", "refused"] | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        """Return how far an upload is, and what became of what was in it.

        Parameters
        ----------
        job_id : str
            ``id`` of the job, as the upload was answered.
        outcome : {"ingested", "unchanged", "refused"}, optional
            Only outcomes of this kind.
        limit : int
            Outcomes at most.
        cursor : str, optional
            ``cursor`` of the answer before, for the outcomes that follow.

        Examples
        --------
        >>> for one in chandra.job(job["id"], outcome="refused")["outcomes"]:  # doctest: +SKIP
        ...     print(one["input"], one["detail"])
        """
        asked = {"outcome": outcome, "limit": limit, "cursor": cursor}
        given = {name: value for name, value in asked.items() if value is not None}
        path = f"/v1/jobs/{quote(job_id, safe='')}"
        return as_document(self._connection.ask("GET", path, given, accept=JSON))

    def _send(
        self,
        kind: str,
        files: Sequence[File],
        parts: Mapping[str, File | None],
        fields: Mapping[str, str],
    ) -> dict[str, Any]:
        named = [("file", read(file)) for file in files]
        named += [(name, read(file)) for name, file in parts.items() if file is not None]
        if not files:
            raise RefusedError("there is nothing to send: name at least one file")
        plain = [(name, (None, value.encode())) for name, value in fields.items()]
        path = f"/v1/ingest/{kind}"
        return as_document(self._connection.ask("POST", path, accept=JSON, files=[*named, *plain]))
