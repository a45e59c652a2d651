"""A chandra-search server, asked from Python."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, Unpack
from urllib.parse import quote

import httpx
from astropy.table import QTable

from chandra_client.connection import Connection, Files
from chandra_client.errors import RefusedError
from chandra_client.ingestion import Ingestion
from chandra_client.options import Filters, Options, as_parameters
from chandra_client.spectra import EstimateOptions, SearchOptions, Spectrum, sent
from chandra_client.tables import ECSV, JSON, as_document, as_table, joined

Target = Literal["detections", "papers"]

PAGE = 1000


class Client(Ingestion):
    """A connection to one server; close it, or use it in a ``with`` statement.

    Answers are tables with units, in which what is not known is masked. Their ``meta`` says what
    was asked (``title``), what is simulated, and where the next page begins (``cursor``).

    Parameters
    ----------
    url : str
        Where ``chandra-search serve`` answers.
    api_key : str, optional
        Sent with every request, to servers that want one.
    timeout_s : float
        How long to wait for the server at each step of an answer, in seconds.
    retries : int
        How often a request is repeated that the server has no time for (429, 503).
    patience_s : float
        Longest pause that the server may ask for before a repetition, in seconds.

    Examples
    --------
    >>> with Client("http://127.0.0.1:8000") as chandra:  # doctest: +SKIP
    ...     hard = chandra.search_text("iron line", ranges={"hard_hs": (0.3, None)}, limit=50)
    ...     hard["source_name", "exposure_s", "cosine"].pprint()
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        api_key: str | None = None,
        *,
        timeout_s: float = 60.0,
        retries: int = 3,
        patience_s: float = 60.0,
    ) -> None:
        self._connection = Connection(url, api_key, timeout_s, retries, patience_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def search_text(
        self,
        question: str,
        to: Target = "detections",
        *,
        pages: bool = False,
        **options: Unpack[Options],
    ) -> QTable:
        """Find the spectra, or the papers, that fit a sentence.

        Parameters
        ----------
        question : str
            What you look for, in words.
        to : {"detections", "papers"}
            What to look for.
        pages : bool
            Whether to go on to the last page; ``limit`` is then of no account.
        **options : Options
            Restrictions, limit, cursor and order, see `chandra_client.Options`.

        Returns
        -------
        QTable
            Best first.

        Examples
        --------
        >>> chandra.search_text("type I bursts", "papers", year_from=2010)  # doctest: +SKIP
        """
        body = {"question": question, "to": to} | as_parameters(options)
        return self._pages("POST", "/v1/search/text", pages, body=body)

    def search_spectrum(
        self,
        spectrum: Spectrum,
        to: Target = "detections",
        *,
        pages: bool = False,
        **options: Unpack[SearchOptions],
    ) -> QTable:
        """Find the spectra, or the papers, nearest to a spectrum.

        Parameters
        ----------
        spectrum : path or array_like of float, shape (400,)
            PHA file or event list; or counts in the 400 equal bins from 0.5 to 8 keV.
        to : {"detections", "papers"}
            What to look for.
        pages : bool
            Whether to go on to the last page; ``limit`` is then of no account.
        **options : SearchOptions
            ``exposure_s`` of counts, ``rmf`` and ``row`` of a file, and `chandra_client.Options`.

        Returns
        -------
        QTable
            Best first; ``meta["warnings"]`` says what is to be known about how a file was read.

        Examples
        --------
        >>> chandra.search_spectrum("source.pi", "papers")  # doctest: +SKIP
        >>> chandra.search_spectrum(counts, exposure_s=49_500)  # doctest: +SKIP
        """
        asked = {"to": to} | as_parameters(options)
        given = sent(spectrum, asked)
        return self._pages(
            "POST", "/v1/search/spectrum", pages, asked, body=given.body, files=given.files
        )

    def like(
        self,
        identifier: str,
        to: Target = "detections",
        *,
        pages: bool = False,
        **options: Unpack[Options],
    ) -> QTable:
        """Find what is like a stored detection or paper, named by id, key, name or bibcode.

        Its own source is left out.

        Examples
        --------
        >>> chandra.like("2CXO J183333.5-103407", "papers")  # doctest: +SKIP
        """
        asked = {"to": to} | as_parameters(options)
        return self._pages("GET", f"/v1/search/like/{quote(identifier)}", pages, asked)

    def examples(
        self,
        positive: Sequence[str],
        negative: Sequence[str] = (),
        to: Target = "detections",
        *,
        pages: bool = False,
        **options: Unpack[Options],
    ) -> QTable:
        """Find what is like some stored things and unlike others; their sources are left out.

        Examples
        --------
        >>> chandra.examples(["csc2.0/459/0/1"], ["csc2.0/1575/1/475"])  # doctest: +SKIP
        """
        named = {"positive": list(positive), "negative": list(negative), "to": to}
        return self._pages(
            "POST", "/v1/search/examples", pages, body=named | as_parameters(options)
        )

    def cone(self, circle: str, *, pages: bool = False, **options: Unpack[Options]) -> QTable:
        """List the detections in a circle on the sky, nearest to its centre first.

        Parameters
        ----------
        circle : str
            Right ascension and declination in degrees (ICRS), and a radius with its unit.
        pages : bool
            Whether to go on to the last page; ``limit`` is then of no account.
        **options : Options
            Restrictions, limit and cursor, see `chandra_client.Options`.

        Returns
        -------
        QTable
            With the distance from the centre in ``separation_arcsec``.

        Examples
        --------
        >>> chandra.cone("10.68 41.27 5arcmin", classes=["XB*"])  # doctest: +SKIP
        """
        return self._pages("GET", "/v1/cone", pages, as_parameters(options) | {"cone": circle})

    def papers(
        self,
        question: str | None = None,
        *,
        region: str | None = None,
        pages: bool = False,
        **options: Unpack[Options],
    ) -> QTable:
        """Search the literature by words, or list papers: of a region of sky, or all that fit.

        Parameters
        ----------
        question : str, optional
            What the papers shall be about.
        region : str, optional
            In place of a question, a circle: ``266.42 -29.01 2arcmin``.
        pages : bool
            Whether to go on to the last page; ``limit`` is then of no account.
        **options : Options
            Restrictions, limit, cursor and order, see `chandra_client.Options`.

        Returns
        -------
        QTable
            One row for each paper.

        Examples
        --------
        >>> chandra.papers("photon index of obscured AGN", author=["Ueda, Y."])  # doctest: +SKIP
        """
        if question is not None and region is not None:
            raise RefusedError("question and region are two ways to ask for papers: give one")
        if question is not None:
            return self.search_text(question, "papers", pages=pages, **options)
        if region is not None:
            asked = as_parameters(options) | {"cone": region}
            return self._pages("GET", "/v1/papers/region", pages, asked)
        return self._pages("GET", "/v1/papers", pages, as_parameters(options))

    def detections(self, *, pages: bool = False, **options: Unpack[Options]) -> QTable:
        """List the detections that fit a filter, without a question.

        Examples
        --------
        >>> chandra.detections(classes=["LXB"], has=["bb_kt"], pages=True)  # doctest: +SKIP
        """
        return self._pages("GET", "/v1/detections", pages, as_parameters(options))

    def estimate(self, spectrum: Spectrum, **options: Unpack[EstimateOptions]) -> QTable:
        """Estimate the 20 catalogue variables of a spectrum, with 68% and 90% intervals.

        Parameters
        ----------
        spectrum : str, path or array_like of float, shape (400,)
            Id, key or source name in the store; or a file; or counts. A string names a file where
            there is one.
        **options : EstimateOptions
            ``exposure_s`` of counts, ``rmf`` and ``row`` of a file; ``k``, ``weighting`` and
            ``representation`` in place of what is best; filters of the neighbours.

        Returns
        -------
        QTable
            One row: each variable with its unit, and ``_lo68``, ``_hi68``, ``_lo90``, ``_hi90``.

        Examples
        --------
        >>> row = chandra.estimate("source.pi")[0]  # doctest: +SKIP
        >>> row["powlaw_gamma"], row["powlaw_gamma_lo68"]  # doctest: +SKIP
        """
        return as_table(self._about("estimates", spectrum, options, ECSV))

    def classify(self, spectrum: Spectrum, **options: Unpack[EstimateOptions]) -> QTable:
        """Return the probable classes of a spectrum's source, at every level of the class path.

        The arguments are those of `estimate`, of which only ``k`` chooses the neighbours.

        Examples
        --------
        >>> chandra.classify("csc2.0/1575/1/475")  # doctest: +SKIP
        """
        return as_table(self._about("classes", spectrum, options, ECSV))

    def describe(self, spectrum: Spectrum, **options: Unpack[EstimateOptions]) -> dict[str, Any]:
        """Characterise a spectrum in sentences, each with its references.

        The arguments are those of `estimate`, without those that choose neighbours.

        Examples
        --------
        >>> for statement in chandra.describe("source.pi")["statements"]:  # doctest: +SKIP
        ...     print(statement["text"], *statement["references"])
        """
        return as_document(self._about("describe", spectrum, options, JSON))

    def outliers(self, *, limit: int = 20, **filters: Unpack[Filters]) -> QTable:
        """List the detections most unlike the others, with reasons and a verdict.

        Examples
        --------
        >>> odd = chandra.outliers(classes=["AGN"])  # doctest: +SKIP
        >>> odd[odd["verdict"] == "likely object"]  # doctest: +SKIP
        """
        asked = {"limit": limit} | as_parameters(filters)
        return as_table(self._connection.ask("GET", "/v1/outliers", asked, accept=ECSV))

    def facets(
        self,
        *fields: str,
        of: Target = "detections",
        limit: int = 1000,
        **filters: Unpack[Filters],
    ) -> dict[str, dict[str, int]]:
        """Count what fits a filter by the values of fields.

        Examples
        --------
        >>> chandra.facets("class", "year", where="hard_hs > 0.5")["year"]  # doctest: +SKIP
        {'2001': 12, '2004': 7}
        """
        asked = {"field": list(fields or ("class", "year")), "limit": limit}
        return self._document(f"/v1/facets/{of}", asked | as_parameters(filters))

    def detection(self, identifier: str) -> dict[str, Any]:
        """Return all that is stored of a detection, by id, key or source name.

        Examples
        --------
        >>> chandra.detection("csc2.0/1575/1/475")["payload"]["bibcodes"]  # doctest: +SKIP
        """
        return self._document(f"/v1/detections/{quote(identifier)}")

    def paper(self, bibcode: str) -> dict[str, Any]:
        """Return all that is stored of a paper; former bibcodes are understood.

        Examples
        --------
        >>> chandra.paper("2004A&A...426...11P")["payload"]["abstract"]  # doctest: +SKIP
        """
        return self._document(f"/v1/papers/{quote(bibcode)}")

    def status(self) -> dict[str, Any]:
        """Return what the store holds, and by which model.

        Examples
        --------
        >>> chandra.status()["detections"]  # doctest: +SKIP
        """
        return self._document("/v1/status")

    def _document(self, path: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return as_document(self._connection.ask("GET", path, parameters, accept=JSON))

    def _pages(
        self,
        method: str,
        path: str,
        every: bool,
        parameters: Mapping[str, Any] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        files: Files | None = None,
    ) -> QTable:
        """Return a page, or this page and all that follow."""
        place: dict[str, Any] = {"limit": PAGE} if every else {}
        pages = []
        while True:
            in_query, in_body = (place, {}) if parameters is not None else ({}, place)
            response = self._connection.ask(
                method,
                path,
                {**(parameters or {}), **in_query},
                accept=ECSV,
                json=body and {**body, **in_body},
                files=files,
            )
            pages.append(as_table(response))
            cursor = pages[-1].meta.get("cursor")
            if not every or cursor is None:
                return joined(pages)
            place["cursor"] = cursor

    def _about(
        self, what: str, spectrum: Spectrum, options: EstimateOptions, accept: str
    ) -> httpx.Response:
        """Ask about a spectrum that the store has, or about one that is sent."""
        asked = as_parameters(options)
        if isinstance(spectrum, str) and not Path(spectrum).is_file():
            path = f"/v1/{what}/{quote(spectrum)}"
            return self._connection.ask("GET", path, asked, accept=accept)
        given = sent(spectrum, asked)
        return self._connection.ask(
            "POST", f"/v1/{what}", asked, accept=accept, json=given.body, files=given.files
        )
